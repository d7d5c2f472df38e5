"""Placing orders. Whatever doorway an order comes through, `place_many` decides."""

import dataclasses
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction

from catalog.errors import KeyReused
from catalog.models import Business, Product
from customers import services as customers
from customers.models import Customer
from customers.services import Buyer
from orders.errors import DuplicateOrder, ExternalIdTaken, InsufficientStock
from orders.lifecycle import Channel, Status
from orders.models import Order, OrderEvent, OrderItem
from orders.numbers import new_number
from orders.services.pricing import (
    Line,
    PricedLine,
    add_up,
    check_currency,
    find_products,
    items_of,
    price,
    units_of,
)
from orders.services.timeline import event_of
from orders_project import money
from orders_project.errors import Busy, DomainError
from orders_project.transactions import one_transaction, violated_constraint
from reservations import services as reservations
from reservations.services import Shelf, ShelfShort, Shortage, Wanted

# Unique rules that a concurrent order may win. Looking again finds that order (or rolls another number).
WORTH_ANOTHER_LOOK = {
    "order_key_once",
    "order_external_id_once",
    "order_number_once",
    "customer_phone_once",
    "customer_external_id_once",
}
LOOKS = 5


@dataclass(frozen=True, slots=True)
class Placement:
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

    def fingerprint(self) -> str:
        """What tells a repeat from another order under the same key: a hash of all that was asked for."""
        asked = dataclasses.asdict(self)
        del asked["idempotency_key"]
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that was placed, now or (`replayed`) by an earlier request that this one repeats."""

    order: Order
    replayed: bool = False


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


@one_transaction
def place_many(
    *, business: Business, placements: Sequence[Placement], actor: str, now: datetime
) -> list[Placed | DomainError]:
    """Place orders in the order of their arrival, in one transaction: each is placed whole or refused.

    It looks at the shelf, admits order by order, and writes; the counters come last, each with its guard.
    If the shelf moved meanwhile it looks again, with the shelf locked and overdue holds taken back.
    """
    for look in range(LOOKS):
        try:
            with transaction.atomic():
                return _place_batch(business, placements, actor=actor, now=now, locked=look > 0)
        except ShelfShort:
            continue
        except IntegrityError as error:
            if violated_constraint(error) not in WORTH_ANOTHER_LOOK:
                raise
    raise Busy("Too many orders at once for the same goods. Nothing was placed; try again.", retry_after=1)


def _place_batch(
    business: Business, placements: Sequence[Placement], *, actor: str, now: datetime, locked: bool
) -> list[Placed | DomainError]:
    products = find_products(business, (line.product for placement in placements for line in placement.lines))
    buyers = customers.recognise(
        business=business, buyers=[p.buyer for p in placements], since=[p.at or now for p in placements]
    )
    may_click_twice = _known_buyers(business, placements, buyers)
    customers.hold(customer_ids=may_click_twice)  # a double click waits here for its first half
    shelf = reservations.look_at_shelf(
        business_id=business.id,
        product_ids={product.id for product in products.values()},
        actor=actor,
        now=now,
        locked=locked,
    )
    # Asked after the look at the shelf: who finds it emptied by their own first request finds that, too.
    earlier = _Earlier(business, placements)
    recent = _Recent(business, may_click_twice, now)
    outcomes: list[Placed | DomainError] = []
    new: list[tuple[Order, list[PricedLine]]] = []
    for placement, buyer in zip(placements, buyers, strict=True):
        try:
            if order := earlier.repeated_by(placement):
                outcomes.append(Placed(order, replayed=True))
                continue
            check_currency(placement.currency, expected=business.currency)
            lines = price(placement.lines, products)
            amounts = add_up(business, lines, shipping_fee=placement.shipping_fee, discount=placement.discount)
            if isinstance(buyer, DomainError):
                raise buyer
            recent.refuse_double_click(placement, buyer, lines)
            if not placement.draft:
                _take_from(shelf, lines, locked=locked, now=now)
        except DomainError as refusal:
            outcomes.append(refusal)
            continue
        order = _order(business, placement, buyer, amounts, placement.at or now)
        earlier.remember(order)
        recent.remember(order, lines)
        outcomes.append(Placed(order))
        new.append((order, lines))
    _write(business, new, actor=actor)
    return outcomes


def _order(
    business: Business,
    placement: Placement,
    customer: Customer,
    amounts: dict[str, Decimal],
    now: datetime,
) -> Order:
    return Order(
        business=business,
        number=new_number(now, business.time_zone),
        customer=customer,
        channel=placement.channel,
        status=Status.DRAFT if placement.draft else Status.PENDING,
        currency=business.currency,
        **amounts,
        shipping_address=placement.shipping_address,
        note=placement.note,
        external_id=placement.external_id,
        idempotency_key=placement.idempotency_key,
        fingerprint=placement.fingerprint(),
        created_at=now,
        placed_at=None if placement.draft else now,
        payment_due_at=None if placement.draft else hold_until(business, now),
    )


def _write(business: Business, new: Sequence[tuple[Order, Sequence[PricedLine]]], *, actor: str) -> None:
    """Write the admitted orders, a table at a time; the holds and with them the counters come last."""
    customers.add_new(order.customer for order, _ in new)
    Order.objects.bulk_create(order for order, _ in new)
    OrderItem.objects.bulk_create(item for order, lines in new for item in items_of(order, lines))
    OrderEvent.objects.bulk_create(
        event_of(
            order,
            OrderEvent.Kind.CREATED if order.status == Status.DRAFT else OrderEvent.Kind.PLACED,
            actor=actor,
            now=order.created_at,
            channel=order.channel,
            total=money.text(order.total, order.currency),
        )
        for order, _ in new
    )
    reservations.reserve(
        business_id=business.id,
        wanted=[
            Wanted(order.id, product_id, quantity, since=order.created_at, expires_at=order.payment_due_at)
            for order, lines in new
            if order.payment_due_at is not None
            for product_id, quantity in units_of(lines).items()
        ],
        actor=actor,
    )


class _Earlier:
    """The orders that were placed with the keys and external ids of a batch: what a repeat is answered with."""

    def __init__(self, business: Business, placements: Sequence[Placement]) -> None:
        self._by_key: dict[str, Order] = {}
        self._by_external_id: dict[tuple[str, str], Order] = {}
        keys = [p.idempotency_key for p in placements if p.idempotency_key is not None]
        external_ids = [p.external_id for p in placements if p.external_id is not None]
        if keys or external_ids:
            for order in Order.objects.of(business.id).asked_before(keys=keys, external_ids=external_ids):
                self.remember(order)

    def remember(self, order: Order) -> None:
        if order.idempotency_key is not None:
            self._by_key[order.idempotency_key] = order
        if order.external_id is not None:
            self._by_external_id[order.channel, order.external_id] = order

    def repeated_by(self, placement: Placement) -> Order | None:
        """The order that this placement asks for again. Raises KeyReused and ExternalIdTaken."""
        if order := self._by_key.get(placement.idempotency_key or ""):
            if order.fingerprint != placement.fingerprint():
                raise KeyReused(
                    "This Idempotency-Key was used for another order.",
                    idempotency_key=placement.idempotency_key,
                    order=str(order.id),
                    number=order.number,
                )
            return order
        if order := self._by_external_id.get((placement.channel, placement.external_id or "")):
            if order.fingerprint != placement.fingerprint():
                raise ExternalIdTaken(
                    f"Order {order.number} has the external_id {placement.external_id}, and is another order.",
                    external_id=placement.external_id,
                    order=str(order.id),
                    number=order.number,
                )
            return order
        return None


def _known_buyers(
    business: Business, placements: Sequence[Placement], buyers: Sequence[Customer | DomainError]
) -> set[UUID]:
    """The known customers of those placements that may be a double click."""
    if not business.duplicate_window_seconds:
        return set()
    return {
        buyer.id
        for placement, buyer in zip(placements, buyers, strict=True)
        if placement.external_id is None and isinstance(buyer, Customer) and not buyer._state.adding
    }


class _Recent:
    """What known customers ordered a moment ago: the same again is a double click, whatever key it carries.

    An `external_id` says that the order is one of its own, so it is not asked about.
    """

    def __init__(self, business: Business, customer_ids: Collection[UUID], now: datetime) -> None:
        self._window = timedelta(seconds=business.duplicate_window_seconds)
        self._now = now
        self._found: defaultdict[UUID, list[tuple[Order, dict[UUID, int]]]] = defaultdict(list)
        if customer_ids:
            placed = Order.objects.of(business.id).placed_since(now - self._window)
            orders = placed.filter(customer__in=customer_ids)
            for order in orders.prefetch_related("items"):
                self._found[order.customer_id].append((order, units_of(order.items.all())))

    def remember(self, order: Order, lines: Sequence[PricedLine]) -> None:
        if self._window:
            self._found[order.customer_id].append((order, units_of(lines)))

    def refuse_double_click(self, placement: Placement, customer: Customer, lines: Sequence[PricedLine]) -> None:
        """Raises DuplicateOrder with the order that is already there."""
        if placement.external_id is not None:
            return
        for order, units in self._found[customer.id]:
            wait = order.created_at + self._window - (placement.at or self._now)
            alike = (units, order.channel, order.status == Status.DRAFT)
            if alike == (units_of(lines), placement.channel, placement.draft) and wait > timedelta(0):
                raise DuplicateOrder(
                    f"Order {order.number} has the same goods for the same customer and was placed a moment ago. "
                    "If another one is meant, place it again later or give it an external_id.",
                    order=str(order.id),
                    number=order.number,
                    possible_in=math.ceil(wait.total_seconds()),
                )


def _take_from(shelf: Shelf, lines: Sequence[PricedLine], *, locked: bool, now: datetime) -> None:
    """Take the lines off the shelf. Raises InsufficientStock with each product of which too few are left,
    or ShelfShort when another look may find more: overdue holds can be taken back once the shelf is locked."""
    short = shelf.admit(units_of(lines))
    if not short:
        return
    if not locked and reservations.any_overdue(product_ids=[shortage.product_id for shortage in short], now=now):
        raise ShelfShort
    raise insufficient_stock(short, {line.product.id: line.product for line in lines})


def insufficient_stock(short: Sequence[Shortage], products: Mapping[UUID, Product]) -> InsufficientStock:
    """The refusal that names each short product, what was asked for and what is left."""

    def say(shortage: Shortage) -> str:
        left = f"only {shortage.available} left" if shortage.available else "none left"
        return f"{products[shortage.product_id].name}: {left}, you asked for {shortage.requested}"

    return InsufficientStock(
        "; ".join(map(say, short)) + ".",
        items=[
            {
                "sku": products[shortage.product_id].sku,
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
