"""What beat asks for."""

from celery import shared_task

from catalog.jobs import job
from orders_project.clock import database_now
from reservations import minutes


@shared_task
@job("stock-minutes")
def fold_minutes() -> int:
    """Write down what became of the holds, and the demand that was refused, minute by minute."""
    return minutes.fold_minutes(now=database_now())
