from django.contrib import admin

from orders.models import Order, OrderEvent, OrderItem, Payment, Shipment
from orders.templatetags.shown import price
from orders_project.read_only import ReadOnlyAdmin, ReadOnlyInline


class ItemInline(ReadOnlyInline):
    model = OrderItem
    fields = ("sku", "name", "unit_price", "quantity", "line_total")


class PaymentInline(ReadOnlyInline):
    model = Payment
    fields = ("kind", "provider", "reference", "amount", "currency", "at")


class ShipmentInline(ReadOnlyInline):
    model = Shipment
    fields = ("carrier", "tracking_number", "shipped_at", "delivered_at")


class EventInline(ReadOnlyInline):
    model = OrderEvent
    fields = ("version", "kind", "actor", "at", "facts")
    ordering = ("version",)
    verbose_name_plural = "timeline"


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = ("number", "customer", "channel", "status", "payment_status", "amount", "created_at")
    list_filter = ("business", "status", "payment_status", "channel")
    list_select_related = ("customer",)
    search_fields = ("number", "customer__name", "customer__phone", "customer__email")
    ordering = ("-created_at",)
    inlines = (ItemInline, PaymentInline, ShipmentInline, EventInline)

    @admin.display(description="total", ordering="total")
    def amount(self, order: Order) -> str:
        return price(order.total, order.currency)
