"""How people sign in: a password, and a code of the second step for those who have turned it on. A session is
only begun when both were right; what goes wrong is counted (django-axes), and written in the audit.
"""

from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_failure_limit
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import site
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.contrib.auth.views import redirect_to_login
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_otp import user_has_device
from unfold.forms import AuthenticationForm
from unfold.widgets import BASE_INPUT_CLASSES

from catalog import audit
from catalog.errors import MemberNotFound
from catalog.people import accept, find_invitation
from catalog.second_step import WRONG_CODE, verify
from orders_project.clock import database_now

TIME_FOR_CODE = 300  # seconds between the password and the code


def address_of(request: HttpRequest) -> str:
    """Where a request comes from: behind a proxy, the address that the proxy saw."""
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.BEHIND_PROXY else ""
    return forwarded.rpartition(",")[2].strip()[:45] or request.META.get("REMOTE_ADDR", "")


class SignIn(AuthenticationForm):
    """Name and password first. Who has a second step is then asked for the code; that the password was right is
    kept in the form, signed, for TIME_FOR_CODE."""

    data: Any
    code = forms.CharField(
        label="Code",
        max_length=16,
        required=False,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autofocus": True, "class": " ".join(BASE_INPUT_CLASSES)}
        ),
    )
    passed = forms.CharField(max_length=400, required=False, widget=forms.HiddenInput)

    error_messages = {
        "invalid_login": "This name and password don’t belong together. Mind capitals.",
        "inactive": "This account is closed. Ask an owner of your business.",
        "wrong_code": WRONG_CODE.detail,
        "too_late": "That took too long. Enter your password again.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.asks_code = bool(self.data.get("passed"))
        if self.asks_code:
            self.fields["username"].required = self.fields["password"].required = False

    def clean(self) -> dict[str, Any]:
        try:
            if self.asks_code:
                self.user_cache = self._who_passed()
                self._check_code(self.user_cache)
            else:
                super().clean()
                user = self.get_user()
                if user is not None and user_has_device(user):
                    self._ask_code(user)
        except ValidationError as error:
            if error.code in {"invalid_login", "wrong_code"}:
                self._note_failure()
            raise
        if self.get_user() is not None:
            note(self.request, self.get_user(), "signed in")
        return self.cleaned_data

    def _ask_code(self, user: User) -> None:
        """Show the form again, with a place for the code in the place of the others."""
        self.data = self.data.copy()
        self.data["passed"] = signing.dumps([user.pk, _with_password(user)], salt=__name__)
        self.asks_code = True
        raise ValidationError("", code="code_needed")

    def _who_passed(self) -> User:
        """Who entered the right password a moment ago."""
        try:
            pk, password = signing.loads(self.cleaned_data.get("passed", ""), salt=__name__, max_age=TIME_FOR_CODE)
        except signing.BadSignature:
            raise self._begin_anew() from None
        user = User.objects.filter(pk=pk).first()
        if user is None or not constant_time_compare(password, _with_password(user)):
            raise self._begin_anew()
        if not AxesProxyHandler.is_allowed(self.request, {"username": user.get_username()}):
            self.request.axes_locked_out = True  # AxesMiddleware answers then
            raise ValidationError("", code="locked_out")
        self.confirm_login_allowed(user)
        user.backend = "django.contrib.auth.backends.ModelBackend"
        return user

    def _begin_anew(self) -> ValidationError:
        self.asks_code = False
        return ValidationError(self.error_messages["too_late"], code="too_late")

    def _check_code(self, user: User) -> None:
        if verify(user, self.cleaned_data.get("code", "")) is None:
            self.cleaned_data["username"] = user.get_username()
            user_login_failed.send(__name__, credentials={"username": user.get_username()}, request=self.request)
            raise ValidationError(self.error_messages["wrong_code"], code="wrong_code")

    def _note_failure(self) -> None:
        """In the audit: that somebody failed, and once, that they are locked out. Names that nobody has are
        counted by django-axes alone; anybody can invent them."""
        user = User.objects.filter(username=self.cleaned_data["username"]).first()
        failures = getattr(self.request, "axes_failures_since_start", None)  # None: none of these was counted
        if user is not None and failures is not None:
            is_last = failures >= get_failure_limit(self.request, None)
            note(self.request, user, "was locked out" if is_last else "failed to sign in")


def _with_password(user: User) -> str:
    """What changes when somebody's password does, and tells nothing of it."""
    return salted_hmac(__name__, user.get_session_auth_hash()).hexdigest()


def knows_password(request: HttpRequest, password: str) -> bool:
    """Whether this is the password of who is signed in. Wrong ones are counted as at the door."""
    return authenticate(request, username=request.user.get_username(), password=password) is not None


def note(request: HttpRequest, user: User, action: str) -> None:
    """Write in the audit of somebody's businesses what they did at the door."""
    audit.record_of_person(user=user, action=action, now=database_now(), changes={"from": address_of(request)})


def locked_out(request: HttpRequest, response: HttpResponse, credentials: Any) -> HttpResponse:
    """What is answered to who failed too often."""
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    return render(request, "account/locked_out.html", {"minutes": minutes}, status=429)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Where somebody with an account accepts a place in a business, by the link that was mailed to them."""
    if not isinstance(request.user, User):
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    member = None
    try:
        if request.method == "POST":
            member = accept(token=token, user=request.user, now=database_now())
            messages.success(request, f"You work at {member.business} now, as {member.role}.")
            return redirect(f"{reverse('admin:index')}?business={member.business.slug}")
        member = find_invitation(token=token, user=request.user)
    except MemberNotFound:
        pass  # the page says so
    return render(request, "account/join.html", {**site.each_context(request), "member": member})
