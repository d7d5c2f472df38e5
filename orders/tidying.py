"""Tidying up: holds that are stuck, drafts that nobody wants any more, and records past their keep time.

Orders are never deleted, and neither are their idempotency keys, which stand in their rows: a repeat that comes
a year later finds its order.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from catalog.models import Alert, Business, JobRun, StockMovement
from orders import webhooks
from orders.lifecycle import SOLD, CancelReason, Status
from orders.models import BulkRun, Order, PaymentNotice, WebhookDelivery
from orders.services import cancel, expire_in_batches, find_order
from orders.services.bad_orders import BAD_ORDER, BadOrders
from orders_project.rows import select
from orders_project.transactions import one_transaction
from reservations import services as reservations
from reservations.models import RefusedDemand, StockMinute

ACTOR = "job:clean-up"
# What is over for longer than this the sweep has missed: it comes by every few seconds, and may have a backlog.
OVERDUE_AFTER = timedelta(seconds=30)
FEW = 5000  # rows in one transaction, and drafts of a business in one run
UNCONFIRMED_FOR = timedelta(days=1)  # a bulk run that was looked over, and neither confirmed nor discarded


def _expire_overdue(now: datetime, bad: BadOrders) -> int:
    """Expire what the sweep should have expired by now, and did not. Returns how many orders."""
    overdue = Order.objects.due(now - OVERDUE_AFTER).order_by().values_list("business_id", flat=True).distinct()
    return sum(sum(expire_in_batches(business_id=business_id, now=now, bad=bad)) for business_id in overdue)


# Holds of orders that wait for no payment, or that aren't there; and those that end long before their orders.
STUCK = """
    SELECT DISTINCT hold.business_id, hold.order_id
    FROM reservations_stockreservation AS hold LEFT JOIN orders_order AS orders ON orders.id = hold.order_id
    WHERE hold.status = 'active'
        AND (orders.status IS DISTINCT FROM 'pending' OR expires_at < %s AND payment_due_at > %s)
"""

# How the hold of an order ends that should have ended with it; without one, when there is no such order.
ENDS_AS: dict[Status | None, StockMovement.Kind] = {
    None: StockMovement.Kind.RECONCILED,
    Status.DRAFT: StockMovement.Kind.RELEASED,
    Status.CANCELLED: StockMovement.Kind.RELEASED,
    **dict.fromkeys(SOLD, StockMovement.Kind.SOLD),
}


def free_stuck(*, now: datetime) -> int:
    """End the holds that are stuck: overdue (OVERDUE_AFTER), of an order that waits for no payment, or of no
    order. One that is overdue though its order still has time is given that time. Returns how many orders and
    holds that were; raises RuntimeError if some could not be ended, when all had their turn.
    """
    with BadOrders() as bad:
        freed = _expire_overdue(now, bad)
        for business_id, order_id in select(STUCK, now - OVERDUE_AFTER, now):
            try:
                freed += _free(business_id=business_id, order_id=order_id, now=now)
            except BAD_ORDER:
                bad.leave(business_id, order_id)
    return freed


@one_transaction
def _free(*, business_id: UUID, order_id: UUID, now: datetime) -> int:
    order = Order.objects.of(business_id).filter(id=order_id).lock().first()
    if order and order.payment_due_at:  # it is pending
        return reservations.keep(business_id=business_id, order_id=order_id, until=order.payment_due_at)
    status = Status(order.status) if order else None
    return reservations.end_leftovers(
        business_id=business_id,
        order_id=order_id,
        kind=ENDS_AS[status],
        actor="job:stuck-reservations",
        now=now,
        reason=f"It was left over from an order that {f'is {status}' if status else 'is not there'}.",
    )


def clean_up(*, now: datetime) -> int:
    """Expire overdue orders that are left over, call off abandoned drafts, and delete records past their keep
    time. Returns how many rows that were; raises RuntimeError if some orders could not be ended, when all else
    is done."""
    with BadOrders() as bad:
        cleaned = _expire_overdue(now, bad)
        for business_id in Business.objects.values_list("id", flat=True):
            cleaned += _call_off_drafts(business_id=business_id, now=now, bad=bad)
            cleaned += webhooks.give_up_old(business_id=business_id, now=now)
        cleaned += sum(_delete(rows) for rows in _past_keep_time(now))
    return cleaned


def _past_keep_time(now: datetime) -> list[QuerySet[Any]]:
    kept_since = {name: now - timedelta(days=days) for name, days in settings.RETENTION_DAYS.items()}
    return [
        JobRun.objects.filter(started_at__lt=kept_since["job_runs"]),
        Alert.objects.filter(closed_at__lt=kept_since["alerts"]),
        StockMinute.objects.filter(minute__lt=kept_since["minutes"]),
        RefusedDemand.objects.filter(minute__lt=kept_since["minutes"]),
        Session.objects.filter(expire_date__lt=now),
        BulkRun.objects.filter(ended_at__lt=kept_since["bulk_runs"]),
        BulkRun.objects.unconfirmed().filter(created_at__lt=now - UNCONFIRMED_FOR),
        PaymentNotice.objects.filter(settled_at__lt=kept_since["payment_notices"]),
        WebhookDelivery.objects.filter(queued_at__lt=kept_since["webhooks"]),
    ]


def _delete(rows: QuerySet[Any]) -> int:
    """Delete rows, some at a time, so that no transaction is long."""
    deleted = 0
    while keys := list(rows.values_list("pk", flat=True)[:FEW]):
        deleted += rows.filter(pk__in=keys).delete()[0]
    return deleted


def _call_off_drafts(*, business_id: UUID, now: datetime, bad: BadOrders) -> int:
    since = now - timedelta(days=settings.RETENTION_DAYS["drafts"])
    drafts = Order.objects.of(business_id).abandoned(since).order_by("created_at", "id")
    called_off = 0
    for order_id in list(drafts.values_list("id", flat=True)[:FEW]):
        try:
            called_off += _call_off_draft(business_id=business_id, order_id=order_id, since=since, now=now)
        except BAD_ORDER:
            bad.leave(business_id, order_id)
    return called_off


@one_transaction
def _call_off_draft(*, business_id: UUID, order_id: UUID, since: datetime, now: datetime) -> int:
    """Cancel a draft, unless somebody touched it just now."""
    find_order(business_id=business_id, order_id=order_id, locked=True)
    if not Order.objects.of(business_id).filter(id=order_id).abandoned(since).exists():
        return 0
    cancel(business_id=business_id, order_id=order_id, reason=CancelReason.ABANDONED, actor=ACTOR, now=now)
    return 1
