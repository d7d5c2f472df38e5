"""The people at the pages: which business someone signed in looks at, and what they may do there."""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from catalog.authentication import Access, access_of_person
from catalog.models import Business, Membership
from orders_project.errors import DomainError

View = Callable[..., HttpResponseBase]

WRITERS = [role for role in Membership.Role if Membership(role=role).may_write]
SLUG = re.compile(r"[-\w]{1,60}", re.ASCII)


def businesses_of(user: User) -> QuerySet[Business]:
    """The businesses that someone may look at, by name: a superuser all, others those that they work in."""
    businesses = Business.objects.order_by("name", "id")
    return businesses if user.is_superuser else businesses.filter(memberships__user=user)


def admit_person(user: User, slug: str | None) -> Access:
    """Someone's way in to the business with this slug, or to their first one.

    Raises Http404 for a business that isn't theirs, PermissionDenied for someone who has none.
    """
    if slug is not None and not SLUG.fullmatch(slug):
        raise Http404("There is no such business.")
    businesses = businesses_of(user)
    business = (businesses if slug is None else businesses.filter(slug=slug)).first()
    if business is None:
        if slug is None:
            raise PermissionDenied("You work in no business yet: ask an owner to add you.")
        raise Http404("There is no such business.")
    may_write = user.is_superuser or business.memberships.filter(user=user, role__in=WRITERS).exists()
    return access_of_person(user, business, may_write=may_write)


def _for_staff(view: View, *, back: Callable[[HttpRequest], str]) -> View:
    """Ask who is not signed in as staff to do so, to go `back` then, and show the others the business named in the
    address, with the times of its time zone."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = request.user
        if not isinstance(user, User) or not user.is_active or not user.is_staff:
            return redirect_to_login(back(request), reverse("admin:login"))
        access = admit_person(user, request.GET.get("business"))
        with timezone.override(ZoneInfo(access.business.time_zone)):
            return view(request, access, *args, **kwargs)

    return page


def staff_page(view: View) -> View:
    """A page for staff: the view is given the request and the Access. What it refuses to show isn't there."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except DomainError as error:
            if error.status >= 500:
                raise
            raise Http404(error.detail) from error

    return never_cache(require_safe(_for_staff(page, back=HttpRequest.get_full_path)))


def staff_action(view: Callable[..., str]) -> View:
    """Something that staff do by a button, if their role lets them: the view returns what was done, in a
    sentence, or is refused; either is said on the page that they come back to."""

    @wraps(view)
    def action(request: HttpRequest, access: Access, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not access.may_write:
            raise PermissionDenied("Only owners and managers may do this.")
        try:
            messages.success(request, view(request, access, *args, **kwargs))
        except DomainError as error:
            messages.error(request, error.detail)
        return HttpResponseRedirect(_back(request))

    return never_cache(require_POST(_for_staff(action, back=_back)))


def _back(request: HttpRequest) -> str:
    """Where the button was pressed, if that is a page of ours."""
    wanted = request.POST.get("back", "")
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if ours else reverse("staff:stock_health")
