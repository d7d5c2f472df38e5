from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from customers.models import Customer
from orders.services import restate_worth
from orders_project.clock import database_now

BATCH = 500


class Command(BaseCommand):
    help = "Count every customer's total_orders, total_spent and engagement_score anew from the orders."

    def handle(self, *args: Any, **options: Any) -> None:
        ids = list(Customer.objects.order_by("id").values_list("id", flat=True))
        now = database_now()
        for start in range(0, len(ids), BATCH):
            with transaction.atomic():
                restate_worth(customer_ids=ids[start : start + BATCH], now=now)
        self.stdout.write(self.style.SUCCESS(f"Counted {len(ids)} customers anew."))
