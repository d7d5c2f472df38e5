"""What beat asks for."""

from celery import shared_task

from catalog.digest import send_digests
from catalog.jobs import job
from orders_project.clock import database_now


@shared_task
@job("alert-digest")
def send_alert_digest() -> int:
    """Tell people by mail of the alerts that are new to them."""
    return send_digests(now=database_now())
