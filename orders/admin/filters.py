"""What the list of orders can be narrowed by. It all stands in the address, and goes together:

?needs=overdue | expiring | to_pack | no_tracking | refund_due | paid_late | pending_but_paid
?status__exact=paid&status__exact=processing     ?payment_status__exact=failed     ?channel__exact=website
?created_at_from=2026-11-01&created_at_to=2026-11-30     days of the business's zone, both included
?total_from=10&total_to=20     ?sku=MUG-01     ?customer=<id>
?q=the beginning of a number or tracking number, an SKU, an external id, part of a name, phone or email
"""

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import TextFilter

from catalog.long_lists import Tabs
from catalog.models import LONGEST_SKU, Product
from catalog.staff import access_in
from orders.needs import NEEDS
from orders.querysets import OrderQuerySet


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
        sku = (self.value() or "").strip()[:LONGEST_SKU]
        products = Product.objects.of(access_in(request).business.id)
        return queryset.with_sku(products.as_filed([sku])[sku]) if sku else queryset
