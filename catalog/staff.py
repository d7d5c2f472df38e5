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
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_otp import user_has_device

from catalog.authentication import Access, access_of_person
from catalog.errors import NotAllowed
from catalog.models import Business, Membership
from catalog.people import rights_of
from catalog.rights import Right
from orders_project.errors import DomainError

View = Callable[..., HttpResponseBase]

SLUG = re.compile(r"[-\w]{1,60}", re.ASCII)


def businesses_of(user: User) -> QuerySet[Business]:
    """The businesses that someone may look at, by name: a superuser all, others those that they work in."""
    businesses = Business.objects.order_by("name", "id")
    places = user.memberships.accepted()
    return businesses if user.is_superuser else businesses.filter(id__in=places.values("business_id"))


def wants_second_step(user: Any) -> bool:
    """Whether somebody may do everything somewhere, and a password alone keeps others from it."""
    is_trusted = user.is_superuser or user.memberships.accepted().filter(role=Membership.Role.OWNER).exists()
    return is_trusted and not user_has_device(user)


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
    return access_of_person(user, business, rights_of(user, business.id))


def access_in(request: HttpRequest) -> Access:
    """The way in of who looks at a page: to the business that its address names, or the form that they send, else
    to the one that they chose last, else to their first one. Asked once for each request; raises what
    `admit_person` does."""
    found: Access | None = getattr(request, "access", None)
    if found is None:
        user, chosen = request.user, request.session.get("business")
        named = request.GET.get("business") or request.POST.get("business")
        assert isinstance(user, User)  # the pages ask who is not signed in to do so first
        try:
            found = admit_person(user, named or chosen)
        except Http404:
            if named:
                raise
            found = admit_person(user, None)  # the one that was chosen is theirs no more
        request.access = found  # type: ignore[attr-defined]
    return found


def access_with(request: HttpRequest, right: Right) -> Access:
    """As `access_in`, for who has the right. Raises PermissionDenied for others."""
    access = access_in(request)
    try:
        access.check(right)
    except NotAllowed as error:
        raise PermissionDenied(error.detail) from error
    return access


def choose_business(request: HttpRequest) -> None:
    """Have the back office look at the business that the address or form names, from now on. Raises what
    `access_in` does."""
    slug = access_in(request).business.slug
    if request.session.get("business") != slug:
        request.session["business"] = slug


def _for_staff(view: View, *, back: Callable[[HttpRequest], str]) -> View:
    """Ask who is not signed in as staff to do so, to go `back` then, and show the others the business named in the
    address, with the times of its time zone."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        user = request.user
        if not isinstance(user, User) or not user.is_active or not user.is_staff:
            return redirect_to_login(back(request), reverse("admin:login"))
        access = access_in(request)
        if "part" not in request.GET:  # a page that renews itself behind another's back chooses nothing
            choose_business(request)
        with timezone.override(ZoneInfo(access.business.time_zone)):
            return view(request, access, *args, **kwargs)

    return page


def staff_page(view: View) -> View:
    """A page for staff: the view is given the request and the Access. What it refuses to show isn't there."""
    return never_cache(require_safe(_for_staff(_refusing(view), back=HttpRequest.get_full_path)))


def staff_form(view: View) -> View:
    """A page for staff that is a form, too: what they send comes to the view, which checks their right to it and
    shows the form again with what was typed, if that is refused."""
    takes_forms = require_http_methods(["GET", "HEAD", "POST"])
    return never_cache(takes_forms(_for_staff(_refusing(view), back=HttpRequest.get_full_path)))


def _refusing(view: View) -> View:
    """The view; what it may not show or do to somebody is 403, and what else it refuses isn't there."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except NotAllowed as error:
            raise PermissionDenied(error.detail) from error
        except DomainError as error:
            if error.status >= 500:
                raise
            raise Http404(error.detail) from error

    return page


def staff_action(right: Right | None) -> Callable[[Callable[..., str]], View]:
    """Something that staff do by a button, if they have the right to (None: anybody may). The view returns what
    was done, in a sentence, or is refused; either is said on the page that they come back to."""

    def decorate(view: Callable[..., str]) -> View:
        @wraps(view)
        def action(request: HttpRequest, access: Access, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if right is not None:
                access.check(right)
            try:
                messages.success(request, view(request, access, *args, **kwargs))
            except DomainError as error:
                messages.error(request, error.detail)
            return HttpResponseRedirect(_back(request))

        return never_cache(require_POST(_for_staff(_refusing(action), back=_back)))

    return decorate


def _back(request: HttpRequest) -> str:
    """Where the button was pressed, if that is a page of ours."""
    wanted = request.POST.get("back", "")
    ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if ours else reverse("staff:stock_health")
