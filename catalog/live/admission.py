"""Who may listen, and to which business: an API key, or somebody of the staff who is signed in."""

from collections.abc import MutableMapping
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404

from catalog.authentication import Access, access_of_key, key_in
from catalog.errors import NotAllowed, NotAuthenticated
from catalog.staff import admit_person

Scope = MutableMapping[str, Any]


def request_of(scope: Scope) -> WSGIRequest:
    """A socket's opening request, as Django's own code reads requests."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": scope["path"], "wsgi.input": BytesIO()}
    environ["QUERY_STRING"] = scope["query_string"].decode("latin-1")
    environ |= {
        f"HTTP_{name.upper()}": headers[name]
        for name in ("host", "origin", "cookie", "authorization")
        if name in headers
    }
    return WSGIRequest(environ)


def admit(request: WSGIRequest) -> Access:
    """The access of who opened the socket. Raises NotAuthenticated, NotAllowed."""
    try:
        _check_origin(request)
        slug = request.GET.get("business")
    except SuspiciousOperation as error:  # a host that isn't ours, or a query without end
        raise NotAllowed("This is not how a page or a client of ours asks.") from error
    key = key_in(request.headers.get("Authorization", ""))
    if key is None:
        return _access_of_session(request, slug)
    access = access_of_key(key)
    if slug not in (None, access.business.slug):
        raise NotAllowed("This key is of another business.", business=slug)
    return access


def _check_origin(request: WSGIRequest) -> None:
    """A browser says which site's page opens a socket, and sends our cookies whichever it is: so only a page of
    this very host may. A client that is no browser names none, and has no cookie."""
    origin = request.headers.get("Origin")
    if origin is None and settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return
    host = request.get_host()
    if origin not in (f"http://{host}", f"https://{host}"):
        raise NotAllowed("Only our own pages may listen with a session.", origin=origin)


def _access_of_session(request: WSGIRequest, slug: str | None) -> Access:
    request.session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    user = get_user(request)
    if not isinstance(user, User) or not user.is_active or not user.is_staff:
        raise NotAuthenticated("Sign in, or send your key as “Authorization: Api-Key …”.", scheme="Api-Key")
    try:
        return admit_person(user, slug)
    except (Http404, PermissionDenied) as error:
        raise NotAllowed("This is not a business of yours.", business=slug) from error
