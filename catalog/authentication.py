"""Who is calling, for which business, and whether they may change things there."""

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    get_authorization_header,
)
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from catalog.errors import BusinessNeeded, NotAllowed, NotAuthenticated
from catalog.models import ApiKey, Business
from catalog.services import hash_secret
from orders_project.clock import database_now

USE_IS_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Access:
    """One caller's way in: the business, the name that the timeline and the ledger will show, the rights."""

    business: Business
    actor: str
    may_write: bool
    throttle_as: str | None


def access_of(request: Request) -> Access:
    """The caller's access. Raises NotAuthenticated for a caller without one."""
    if not isinstance(request.auth, Access):
        raise NotAuthenticated("Send your key as “Authorization: Api-Key …”.", scheme="Api-Key")
    return request.auth


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key hf_…`"""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Access] | None:
        scheme, _, key = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "api-key":
            return None
        key = key.strip()
        known = ApiKey.objects.live().select_related("business").filter(prefix=key[:9])
        api_key = known.first() if key.isascii() and key.isprintable() else None
        if api_key is None or not secrets.compare_digest(api_key.secret_hash, hash_secret(key)):
            raise NotAuthenticated(
                "This API key is unknown or was revoked. Keys are made in the admin.", scheme="Api-Key"
            )
        self._note_use(api_key)
        return AnonymousUser(), Access(
            business=api_key.business,
            actor=f"key:{api_key.name}",
            may_write=api_key.scope == ApiKey.Scope.WRITE,
            throttle_as=str(api_key.id) if api_key.throttled else None,
        )

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"

    @staticmethod
    def _note_use(api_key: ApiKey) -> None:
        """Now and then only: a write on each request would make every caller of a key wait for the others."""
        now = database_now()
        if api_key.last_used_at is None or now - api_key.last_used_at > USE_IS_NOTED_EVERY:
            stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - USE_IS_NOTED_EVERY)
            ApiKey.objects.filter(stale, id=api_key.id).update(last_used_at=now)


class StaffSessionAuthentication(SessionAuthentication):
    """A signed-in member of staff. Someone of several businesses names one in `Holdfast-Business: <slug>`."""

    def authenticate(self, request: Request) -> tuple[Any, Access] | None:
        signed_in = super().authenticate(request)
        if signed_in is None or not signed_in[0].is_staff:
            return None
        user = signed_in[0]
        memberships = list(user.memberships.select_related("business"))
        wanted = request.headers.get("Holdfast-Business")
        if wanted is not None:
            memberships = [m for m in memberships if m.business.slug == wanted]
        if len(memberships) != 1:
            slugs = sorted(user.memberships.values_list("business__slug", flat=True))
            if not slugs:
                raise NotAllowed("You are a member of no business; ask an owner to add you.", businesses=[])
            raise BusinessNeeded(
                f"Name one of your businesses in the header Holdfast-Business: {', '.join(slugs)}.",
                header="Holdfast-Business",
                businesses=slugs,
            )
        (membership,) = memberships
        return user, Access(
            business=membership.business,
            actor=f"person:{user.get_username()}",
            may_write=membership.may_write,
            throttle_as=f"user-{user.pk}",
        )


class BusinessAccess(BasePermission):
    """Reading needs a key or a staff session; changing needs one that may write."""

    def has_permission(self, request: Request, view: Any) -> bool:
        access = access_of(request)
        if request.method not in SAFE_METHODS and not access.may_write:
            raise NotAllowed(
                "You can only read here. Use a key that may write, or ask an owner for another role.",
                scope="read",
                needed="write",
            )
        return True
