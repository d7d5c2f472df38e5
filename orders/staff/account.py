"""One's own account: where one works, the password, the second step at the door, and other browsers."""

from base64 import b32encode
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import mark_safe
from django_otp import user_has_device
from django_otp.plugins.otp_totp.models import TOTPDevice

from catalog.authentication import Access
from catalog.second_step import WRONG_CODE, begin, codes_left, confirm, end, new_backup_codes, verify
from catalog.signing_in import knows_password, note
from catalog.staff import staff_action, staff_form, staff_page
from orders.staff.forms import posted, say
from orders.staff.page import link, show
from orders_project.errors import DomainError, InvalidRequest


@staff_page
def account(request: HttpRequest, access: Access) -> HttpResponse:
    user = _who(request)
    return show(
        request,
        access,
        "staff/account.html",
        title="Your account",
        question="How do you get in?",
        places=user.memberships.accepted().select_related("business").order_by("business__name"),
        has_second_step=user_has_device(user),
        codes_left=codes_left(user),
    )


@staff_action(None)
def sign_out_elsewhere(request: HttpRequest, access: Access) -> str:
    _end_other_sessions(request, _password(request))
    note(request, _who(request), "signed out elsewhere")
    return "Every other browser of yours is signed out."


class Confirm(forms.Form):
    """What shows that it is the person themselves, with their app at hand."""

    code = forms.CharField(
        label="Code that the app shows",
        max_length=16,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )
    password = forms.CharField(
        label="Your password",
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


@staff_form
def second_step(request: HttpRequest, access: Access) -> HttpResponse:
    """Turning it on: what to scan, and the form that shows that the app has it. The backup codes are shown in the
    answer, and only there."""
    user = _who(request)
    if user_has_device(user):
        return redirect(link("account", access))
    device = begin(user)
    form = Confirm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            password = _password(request)
            codes = confirm(user=user, code=form.cleaned_data["code"])
        except DomainError as refusal:
            say(form, refusal)
        else:
            _end_other_sessions(request, password)
            note(request, user, "turned the second step on")
            return _show_codes(request, access, codes)
    return show(
        request,
        access,
        "staff/second_step.html",
        title="Second step",
        question="Turn on a second step at the door",
        form=form,
        picture=_picture(device),
        secret=b32encode(device.bin_key).decode(),
    )


@staff_form
def backup_codes(request: HttpRequest, access: Access) -> HttpResponse:
    """New ones, in the place of the old."""
    user = _who(request)
    if request.method == "POST" and user_has_device(user):
        try:
            _password(request)
            if verify(user, request.POST.get("code", "")) is None:
                raise WRONG_CODE
        except DomainError as refusal:
            messages.error(request, refusal.detail)
        else:
            codes = new_backup_codes(user)
            note(request, user, "made new backup codes")
            return _show_codes(request, access, codes)
    return redirect(link("account", access))


@staff_action(None)
def second_step_off(request: HttpRequest, access: Access) -> str:
    user = _who(request)
    _password(request)
    end(user=user, code=request.POST.get("code", ""))
    note(request, user, "turned the second step off")
    return "The second step is off: your password alone opens the door."


def _who(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # the pages ask who is not signed in to do so first
    return request.user


def _password(request: HttpRequest) -> str:
    """The password that was typed, which is the person's. Raises InvalidRequest for another; wrong ones are
    counted as at the door."""
    typed = request.POST.get("password", "")
    if not knows_password(request, typed):
        raise InvalidRequest.at("password", "wrong", "This isn’t your password.")
    return typed


def _end_other_sessions(request: HttpRequest, password: str) -> None:
    """Sign somebody out everywhere but here: sessions end when the stored form of the password changes, as it does
    when the same one is stored again."""
    user = _who(request)
    user.set_password(password)
    user.save(update_fields=["password"])
    update_session_auth_hash(request, user)


def _picture(device: TOTPDevice) -> str:
    """The square to scan, as SVG."""
    drawn: str = segno.make(device.config_url, error="m").svg_inline(
        border=4, light="#fff", omitsize=True, title="Scan this with an authenticator app"
    )
    return mark_safe(drawn)  # noqa: S308  # drawn here


def _show_codes(request: HttpRequest, access: Access, codes: list[str]) -> HttpResponse:
    about: dict[str, Any] = {"title": "Backup codes", "question": "Keep these codes where you find them"}
    return show(request, access, "staff/backup_codes.html", codes=codes, **about)
