"""The payment providers that tell the business of its payments."""

from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from catalog.authentication import Access
from catalog.rights import Right
from catalog.staff import staff_action, staff_form
from orders.models import PaymentSource
from orders.payment_sources import add_source, change_secret, close_source
from orders.staff.forms import posted, say, whole
from orders.staff.page import show
from orders_project.errors import DomainError, PreconditionFailed

MOST_CLOSED = 50  # of the sources that are over


class AddSource(forms.ModelForm):
    class Meta:
        model = PaymentSource
        fields = ("name",)


@staff_form
def payment_sources(request: HttpRequest, access: Access) -> HttpResponse:
    """The list, and the form that adds one. Its secret is shown in the answer, and only there."""
    access.check(Right.SETTINGS)
    form = AddSource(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            source = add_source(
                business_id=access.business.id,
                name=form.cleaned_data["name"],
                actor=access.actor,
                now=access.now,
            )
        except DomainError as refusal:
            say(form, refusal)
        else:
            return _page(request, access, AddSource(), source)
    return _page(request, access, form)


@staff_form
def new_secret(request: HttpRequest, access: Access, source_id: UUID) -> HttpResponse:
    """The same page, with a new secret of one of them."""
    access.check(Right.SETTINGS)
    source = None
    if request.method == "POST":
        try:
            source = change_secret(
                business_id=access.business.id,
                source_id=source_id,
                generation=whole(request.POST.get("generation", "")) or 0,
                actor=access.actor,
                now=access.now,
            )
        except PreconditionFailed as refusal:
            messages.error(request, refusal.detail)
    return _page(request, access, AddSource(), source)


def _page(
    request: HttpRequest, access: Access, form: AddSource, source: PaymentSource | None = None
) -> HttpResponse:
    """All of them; of the one that was added or changed the secret, too."""
    sources = PaymentSource.objects.of(access.business.id)
    shown = sources.open().order_by("name", "id")
    return show(
        request,
        access,
        "staff/payment_sources.html",
        title="Payment sources",
        question="Who tells us of payments?",
        form=form,
        changed=source,
        open=[(one, _address(request, one), one.old_secret_until(access.now)) for one in shown],
        closed=sources.filter(closed_at__isnull=False).order_by("-closed_at")[:MOST_CLOSED],
    )


def _address(request: HttpRequest, source: PaymentSource) -> str:
    """Where its messages are to be sent."""
    return request.build_absolute_uri(reverse("payment_notices", args=[source.id]))


@staff_action(Right.SETTINGS)
def close(request: HttpRequest, access: Access, source_id: UUID) -> str:
    source = close_source(business_id=access.business.id, source_id=source_id, actor=access.actor, now=access.now)
    return f"{source.name} is closed: no message of it is taken any more."
