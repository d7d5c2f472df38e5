"""Changing an order's row by compare-and-set, and writing down what happened."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from orders.errors import IllegalTransition, OrderNotFound
from orders.lifecycle import MAY_BECOME, Status, may_become
from orders.models import Order, OrderEvent

Kind = OrderEvent.Kind


def find_order(*, business_id: UUID, order_id: UUID, locked: bool = False) -> Order:
    """One order with its customer; `locked`, nobody else can change it until the transaction ends.

    Raises OrderNotFound, for another business's order too.
    """
    orders = Order.objects.of(business_id).filter(id=order_id).select_related("customer", "business")
    order = (orders.lock() if locked else orders).first()
    if order is None:
        raise OrderNotFound("There is no such order.", order=str(order_id))
    return order


def compare_and_set(*, business_id: UUID, order_id: UUID, where: Mapping[str, Any], **changes: Any) -> bool:
    """Change an order if it is as `where` says. The row count is the answer: of several who try at once
    the database lets one through, and the row stays theirs until the transaction ends."""
    rows = Order.objects.of(business_id).filter(id=order_id, **where)
    return bool(rows.update(version=F("version") + 1, **changes))


def move(*, business_id: UUID, order_id: UUID, to: Status, **changes: Any) -> tuple[Order, bool]:
    """Bring an order to a status, if the table of statuses allows it.

    Returns the order as it is then, and whether it was moved; False says that it was there already, for
    what is already done is a success. Raises IllegalTransition, OrderNotFound.
    """
    moved = compare_and_set(
        business_id=business_id,
        order_id=order_id,
        where={"status__in": may_become(to)},
        status=to,
        **changes,
    )
    order = find_order(business_id=business_id, order_id=order_id)
    if not moved and order.status != to:
        raise refuse_move(order, to)
    return order, moved


def event_of(order: Order, kind: Kind, *, actor: str, now: datetime, **facts: Any) -> OrderEvent:
    """The event of the change that made the order's present version. Not saved."""
    return OrderEvent(
        business_id=order.business_id,
        order=order,
        version=order.version,
        kind=kind,
        actor=actor,
        at=now,
        facts=facts,
    )


def write_event(order: Order, kind: Kind, *, actor: str, now: datetime, **facts: Any) -> None:
    """Write down the change that made the order's present version."""
    event_of(order, kind, actor=actor, now=now, **facts).save(force_insert=True)


def refuse_move(
    order: Order, requested: str, error: type[IllegalTransition] = IllegalTransition
) -> IllegalTransition:
    """The refusal of a move that the order's status doesn't allow; it says who brought it there, and when."""
    last = order.events.latest("version")
    return error(
        f"The order is {order.status} (last changed by {last.actor}); it can't become {requested}.",
        order_status=order.status,
        requested=requested,
        allowed=list(MAY_BECOME[Status(order.status)]),
        last_change={"kind": last.kind, "actor": last.actor, "at": last.at.isoformat()},
    )


def refuse(*, business_id: UUID, order_id: UUID, status: Status, actor: str, now: datetime) -> Order:
    """A move that no verb makes, such as back to draft. Raises IllegalTransition with the legal ones."""
    order, _ = move(business_id=business_id, order_id=order_id, to=status)
    return order
