"""What can be done to an order by hand: who may, when, what the form takes, and which verb does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest, QueryDict
from rest_framework.serializers import Serializer

from catalog.authentication import Access
from catalog.models import Product
from catalog.querysets import ProductQuerySet
from catalog.rights import Right
from orders import services
from orders.lifecycle import EDITABLE, PaymentStatus, Status, may_become
from orders.models import Order
from orders.serializers import EditSerializer, PaymentChangeSerializer, ShippingSerializer
from orders.services import Edit, Receipt
from orders.services.paying import BY_HAND
from orders.staff.forms import lines_in, whole
from orders.staff.holds import minutes_in, reason_in
from orders.summary import Summary
from orders.views.orders import editable
from orders_project import money
from orders_project.api.parsing import check_readable
from orders_project.api.reading import read
from orders_project.errors import InvalidRequest

Verb = Callable[..., Order]  # takes the request, and the order, the person and the time that all verbs take


@dataclass(frozen=True, slots=True)
class Act:
    """A button of the order's page. `done` says afterwards what was done, with the order's `number`; `owing` does,
    if money is to go back then."""

    right: Right
    verb: Verb
    statuses: tuple[Status, ...]
    done: str
    owing: str = ""
    anyhow: bool = False  # whatever happened since the page was read


def do(act: Act, request: HttpRequest, access: Access, order_id: UUID) -> str:
    """Do what a form asks for, if the order is still as its reader saw it; returns what was done, in a sentence.

    Raises NotAllowed, InvalidRequest, PreconditionFailed, and what the verb does.
    """
    access.check(act.right)
    of_business: dict[str, Any] = {"business_id": access.business.id, "order_id": order_id}
    key: dict[str, Any] = {**of_business, "actor": access.actor, "now": access.now}

    def change() -> Order:
        return act.verb(request, **key)

    version = version_seen(request.POST)
    if act.anyhow:
        order = change()
    elif version is None:
        raise InvalidRequest.at("version", "required", "Open the order’s page again, and use its form.")
    else:
        order = services.change_as_seen(**of_business, version=version, change=change)
    owing = act.owing if order.payment_status == PaymentStatus.REFUND_DUE else ""
    return (owing or act.done).format(number=order.number)


def _submit(request: HttpRequest, **key: Any) -> Order:
    return services.submit(**key)


def _pay(request: HttpRequest, *, order_id: UUID, **key: Any) -> Order:
    told = _read(PaymentChangeSerializer, _typed(request.POST, "provider", "reference", "amount"))
    return services.confirm_payment(receipt=Receipt(order_id, **told), **key)


def _refund(request: HttpRequest, **key: Any) -> Order:
    told = _typed(request.POST, "provider", "reference", "amount")
    body = _read(PaymentChangeSerializer, {"status": PaymentStatus.REFUNDED, **told})
    del body["status"]
    return services.record_refund(**body, **key)


def _process(request: HttpRequest, **key: Any) -> Order:
    return services.start_processing(**key)


def _ship(request: HttpRequest, **key: Any) -> Order:
    # An emptied address takes away the one that was there.
    parcel = _typed(request.POST, "carrier", "tracking_number", "tracking_url")
    body = _read(ShippingSerializer, {name: text for name, text in parcel.items() if text})
    return services.record_shipping(**{"tracking_url": "", **body}, **key)


def _deliver(request: HttpRequest, **key: Any) -> Order:
    return services.deliver(**key)


def _extend(request: HttpRequest, **key: Any) -> Order:
    return services.extend_hold(minutes=minutes_in(request), reason=reason_in(request), **key)


def _cancel(request: HttpRequest, **key: Any) -> Order:
    return services.cancel(reason=reason_in(request), **key)


def _edit(request: HttpRequest, **key: Any) -> Order:
    products = Product.objects.of(key["business_id"])
    change = Edit(**editable(_read(EditSerializer, edited(request.POST, products))))
    return services.edit(change=change, **key)


def _note(request: HttpRequest, **key: Any) -> Order:
    return services.add_note(text=_typed(request.POST, "text")["text"], **key)


SENDABLE = (Status.PAID, Status.PROCESSING)

ACTS: Mapping[str, Act] = {
    "submit": Act(Right.ORDERS, _submit, (Status.DRAFT,), "{number} is submitted and holds its goods."),
    "pay": Act(
        Right.PAYMENTS,
        _pay,
        (Status.PENDING, Status.CANCELLED),
        "{number} is paid.",
        owing="The money for {number} is recorded. The order can’t have its goods any more: refund it.",
    ),
    "process": Act(Right.PACKING, _process, (Status.PAID,), "{number} is yours to pack."),
    "ship": Act(Right.PACKING, _ship, SENDABLE, "{number} is on its way."),
    "correct": Act(Right.PACKING, _ship, (Status.SHIPPED,), "The shipping details of {number} are set right."),
    "deliver": Act(Right.PACKING, _deliver, may_become(Status.DELIVERED), "{number} is delivered."),
    "extend": Act(Right.ORDERS, _extend, (Status.PENDING,), "{number} has more time to be paid."),
    "edit": Act(Right.ORDERS, _edit, EDITABLE, "{number} is changed."),
    "refund": Act(Right.PAYMENTS, _refund, tuple(Status), "The refund of {number} is recorded."),
    "cancel": Act(
        Right.ORDERS,
        _cancel,
        may_become(Status.CANCELLED),
        "{number} is cancelled.",
        owing="{number} is cancelled. Pay its money back, then record the refund.",
    ),
    "note": Act(Right.ORDERS, _note, tuple(Status), "Your note stands with {number}.", anyhow=True),
}


def offered(summary: Summary, access: Access) -> set[str]:
    """What somebody may do to an order as it is now."""
    order = summary.order
    names = {name for name, act in ACTS.items() if act.right in access.rights and order.status in act.statuses}
    if not summary.can_be_paid:
        names.discard("pay")
    if not summary.kept:
        names.discard("refund")
    if order.payment_due_at is not None and order.payment_due_at <= access.now:
        names -= {"extend", "edit"}
    return names


def forms(summary: Summary) -> dict[str, Mapping[str, str]]:
    """What stands in the fields of each form that has some, before anyone types."""
    order, parcel = summary.order, summary.shipment
    captures = [payment for payment in summary.payments if payment.kind == "capture"]
    sent = {name: getattr(parcel, name, "") for name in ("carrier", "tracking_number", "tracking_url")}
    return {
        "pay": {
            "provider": BY_HAND,
            "reference": order.number,
            "amount": money.text(order.total, order.currency),
        },
        "refund": {
            "provider": captures[-1].provider if captures else "",
            "reference": "",
            "amount": money.text(summary.kept, order.currency),
        },
        "ship": sent,
        "correct": sent,
        "extend": {"minutes": "15", "reason": ""},
        "cancel": {"reason": ""},
        "note": {"text": ""},
        "edit": {
            "shipping_fee": money.text(order.shipping_fee, order.currency),
            "discount": money.text(order.discount, order.currency),
            "note": order.note,
            **{f"address_{name}": text for name, text in (order.shipping_address or {}).items()},
        },
    }


def edited(sent: QueryDict, products: ProductQuerySet) -> dict[str, Any]:
    """What the form of an edit asks for, as the API's PUT has it. Lines of no units are left out, and so is one
    that nobody filled in."""
    lines = lines_in(sent, products)
    address = {name: text for name in ADDRESS if (text := _typed(sent, f"address_{name}")[f"address_{name}"])}
    amounts = {name: text for name, text in _typed(sent, "shipping_fee", "discount").items() if text}
    return {
        "items": [
            {"sku": sku, "quantity": units if whole(units) is None else whole(units)}
            for sku, units in lines
            if whole(units) != 0 and (sku or units)
        ],
        "shipping_address": address or None,
        **_typed(sent, "note"),
        **amounts,
    }


# The parts of an address, as the form asks for them.
ADDRESS = {
    "name": "Name",
    "line1": "Street",
    "line2": "Further line",
    "city": "Town",
    "region": "Region",
    "postal_code": "Postcode",
    "country": "Country",
    "phone": "Phone",
    "text": "Or as it was written",
}


def version_seen(sent: QueryDict) -> int | None:
    """The version of the order that a form was filled in for, if it tells."""
    return whole(sent.get("version", ""))


def _typed(sent: QueryDict, *names: str) -> dict[str, str]:
    """The texts of these fields. Raises InvalidRequest for a character that nobody can see."""
    texts = {name: sent.get(name, "").replace("\r\n", "\n").strip() for name in names}
    for name, text in texts.items():
        check_readable(name, text)
    return texts


# The fields as the forms call them.
LABELS = {
    "provider": "How",
    "reference": "Reference",
    "amount": "Amount",
    "carrier": "Carrier",
    "tracking_number": "Tracking number",
    "tracking_url": "Tracking page",
    "shipping_fee": "Shipping",
    "discount": "Discount",
    "shipping_address": "Address",
    "note": "Note",
    "items": "Items",
}


def _read(serializer: type[Serializer[Any]], body: dict[str, Any]) -> dict[str, Any]:
    """A body as the API reads it, with the same bounds. Raises InvalidRequest, which names the fields as the form
    does."""
    try:
        return read(body, serializer)
    except InvalidRequest as error:
        wrong = error.facts["errors"]
        raise InvalidRequest(" ".join(map(_said, wrong)), errors=wrong) from error


def _said(wrong: Mapping[str, str]) -> str:
    name, _, rest = wrong["field"].replace("[", ".").partition(".")
    line = rest.partition("]")[0] if name == "items" else ""
    label = f"Line {int(line) + 1}" if line else LABELS.get(name, name)
    return f"{label}: {wrong['message']}"
