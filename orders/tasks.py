"""What beat asks for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import zip_longest
from uuid import UUID

from celery import shared_task
from django.db import connection

from catalog.jobs import for_each, job, run_for_each
from catalog.models import Business
from catalog.watching import watch_jobs
from orders import bulk, payment_notices, tidying, watching, webhooks
from orders.models import Order
from orders.reconciliation import reconcile
from orders.services import SWEEP_BATCH, expire_in_batches
from orders.services.bad_orders import BadOrders
from orders_project.clock import database_now

SWEEPERS = 2  # for a backlog: each passes over what the other has locked


@shared_task
@job("payment-timeout")
def expire_due_orders() -> int:
    """The payment timeout: cancel what was not paid in time, a batch of each business in turn, so that one
    with a great many keeps nobody else's goods off the shelf. Safe to run twice at once."""
    now = database_now()
    due = Order.objects.due(now).order_by()
    businesses = list(due.values_list("business_id", flat=True).distinct())
    with BadOrders() as bad:
        if not due[SWEEP_BATCH : SWEEP_BATCH + 1].exists():
            return _sweep(businesses, now, bad)
        with ThreadPoolExecutor(SWEEPERS) as sweepers:
            sweeps = [sweepers.submit(_sweep_apart, businesses, now, bad) for _ in range(SWEEPERS)]
            return sum(sweep.result() for sweep in sweeps)


def _sweep(businesses: Sequence[UUID], now: datetime, bad: BadOrders) -> int:
    sweeps = [expire_in_batches(business_id=business_id, now=now, bad=bad) for business_id in businesses]
    return sum(expired for turn in zip_longest(*sweeps, fillvalue=0) for expired in turn)


def _sweep_apart(businesses: Sequence[UUID], now: datetime, bad: BadOrders) -> int:
    """A sweep in a thread, with a connection of its own."""
    try:
        return _sweep(businesses, now, bad)
    finally:
        connection.close()


@shared_task
@job("bulk-runs")
def do_bulk_runs() -> int:
    """Do what waits in the bulk runs that people confirmed. Asked for by beat, and when a run is confirmed."""
    return bulk.work()


@shared_task
@job("payment-notices")
def try_payment_notices() -> int:
    """Try once more what payment providers told too early."""
    return payment_notices.try_again_those_due()


@shared_task
@job("webhooks")
def send_webhooks() -> int:
    """Tell other programs what happened to the orders. Safe to run twice at once."""
    return webhooks.work()


@shared_task
@job("stock-watch")
def watch_shops() -> int:
    """See whether something is amiss with the jobs and in the shops, and open and close their alerts."""
    watch_jobs(now=database_now())
    businesses = Business.objects.values_list("id", flat=True)
    return for_each(businesses, lambda business_id: watching.watch(business_id=business_id, now=database_now()))


@shared_task
@job("stuck-reservations")
def free_stuck_reservations() -> int:
    """End the holds that outlived their order or their time."""
    return tidying.free_stuck(now=database_now())


@shared_task
@job("stock-reconciliation")
def reconcile_stock() -> int:
    """Compare the books of every business."""
    return run_for_each(
        "stock-reconciliation", lambda business_id: reconcile(business_id=business_id, now=database_now())
    )


@shared_task
@job("clean-up")
def clean_up() -> int:
    """Put away what nobody needs any more."""
    return tidying.clean_up(now=database_now())
