"""Who works in a business: added, given another role, removed. An owner is always left.

Somebody who has an account is only asked: their place opens nothing until they have accepted it, signed in, by a
link that was mailed to the address of the account. So nobody is put into a business that they don't know, and who
made an account in somebody else's name is let in nowhere by it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from catalog import audit
from catalog.errors import LastOwner, MemberNotFound, OwnPlace
from catalog.models import Business, Membership
from catalog.rights import EVERYTHING, OF_ROLE, Right
from catalog.wording import person
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

Role = Membership.Role


LONGEST_NAME = 110  # of somebody's user name: the timeline and the ledger hold it with what stands before it


@dataclass(frozen=True, slots=True)
class Added:
    """Somebody's place in a business. `is_invited` says that they need a link to set their first password; else
    they have an account, and accept the place by a link that is for them alone."""

    member: Membership
    is_invited: bool


@one_transaction
def add_person(*, business_id: UUID, who: str, role: Role, actor: str, now: datetime) -> Added:
    """Offer a place to somebody, by user name or mail address. Who isn't known yet is invited by address, and has
    the place at once. Asked again for somebody who hasn't answered, it changes nothing but that links to set a
    password that they were given before are void.

    Raises InvalidRequest for a name that nobody has or that is too long, for who is there already, and for an
    account that is closed, has no address to ask at, or has no password and is not this business's to give one.
    """
    business = _lock(business_id)
    user = _find(who) or _make_account(who)
    if len(user.get_username()) > LONGEST_NAME:
        raise _refuse("too_long", f"A name or address is at most {LONGEST_NAME} characters long here.")
    if not user.is_active:
        raise _refuse("closed", f"The account of {user} is closed.")
    is_invited = _is_unused(user, business)
    if is_invited:
        user.set_unusable_password()
    elif user.memberships.accepted().filter(business=business).exists():
        raise _refuse("there_already", f"{user} works here already. Change their role in the list.")
    elif not user.has_usable_password():
        raise _refuse("invited", f"{user} hasn’t set a password yet. Add them when they have.")
    elif not user.email:
        raise _refuse("no_address", f"{user} has no mail address on file, at which we could ask them.")
    user.is_staff = True
    user.save(update_fields=["is_staff", "password"])
    member, is_new = Membership.objects.get_or_create(
        business=business, user=user, defaults={"role": role, "accepted_at": now if is_invited else None}
    )
    _record(member, "added" if is_new else "invited again", actor, now, {"role": member.role})
    return Added(member, is_invited)


def invitation_to(member: Membership) -> str:
    """What the link says that is mailed to somebody with an account, to accept a place."""
    return signing.dumps([str(member.id), member.user.email], salt=__name__)


def find_invitation(*, token: str, user: User) -> Membership:
    """The place that a mailed link offers to somebody. Raises MemberNotFound for a link that is too old, was used
    or taken back, or is somebody else's."""
    try:
        place, address = signing.loads(token, salt=__name__, max_age=settings.PASSWORD_RESET_TIMEOUT)
    except signing.BadSignature:
        place, address = None, ""
    offers = Membership.objects.filter(id=place, user=user, user__email=address, accepted_at=None)
    member = offers.select_related("business", "user").first()
    if member is None:
        raise MemberNotFound("This link was used already, is too old, or is for somebody else.")
    return member


@one_transaction
def accept(*, token: str, user: User, now: datetime) -> Membership:
    """Take the place that a mailed link offers. Raises MemberNotFound as `find_invitation` does."""
    _lock(find_invitation(token=token, user=user).business_id)
    member = find_invitation(token=token, user=user)  # as it is now: somebody may have taken it back
    member.accepted_at = now
    member.save(update_fields=["accepted_at"])
    _record(member, "joined", person(user.get_username()), now, {"role": member.role})
    return member


def rights_of(user: User, business_id: UUID) -> frozenset[Right]:
    """What somebody may do in a business: a superuser everything, others what their role there may."""
    if user.is_superuser:
        return EVERYTHING
    place = user.memberships.accepted().filter(business=business_id).first()
    return frozenset() if place is None else OF_ROLE[place.role]


def rights_under(actor: str, business_id: UUID) -> frozenset[Right]:
    """What the person whom the books know under this name may do in a business by now."""
    user = User.objects.filter(username=actor.removeprefix("person:"), is_active=True, is_staff=True).first()
    return frozenset() if user is None else rights_of(user, business_id)


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
    """The account of somebody, locked: what another business asks of it at the same moment comes after this."""
    named = Q(username=who) | Q(email__iexact=who) if "@" in who else Q(username=who)
    found = list(User.objects.filter(named).order_by("id").select_for_update(no_key=True)[:2])
    if len(found) == 2:
        raise _refuse("ambiguous", "Several people have this address. Say the user name.")
    return found[0] if found else None


def _make_account(who: str) -> User:
    """A new account under an address, without a password; or, locked, the one that somebody else makes of it at
    this moment."""
    try:
        validate_email(who)
    except ValidationError as error:
        raise _refuse(
            "unknown", "Nobody has this user name. To invite somebody new, say their mail address."
        ) from error
    new = {"email": who.lower(), "is_staff": True, "password": make_password(None)}
    user, _ = User.objects.select_for_update(no_key=True).get_or_create(username=who.lower(), defaults=new)
    return user


def _is_unused(user: User, business: Business) -> bool:
    """Whether an account was made by an invitation that wasn't answered, and no other business counts on it: then
    who invites may give it a password."""
    if user.is_superuser or user.has_usable_password() or user.last_login is not None:
        return False
    return not user.memberships.accepted().exclude(business=business).exists()


def _refuse(code: str, why: str) -> InvalidRequest:
    return InvalidRequest.at("who", code, why)


def _someone_else(business_id: UUID, member_id: UUID, actor: str) -> Membership:
    _lock(business_id)
    member = Membership.objects.filter(business_id=business_id, id=member_id).select_related("user").first()
    if member is None:
        raise MemberNotFound("They don’t work here any more.", member=str(member_id))
    if person(member.user.get_username()) == actor:
        raise OwnPlace("This is your own place here: ask another owner.", member=str(member_id))
    return member


def _keep_an_owner(member: Membership) -> None:
    owners = Membership.objects.accepted().filter(business_id=member.business_id, role=Role.OWNER)
    if list(owners) == [member]:
        raise LastOwner(
            f"{member.user} is the only owner. Make somebody else an owner first.", member=str(member.id)
        )


def _record(member: Membership, action: str, actor: str, now: datetime, changes: dict[str, Any]) -> None:
    audit.record(
        business_id=member.business_id, actor=actor, now=now, action=action, subject=member.user, changes=changes
    )
