"""Changing an order before it is paid: submit a draft, edit, extend the hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from catalog.channels import Channel
from catalog.models import LONGEST_PAYMENT_WINDOW
from customers import services as customers
from orders.errors import NotEditable, PaymentWindowOver
from orders.lifecycle import EDITABLE, Status
from orders.models import Order, OrderEvent, OrderItem
from orders.services.open_orders import OpenOrders
from orders.services.placing import hold_until, insufficient_stock
from orders.services.pricing import Line, PricedLine, add_up, find_offers, items_of, price, units_of
from orders.services.timeline import change_locked, find_order, move, refuse_move, write_event
from orders_project import money
from orders_project.errors import InvalidRequest, PreconditionFailed
from orders_project.rows import Insert, insert
from orders_project.transactions import one_transaction
from reservations import services as reservations

Kind = OrderEvent.Kind


@dataclass(frozen=True, slots=True)
class Edit:
    """What an order is to be from now on: all of what can be edited, as PUT means it."""

    lines: tuple[Line, ...]
    shipping_fee: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    shipping_address: Mapping[str, str] | None = None
    note: str = ""


@one_transaction
def submit(*, business_id: UUID, order_id: UUID, actor: str, now: datetime) -> Order:
    """A draft becomes pending and takes its hold, at the prices that the draft was written with.

    Raises IllegalTransition, InsufficientStock, TooManyOpenOrders, OrderNotFound.
    """
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    if order.status == Status.DRAFT:
        customers.hold(customer_ids=[order.customer_id])
        OpenOrders(order.business, [order.customer_id], now).refuse_one_more(order.customer_id)
    due = hold_until(order.business, now)
    order, moved = move(
        business_id=business_id,
        order_id=order_id,
        to=Status.PENDING,
        placed_at=now,
        payment_due_at=due,
    )
    if moved:
        _hold(order, units_of(order.items.all()), held={}, actor=actor, now=now)
        write_event(order, Kind.SUBMITTED, actor=actor, now=now)
    return order


@one_transaction
def edit(
    *,
    business_id: UUID,
    order_id: UUID,
    change: Edit,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
) -> Order:
    """Change a draft or a pending order, all or nothing. Its holds move by the difference, so what it
    holds already is available to it; what it had keeps its price, what is new takes today's.

    Raises NotEditable, PaymentWindowOver, PreconditionFailed, InsufficientStock, UnknownProducts,
    InactiveProducts, DiscountTooLarge, InvalidRequest, OrderNotFound.
    """
    order = _lock_for_edit(business_id=business_id, order_id=order_id, expected_version=expected_version, now=now)
    business = order.business
    before = list(order.items.all())
    offers = find_offers(business, [line.product for line in change.lines])
    lines = price(change.lines, offers, agreed={item.product_id: item.unit_price for item in before})
    amounts = add_up(business, lines, shipping_fee=change.shipping_fee, discount=change.discount)
    order = change_locked(order, shipping_address=change.shipping_address, note=change.note, **amounts)
    order.items.all().delete()
    insert(Insert(OrderItem, items_of(business=business, order_id=order_id, lines=lines)))
    if order.status == Status.PENDING:
        held = reservations.units_held(business_id=business_id, order_ids=[order_id])[order_id]
        _hold(order, units_of(lines), held=held, actor=actor, now=now)
    write_event(
        order,
        Kind.EDITED,
        actor=actor,
        now=now,
        total=money.text(order.total, order.currency),
        items=_difference(before, lines),
    )
    return order


def _lock_for_edit(*, business_id: UUID, order_id: UUID, expected_version: int | None, now: datetime) -> Order:
    """The order, locked, if it may still be edited."""
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    if expected_version not in (None, order.version):
        raise PreconditionFailed(
            "The order was changed since you read it. Read it again, then decide.",
            version=order.version,
            expected=expected_version,
        )
    if order.status not in EDITABLE:
        raise refuse_move(order, "edited", NotEditable)
    _refuse_overdue(order, now)
    return order


def _refuse_overdue(order: Order, now: datetime) -> None:
    if order.payment_due_at is not None and order.payment_due_at <= now:
        raise _window_over(order.payment_due_at)


def _window_over(due: datetime) -> PaymentWindowOver:
    return PaymentWindowOver(
        "The time to pay this order is over; its goods may be someone else's.", payment_due_at=due.isoformat()
    )


def _hold(order: Order, units: Mapping[UUID, int], *, held: Mapping[UUID, int], actor: str, now: datetime) -> None:
    """Make the order hold these units instead of those that it has `held`, or raise InsufficientStock."""
    assert order.payment_due_at is not None  # a pending order has one, by the table's rule
    shelf = reservations.look_at_shelf(
        business_id=order.business_id,
        product_ids={*units, *held},
        actor=actor,
        now=now,
        locked=True,
        for_orders=[order.id],
    )
    channel = Channel(order.channel)
    if short := shelf.admit(units, channel=channel, held=held):
        raise insufficient_stock(short, find_offers(order.business, units))
    reservations.change_holds(
        business_id=order.business_id,
        order_id=order.id,
        held=held,
        units=units,
        channel=channel,
        expires_at=order.payment_due_at,
        actor=actor,
        now=now,
    )


def _difference(before: Sequence[OrderItem], after: Sequence[PricedLine]) -> list[dict[str, Any]]:
    """What an edit changed, a line for each SKU: `from` and `to` how many."""
    had = {item.sku: item.quantity for item in before}
    has = {line.product.sku: line.quantity for line in after}
    return [
        {"sku": sku, "from": had.get(sku, 0), "to": has.get(sku, 0)}
        for sku in {**had, **has}
        if had.get(sku) != has.get(sku)
    ]


@one_transaction
def extend_hold(
    *, business_id: UUID, order_id: UUID, minutes: int, reason: str, actor: str, now: datetime
) -> Order:
    """Give a pending order so many more minutes to be paid, up to 24 hours from now, while its hold is alive.

    Raises PaymentWindowOver, IllegalTransition, InvalidRequest, OrderNotFound.
    """
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    _refuse_overdue(order, now)
    if order.status != Status.PENDING:
        raise refuse_move(order, "held for longer")
    due = order.payment_due_at
    assert due is not None  # a pending order has one, by the table's rule
    until = due + timedelta(minutes=minutes)
    if not due < until <= now + timedelta(minutes=LONGEST_PAYMENT_WINDOW):
        raise InvalidRequest.at("minutes", "out_of_range", "A hold can end at most 24 hours from now.")
    order = change_locked(order, payment_due_at=until)
    alive = reservations.extend(business_id=business_id, order_id=order_id, until=until, now=now)
    if alive < len(units_of(order.items.all())):
        # Who asked in time may be served too late: a buyer whose clock was ahead took the goods meanwhile.
        raise _window_over(due)
    write_event(order, Kind.HOLD_EXTENDED, actor=actor, now=now, until=until.isoformat(), reason=reason)
    return order
