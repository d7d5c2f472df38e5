"""The back office: Django's admin, for the business that somebody looks at, in its own time zone."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.sites import UnfoldAdminSite

from catalog.authentication import Access
from catalog.back_office import ShopAdmin
from catalog.failures import remember_browser
from catalog.platform_admin import PlatformAdmin
from catalog.signing_in import SignIn, knows_password, note
from catalog.staff import access_in, businesses_of, choose_business, wants_second_step
from orders_project.clock import database_now

View = Callable[..., HttpResponseBase]

# What somebody may do who works in no business (yet).
PERSONAL = {"logout", "password_change", "password_change_done", "jsi18n"}

MOST_BUSINESSES = 100  # to choose from; of a superuser there may be more, each with its address


class BackOffice(UnfoldAdminSite):
    """The admin site. An address with `?business=` first makes that business the one that is looked at. So does a
    form, which says whose it is: another tab may look at another business meanwhile."""

    login_form = SignIn
    login_template = "account/sign_in.html"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """A page that is of no business is for platform staff, those of the libraries too."""
        kind = admin_class or ModelAdmin
        if not issubclass(kind, ShopAdmin | PlatformAdmin):
            kind = type(kind.__name__, (PlatformAdmin, kind), {})
        super().register(model_or_iterable, kind, **options)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        response = super().login(request, extra_context)
        if request.method != "POST" or response.status_code != 302:
            return response
        assert isinstance(request.user, User)
        request.session.set_expiry(database_now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
        remember_browser(response, request.user)
        if wants_second_step(request.user):
            link = '<a href="{}" class="font-semibold underline">Turn on the second step</a>'
            says = format_html(f"Your password alone opens all of this. {link}.", reverse("staff:second_step"))
            messages.warning(request, says)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        is_known = request.method != "POST" or knows_password(request, request.POST.get("old_password", ""))
        if not is_known and getattr(request, "axes_locked_out", False):
            return HttpResponse(status=429)  # AxesMiddleware writes the page
        response = super().password_change(request, extra_context)
        if response.status_code == 302 and isinstance(request.user, User):
            note(request, request.user, "changed the password")
        return response

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        return super().get_app_list(request, app_label) if self._access(request) else []

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """With the businesses to choose from, which stand under the name at the top of the sidebar."""
        context = super().each_context(request)
        access = self._access(request)
        if access is None:
            return context
        businesses = businesses_of(request.user)[:MOST_BUSINESSES]  # type: ignore[arg-type]  # staff are users
        others = [business for business in businesses if business != access.business]
        home = reverse("admin:index")
        context["businesses"] = sorted([access.business, *others], key=lambda business: business.name)
        context["site_subheader"] = access.business.name
        context["business"] = access.business
        if others:
            context["site_dropdown"] = [
                {"title": "Home", "icon": "home", "link": home},
                *(
                    {"title": business.name, "icon": "storefront", "link": f"{home}?business={business.slug}"}
                    for business in others
                ),
            ]
        return context

    def _access(self, request: HttpRequest) -> Access | None:
        """The way in of who looks at a page; None for who isn't signed in, or works nowhere."""
        try:
            return access_in(request) if self.has_permission(request) else None
        except PermissionDenied:
            return None

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        shown = super().admin_view(view, cacheable)

        @wraps(view)
        def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            match = request.resolver_match
            if not self.has_permission(request) or (match and match.url_name in PERSONAL):
                return shown(request, *args, **kwargs)
            if "business" in request.GET and request.method == "GET":
                choose_business(request)
                rest = request.GET.copy()
                del rest["business"]
                return HttpResponseRedirect(f"{request.path}?{rest.urlencode()}" if rest else request.path)
            if request.method == "POST":
                choose_business(request)
            with timezone.override(ZoneInfo(access_in(request).business.time_zone)):
                response = shown(request, *args, **kwargs)
                # Here and now, while the times are the business's.
                return response.render() if isinstance(response, TemplateResponse) else response

        return page
