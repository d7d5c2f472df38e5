"""When failures to sign in are too many. django-axes counts them, in the database, so that it holds without Redis
too: by name and address together. Here they are also looked at as what they may be a part of: one name tried from
many addresses, or many names from one.

Nobody is locked out by what others try with their name: a browser that they have signed in with before is known,
and there only what was tried from its own address counts.
"""

from datetime import timedelta
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, Sum
from django.http import HttpRequest, HttpResponse

KNOWN_FOR = timedelta(days=90)


class Failures(AxesDatabaseHandler):
    """What django-axes asks whether somebody may try again."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        if super().is_locked(request, credentials):
            return True
        name = get_client_username(request, credentials)
        address = request.axes_ip_address  # type: ignore[attr-defined]  # django-axes has set it
        recent = AccessAttempt.objects.filter(attempt_time__gte=get_cool_off_threshold(request))
        failures = recent.aggregate(
            of_name=Sum("failures_since_start", filter=Q(username=name), default=0),
            of_address=Sum("failures_since_start", filter=Q(ip_address=address), default=0),
        )
        if failures["of_address"] >= settings.FAILURES_OF_ADDRESS:
            return True
        return failures["of_name"] >= settings.FAILURES_OF_NAME and not _is_known(request, name)


def remember_browser(response: HttpResponse, user: User) -> None:
    """Have a browser tell next time that somebody has signed in with it."""
    response.set_signed_cookie(
        settings.KNOWN_BROWSER_COOKIE_NAME,
        user.get_username(),
        salt=__name__,
        max_age=KNOWN_FOR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _is_known(request: HttpRequest, name: str | None) -> bool:
    known = request.get_signed_cookie(settings.KNOWN_BROWSER_COOKIE_NAME, None, salt=__name__, max_age=KNOWN_FOR)
    return known is not None and known == name
