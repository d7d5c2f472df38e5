"""The ledger."""

from collections.abc import Mapping
from typing import ClassVar

from django.contrib import admin

from catalog.columns import Happened, OfGoods
from catalog.long_lists import AnyOf, DaysBetween, LongListAdmin
from catalog.models import StockMovement
from catalog.wording import signed


@admin.register(StockMovement)
class StockMovementAdmin(Happened, OfGoods, LongListAdmin):
    question = "What moved, by how much, and who moved it?"
    empty = "The ledger gets a line whenever units come in, are held, given back or sold."
    list_display = ("time", "goods", "what", "stock", "held", "of_order", "by", "reason")
    list_filter = (("kind", AnyOf), ("at", DaysBetween))
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

    @admin.display(description="stock")
    def stock(self, movement: StockMovement) -> str:
        return signed(movement.stock_delta)

    @admin.display(description="held")
    def held(self, movement: StockMovement) -> str:
        return signed(movement.reserved_delta)
