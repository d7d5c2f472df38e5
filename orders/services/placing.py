"""Placing orders. Whatever doorway an order comes through, `place_many` decides."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError

from catalog.errors import KeyReused
from catalog.live import feed
from catalog.models import Business
from customers import services as customers
from customers.services import Buyer, Person
from orders.errors import DuplicateOrder, ExternalIdTaken, InsufficientStock
from orders.lifecycle import Channel, PaymentStatus, Status
from orders.models import Order, OrderEvent, OrderItem
from orders.numbers import new_number
from orders.services.pricing import (
    Line,
    Offer,
    PricedLine,
    add_up,
    check_currency,
    find_offers,
    items_of,
    price,
    units_of,
)
from orders.services.timeline import event_of
from orders_project import money
from orders_project.errors import Busy, DomainError
from orders_project.ids import new_id
from orders_project.rows import Insert, Row, select
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


class Placement(msgspec.Struct, frozen=True, dict=True):
    """An order as it is asked for. Amounts in the business's currency; `currency` is only checked.

    `idempotency_key` and `external_id` each make a repeat of the same placement answer with the first order.
    `at` is when it was placed, if that was before: a sale that was made elsewhere.
    """

    channel: Channel
    buyer: Buyer
    lines: tuple[Line, ...]
    currency: str | None = None
    shipping_fee: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    shipping_address: Mapping[str, str] | None = None
    note: str = ""
    draft: bool = False
    external_id: str | None = None
    idempotency_key: str | None = None
    at: datetime | None = None

    @cached_property
    def fingerprint(self) -> str:
        """What tells a repeat from another order under the same key: a hash of all that was asked for."""
        asked = msgspec.structs.asdict(self)
        del asked["idempotency_key"]
        return hashlib.sha256(_json.encode(asked)).hexdigest()


_json = msgspec.json.Encoder(order="deterministic", decimal_format="string")


@dataclass(frozen=True)
class Placed:
    """An order that was placed: its row, and of one that was just placed all that belongs to it.

    `replayed`: an earlier request placed it, that this one repeats.
    """

    row: Row
    customer: Person | None = None
    items: Sequence[Row] = ()
    holds: Sequence[Wanted] = ()
    replayed: bool = False

    @cached_property
    def order(self) -> Order:
        order = Order(**self.row)
        order._state.adding = False
        return order


def place(*, business: Business, placement: Placement, actor: str, now: datetime) -> Placed:
    """Place one order at `now`: take its hold, or with `draft` only write it down. All or nothing.

    Raises InsufficientStock with every short SKU, UnknownProducts, InactiveProducts, UnknownCustomer,
    InvalidPhone, CurrencyMismatch, DiscountTooLarge, InvalidRequest, DuplicateOrder, KeyReused,
    ExternalIdTaken, Busy.
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
    may_click_twice = _known_buyers(business, placements, buyers)
    customers.hold(customer_ids=may_click_twice)  # a double click waits here for its first half
    shelf = reservations.look_at_shelf(
        business_id=business.id,
        product_ids={offer.id for offer in offers.values()},
        actor=actor,
        now=now,
        locked=locked,
    )
    # Asked after the look at the shelf: who finds it emptied by their own first request finds that, too.
    earlier = _Earlier(business, placements)
    recent = _Recent(business, may_click_twice, now)
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
            if not placement.draft and (short := shelf.admit(units)):
                if not locked and any(may_come_back(shortage.product_id) for shortage in short):
                    raise ShelfShort  # once the shelf is locked, overdue holds can be taken back
                raise insufficient_stock(short, offers)
        except DomainError as refusal:
            outcomes.append(refusal)
            continue
        placed = _placed(business, placement, buyer, lines, units, amounts, placement.at or now)
        earlier.remember(placed.row)
        recent.remember(placed.row, units)
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
            Wanted(order_id, product_id, quantity, since=at, expires_at=due)
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


ASKED_BEFORE = """
    SELECT id FROM orders_order
    WHERE business_id = %s AND (idempotency_key = ANY(%s) OR external_id = ANY(%s))
"""


class _Earlier:
    """The orders that were placed with the keys and external ids of a batch: what a repeat is answered with."""

    def __init__(self, business: Business, placements: Sequence[Placement]) -> None:
        self._by_key: dict[str, Row] = {}
        self._by_external_id: dict[tuple[str, str], Row] = {}
        keys = [p.idempotency_key for p in placements if p.idempotency_key is not None]
        external_ids = [p.external_id for p in placements if p.external_id is not None]
        found = select(ASKED_BEFORE, business.id, keys, external_ids) if keys or external_ids else []
        if found:  # seldom
            for row in Order.objects.filter(id__in=[order_id for (order_id,) in found]).values():
                self.remember(row)

    def remember(self, order: Row) -> None:
        if order["idempotency_key"] is not None:
            self._by_key[order["idempotency_key"]] = order
        if order["external_id"] is not None:
            self._by_external_id[order["channel"], order["external_id"]] = order

    def repeated_by(self, placement: Placement) -> Row | None:
        """The order that this placement asks for again. Raises KeyReused and ExternalIdTaken."""
        if order := self._by_key.get(placement.idempotency_key or ""):
            if order["fingerprint"] != placement.fingerprint:
                raise KeyReused(
                    "This Idempotency-Key was used for another order.",
                    idempotency_key=placement.idempotency_key,
                    order=str(order["id"]),
                    number=order["number"],
                )
            return order
        if order := self._by_external_id.get((placement.channel, placement.external_id or "")):
            if order["fingerprint"] != placement.fingerprint:
                raise ExternalIdTaken(
                    f"Order {order['number']} has the external_id {placement.external_id}, and is another order.",
                    external_id=placement.external_id,
                    order=str(order["id"]),
                    number=order["number"],
                )
            return order
        return None


def _known_buyers(
    business: Business, placements: Sequence[Placement], buyers: Sequence[Person | DomainError]
) -> set[UUID]:
    """The known customers of those placements that may be a double click."""
    if not business.duplicate_window_seconds:
        return set()
    return {
        buyer.id
        for placement, buyer in zip(placements, buyers, strict=True)
        if placement.external_id is None and isinstance(buyer, Person) and not buyer.is_new_since
    }


class _Recent:
    """What known customers ordered a moment ago: the same again is a double click, whatever key it carries.

    An `external_id` says that the order is one of its own, so it is not asked about.
    """

    def __init__(self, business: Business, customer_ids: Collection[UUID], now: datetime) -> None:
        self._window = timedelta(seconds=business.duplicate_window_seconds)
        self._now = now
        self._found: defaultdict[UUID, list[tuple[Row, Mapping[UUID, int]]]] = defaultdict(list)
        if customer_ids:
            placed = Order.objects.of(business.id).placed_since(now - self._window)
            orders = list(placed.filter(customer__any_of=customer_ids).values())
            units: defaultdict[UUID, dict[UUID, int]] = defaultdict(lambda: defaultdict(int))
            items = OrderItem.objects.filter(order__any_of=[order["id"] for order in orders])
            for order_id, product_id, quantity in items.values_list("order_id", "product_id", "quantity"):
                units[order_id][product_id] += quantity
            for order in orders:
                self.remember(order, units[order["id"]])

    def remember(self, order: Row, units: Mapping[UUID, int]) -> None:
        if self._window:
            self._found[order["customer_id"]].append((order, units))

    def refuse_double_click(self, placement: Placement, customer: Person, units: Mapping[UUID, int]) -> None:
        """Raises DuplicateOrder with the order that is already there."""
        if placement.external_id is not None or customer.id not in self._found:
            return
        for order, had in self._found[customer.id]:
            wait = order["created_at"] + self._window - (placement.at or self._now)
            alike = (had, order["channel"], order["status"] == Status.DRAFT)
            if alike == (units, placement.channel, placement.draft) and wait > timedelta(0):
                raise DuplicateOrder(
                    f"Order {order['number']} has the same goods for the same customer and was placed a moment "
                    "ago. If another one is meant, place it again later or give it an external_id.",
                    order=str(order["id"]),
                    number=order["number"],
                    possible_in=math.ceil(wait.total_seconds()),
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
