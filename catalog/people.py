"""Who works in a business: added, given another role, removed. An owner is always left."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from catalog import audit
from catalog.errors import LastOwner, MemberNotFound, OwnPlace
from catalog.models import Business, Membership
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

Role = Membership.Role


@dataclass(frozen=True, slots=True)
class Added:
    """Somebody's place in a business; `is_invited` says that they have no password yet, and need a link to set
    one."""

    member: Membership
    is_invited: bool


@one_transaction
def add_person(*, business_id: UUID, who: str, role: Role, actor: str, now: datetime) -> Added:
    """Give a place to somebody, by user name or mail address. Who isn't known yet is invited by address. Asked for
    somebody of the business who was invited and has no password yet, it changes nothing but that links that they
    were given before are void.

    Raises InvalidRequest for a name that nobody has, for who is there already, whose account is closed, or who
    was invited by another business and hasn't answered yet.
    """
    business = _lock(business_id)
    user = _find(who)
    if user is None:
        user = User.objects.create_user(who.lower(), email=who.lower(), is_staff=True)
    elif not user.is_active:
        raise _refuse("closed", f"The account of {user} is closed.")
    elif not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    is_invited = not user.has_usable_password()
    if is_invited:
        if user.memberships.exclude(business=business).exists():
            raise _refuse("invited", f"{user} hasn’t set a password yet. Add them when they have.")
        user.set_unusable_password()
        user.save(update_fields=["password"])
    member, is_new = Membership.objects.get_or_create(business=business, user=user, defaults={"role": role})
    if not is_new and not is_invited:
        raise _refuse("there_already", f"{user} works here already. Change their role in the list.")
    _record(member, "added" if is_new else "invited again", actor, now, {"role": member.role})
    return Added(member, is_invited)


@one_transaction
def change_role(*, business_id: UUID, member_id: UUID, role: Role, actor: str, now: datetime) -> Membership:
    """Give somebody another role. Raises MemberNotFound; OwnPlace for one's own; LastOwner."""
    member = _someone_else(business_id, member_id, actor)
    if member.role == role:
        return member
    _keep_an_owner(member)
    was, member.role = member.role, role
    member.save(update_fields=["role"])
    _record(member, "changed", actor, now, {"role": [was, role]})
    return member


@one_transaction
def remove_person(*, business_id: UUID, member_id: UUID, actor: str, now: datetime) -> Membership:
    """Take somebody's place away, at once; their account stays. Raises what `change_role` does."""
    member = _someone_else(business_id, member_id, actor)
    _keep_an_owner(member)
    _record(member, "removed", actor, now, {"role": [member.role, ""]})
    Membership.objects.filter(id=member.id).delete()
    return member


def _lock(business_id: UUID) -> Business:
    """The business, locked: changes to its people come one after the other."""
    return Business.objects.select_for_update(no_key=True).get(id=business_id)


def _find(who: str) -> User | None:
    found = list(
        User.objects.filter(Q(username=who) | Q(email__iexact=who) if "@" in who else Q(username=who))[:2]
    )
    if len(found) == 2:
        raise _refuse("ambiguous", "Several people have this address. Say the user name.")
    if found:
        return found[0]
    try:
        validate_email(who)
    except ValidationError as error:
        raise _refuse(
            "unknown", "Nobody has this user name. To invite somebody new, say their mail address."
        ) from error
    return None


def _refuse(code: str, why: str) -> InvalidRequest:
    return InvalidRequest.at("who", code, why)


def _someone_else(business_id: UUID, member_id: UUID, actor: str) -> Membership:
    _lock(business_id)
    member = Membership.objects.filter(business_id=business_id, id=member_id).select_related("user").first()
    if member is None:
        raise MemberNotFound("They don’t work here any more.", member=str(member_id))
    if f"person:{member.user.get_username()}" == actor:
        raise OwnPlace("This is your own place here: ask another owner.", member=str(member_id))
    return member


def _keep_an_owner(member: Membership) -> None:
    others = Membership.objects.filter(business_id=member.business_id, role=Role.OWNER).exclude(id=member.id)
    if member.role == Role.OWNER and not others.exists():
        raise LastOwner(
            f"{member.user} is the only owner. Make somebody else an owner first.", member=str(member.id)
        )


def _record(member: Membership, action: str, actor: str, now: datetime, changes: dict[str, Any]) -> None:
    audit.record(
        business_id=member.business_id, actor=actor, now=now, action=action, subject=member.user, changes=changes
    )
