"""Who works in a business: added, given another role, removed. An owner is always left."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User

from catalog.errors import LastOwner, MemberNotFound, OwnPlace
from catalog.models import AuditEntry, Business, Membership
from catalog.people import Added, add_person, change_role, remove_person
from factories import BusinessFactory
from orders_project.clock import database_now
from orders_project.errors import InvalidRequest

Role = Membership.Role

BOSS = "person:boss"


def add(shop: Business, who: str, role: Role = Role.PACKER) -> Added:
    return add_person(business_id=shop.id, who=who, role=role, actor=BOSS, now=database_now())


def member(shop: Business, name: str, role: Role = Role.OWNER) -> Membership:
    user = User.objects.create_user(f"{name}-{shop.slug}", password="a good long one")
    return Membership.objects.create(business=shop, user=user, role=role)


def change(one: Membership, role: Role, actor: str = BOSS) -> Membership:
    return change_role(business_id=one.business_id, member_id=one.id, role=role, actor=actor, now=database_now())


def remove(one: Membership, actor: str = BOSS) -> Membership:
    return remove_person(business_id=one.business_id, member_id=one.id, actor=actor, now=database_now())


def told(shop: Business) -> list[tuple[str, str, Any]]:
    return list(AuditEntry.objects.filter(business=shop).order_by("id").values_list("action", "title", "changes"))


def why_not(refused: pytest.ExceptionInfo[InvalidRequest]) -> str:
    return str(refused.value.facts["errors"][0]["code"])


def test_add_somebody_new_invites_them(db: None, shop: Business) -> None:
    added = add(shop, "Ada@Example.com")
    user = added.member.user
    assert (user.username, user.email, user.is_staff) == ("ada@example.com", "ada@example.com", True)
    assert added.is_invited
    assert not user.has_usable_password()
    assert told(shop) == [("added", "ada@example.com", {"role": "packer"})]


@pytest.mark.parametrize("by", ["name", "address"])
def test_add_somebody_known_lets_them_in(db: None, shop: Business, by: str) -> None:
    user = User.objects.create_user("ben", email="Ben@example.com", password="a good long one")
    added = add(shop, "ben" if by == "name" else "ben@EXAMPLE.com", Role.MANAGER)
    assert (added.member.user, added.is_invited) == (user, False)
    user.refresh_from_db()
    assert user.is_staff
    assert user.has_usable_password()


def test_add_somebody_invited_makes_earlier_links_void_and_keeps_the_role(db: None, shop: Business) -> None:
    first = add(shop, "ada@example.com", Role.VIEWER)
    again = add(shop, "ada@example.com", Role.OWNER)
    assert again.member == first.member
    assert again.member.role == Role.VIEWER
    assert again.is_invited
    assert again.member.user.password != first.member.user.password


@pytest.mark.parametrize(("who", "code"), [("nobody", "unknown"), ("no@where", "unknown"), ("", "unknown")])
def test_add_nobody_is_refused(db: None, shop: Business, who: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        add(shop, who)
    assert why_not(refused) == code
    assert not Membership.objects.filter(business=shop).exists()


def test_add_somebody_twice_is_refused(db: None, shop: Business) -> None:
    there = member(shop, "ada", Role.VIEWER)
    with pytest.raises(InvalidRequest) as refused:
        add(shop, there.user.username, Role.OWNER)
    assert why_not(refused) == "there_already"
    there.refresh_from_db()
    assert there.role == Role.VIEWER


def test_add_somebody_whose_account_is_closed_is_refused(db: None, shop: Business) -> None:
    User.objects.create_user("ben", password="a good long one", is_active=False)
    with pytest.raises(InvalidRequest) as refused:
        add(shop, "ben")
    assert why_not(refused) == "closed"


def test_add_by_an_address_that_two_have_is_refused(db: None, shop: Business) -> None:
    for name in ("ben", "bea"):
        User.objects.create_user(name, email="shared@example.com", password="a good long one")
    with pytest.raises(InvalidRequest) as refused:
        add(shop, "shared@example.com")
    assert why_not(refused) == "ambiguous"


def test_add_somebody_whom_another_business_invited_waits_for_their_password(db: None, shop: Business) -> None:
    """Else whoever has the first link would come into both."""
    add(BusinessFactory(), "ada@example.com")
    with pytest.raises(InvalidRequest) as refused:
        add(shop, "ada@example.com")
    assert why_not(refused) == "invited"


def test_change_role(db: None, shop: Business) -> None:
    member(shop, "owner")
    ben = member(shop, "ben", Role.VIEWER)
    change(ben, Role.MANAGER)
    ben.refresh_from_db()
    assert ben.role == Role.MANAGER
    change(ben, Role.MANAGER)
    assert told(shop) == [("changed", ben.user.username, {"role": ["viewer", "manager"]})]


def test_remove_person_leaves_their_account(db: None, shop: Business) -> None:
    member(shop, "owner")
    ben = member(shop, "ben", Role.PACKER)
    remove(ben)
    assert not Membership.objects.filter(id=ben.id).exists()
    assert User.objects.filter(id=ben.user_id, is_active=True).exists()
    assert told(shop) == [("removed", ben.user.username, {"role": ["packer", ""]})]


def test_last_owner_stays(db: None, shop: Business) -> None:
    owner = member(shop, "owner")
    member(shop, "ben", Role.MANAGER)
    with pytest.raises(LastOwner):
        change(owner, Role.MANAGER)
    with pytest.raises(LastOwner):
        remove(owner)
    owner.refresh_from_db()
    assert owner.role == Role.OWNER


def test_nobody_changes_their_own_place(db: None, shop: Business) -> None:
    owner, _ = member(shop, "owner"), member(shop, "other")
    me = f"person:{owner.user.username}"
    with pytest.raises(OwnPlace):
        change(owner, Role.VIEWER, actor=me)
    with pytest.raises(OwnPlace):
        remove(owner, actor=me)


def test_people_of_another_business_are_not_there(db: None, shop: Business, now: datetime) -> None:
    ben = member(BusinessFactory(), "ben", Role.VIEWER)
    with pytest.raises(MemberNotFound):
        change_role(business_id=shop.id, member_id=ben.id, role=Role.OWNER, actor=BOSS, now=now)
    with pytest.raises(MemberNotFound):
        remove_person(business_id=shop.id, member_id=ben.id, actor=BOSS, now=now)


def test_two_owners_who_remove_each_other_at_once_leave_one(
    committed: None, shop: Business, at_once: Callable[..., list[Any]]
) -> None:
    ada, ben = member(shop, "ada"), member(shop, "ben")
    answers = at_once(
        [
            lambda: remove(ada, actor=f"person:{ben.user.username}"),
            lambda: change(ben, Role.VIEWER, actor=f"person:{ada.user.username}"),
        ],
        behind=shop,
    )
    assert Membership.objects.filter(business=shop, role=Role.OWNER).count() == 1
    assert sum(isinstance(answer, LastOwner) for answer in answers) == 1
