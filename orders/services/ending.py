"""How orders end without the goods: cancelled by someone, or by silence."""

import logging
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Case, F, Q, Value, When

from orders.lifecycle import CancelReason, PaymentStatus, Status
from orders.models import Order, OrderEvent
from orders.services.timeline import compare_and_set, event_of, find_order, refuse_move, write_event
from orders.services.worth import restate_worth
from orders_project.errors import Busy
from orders_project.transactions import one_transaction
from reservations import services as reservations
from reservations.services import ShelfShort

logger = logging.getLogger(__name__)

Kind = OrderEvent.Kind

SWEEP_ACTOR = "job:payment_timeout"
SWEEP_BATCH = 200  # orders in one transaction: small, so that buyers of the same goods wait only a moment

# What one bad order can do to a sweep: break a rule, move a counter that drifted, wait for a lock for ever.
BAD_ORDER = (DatabaseError, ShelfShort, Busy)


@one_transaction
def cancel(*, business_id: UUID, order_id: UUID, reason: str, actor: str, now: datetime) -> Order:
    """Call an order off, for a reason. What it held is released; what it bought goes back on the shelf
    and its money becomes due for a refund. An order that is cancelled already stays as it is.

    Raises IllegalTransition for one that has been shipped, OrderNotFound.
    """
    cancelled: dict[str, Any] = {
        "status": Status.CANCELLED,
        "cancel_reason": reason,
        "cancelled_at": now,
        "payment_due_at": None,
    }
    key: dict[str, Any] = {"business_id": business_id, "order_id": order_id}
    # An order goes from unpaid to paid and never back, so these two questions, asked in this order, miss none.
    if compare_and_set(**key, where={"status__in": (Status.DRAFT, Status.PENDING)}, **cancelled):
        order = find_order(**key)
        write_event(order, Kind.CANCELLED, actor=actor, now=now, reason=reason)
        reservations.release(business_id=business_id, order_ids=[order_id], actor=actor, now=now)
        return order
    if compare_and_set(
        **key,
        where={"status__in": (Status.PAID, Status.PROCESSING)},
        payment_status=Case(
            When(
                Q(payment_status=PaymentStatus.REFUNDED) | Q(total=0),
                then=Value(PaymentStatus.REFUNDED),
            ),
            default=Value(PaymentStatus.REFUND_DUE),
        ),
        **cancelled,
    ):
        order = find_order(**key)
        write_event(
            order,
            Kind.CANCELLED,
            actor=actor,
            now=now,
            reason=reason,
            payment_status=order.payment_status,
        )
        restate_worth(customer_ids=[order.customer_id], now=now)
        reservations.restock(business_id=business_id, order_id=order_id, actor=actor, now=now, reason=reason)
        return order
    order = find_order(**key)
    if order.status != Status.CANCELLED:
        raise refuse_move(order, Status.CANCELLED)
    return order


def expire_due(*, business_id: UUID, now: datetime) -> int:
    """Cancel every order of a business whose time to be paid is over, and give back what it held.

    In batches, each a transaction, until none is left; orders that someone else is changing are passed
    over (they are paid or cancelled just now, or the next sweep's). An order that can't be expired is
    logged and left, and stops no other. Returns how many orders were expired.
    """
    expired = 0
    failed: set[UUID] = set()
    while due := list(
        Order.objects.of(business_id)
        .due(now)
        .exclude(id__in=failed)
        .order_by("payment_due_at")
        .values_list("id", flat=True)[:SWEEP_BATCH]
    ):
        try:
            done = _expire(business_id=business_id, order_ids=due, now=now)
        except BAD_ORDER:
            logger.warning(
                "A batch of %d due orders failed; they are tried one by one.",
                len(due),
                exc_info=True,
            )
            done = 0
            for order_id in due:
                try:
                    done += _expire(business_id=business_id, order_ids=[order_id], now=now)
                except BAD_ORDER:
                    failed.add(order_id)
                    logger.exception("Order %s could not be expired.", order_id)
        expired += done
        if not done and not failed.intersection(due):
            break  # what is left is locked by those who are changing it
    return expired


@one_transaction
def _expire(*, business_id: UUID, order_ids: Collection[UUID], now: datetime) -> int:
    """Expire those of the orders that are still due and that nobody else is changing; returns how many."""
    still_due = Order.objects.of(business_id).due(now).filter(id__in=order_ids)
    orders = list(still_due.lock(skip_locked=True))
    ids = [order.id for order in orders]
    if not ids:
        return 0
    # The condition is asked again in the statement that changes: only what is locked and still due.
    Order.objects.of(business_id).due(now).filter(id__in=ids).update(
        status=Status.CANCELLED,
        cancel_reason=CancelReason.PAYMENT_TIMEOUT,
        cancelled_at=now,
        payment_due_at=None,
        version=F("version") + 1,
    )
    events = []
    for order in orders:
        assert order.payment_due_at is not None  # or it wouldn't be due
        order.version += 1
        due_at = order.payment_due_at.isoformat()
        events.append(event_of(order, Kind.EXPIRED, actor=SWEEP_ACTOR, now=now, payment_due_at=due_at))
    OrderEvent.objects.bulk_create(events)
    reservations.expire(business_id=business_id, order_ids=ids, actor=SWEEP_ACTOR, now=now)
    return len(ids)
