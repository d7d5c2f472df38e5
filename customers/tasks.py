"""What beat asks for."""

from celery import shared_task

from catalog.jobs import job
from customers import services
from orders_project.clock import database_now


@shared_task
@job("customer-scores")
def rescore_customers() -> int:
    """Recency fades by itself, so every score is brought up to the day."""
    return services.rescore_everyone(now=database_now())
