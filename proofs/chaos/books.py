"""What the database has of the shop, for the checker."""

from collections import Counter
from typing import Any
from uuid import UUID

import psycopg

from proofs.chaos.history import BookedOrder, Books

ORDERS = """
    SELECT orders.id::text, idempotency_key, status, payment_status, version, min(item.sku), sum(item.quantity)
    FROM orders_order AS orders LEFT JOIN orders_orderitem AS item ON item.order_id = orders.id
    WHERE orders.business_id = %s GROUP BY orders.id
"""
PAYMENTS = "SELECT order_id::text, kind, reference FROM orders_payment WHERE business_id = %s"
ADJUSTMENTS = """
    SELECT idempotency_key, product.sku, stock_delta
    FROM catalog_stockmovement AS movement JOIN catalog_product AS product ON product.id = movement.product_id
    WHERE movement.business_id = %s AND idempotency_key IS NOT NULL
"""
EVENTS = "SELECT id::text, order_id::text, version FROM orders_orderevent WHERE business_id = %s"


def read_books(database: psycopg.Connection[Any], business_id: UUID) -> Books:
    """All of it as of one instant."""
    with database.transaction():
        database.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        orders, payments, adjustments, events = (
            database.execute(query, [business_id]).fetchall() for query in (ORDERS, PAYMENTS, ADJUSTMENTS, EVENTS)
        )
    return Books(
        orders={order_id: BookedOrder(*order) for order_id, *order in orders},
        payments=Counter(payments),
        adjustments=Counter(adjustments),
        events={event: (order_id, place) for event, order_id, place in events},
    )
