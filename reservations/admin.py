"""Every hold that there was, and how it ended."""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.text import capfirst

from catalog.columns import OfGoods
from catalog.long_lists import AnyOf, DaysBetween, LongListAdmin
from catalog.wording import at, countdown, grouped
from reservations.models import StockReservation

Status = StockReservation.Status

# Held is amber, sold is green, what is over is grey.
TONES = {Status.ACTIVE: "held", Status.CONVERTED: "sold", Status.RELEASED: "ended", Status.EXPIRED: "ended"}


@admin.register(StockReservation)
class StockReservationAdmin(OfGoods, LongListAdmin):
    question = "What was held, and how did it end?"
    empty = "No holds yet. An order that waits for its payment holds its units."
    list_display = ("made", "goods", "units", "stands", "due", "ended", "of_order")
    list_filter = (("status", AnyOf), ("created_at", DaysBetween))
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
