from typing import Any

from django.core.management.base import BaseCommand

from catalog.models import Business
from orders.stats import rebuild


class Command(BaseCommand):
    help = "Count every business's daily sales, which its statistics are read from, anew from the orders."

    def handle(self, *args: Any, **options: Any) -> None:
        ids = list(Business.objects.order_by("id").values_list("id", flat=True))
        for business_id in ids:
            rebuild(business_id=business_id)
        self.stdout.write(self.style.SUCCESS(f"Counted the daily sales of {len(ids)} businesses anew."))
