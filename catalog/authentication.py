"""Who is calling, for which business, and whether they may change things there."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from catalog.errors import BusinessNeeded, NotAllowed, NotAuthenticated
from catalog.models import Business
from catalog.rights import DOING, OF_ROLE, OF_SCOPE, Right
from catalog.services import hash_secret
from catalog.wording import person
from orders_project.clock import database_now
from orders_project.logs import also_about
from orders_project.rows import select


@dataclass(frozen=True, slots=True)
class Access:
    """One caller's way in: the business, the name that the timeline and the ledger will show, the rights, and
    the database's instant at which the caller was let in: what is asked for happens `now`."""

    business: Business
    actor: str
    rights: frozenset[Right]
    throttle_as: str | None
    now: datetime

    def __post_init__(self) -> None:
        also_about(business=str(self.business.id))

    def check(self, right: Right) -> None:
        """Raises NotAllowed for who doesn't have the right."""
        if right not in self.rights:
            is_key = self.actor.startswith("key:")
            way = "Use a key that may write" if is_key else "Ask an owner for a role that may"
            raise NotAllowed(f"You can't {DOING[right]} here. {way}.", needed=right)


def access_of(request: Request) -> Access:
    """The caller's access. Raises NotAuthenticated for a caller without one."""
    if not isinstance(request.auth, Access):
        raise NotAuthenticated("Send your key as “Authorization: Api-Key …”.", scheme="Api-Key")
    return request.auth


# Asked of each call or batch of calls: so it is not for Django to write it anew each time.
BUSINESS = [str(field.column) for field in Business._meta.concrete_fields]
FIND_KEY = f"""
    SELECT key.id, key.name, secret_hash, scope, throttled, clock_timestamp(),
        coalesce(last_used_at > clock_timestamp() - interval '1 minute', false),
        business.{", business.".join(BUSINESS)}
    FROM catalog_apikey AS key JOIN catalog_business AS business ON business.id = business_id
    WHERE prefix = %s AND revoked_at IS NULL
"""  # noqa: S608  # our own columns
NOTE_USE = "UPDATE catalog_apikey SET last_used_at = clock_timestamp() WHERE id = %s RETURNING id"


def access_of_key(key: str) -> Access:
    """The access that a key gives, as long as it is not revoked. Raises NotAuthenticated."""
    found = select(FIND_KEY, key[:9]) if key.isascii() and key.isprintable() else []
    if not found or not secrets.compare_digest(found[0][2], hash_secret(key)):
        raise NotAuthenticated(
            "This API key is unknown or was revoked. Owners make keys on the page API keys.", scheme="Api-Key"
        )
    key_id, name, _, scope, throttled, now, use_is_noted, *business = found[0]
    if not use_is_noted:
        # Now and then only: a write on each request would make every caller of a key wait for the others.
        select(NOTE_USE, key_id)
    return Access(
        business=Business.from_db(None, BUSINESS, business),
        actor=f"key:{name}",
        rights=OF_SCOPE[scope],
        throttle_as=str(key_id) if throttled else None,
        now=now,
    )


def key_in(authorization: str) -> str | None:
    """The key in an Authorization header, or None if the header is of another scheme."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "api-key" else None


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key hf_…`"""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Access] | None:
        key = key_in(get_authorization_header(request).decode("latin-1"))
        return None if key is None else (AnonymousUser(), access_of_key(key))

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


def access_of_person(user: AbstractBaseUser, business: Business, rights: frozenset[Right]) -> Access:
    """The way in of someone who is signed in, to a business that is theirs."""
    return Access(
        business=business,
        actor=person(user.get_username()),
        rights=rights,
        throttle_as=f"user-{user.pk}",
        now=database_now(),
    )


class StaffSessionAuthentication(SessionAuthentication):
    """A signed-in member of staff. Someone of several businesses names one in `Holdfast-Business: <slug>`."""

    def authenticate(self, request: Request) -> tuple[Any, Access] | None:
        signed_in = super().authenticate(request)
        if signed_in is None or not signed_in[0].is_staff:
            return None
        user = signed_in[0]
        places = user.memberships.accepted().select_related("business").order_by("business__slug")
        memberships = list(places)
        wanted = request.headers.get("Holdfast-Business")
        if wanted is not None:
            memberships = [m for m in memberships if m.business.slug == wanted]
        if len(memberships) != 1:
            slugs = [place.business.slug for place in places]
            if not slugs:
                raise NotAllowed("You are a member of no business; ask an owner to add you.", businesses=[])
            raise BusinessNeeded(
                f"Name one of your businesses in the header Holdfast-Business: {', '.join(slugs)}.",
                header="Holdfast-Business",
                businesses=slugs,
            )
        (membership,) = memberships
        return user, access_of_person(user, membership.business, OF_ROLE[membership.role])


class BusinessAccess(BasePermission):
    """Reading needs a key or a staff session; changing needs the right that the view names in `rights` for the
    method."""

    def has_permission(self, request: Request, view: Any) -> bool:
        access = access_of(request)
        method = str(request.method)
        if method not in SAFE_METHODS and hasattr(view, method.lower()):
            access.check(view.rights[method])
        return True
