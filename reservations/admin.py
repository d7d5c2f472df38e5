"""Every hold that there was, and how it ended."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from catalog.long_lists import AnyOf, DaysBetween, LongListAdmin
from catalog.models import Product
from catalog.staff import access_in
from catalog.wording import at, countdown, grouped
from reservations.models import StockReservation

Status = StockReservation.Status

# Held is amber, sold is green, what is over is grey.
TONES = {Status.ACTIVE: "held", Status.CONVERTED: "sold", Status.RELEASED: "ended", Status.EXPIRED: "ended"}


@admin.register(StockReservation)
class StockReservationAdmin(LongListAdmin):
    question = "What was held, and how did it end?"
    empty = "No holds yet. An order that waits for its payment holds its units."
    list_display = ("made", "goods", "units", "stands", "due", "ended", "of_order")
    list_filter = (("status", AnyOf), ("created_at", DaysBetween))
    list_select_related = ("product",)
    search_fields = ("product__sku",)
    search_help_text = "SKU or name of a product"
    sortable_by = ("made", "due")
    ordering = ("-created_at", "-id")
    fields = readonly_fields = list_display
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reservations": {
            "created_at": "created_at",
            "sku": "product__sku",
            "quantity": "quantity",
            "status": "status",
            "expires_at": "expires_at",
            "closed_at": "closed_at",
            "order_id": "order_id",
        }
    }

    @admin.display(description="made", ordering="created_at")
    def made(self, hold: StockReservation) -> str:
        return at(hold.created_at)

    @admin.display(description="product")
    def goods(self, hold: StockReservation) -> str:
        address = reverse("staff:product", args=[hold.product_id])
        return format_html('<a class="hf-link" href="{}">{}</a>', address, hold.product.sku)

    @admin.display(description="units")
    def units(self, hold: StockReservation) -> str:
        return grouped(hold.quantity)

    @admin.display(description="status")
    def stands(self, hold: StockReservation) -> str:
        known = Status(hold.status)
        return format_html('<span class="hf-tag hf-{}">{}</span>', TONES[known], capfirst(known.label))

    @admin.display(description="until", ordering="expires_at")
    def due(self, hold: StockReservation) -> str:
        return countdown(hold.expires_at) if hold.status == Status.ACTIVE else at(hold.expires_at)

    @admin.display(description="ended")
    def ended(self, hold: StockReservation) -> str:
        return at(hold.closed_at)

    @admin.display(description="order")
    def of_order(self, hold: StockReservation) -> str:
        return format_html('<a class="hf-link" href="{}">Open</a>', reverse("staff:order", args=[hold.order_id]))

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[StockReservation]:
        products = Product.objects.of(access_in(request).business.id).matching(words)
        return queryset.filter(product__in=products.values("id"))
