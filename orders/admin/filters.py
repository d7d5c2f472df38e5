"""What the list of orders can be narrowed by. It all stands in the address, and goes together:

?needs=overdue | expiring | to_pack | no_tracking | refund_due | paid_late | pending_but_paid
?status__exact=paid&status__exact=processing     ?payment_status__exact=failed     ?channel__exact=website
?created_at_from=2026-11-01&created_at_to=2026-11-30     days of the business's zone, both included
?total_from=10&total_to=20     ?sku=MUG-01     ?customer=<id>
?q=the beginning of a number or tracking number, an SKU, an external id, part of a name, phone or email
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import TextFilter

from catalog.long_lists import Tabs
from catalog.staff import access_in
from orders.querysets import OrderQuerySet

SOON = timedelta(minutes=3)
TOO_LONG = timedelta(days=3)  # from packing to the door
LATELY = timedelta(days=30)

# What staff look for: what it is called, and which orders it means now.
NEEDS: dict[str, tuple[str, Callable[[OrderQuerySet, datetime], OrderQuerySet]]] = {
    "expiring": ("Expiring soon", lambda orders, now: orders.due_between(now, now + SOON)),
    "overdue": ("Overdue", lambda orders, now: orders.due(now)),
    "to_pack": ("To pack", lambda orders, now: orders.to_pack()),
    "no_tracking": ("No tracking", lambda orders, now: orders.processing_since(now - TOO_LONG)),
    "refund_due": ("Refund due", lambda orders, now: orders.to_refund()),
    "paid_late": ("Paid late", lambda orders, now: orders.paid_late()),
    "pending_but_paid": ("Pending but paid", lambda orders, now: orders.paid_unbooked(now - LATELY)),
}


class NeedsFilter(Tabs):
    title = "what needs a hand"
    parameter_name = "needs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, words) for name, (words, _) in NEEDS.items()]

    def narrowed(self, queryset: OrderQuerySet, asked: str, request: HttpRequest) -> OrderQuerySet:
        return NEEDS[asked][1](queryset, access_in(request).now)


class SkuFilter(TextFilter):
    title = "SKU"
    parameter_name = "sku"

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Any]:
        sku = (self.value() or "").strip()
        return queryset.with_sku(sku) if sku else queryset
