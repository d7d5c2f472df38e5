"""Who works in a business: added, given another role, removed. An owner is always left."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from catalog.errors import LastOwner, MemberNotFound, OwnPlace
from catalog.models import AuditEntry, Business, Membership
from catalog.people import Added, accept, add_person, change_role, invitation_to, remove_person, rights_of
from catalog.staff import admit_person
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


def known(name: str = "ben", **more: Any) -> User:
    return User.objects.create_user(name, **{"email": "Ben@example.com", "password": "a good long one", **more})


@pytest.mark.parametrize("by", ["name", "address"])
def test_add_somebody_known_asks_them(db: None, shop: Business, by: str) -> None:
    """Until they accept, nothing of the business is theirs, and they can be asked again."""
    user = known()
    for _ in range(2):
        added = add(shop, "ben" if by == "name" else "ben@EXAMPLE.com", Role.MANAGER)
        assert (added.member.user, added.is_invited) == (user, False)
    user.refresh_from_db()
    assert user.has_usable_password()
    assert rights_of(user, shop.id) == frozenset()
    with pytest.raises(PermissionDenied):
        admit_person(user, None)
    joined = accept(token=invitation_to(added.member), user=user, now=database_now())
    assert joined.role == Role.MANAGER
    assert admit_person(user, None).business == shop
    assert told(shop) == [(what, "ben", {"role": "manager"}) for what in ("added", "invited again", "joined")]


def test_link_to_accept_is_of_no_use_to_others_twice_or_when_it_was_taken_back(db: None, shop: Business) -> None:
    member(shop, "owner")
    ben, eve = known(), known("eve", email="eve@example.com")
    token = invitation_to(add(shop, "ben").member)
    changed = token[:-1] + ("A" if token[-1] != "A" else "B")
    for user, tried in ((eve, token), (ben, changed), (ben, "")):
        with pytest.raises(MemberNotFound):
            accept(token=tried, user=user, now=database_now())
    remove(Membership.objects.get(business=shop, user=ben))
    with pytest.raises(MemberNotFound):
        accept(token=token, user=ben, now=database_now())
    token = invitation_to(add(shop, "ben").member)
    accept(token=token, user=ben, now=database_now())
    with pytest.raises(MemberNotFound):
        accept(token=token, user=ben, now=database_now())


@pytest.mark.parametrize(
    "account",
    [
        {"is_superuser": True},
        {"last_login": datetime(2026, 1, 1, tzinfo=UTC)},
    ],
)
def test_account_without_a_password_that_is_not_a_new_one_is_given_none(
    db: None, shop: Business, account: dict[str, Any]
) -> None:
    """Else any owner could take over the account of somebody who signs in in another way."""
    user = known(password=None, is_staff=True, **account)
    with pytest.raises(InvalidRequest) as refused:
        add(shop, "ben")
    assert why_not(refused) == "invited"
    Membership.objects.create(business=shop, user=user, role=Role.VIEWER)
    with pytest.raises(InvalidRequest) as refused:
        add(shop, "ben")
    assert why_not(refused) == "there_already"


@pytest.mark.parametrize("who", ["n" * 111, f"{'n' * 60}@{'m' * 50}.example.com"])
def test_add_somebody_whose_name_is_too_long_for_the_books(db: None, shop: Business, who: str) -> None:
    if "@" not in who:
        known(who)
    with pytest.raises(InvalidRequest) as refused:
        add(shop, who)
    assert why_not(refused) == "too_long"
    assert not User.objects.filter(username=who, memberships__isnull=False).exists()


def test_add_somebody_known_without_an_address_is_refused(db: None, shop: Business) -> None:
    known(email="")
    with pytest.raises(InvalidRequest) as refused:
        add(shop, "ben")
    assert why_not(refused) == "no_address"


def test_who_was_only_asked_to_be_an_owner_is_none(db: None, shop: Business) -> None:
    owner = member(shop, "owner")
    known()
    add(shop, "ben", Role.OWNER)
    with pytest.raises(LastOwner):
        remove(owner)


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


@pytest.mark.parametrize("is_known", [False, True])
def test_two_businesses_that_invite_somebody_at_once_make_one_account(
    committed: None, shop: Business, at_once: Callable[..., list[Any]], is_known: bool
) -> None:
    """And one of them gets the link: the other one would come into both with it."""
    who = f"ada-{shop.slug}@example.com"
    before = known(who, email=who, password=None) if is_known else None
    calls = [lambda place=place: add(place, who) for place in (shop, BusinessFactory())]
    answers = at_once(calls, behind=before)
    assert sum(isinstance(answer, Added) for answer in answers) == 1, answers
    assert sum(isinstance(answer, InvalidRequest) for answer in answers) == 1, answers
    assert Membership.objects.filter(user__username=who).count() == 1


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
