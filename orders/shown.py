"""Orders as the API shows them: plain values, from rows. `OrderSerializer` describes the same for the
OpenAPI document; a test holds the two together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from customers.models import Customer
from orders.models import Order, OrderItem, Payment, Shipment
from orders.services import Placed
from orders_project import money
from orders_project.rows import Row, find, select
from reservations.models import StockReservation

Shown = dict[str, Any]


def show_orders(orders: QuerySet[Order] | Sequence[Row], *, now: datetime) -> list[Shown]:
    """Orders with all that belongs to them, in their order; the queries are the same few for any number.
    Seconds left are counted from `now`."""
    orders = list(orders.values() if isinstance(orders, QuerySet) else orders)
    ids = [order["id"] for order in orders]
    buyers = find(Customer, "id", {order["customer_id"] for order in orders})
    customers = {customer["id"]: _pick(customer, CUSTOMER) for customer in buyers}
    items = _by_order(find(OrderItem, "order_id", ids, order_by=("position",)))
    payments = _by_order(find(Payment, "order_id", ids, order_by=("at", "id")))
    shipments = _by_order(find(Shipment, "order_id", ids, order_by=("id",)))
    holds = _by_order([dict(zip(HOLD, hold, strict=True)) for hold in select(HOLDS, ids)])
    return [
        _show(
            order,
            customers[order["customer_id"]],
            items[order["id"]],
            [_show_hold(hold, hold["sku"], now) for hold in holds[order["id"]]],
            [_show_payment(payment) for payment in payments[order["id"]]],
            [_pick(shipment, SHIPMENT) for shipment in shipments[order["id"]]],
        )
        for order in orders
    ]


def show_new(placed: Placed, *, now: datetime) -> Shown:
    """An order that was placed at this moment, from what was written."""
    assert placed.customer is not None  # of a new one it is known
    skus = {item["product_id"]: item["sku"] for item in placed.items}
    holds = [
        {
            "id": hold.id,
            "order_id": hold.order_id,
            "product_id": hold.product_id,
            "quantity": hold.quantity,
            "status": StockReservation.Status.ACTIVE,
            "expires_at": hold.expires_at,
            "created_at": hold.since,
        }
        for hold in placed.holds
    ]
    customer = {name: getattr(placed.customer, name) for name in CUSTOMER}
    shown_holds = [_show_hold(hold, skus[hold["product_id"]], now) for hold in holds]
    return _show(placed.row, customer, placed.items, shown_holds, [], [])


def _by_order(rows: Iterable[Row]) -> Mapping[UUID, list[Row]]:
    found: defaultdict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["order_id"]].append(row)
    return found


HOLD = ("id", "order_id", "product_id", "sku", "quantity", "status", "expires_at", "created_at")
HOLDS = """
    SELECT hold.id, order_id, product_id, sku, quantity, status, expires_at, hold.created_at
    FROM reservations_stockreservation AS hold JOIN catalog_product AS product ON product.id = product_id
    WHERE order_id = ANY(%s) ORDER BY hold.id
"""
CUSTOMER = ("id", "name", "phone", "email", "external_id")
SHIPMENT = ("id", "carrier", "tracking_number", "tracking_url", "shipped_at", "delivered_at")


def _pick(row: Row, names: Iterable[str]) -> Shown:
    return {name: row[name] for name in names}


def _show(
    order: Row,
    customer: Shown,
    items: Sequence[Row],
    holds: list[Shown],
    payments: list[Shown],
    shipments: list[Shown],
) -> Shown:
    currency = order["currency"]
    return {
        "id": order["id"],
        "number": order["number"],
        "status": order["status"],
        "payment_status": order["payment_status"],
        "channel": order["channel"],
        "customer": customer,
        "items": [
            {
                "id": item["id"],
                "product": item["product_id"],
                "sku": item["sku"],
                "name": item["name"],
                "unit_price": money.text(item["unit_price"], currency),
                "quantity": item["quantity"],
                "line_total": money.text(item["line_total"], currency),
            }
            for item in items
        ],
        "currency": currency,
        "subtotal": money.text(order["subtotal"], currency),
        "shipping_fee": money.text(order["shipping_fee"], currency),
        "discount": money.text(order["discount"], currency),
        "total": money.text(order["total"], currency),
        "payment_due_at": order["payment_due_at"],
        "holds": holds,
        "payments": payments,
        "shipments": shipments,
        "shipping_address": order["shipping_address"],
        "note": order["note"],
        "external_id": order["external_id"],
        "cancel_reason": order["cancel_reason"],
        "created_at": order["created_at"],
        "placed_at": order["placed_at"],
        "paid_at": order["paid_at"],
        "cancelled_at": order["cancelled_at"],
        "version": order["version"],
    }


def _show_hold(hold: Row, sku: str, now: datetime) -> Shown:
    alive = hold["status"] == StockReservation.Status.ACTIVE
    return {
        "id": hold["id"],
        "order": hold["order_id"],
        "product": hold["product_id"],
        "sku": sku,
        "quantity": hold["quantity"],
        "status": hold["status"],
        "expires_at": hold["expires_at"],
        "seconds_left": max(int((hold["expires_at"] - now).total_seconds()), 0) if alive else None,
        "created_at": hold["created_at"],
    }


def _show_payment(payment: Row) -> Shown:
    return {
        "id": payment["id"],
        "kind": payment["kind"],
        "provider": payment["provider"],
        "reference": payment["reference"],
        "amount": money.text(payment["amount"], payment["currency"]),
        "currency": payment["currency"],
        "at": payment["at"],
    }
