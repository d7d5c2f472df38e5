"""How orders end without the goods: cancelled by someone, or by silence."""

import logging
import math
import time
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Case, Q, Value, When

from catalog.live import feed
from orders.lifecycle import CancelReason, PaymentStatus, Status
from orders.models import Order, OrderEvent
from orders.services.bad_orders import BAD_ORDER, BadOrders
from orders.services.timeline import find_order, move, refuse_move, write_event
from orders.services.worth import restate_worth
from orders_project.transactions import one_transaction
from reservations import services as reservations

logger = logging.getLogger(__name__)

Kind = OrderEvent.Kind

SWEEP_ACTOR = "job:payment_timeout"
SWEEP_BATCH = 250  # orders in one transaction: many, and still so few that buyers of the same goods hardly wait
# After a batch that took more than twice as long as the quickest, as a multiple of what it took more: where
# nobody buys the sweep goes on at full speed, and the busier the database is the more room it makes for buyers.
SWEEP_REST = 4.0

# What becomes of the payment: money that came in, and didn't go back, is owed. A gift owes nothing back.
OWED_WHEN_CANCELLED = Case(
    When(status__in=(Status.DRAFT, Status.PENDING), then="payment_status"),
    When(Q(payment_status=PaymentStatus.REFUNDED) | Q(total=0), then=Value(PaymentStatus.REFUNDED)),
    default=Value(PaymentStatus.REFUND_DUE),
)


@one_transaction
def cancel(*, business_id: UUID, order_id: UUID, reason: str, actor: str, now: datetime) -> Order:
    """Call an order off, for a reason. What it held is released; what it bought goes back on the shelf
    and its money becomes due for a refund. An order that is cancelled already stays as it is.

    Raises IllegalTransition for one that has been shipped, OrderNotFound.
    """
    order, moved = move(
        business_id=business_id,
        order_id=order_id,
        to=Status.CANCELLED,
        payment_status=OWED_WHEN_CANCELLED,
        cancel_reason=reason,
        cancelled_at=now,
        payment_due_at=None,
    )
    if not moved:
        return order
    if order.paid_at is None:
        write_event(order, Kind.CANCELLED, actor=actor, now=now, reason=reason)
        reservations.release(business_id=business_id, order_ids=[order_id], actor=actor, now=now)
    else:
        payment_status = order.payment_status
        write_event(order, Kind.CANCELLED, actor=actor, now=now, reason=reason, payment_status=payment_status)
        restate_worth(customer_ids=[order.customer_id], now=now)
        reservations.restock(business_id=business_id, order_id=order_id, actor=actor, now=now, reason=reason)
    return order


@one_transaction
def release_hold(*, business_id: UUID, order_id: UUID, reason: str, actor: str, now: datetime) -> Order:
    """End the hold of an order that nobody paid yet: the order is cancelled, and its units are free again.

    Raises IllegalTransition for one that was paid meanwhile, which to cancel is another decision, or that
    ended; OrderNotFound.
    """
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    if order.status != Status.PENDING:
        raise refuse_move(order, "cancelled as unpaid")
    return cancel(business_id=business_id, order_id=order_id, reason=reason, actor=actor, now=now)


def expire_due(*, business_id: UUID, now: datetime) -> int:
    """Cancel every order of a business whose time to be paid is over, and give back what it held.

    Returns how many orders were expired; raises RuntimeError if some could not be, when all had their turn.
    """
    with BadOrders() as bad:
        return sum(expire_in_batches(business_id=business_id, now=now, bad=bad))


def expire_in_batches(*, business_id: UUID, now: datetime, bad: BadOrders) -> Iterator[int]:
    """Expire the due orders of a business, the longest due first: how many, batch by batch.

    Each batch is a transaction, and each order is tried once: those that someone else is changing are
    passed over (they are paid or cancelled just now, or the next sweep's); one that can't be expired is
    left with the bad ones, and stops no other.
    """
    due = Order.objects.of(business_id).due(now).order_by("payment_due_at", "id")
    rest = due
    quickest = math.inf
    while batch := list(rest.values_list("payment_due_at", "id")[:SWEEP_BATCH]):
        began = time.monotonic()
        expired = _expire_what_can_be(
            [order_id for _, order_id in batch], business_id=business_id, now=now, bad=bad
        )
        took = time.monotonic() - began
        yield expired
        if len(batch) < SWEEP_BATCH:
            break
        if expired == len(batch):  # no order was passed over, which takes no time
            quickest = min(quickest, took)
            time.sleep(SWEEP_REST * max(0, took - 2 * quickest))
        at, last = batch[-1]
        rest = due.filter(Q(payment_due_at__gte=at) & (Q(payment_due_at__gt=at) | Q(id__gt=last)))


def _expire_what_can_be(order_ids: list[UUID], *, business_id: UUID, now: datetime, bad: BadOrders) -> int:
    try:
        return _expire(business_id=business_id, order_ids=order_ids, now=now)
    except BAD_ORDER as error:
        if len(order_ids) == 1:
            bad.leave(business_id, order_ids[0])
            return 0
        logger.warning(
            "A batch of %d due orders failed (%s); they are tried one by one.",
            len(order_ids),
            type(error).__name__,
        )
    return sum(
        _expire_what_can_be([order_id], business_id=business_id, now=now, bad=bad) for order_id in order_ids
    )


# Locked by their keys alone, and only then asked whether they are still due: with the question in one WHERE
# with the keys, stale statistics can have the whole backlog read for each batch. Only a pending order is due: the
# rule order_pending_has_due_time.
EXPIRE = """
    WITH locked AS (
        SELECT id, payment_due_at FROM orders_order
        WHERE id = ANY(%(order_ids)s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    ), expired AS (
        UPDATE orders_order
        SET status = %(cancelled)s, cancel_reason = %(reason)s, cancelled_at = %(now)s, payment_due_at = NULL,
            version = version + 1
        WHERE id = ANY(ARRAY(SELECT id FROM locked WHERE payment_due_at <= %(now)s))
        RETURNING id, version, old.payment_due_at
    )
    INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)
    SELECT uuidv7(), %(business_id)s, id, version, %(kind)s, %(actor)s, %(now)s,
        jsonb_build_object('payment_due_at', payment_due_at)
    FROM expired RETURNING order_id
"""


@one_transaction
def _expire(*, business_id: UUID, order_ids: list[UUID], now: datetime) -> int:
    """Expire those of the orders that are still due and that nobody else is changing; returns how many."""
    with connection.cursor() as cursor:
        # Nobody was told of it yet: what a crash takes back, the next sweep does again. So no shelf is kept
        # waiting for the disk.
        cursor.execute("SET LOCAL synchronous_commit TO off")
        cursor.execute(
            EXPIRE,
            {
                "business_id": business_id,
                "order_ids": order_ids,
                "cancelled": Status.CANCELLED,
                "reason": CancelReason.PAYMENT_TIMEOUT,
                "kind": Kind.EXPIRED,
                "actor": SWEEP_ACTOR,
                "now": now,
            },
        )
        expired = [order_id for (order_id,) in cursor]
    reservations.expire(business_id=business_id, order_ids=expired, actor=SWEEP_ACTOR, now=now)
    feed.touch_orders(business_id, expired)
    return len(expired)
