"""What beat asks for."""

from celery import shared_task

from orders.models import Order
from orders.services import expire_due
from orders_project.clock import database_now


@shared_task
def expire_due_orders() -> int:
    """The payment timeout: cancel what was not paid in time, business by business. Safe to run twice at once."""
    now = database_now()
    businesses = Order.objects.due(now).order_by().values_list("business_id", flat=True).distinct()
    return sum(expire_due(business_id=business_id, now=now) for business_id in businesses)
