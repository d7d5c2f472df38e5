from django.contrib import admin

from orders_project.read_only import ReadOnlyAdmin
from reservations.models import StockReservation


@admin.register(StockReservation)
class StockReservationAdmin(ReadOnlyAdmin):
    list_display = ("product", "quantity", "status", "expires_at", "created_at", "closed_at")
    list_filter = ("business", "status")
    list_select_related = ("product",)
    search_fields = ("product__sku",)
    ordering = ("-created_at",)
