"""The ledger."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from catalog.long_lists import AnyOf, DaysBetween, LongListAdmin
from catalog.models import Product, StockMovement
from catalog.staff import access_in
from catalog.wording import DASH, at, signed, who


@admin.register(StockMovement)
class StockMovementAdmin(LongListAdmin):
    question = "What moved, by how much, and who moved it?"
    empty = "The ledger gets a line whenever units come in, are held, given back or sold."
    list_display = ("time", "goods", "what", "stock", "held", "of_order", "by", "reason")
    list_filter = (("kind", AnyOf), ("at", DaysBetween))
    list_select_related = ("product",)
    search_fields = ("product__sku",)
    search_help_text = "SKU or name of a product"
    sortable_by = ("time",)
    ordering = ("-at", "-id")
    fields = readonly_fields = list_display
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "ledger": {
            "at": "at",
            "sku": "product__sku",
            "kind": "kind",
            "stock_delta": "stock_delta",
            "reserved_delta": "reserved_delta",
            "order_id": "order_id",
            "actor": "actor",
            "reason": "reason",
        }
    }

    @admin.display(description="when", ordering="at")
    def time(self, movement: StockMovement) -> str:
        return at(movement.at)

    @admin.display(description="product")
    def goods(self, movement: StockMovement) -> str:
        address = reverse("staff:product", args=[movement.product_id])
        return format_html('<a class="hf-link" href="{}">{}</a>', address, movement.product.sku)

    @admin.display(description="what")
    def what(self, movement: StockMovement) -> str:
        return capfirst(movement.get_kind_display())

    @admin.display(description="stock")
    def stock(self, movement: StockMovement) -> str:
        return signed(movement.stock_delta)

    @admin.display(description="held")
    def held(self, movement: StockMovement) -> str:
        return signed(movement.reserved_delta)

    @admin.display(description="order")
    def of_order(self, movement: StockMovement) -> str:
        if movement.order_id is None:
            return DASH
        return format_html(
            '<a class="hf-link" href="{}">Open</a>', reverse("staff:order", args=[movement.order_id])
        )

    @admin.display(description="who")
    def by(self, movement: StockMovement) -> str:
        return who(movement.actor)

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Any]:
        products = Product.objects.of(access_in(request).business.id).matching(words)
        return queryset.filter(product__in=products.values("id"))
