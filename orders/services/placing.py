"""Placing orders. Whatever doorway an order comes through, `place_many` decides."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from catalog.live import feed
from catalog.models import Business
from customers import services as customers
from customers.services import Person
from orders.errors import InsufficientStock
from orders.lifecycle import PaymentStatus, Status
from orders.models import Order, OrderEvent, OrderItem
from orders.numbers import new_number
from orders.services.open_orders import OpenOrders
from orders.services.placement import Placed, Placement
from orders.services.pricing import (
    Offer,
    PricedLine,
    add_up,
    check_currency,
    find_offers,
    items_of,
    price,
    units_of,
)
from orders.services.repeats import Earlier, Recent
from orders.services.timeline import event_of
from orders_project import money
from orders_project.errors import Busy, DomainError
from orders_project.ids import new_id
from orders_project.rows import Insert, Row
from orders_project.transactions import one_transaction, violated_constraint
from reservations import services as reservations
from reservations.services import ShelfShort, Shortage, Wanted

# Unique rules that a concurrent order may win. Looking again finds that order (or rolls another number). And the
# rule that an order's customer is there: looking again finds the one whom they were merged into.
WORTH_ANOTHER_LOOK = {
    "order_customer_same_business",
    "order_key_once",
    "order_external_id_once",
    "order_number_once",
    "customer_phone_once",
    "customer_external_id_once",
}
LOOKS = 5


def place(*, business: Business, placement: Placement, actor: str, now: datetime) -> Placed:
    """Place one order at `now`: take its hold, or with `draft` only write it down. All or nothing.

    Raises InsufficientStock with every short SKU, UnknownProducts, InactiveProducts, UnknownCustomer,
    InvalidPhone, CurrencyMismatch, DiscountTooLarge, InvalidRequest, DuplicateOrder, TooManyOpenOrders,
    KeyReused, ExternalIdTaken, Busy.
    """
    (outcome,) = place_many(business=business, placements=[placement], actor=actor, now=now)
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def place_many(
    *, business: Business, placements: Sequence[Placement], actor: str, now: datetime
) -> list[Placed | DomainError]:
    """Place orders in the order of their arrival, in one transaction: each is placed whole or refused.

    It looks at the shelf, admits order by order, and writes; the counters come last, each with its guard.
    If the shelf moved meanwhile it looks again, with the shelf locked and overdue holds taken back.
    """
    for look in range(LOOKS):
        try:
            return _place_batch(business, placements, actor=actor, now=now, locked=look > 0)
        except ShelfShort:
            continue
        except IntegrityError as error:
            if violated_constraint(error) not in WORTH_ANOTHER_LOOK:
                raise
    raise Busy("Too many orders at once for the same goods. Nothing was placed; try again.", retry_after=1)


@one_transaction
def _place_batch(
    business: Business, placements: Sequence[Placement], *, actor: str, now: datetime, locked: bool
) -> list[Placed | DomainError]:
    offers = find_offers(business, [line.product for placement in placements for line in placement.lines])
    buyers = customers.recognise(
        business=business, buyers=[p.buyer for p in placements], since=[p.at or now for p in placements]
    )
    may_click_twice, may_hoard = _known_buyers(business, placements, buyers)
    # A double click waits here for its first half, and one order too many for those before it.
    customers.hold(customer_ids=may_click_twice | may_hoard)
    shelf = reservations.look_at_shelf(
        business_id=business.id,
        product_ids={offer.id for offer in offers.values()},
        actor=actor,
        now=now,
        locked=locked,
    )
    # Asked after the look at the shelf: who finds it emptied by their own first request finds that, too.
    earlier = Earlier(business, placements)
    recent = Recent(business, may_click_twice, now)
    open_orders = OpenOrders(business, may_hoard, now)
    may_come_back = cache(lambda product_id: reservations.any_overdue(product_ids=[product_id], now=now))
    outcomes: list[Placed | DomainError] = []
    for placement, buyer in zip(placements, buyers, strict=True):
        try:
            if row := earlier.repeated_by(placement):
                outcomes.append(Placed(row, replayed=True))
                continue
            check_currency(placement.currency, expected=business.currency)
            lines = price(placement.lines, offers)
            amounts = add_up(business, lines, shipping_fee=placement.shipping_fee, discount=placement.discount)
            if isinstance(buyer, DomainError):
                raise buyer
            units = units_of(lines)
            recent.refuse_double_click(placement, buyer, units)
            if placement.promised_through:
                open_orders.refuse_one_more(buyer.id)
            if not placement.draft and (short := shelf.admit(units, channel=placement.promised_through)):
                if not locked and any(may_come_back(shortage.product_id) for shortage in short):
                    raise ShelfShort  # once the shelf is locked, overdue holds can be taken back
                raise insufficient_stock(short, offers)
        except DomainError as refusal:
            outcomes.append(refusal)
            continue
        placed = _placed(business, placement, buyer, lines, units, amounts, placement.at or now)
        earlier.remember(placed.row)
        recent.remember(placed.row, units)
        if placement.promised_through:
            open_orders.remember(buyer.id)
        outcomes.append(placed)
    _write(business, [o for o in outcomes if isinstance(o, Placed) and not o.replayed], actor=actor)
    return outcomes


def _placed(
    business: Business,
    placement: Placement,
    customer: Person,
    lines: Sequence[PricedLine],
    units: Mapping[UUID, int],
    amounts: dict[str, Decimal],
    at: datetime,
) -> Placed:
    order_id = new_id()
    due = None if placement.draft else hold_until(business, at)
    return Placed(
        row={
            "id": order_id,
            "business_id": business.id,
            "number": new_number(at, business.time_zone),
            "customer_id": customer.id,
            "channel": placement.channel,
            "status": Status.DRAFT if placement.draft else Status.PENDING,
            "payment_status": PaymentStatus.PENDING,
            "cancel_reason": "",
            "currency": business.currency,
            **amounts,
            "shipping_address": placement.shipping_address,
            "note": placement.note,
            "external_id": placement.external_id,
            "idempotency_key": placement.idempotency_key,
            "fingerprint": placement.fingerprint,
            "version": 1,
            "created_at": at,
            "placed_at": None if placement.draft else at,
            "payment_due_at": due,
            "paid_at": None,
            "cancelled_at": None,
        },
        customer=customer,
        items=items_of(business=business, order_id=order_id, lines=lines),
        holds=[]
        if due is None
        else [
            Wanted(order_id, product_id, quantity, since=at, expires_at=due, channel=placement.promised_through)
            for product_id, quantity in units.items()
        ],
    )


def _write(business: Business, new: Sequence[Placed], *, actor: str) -> None:
    """Write the admitted orders with all that belongs to them; the counters come last."""
    reservations.reserve(
        business_id=business.id,
        wanted=[hold for placed in new for hold in placed.holds],
        actor=actor,
        also=[
            customers.new_rows(
                business_id=business.id, people=[placed.customer for placed in new if placed.customer]
            ),
            Insert(Order, [placed.row for placed in new]),
            Insert(OrderItem, [item for placed in new for item in placed.items]),
            Insert(OrderEvent, [_first_event(placed.row, actor) for placed in new]),
        ],
    )
    feed.touch_orders(business.id, [placed.row["id"] for placed in new])


def _first_event(order: Row, actor: str) -> Row:
    return event_of(
        business_id=order["business_id"],
        order_id=order["id"],
        version=order["version"],
        kind=OrderEvent.Kind.CREATED if order["status"] == Status.DRAFT else OrderEvent.Kind.PLACED,
        actor=actor,
        now=order["created_at"],
        facts={"channel": order["channel"], "total": money.text(order["total"], order["currency"])},
    )


def _known_buyers(
    business: Business, placements: Sequence[Placement], buyers: Sequence[Person | DomainError]
) -> tuple[set[UUID], set[UUID]]:
    """The known customers of those placements that may be a double click, and of those that take units now."""
    known = [
        (placement, buyer.id)
        for placement, buyer in zip(placements, buyers, strict=True)
        if isinstance(buyer, Person) and not buyer.is_new_since
    ]
    return (
        {who for placement, who in known if placement.external_id is None and business.duplicate_window_seconds},
        {who for placement, who in known if placement.promised_through and business.most_open_orders},
    )


def insufficient_stock(short: Sequence[Shortage], offers: Mapping[Any, Offer]) -> InsufficientStock:
    """The refusal that names each short product, what was asked for and what is left."""

    def say(shortage: Shortage) -> str:
        left = f"only {shortage.available} left" if shortage.available else "none left"
        return f"{offers[shortage.product_id].name}: {left}, you asked for {shortage.requested}"

    return InsufficientStock(
        "; ".join(map(say, short)) + ".",
        items=[
            {
                "sku": offers[shortage.product_id].sku,
                "product": str(shortage.product_id),
                "requested": shortage.requested,
                "available": shortage.available,
            }
            for shortage in short
        ],
    )


def hold_until(business: Business, now: datetime) -> datetime:
    """When a hold that begins now runs out."""
    return now + timedelta(minutes=business.payment_window_minutes)
