"""Who holds what, and for how long; more time for a hold, or an end to it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponseBase

from catalog.authentication import Access
from catalog.models import LONGEST_PAYMENT_WINDOW
from catalog.rights import Right
from catalog.staff import staff_action, staff_page
from orders import services
from orders.lifecycle import CancelReason, Status
from orders.models import Order
from orders.querysets import OrderQuerySet
from orders.staff.page import PAGE, show, taken_out, turn_page, words_in
from orders_project.errors import InvalidRequest
from reservations.models import StockReservation
from reservations.querysets import StockReservationQuerySet


@dataclass(frozen=True, slots=True)
class Held:
    """An order that waits for its payment, and what it holds meanwhile."""

    order: Order
    holds: Sequence[StockReservation]

    @property
    def goods(self) -> str:
        return ", ".join(f"{hold.quantity} × {hold.product.sku}" for hold in self.holds)


@staff_page
def holds(request: HttpRequest, access: Access) -> HttpResponseBase:
    """Every order that holds stock, the one whose time is up first at the top."""
    sku = words_in(request, "sku")
    orders = _pending(access.business.id, sku)
    if request.GET.get("format") == "csv":
        return taken_out(access, "holds", CSV, _lines(orders, access.now))
    page, later = turn_page(orders, "payment_due_at", request.GET.get("after", ""), newest_first=False)
    return show(
        request,
        access,
        "staff/holds.html",
        title="Holds",
        question="Who holds what, and until when?",
        held=_with_holds(page),
        later=later,
        stuck=_stuck(access.business.id).select_related("product")[:PAGE],
        sku=sku,
        longest=LONGEST_PAYMENT_WINDOW,
    )


def _pending(business_id: UUID, sku: str) -> OrderQuerySet:
    """Orders that wait for their payment, or those of them that hold a SKU."""
    pending = Order.objects.of(business_id).filter(status=Status.PENDING).select_related("customer")
    if sku:
        holds_it = StockReservation.objects.of(business_id).active().filter(product__sku=sku)
        pending = pending.filter(id__in=holds_it.values("order_id"))
    return pending


def _with_holds(orders: Iterable[Order]) -> list[Held]:
    """The orders of one business with what they hold, in two queries."""
    orders = list(orders)
    if not orders:
        return []
    held: defaultdict[UUID, list[StockReservation]] = defaultdict(list)
    found = StockReservation.objects.of(orders[0].business_id).of_orders([order.id for order in orders])
    for hold in found.active().select_related("product").order_by("product__sku"):
        held[hold.order_id].append(hold)
    return [Held(order, held[order.id]) for order in orders]


def _stuck(business_id: UUID) -> StockReservationQuerySet:
    """Holds that keep their units though no order waits for payment with them."""
    waiting = Order.objects.filter(id=OuterRef("order_id"), business=business_id, status=Status.PENDING)
    return StockReservation.objects.of(business_id).active().exclude(Exists(waiting)).order_by("expires_at")


CSV = ("order", "customer", "channel", "sku", "quantity", "held_since", "held_until", "seconds_left")
CSV_BATCH = 500  # orders


def _lines(orders: OrderQuerySet, now: datetime) -> Iterator[Sequence[Any]]:
    batch: list[Order] = []
    for order in orders.order_by("payment_due_at", "id").iterator(CSV_BATCH):
        batch.append(order)
        if len(batch) == CSV_BATCH:
            yield from _lines_of(batch, now)
            batch.clear()
    yield from _lines_of(batch, now)


def _lines_of(orders: Sequence[Order], now: datetime) -> Iterator[Sequence[Any]]:
    for held in _with_holds(orders):
        order = held.order
        for hold in held.holds:
            left = int((hold.expires_at - now).total_seconds())
            of_hold = (hold.product.sku, hold.quantity, hold.created_at, hold.expires_at, left)
            yield (order.number, order.customer.name, order.channel, *of_hold)


@staff_action(Right.ORDERS)
def extend(request: HttpRequest, access: Access, order_id: UUID) -> str:
    """More time for an order to be paid: so many minutes from when its time would have been up."""
    minutes = minutes_in(request)
    order = services.extend_hold(
        business_id=access.business.id,
        order_id=order_id,
        minutes=minutes,
        reason=reason_in(request),
        actor=access.actor,
        now=access.now,
    )
    return f"{order.number} has {minutes} more minutes to be paid."


@staff_action(Right.ORDERS)
def release(request: HttpRequest, access: Access, order_id: UUID) -> str:
    """An end to a hold: the order is cancelled, its units are free."""
    order = services.release_hold(
        business_id=access.business.id,
        order_id=order_id,
        reason=reason_in(request),
        actor=access.actor,
        now=access.now,
    )
    return f"{order.number} is cancelled, and what it held can be sold again."


def minutes_in(request: HttpRequest) -> int:
    """How much more time, as a form asks for it. Raises InvalidRequest."""
    text = request.POST.get("minutes", "")
    minutes = int(text) if len(text) <= 4 and text.isascii() and text.isdigit() else 0
    if not 0 < minutes <= LONGEST_PAYMENT_WINDOW:
        longest = f"{LONGEST_PAYMENT_WINDOW:,}"
        raise InvalidRequest.at("minutes", "out_of_range", f"Give a hold between 1 and {longest} more minutes.")
    return minutes


LONGEST_REASON = 200


def reason_in(request: HttpRequest) -> str:
    """Why, in the words of who presses the button. Raises InvalidRequest."""
    reason = request.POST.get("reason", "").strip()
    if not reason or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise InvalidRequest.at("reason", "required", f"Say why, in up to {LONGEST_REASON} characters.")
    if reason in CancelReason.values:
        raise InvalidRequest.at("reason", "reserved", "This reason is given by Holdfast itself; use other words.")
    return reason
