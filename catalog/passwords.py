"""Passwords that are set by a link: the first one of somebody who was invited, and a new one in the place of one
that was forgotten. The link works once, and opens no session: at the door the second step is asked for as ever.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from axes.utils import reset
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import site
from django.contrib.auth.forms import PasswordResetForm, SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.mail import send_mail
from django.db import connection
from django.db.models import Q
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.views.decorators.cache import never_cache
from django.views.generic import FormView
from unfold.widgets import BASE_INPUT_CLASSES

from catalog import audit
from catalog.models import AuditEntry
from catalog.signing_in import address_of, note
from orders_project.clock import database_now
from orders_project.transactions import one_transaction

logger = logging.getLogger(__name__)

ASKED = "asked for a new password"
PAUSE = timedelta(minutes=15)  # until somebody is mailed another link: or anybody could fill their letterbox

postmen = ThreadPoolExecutor(2)  # so that whoever asks often takes no more connections than these


def password_path(user: User) -> str:
    """The address under which somebody sets their password, once."""
    where = {
        "uidb64": urlsafe_base64_encode(force_bytes(user.pk)),
        "token": default_token_generator.make_token(user),
    }
    return reverse("set_password", kwargs=where)


class NewPassword(SetPasswordForm):
    """Twice, in the look of the other forms."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)


class SetPassword(PasswordResetConfirmView):
    """Where somebody sets their password by a link. All of their sessions end, and what was tried with their name
    is forgotten: who reads their mail is let in."""

    template_name = "account/set_password.html"
    form_class = NewPassword
    success_url = reverse_lazy("admin:login")
    title = "Set your password"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        return {**site.each_context(self.request), **context}

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        reset(username=form.user.get_username())
        note(self.request, form.user, "set a password")
        messages.success(self.request, f"Your password is set. Sign in as {form.user}.")
        return response


class Forgotten(PasswordResetForm):
    """Django's, in the look of the other forms: it finds those who have a password and this mail address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "Mail address"
        self.fields["email"].widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)


@method_decorator(never_cache, name="dispatch")
class ForgotPassword(FormView):
    """Where somebody asks for a link to set a new password. The answer is the same whether or not anybody has the
    address, and takes as long: the mail is written meanwhile."""

    template_name = "account/forgot_password.html"
    form_class = Forgotten

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**site.each_context(self.request), **super().get_context_data(**kwargs)}

    def form_valid(self, form: Forgotten) -> HttpResponse:
        address = form.cleaned_data["email"]
        for user in form.get_users(address):
            postmen.submit(_mail_in_thread, user, address_of(self.request))
        return self.render_to_response(self.get_context_data(form=form, sent_to=address))


def _mail_in_thread(user: User, asked_from: str) -> None:
    try:
        mail_link(user=user, asked_from=asked_from)
    except Exception:  # nobody waits for what comes of it: the log alone tells
        logger.exception("A link to set a new password could not be mailed.")
    finally:
        connection.close()


def mail_link(*, user: User, asked_from: str) -> None:
    """Mail somebody of staff a link to set a new password, unless they were mailed one within PAUSE. Raises
    OSError if no mail can be sent."""
    if user.is_staff and _is_first(user, asked_from):
        address = f"{settings.PUBLIC_URL}{password_path(user)}"  # not at the host that the request named
        text = render_to_string("mail/new_password.txt", {"user": user, "address": address})
        send_mail("Set a new password", text, None, [user.email])


@one_transaction
def _is_first(user: User, asked_from: str) -> bool:
    """Whether nobody has asked for it within PAUSE; then it is written down that somebody has."""
    now = database_now()
    User.objects.select_for_update(no_key=True).get(pk=user.pk)  # those who ask at once come one by one
    places = Q(business__in=user.memberships.accepted().values("business")) | Q(business=None)
    asked = AuditEntry.objects.filter(places, actor=f"person:{user}", action=ASKED, at__gt=now - PAUSE)
    if asked.exists():
        return False
    audit.record_of_person(user=user, action=ASKED, now=now, changes={"from": asked_from})
    return True
