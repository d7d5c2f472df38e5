"""The programs that are told of what happens to the orders."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from catalog.authentication import Access
from catalog.rights import Right
from catalog.staff import staff_action, staff_form
from catalog.wording import of
from orders.models import WebhookDelivery, WebhookEndpoint
from orders.staff.forms import posted, say, whole
from orders.staff.page import link, show
from orders.webhooks import change_secret, close_endpoint, open_endpoint, send_again, try_out
from orders_project.errors import DomainError, PreconditionFailed
from orders_project.outside import Answer

LATELY = 20  # events of each address
MOST_COUNTED = 1000
MOST_CLOSED = 50  # of the addresses that are over


class AddAddress(forms.ModelForm):
    class Meta:
        model = WebhookEndpoint
        fields = ("url",)


@dataclass(frozen=True, slots=True)
class Address:
    """An address as the page shows it: what it was told lately, why nothing gets through, and how many events
    wait for it, in words."""

    endpoint: WebhookEndpoint
    old_secret_until: datetime | None
    lately: list[WebhookDelivery]
    why: str
    waiting: str


@staff_form
def webhooks(request: HttpRequest, access: Access) -> HttpResponse:
    """The list, and the form that adds one. Its secret is shown in the answer, and only there."""
    access.check(Right.SETTINGS)
    form = AddAddress(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            endpoint = open_endpoint(
                business_id=access.business.id,
                url=form.cleaned_data["url"],
                actor=access.actor,
                now=access.now,
            )
        except DomainError as refusal:
            say(form, refusal)
        else:
            return _page(request, access, AddAddress(), endpoint)
    return _page(request, access, form)


@staff_form
def new_secret(request: HttpRequest, access: Access, endpoint_id: UUID) -> HttpResponse:
    """The same page, with a new secret of one of them."""
    access.check(Right.SETTINGS)
    endpoint = None
    if request.method == "POST":
        try:
            endpoint = change_secret(
                business_id=access.business.id,
                endpoint_id=endpoint_id,
                generation=whole(request.POST.get("generation", "")) or 0,
                actor=access.actor,
                now=access.now,
            )
        except PreconditionFailed as refusal:
            messages.error(request, refusal.detail)
    return _page(request, access, AddAddress(), endpoint)


def _page(
    request: HttpRequest, access: Access, form: AddAddress, endpoint: WebhookEndpoint | None = None
) -> HttpResponse:
    """All of them; of the one that was added or changed the secret, too."""
    endpoints = WebhookEndpoint.objects.of(access.business.id)
    return show(
        request,
        access,
        "staff/webhooks.html",
        title="Webhooks",
        question="Who is told of orders?",
        form=form,
        changed=endpoint,
        open=[_address(one, access.now) for one in endpoints.open().order_by("created_at", "id")],
        back=link("webhooks", access),
        closed=endpoints.filter(closed_at__isnull=False).order_by("-closed_at")[:MOST_CLOSED],
    )


def _address(endpoint: WebhookEndpoint, now: datetime) -> Address:
    deliveries = endpoint.deliveries.of(endpoint.business_id)
    waiting = deliveries.waiting()[: MOST_COUNTED + 1].count()
    lately = list(deliveries.select_related("event", "order").order_by("-event")[:LATELY])
    refused = (one for one in lately if not one.delivered_at and (one.status or one.error))
    more = "more than " if waiting > MOST_COUNTED else ""
    return Address(
        endpoint=endpoint,
        old_secret_until=endpoint.old_secret_until(now),
        lately=lately,
        why=next((str(Answer(one.status, one.error)) for one in refused), ""),
        waiting=f"{more}{of(min(waiting, MOST_COUNTED), 'event')}" if waiting else "",
    )


@staff_action(Right.SETTINGS)
def test(request: HttpRequest, access: Access, endpoint_id: UUID) -> str:
    answer = try_out(business_id=access.business.id, endpoint_id=endpoint_id, now=access.now)
    return f"The test got through. {answer}"


@staff_action(Right.SETTINGS)
def again(request: HttpRequest, access: Access, endpoint_id: UUID, event_id: UUID) -> str:
    send_again(business_id=access.business.id, endpoint_id=endpoint_id, event_id=event_id, now=access.now)
    return "It is sent again in a moment."


@staff_action(Right.SETTINGS)
def close(request: HttpRequest, access: Access, endpoint_id: UUID) -> str:
    close_endpoint(business_id=access.business.id, endpoint_id=endpoint_id, actor=access.actor, now=access.now)
    return "The address is closed: it is told nothing any more."
