"""Orders as the live feed tells of them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from orders.models import Order
from orders_project import money
from orders_project.rows import prepared


def order_events(business_id: UUID, order_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """How these orders of a business stand now, each as an order.changed."""
    with prepared():  # keys are keys: one plan for any of them
        orders = Order.objects.of(business_id).filter(id__any_of=order_ids)
        return [
            {
                "type": "order.changed",
                "order": order["id"],
                "number": order["number"],
                "status": order["status"],
                "payment_status": order["payment_status"],
                "total": money.text(order["total"], order["currency"]),
                "currency": order["currency"],
                "version": order["version"],
            }
            for order in orders.values("id", "number", "status", "payment_status", "total", "currency", "version")
        ]
