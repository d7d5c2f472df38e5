"""All that there is of some shops, once as the database has it and once as their models do: the two are compared.

A shop is its number here, a product (shop, SKU), an order (shop, its place among the orders), and a customer the
orders that are theirs.
"""

from collections import Counter, defaultdict

from orders.stats import NAMES
from orders_project.rows import select


def all_there_is(shops, names):
    """All that the database has of shops with these ids; `names` are those of all ids."""

    def rows(table, *columns):
        return select(f"SELECT {', '.join(columns)} FROM {table} WHERE business_id = ANY(%s)", shops)

    details = defaultdict(lambda: {"lines": {}, "holds": {}, "events": {}, "parcel": ""})
    for order, key, *line in rows("orders_orderitem", "order_id", "product_id", "quantity", "unit_price"):
        details[order]["lines"][names[key][1]] = line
    hold = "order_id", "product_id", "quantity", "expires_at", "status"
    for order, key, *row in rows("reservations_stockreservation", *hold):
        details[order]["holds"][names[key][1]] = row
    for order, version, kind in rows("orders_orderevent", "order_id", "version", "kind"):
        details[order]["events"][version] = kind
    for order, number in rows("orders_shipment", "order_id", "tracking_number"):
        details[order]["parcel"] = number
    columns = "status", "payment_status", "cancel_reason", "total", "version"
    instants = "placed_at", "payment_due_at", "paid_at", "cancelled_at"
    orders, bought = {}, defaultdict(set)
    for order, customer, *row in rows("orders_order", "id", "customer_id", *columns, *instants):
        orders[names[order]] = [*row, details[order]]
        bought[customer].add(names[order])
    shelves = rows("catalog_stock", "product_id", "stock_quantity", "reserved_stock")
    ledger = rows("catalog_stockmovement", "product_id", "kind", "order_id", "stock_delta", "reserved_delta")
    customers = rows("customers_customer", "id", "phone", "total_orders", "total_spent", "last_paid_at")
    payments = rows("orders_payment", "order_id", "provider", "reference", "kind", "amount", "at")
    sales = Counter()
    for shop, day, channel, *amounts in rows("orders_dailysales", "business_id", "day", "channel", *NAMES):
        for figure, amount in zip(NAMES, amounts, strict=True):
            sales[names[shop], day, channel, figure] += amount
    return {
        "shelves": {names[key]: row for key, *row in shelves},
        "ledger": Counter((names[key], kind, names.get(order), *deltas) for key, kind, order, *deltas in ledger),
        "orders": orders,
        "customers": {frozenset(bought[key]): row for key, *row in customers},
        "payments": Counter((names[order], *row) for order, *row in payments),
        "sales": {key: amount for key, amount in sales.items() if amount},
    }


def all_there_should_be(models):
    """All that the models have."""
    there = {"shelves": {}, "ledger": Counter(), "orders": {}, "customers": {}, "payments": Counter(), "sales": {}}
    for shop, model in enumerate(models):
        for sku, units in model.stock.items():
            there["shelves"][shop, sku] = [units, model.reserved(sku)]
        for sku, kind, number, *deltas in model.ledger:
            there["ledger"][(shop, sku), kind, None if number is None else (shop, number), *deltas] += 1
        for order in model.orders:
            details = {
                "lines": {sku: [units, order.prices[sku]] for sku, units in order.units.items()},
                "holds": {sku: [hold.units, hold.until, hold.status] for sku, hold in order.holds.items()},
                "events": dict(enumerate(order.events, start=1)),
                "parcel": order.parcel,
            }
            there["orders"][shop, order.number] = [
                *(order.status, order.payment, order.reason, order.total, len(order.events)),
                *(order.placed, order.due, order.paid, order.cancelled),
                details,
            ]
            theirs = frozenset((shop, one.number) for one in model.orders if one.buyer is order.buyer)
            there["customers"][theirs] = [order.buyer.phone, *model.worth(order.buyer)]
        for told, money in model.payments.items():
            there["payments"][(shop, money.order), *told, money.kind, money.amount, money.at] += 1
        there["sales"] |= {(shop, *key): amount for key, amount in model.sales().items()}
    return there
