"""Orders, what is kept of them as a whole, and what is done with many of them."""

from orders.models.books import DailySales, Discrepancy
from orders.models.bulk import BulkRow, BulkRun
from orders.models.notices import PaymentNotice, PaymentSource
from orders.models.order import Order, OrderEvent, OrderItem, Payment, Shipment, amount_field
from orders.models.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "BulkRow",
    "BulkRun",
    "DailySales",
    "Discrepancy",
    "Order",
    "OrderEvent",
    "OrderItem",
    "Payment",
    "PaymentNotice",
    "PaymentSource",
    "Shipment",
    "WebhookDelivery",
    "WebhookEndpoint",
    "amount_field",
]
