"""What beat asks for."""

from itertools import zip_longest

from celery import shared_task

from orders.models import Order
from orders.services import expire_in_batches
from orders_project.clock import database_now


@shared_task
def expire_due_orders() -> int:
    """The payment timeout: cancel what was not paid in time, a batch of each business in turn, so that one
    with a great many keeps nobody else's goods off the shelf. Safe to run twice at once."""
    now = database_now()
    businesses = Order.objects.due(now).order_by().values_list("business_id", flat=True).distinct()
    sweeps = [expire_in_batches(business_id=business_id, now=now) for business_id in businesses]
    return sum(expired for turn in zip_longest(*sweeps, fillvalue=0) for expired in turn)
