"""Changing an order's row by compare-and-set, and writing down what happened."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from django.db.models import F
from django.db.models.sql import UpdateQuery

from catalog.live import feed
from catalog.wording import spoken, who
from orders.errors import IllegalTransition, OrderNotFound
from orders.lifecycle import MAY_BECOME, Status, may_become
from orders.models import Order, OrderEvent
from orders_project.errors import PreconditionFailed
from orders_project.ids import new_id_text
from orders_project.rows import Insert, Row, insert
from orders_project.transactions import one_transaction

Kind = OrderEvent.Kind


def find_order(*, business_id: UUID, order_id: UUID, locked: bool = False) -> Order:
    """One order with its customer; `locked`, nobody else can change it until the transaction ends.

    Raises OrderNotFound, for another business's order too.
    """
    orders = Order.objects.of(business_id).filter(id=order_id)
    if locked:
        # By itself: together with its customer it would not be found while they are merged into another.
        list(orders.lock().values_list("id"))
    order = orders.select_related("customer", "business").first()
    if order is None:
        raise OrderNotFound("There is no such order.", order=str(order_id))
    return order


def compare_and_set(
    *, business_id: UUID, order_id: UUID, where: Mapping[str, Any], **changes: Any
) -> Order | None:
    """Change an order if it is as `where` says; returns it as it is then, or None. Of several who try at
    once the database lets one through, and the row stays theirs until the transaction ends."""
    order = Order.objects.of(business_id).filter(id=order_id, **where)
    update = cast(UpdateQuery, order.query.chain(UpdateQuery))
    update.add_update_values({"version": F("version") + 1, **changes})
    sql, params = update.sql_with_params()
    changed = next(iter(Order.objects.raw(f"{sql} RETURNING *", params)), None)
    if changed is not None:
        feed.touch_orders(business_id, [order_id])
    return changed


def change_locked(order: Order, **changes: Any) -> Order:
    """Change an order that the caller has locked; returns it as it is then."""
    changed = compare_and_set(
        business_id=order.business_id, order_id=order.id, where={"version": order.version}, **changes
    )
    if changed is None:
        raise RuntimeError(f"order {order.id} changed under its lock")
    return changed


@one_transaction
def change_as_seen(*, business_id: UUID, order_id: UUID, version: int, change: Callable[[], Order]) -> Order:
    """Let a verb change an order that somebody saw at a version, and decided on, if nothing but notes came since.

    Raises PreconditionFailed, OrderNotFound, and what the verb does.
    """
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    last = order.events.filter(version__gt=version).exclude(kind=Kind.NOTED).order_by("version").last()
    if last is not None:
        raise PreconditionFailed(
            f"It changed since you looked: {spoken(last.kind)} by {who(last.actor)}. "
            "Nothing was done; look again, then decide.",
            version=order.version,
            expected=version,
        )
    return change()


def move(*, business_id: UUID, order_id: UUID, to: Status, **changes: Any) -> tuple[Order, bool]:
    """Bring an order to a status, if the table of statuses allows it.

    Returns the order as it is then, and whether it was moved; False says that it was there already, for
    what is already done is a success. Raises IllegalTransition, OrderNotFound.
    """
    moved = compare_and_set(
        business_id=business_id,
        order_id=order_id,
        where={"status__any_of": may_become(to)},
        status=to,
        **changes,
    )
    if moved is not None:
        return moved, True
    order = find_order(business_id=business_id, order_id=order_id)
    if order.status != to:
        raise refuse_move(order, to)
    return order, False


def event_of(
    *,
    business_id: UUID,
    order_id: UUID,
    version: int,
    kind: Kind,
    actor: str,
    now: datetime,
    facts: dict[str, Any],
) -> Row:
    """The row of an event: the change that made this version of an order."""
    return {
        "id": new_id_text(),
        "business_id": business_id,
        "order_id": order_id,
        "version": version,
        "kind": kind,
        "actor": actor,
        "at": now,
        "facts": facts,
    }


def write_event(order: Order, kind: Kind, *, actor: str, now: datetime, **facts: Any) -> None:
    """Write down the change that made the order's present version."""
    event = event_of(
        business_id=order.business_id,
        order_id=order.id,
        version=order.version,
        kind=kind,
        actor=actor,
        now=now,
        facts=facts,
    )
    insert(Insert(OrderEvent, [event]))


def refuse_move(
    order: Order, requested: str, error: type[IllegalTransition] = IllegalTransition
) -> IllegalTransition:
    """The refusal of a move that the order's status doesn't allow; it says who brought it there, and when."""
    last = order.events.latest("version")
    return error(
        f"The order is {order.status} (last changed by {who(last.actor)}); it can't become {requested}.",
        order_status=order.status,
        requested=requested,
        allowed=list(MAY_BECOME[Status(order.status)]),
        last_change={"kind": last.kind, "actor": last.actor, "at": last.at.isoformat()},
    )


def refuse(*, business_id: UUID, order_id: UUID, status: Status, actor: str, now: datetime) -> Order:
    """A move that no verb makes, such as back to draft. Raises IllegalTransition with the legal ones."""
    order, _ = move(business_id=business_id, order_id=order_id, to=status)
    return order
