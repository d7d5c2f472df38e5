"""Columns that several lists of the back office have."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from catalog.models import Product
from catalog.staff import access_in
from catalog.wording import DASH, at, who


def page_link(page: str, key: Any, words: str) -> str:
    """A link to one of our pages about one thing."""
    return format_html('<a class="hf-link" href="{}">{}</a>', reverse(f"staff:{page}", args=[key]), words)


class Happened:
    """Of what happened once and stays so: when, what, and who did it. The newest is at the top."""

    sortable_by: ClassVar[Any] = ("time",)
    ordering: ClassVar[Any] = ("-at", "-id")

    @admin.display(description="when", ordering="at")
    def time(self, row: Any) -> str:
        return at(row.at)

    @admin.display(description="what")
    def what(self, row: Any) -> str:
        return capfirst(row.get_kind_display())

    @admin.display(description="who")
    def by(self, row: Any) -> str:
        return who(row.actor)


class OfGoods:
    """Of units of a product: which one, and for which order. They are found by the product's SKU or name."""

    list_select_related: ClassVar[Any] = ("product",)
    search_fields: ClassVar[Any] = ("product__sku",)
    search_help_text: ClassVar[str] = "SKU or name of a product"

    @admin.display(description="product")
    def goods(self, row: Any) -> str:
        return page_link("product", row.product_id, row.product.sku)

    @admin.display(description="order")
    def of_order(self, row: Any) -> str:
        return DASH if row.order_id is None else page_link("order", row.order_id, "Open")

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Any]:
        products = Product.objects.of(access_in(request).business.id).matching(words)
        return queryset.filter(product__in=products.values("id"))
