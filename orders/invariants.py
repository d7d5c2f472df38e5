"""What must be true of the whole database, always: each a query that returns no row.

A finding is a row of `subject` (what is off) and `found` (how it is off). The queries read every table
whole, or all that one business has in them, and are for checks and jobs, not for requests.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction

from catalog.models import LONGEST_PAYMENT_WINDOW
from orders.lifecycle import PAYMENT_OF, SOLD, Status
from orders.stats import NAMES

# How late the sweep may be before an overdue hold is a fault of ours.
GRACE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Finding:
    invariant: str
    subject: str
    found: str

    @property
    def rule(self) -> str:
        """The short name of the invariant, such as I4."""
        return short_name(self.invariant)


def short_name(invariant: str) -> str:
    return invariant.split(" ", 1)[0]


def _may_exist() -> str:
    """I7 as rows of (order status, payment status, hold status)."""
    holds = {
        Status.DRAFT: ("none",),
        # Of an overdue order a hold may have gone to the next buyer before the sweep came by.
        Status.PENDING: ("active", "released", "expired"),
        **dict.fromkeys(SOLD, ("converted", "released", "expired")),
        Status.CANCELLED: ("none", "released", "expired"),
    }
    rows = [
        f"('{status.value}', '{payment.value}', '{hold}')"
        for status, payments in PAYMENT_OF.items()
        for payment in payments
        for hold in holds[status]
    ]
    return ", ".join(rows)


SOLD_STATUSES = ", ".join(f"'{status.value}'" for status in SOLD)

INVARIANTS = {
    "I1 0 <= reserved_stock <= stock_quantity": """
        SELECT product_id AS subject, format('stock %s, reserved %s', stock_quantity, reserved_stock) AS found
        FROM catalog_stock WHERE reserved_stock < 0 OR reserved_stock > stock_quantity
    """,
    "I2 reserved_stock is what active holds add up to": """
        SELECT stock.product_id, format('reserved %s, held %s', reserved_stock, coalesce(held.units, 0))
        FROM catalog_stock AS stock
        LEFT JOIN (
            SELECT product_id, sum(quantity) AS units
            FROM reservations_stockreservation WHERE status = 'active' GROUP BY product_id
        ) AS held USING (product_id)
        WHERE reserved_stock <> coalesce(held.units, 0)
    """,
    "I3 what came in is what is there and what was sold": """
        SELECT stock.product_id, format('came in %s, there %s, sold %s', came.units, stock_quantity, came.sold)
        FROM catalog_stock AS stock
        LEFT JOIN (
            SELECT product_id,
                sum(stock_delta) FILTER (
                    WHERE kind IN ('opening', 'received', 'returned', 'adjusted', 'reconciled')) AS units,
                -sum(stock_delta) FILTER (WHERE kind = 'sold') AS sold
            FROM catalog_stockmovement GROUP BY product_id
        ) AS came USING (product_id)
        WHERE coalesce(came.units, 0) <> stock_quantity + coalesce(came.sold, 0)
    """,
    "I4 the counters are the sums of the ledger": """
        SELECT product.id, format(
            'stock %s, reserved %s; ledger %s and %s',
            stock_quantity, reserved_stock, ledger.stock, ledger.reserved)
        FROM catalog_product AS product
        LEFT JOIN catalog_stock AS stock ON stock.product_id = product.id
        LEFT JOIN (
            SELECT product_id, sum(stock_delta) AS stock, sum(reserved_delta) AS reserved
            FROM catalog_stockmovement GROUP BY product_id
        ) AS ledger ON ledger.product_id = product.id
        WHERE stock.product_id IS NULL
            OR (stock_quantity, reserved_stock) <> (coalesce(ledger.stock, 0), coalesce(ledger.reserved, 0))
    """,
    "I5 no hold is active past its time": f"""
        SELECT id, format('order %s, ended %s', order_id, expires_at)
        FROM reservations_stockreservation
        WHERE status = 'active' AND expires_at < clock_timestamp() - interval '{GRACE.total_seconds()} seconds'
    """,
    "I5b no hold ends later than the longest window": f"""
        SELECT id, format('order %s, ends %s', order_id, expires_at)
        FROM reservations_stockreservation
        WHERE status = 'active' AND expires_at > clock_timestamp() + interval '{LONGEST_PAYMENT_WINDOW} minutes'
    """,
    "I6 open and sold orders hold just what they list": f"""
        SELECT orders.id, format(
            '%s %s: of %s %s ordered, %s held',
            orders.number, orders.status, (SELECT sku FROM catalog_product WHERE id = product_id),
            coalesce(item.units, 0), coalesce(hold.units, 0))
        FROM (
            SELECT order_id, product_id, sum(quantity) AS units FROM orders_orderitem GROUP BY order_id, product_id
        ) AS item
        FULL JOIN (
            SELECT order_id, product_id, status, quantity AS units
            FROM reservations_stockreservation WHERE status IN ('active', 'converted')
        ) AS hold USING (order_id, product_id)
        JOIN orders_order AS orders ON orders.id = order_id
        WHERE CASE
            WHEN orders.status = 'pending' THEN
                (hold.units IS DISTINCT FROM item.units OR hold.status <> 'active')
                AND NOT (hold.units IS NULL AND payment_due_at <= clock_timestamp())
            WHEN orders.status IN ({SOLD_STATUSES}) THEN
                hold.units IS DISTINCT FROM item.units OR hold.status <> 'converted'
            ELSE hold.units IS NOT NULL
        END
    """,
    "I6b every order has a line": """
        SELECT id, number FROM orders_order AS orders
        WHERE NOT EXISTS (SELECT FROM orders_orderitem WHERE order_id = orders.id)
    """,
    "I6c the subtotal is what the lines come to": """
        SELECT orders.id, format('%s: subtotal %s, lines %s', number, subtotal, lines.total)
        FROM orders_order AS orders
        JOIN (
            SELECT order_id, sum(line_total) AS total FROM orders_orderitem GROUP BY order_id
        ) AS lines ON lines.order_id = orders.id
        WHERE subtotal <> lines.total
    """,
    "I7 order, payment and hold fit together": f"""
        SELECT orders.id, format(
            '%s %s, payment %s, hold %s', number, orders.status, payment_status, coalesce(hold.status, 'none'))
        FROM orders_order AS orders
        LEFT JOIN reservations_stockreservation AS hold ON hold.order_id = orders.id
        WHERE (orders.status, payment_status, coalesce(hold.status, 'none')) NOT IN (VALUES {_may_exist()})
    """,
    "I8 one order for each key": """
        SELECT min(id::text), format('%s orders with the key %s', count(*), idempotency_key)
        FROM orders_order WHERE idempotency_key IS NOT NULL
        GROUP BY business_id, idempotency_key HAVING count(*) > 1
    """,
    "I9 every change of an order has its event": """
        SELECT orders.id, format(
            '%s at version %s with %s events up to %s', number, orders.version, events, latest)
        FROM orders_order AS orders
        LEFT JOIN (
            SELECT order_id, count(*) AS events, max(version) AS latest FROM orders_orderevent GROUP BY order_id
        ) AS timeline ON timeline.order_id = orders.id
        WHERE (orders.version, orders.version) IS DISTINCT FROM (events::int, latest)
    """,
    "I11 what happened is queued for all who are to be told": """
        SELECT event.id, format('%s, version %s of order %s, for %s', kind, version, event.order_id, url)
        FROM orders_webhookendpoint AS endpoint
        JOIN orders_orderevent AS event ON event.business_id = endpoint.business_id
            AND event.at > endpoint.created_at + interval '1 minute'
            AND event.at > clock_timestamp() - interval '1 day'
        WHERE closed_at IS NULL AND NOT EXISTS (
            SELECT FROM orders_webhookdelivery WHERE endpoint_id = endpoint.id AND event_id = event.id)
    """,
    "I12 the payment status is what was captured less what was refunded": """
        SELECT orders.id, format(
            '%s %s: %s captured of %s, %s refunded%s', number, payment_status,
            coalesce(trim_scale(captured), 0), trim_scale(total), coalesce(trim_scale(refunded), 0), CASE
                WHEN paid_at <> captured_at
                THEN format('; paid at %s, captured at %s', paid_at, captured_at) END)
        FROM orders_order AS orders
        LEFT JOIN (
            SELECT order_id,
                count(*) FILTER (WHERE kind = 'capture') AS captures,
                coalesce(sum(amount) FILTER (WHERE kind = 'capture'), 0) AS captured,
                max(at) FILTER (WHERE kind = 'capture') AS captured_at,
                coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) AS refunded
            FROM orders_payment GROUP BY order_id
        ) AS money ON money.order_id = orders.id
        WHERE CASE WHEN payment_status IN ('pending', 'failed') THEN money.order_id IS NOT NULL
            ELSE (captures = 1 AND captured = total AND coalesce(paid_at, captured_at) = captured_at
                AND CASE payment_status
                WHEN 'paid' THEN refunded = 0
                WHEN 'refund_due' THEN refunded < total
                WHEN 'partially_refunded' THEN refunded > 0 AND refunded < total
                WHEN 'refunded' THEN refunded = total
            END) IS NOT TRUE
        END
    """,
    "I12b customers' counters are what their orders say": f"""
        SELECT customer.id, format(
            'A customer with %s orders and %s on file, %s and %s by the orders',
            total_orders, trim_scale(total_spent), coalesce(orders, 0), trim_scale(coalesce(spent, 0)))
        FROM customers_customer AS customer
        LEFT JOIN (
            SELECT customer_id, count(*) AS orders, sum(total - coalesce(refunded, 0)) AS spent,
                max(paid_at) AS last
            FROM orders_order AS orders
            LEFT JOIN (
                SELECT order_id, sum(amount) AS refunded
                FROM orders_payment WHERE kind = 'refund' GROUP BY order_id
            ) AS refund ON refund.order_id = orders.id
            WHERE status IN ({SOLD_STATUSES}) AND payment_status IN ('paid', 'partially_refunded')
            GROUP BY customer_id
        ) AS worth ON worth.customer_id = customer.id
        WHERE (total_orders, total_spent, last_paid_at)
            IS DISTINCT FROM (coalesce(orders, 0)::int, coalesce(spent, 0), last)
    """,
    "I12c the daily sales are what the orders say": f"""
        SELECT business_id, format('%s %s %s: %s', day, channel, currency, concat_ws(', ', {
        ", ".join(f"'{name} off by ' || nullif(sum({name}), 0)" for name in NAMES)
    }))
        FROM (
            SELECT business_id, day, channel, currency, {", ".join(NAMES)} FROM orders_dailysales
            UNION ALL
            SELECT business.id, day, channel, sales.currency, {", ".join(f"-{name}" for name in NAMES)}
            FROM catalog_business AS business,
                orders_daily_sales(business.id, time_zone, '-infinity', 'infinity') AS sales
        ) AS sales
        GROUP BY business_id, day, channel, currency
        HAVING ({" OR ".join(f"sum({name}) <> 0" for name in NAMES)})
    """,
    "I13 a child's business is its parent's": " UNION ALL ".join(
        f"""
        SELECT child.{key}, 'in {child}, other business than its {parent}'
        FROM {child} AS child JOIN {parent} AS parent ON parent.id = child.{column}
        WHERE parent.business_id <> child.business_id
        """
        for child, key, column, parent in (
            ("catalog_stock", "product_id", "product_id", "catalog_product"),
            ("catalog_stockmovement", "id", "product_id", "catalog_product"),
            ("catalog_stockmovement", "id", "order_id", "orders_order"),
            ("reservations_stockreservation", "id", "product_id", "catalog_product"),
            ("reservations_stockreservation", "id", "order_id", "orders_order"),
            ("orders_order", "id", "customer_id", "customers_customer"),
            ("orders_orderitem", "id", "order_id", "orders_order"),
            ("orders_orderitem", "id", "product_id", "catalog_product"),
            ("orders_orderevent", "id", "order_id", "orders_order"),
            ("orders_payment", "id", "order_id", "orders_order"),
            ("orders_shipment", "id", "order_id", "orders_order"),
            ("orders_webhookdelivery", "event_id", "event_id", "orders_orderevent"),
            ("orders_webhookdelivery", "event_id", "endpoint_id", "orders_webhookendpoint"),
        )
    ),
    "I14 payments and active holds belong to an order": """
        SELECT payment.id, format('%s %s of order %s, which is not there', kind, reference, order_id)
        FROM orders_payment AS payment
        WHERE NOT EXISTS (SELECT FROM orders_order AS orders WHERE orders.id = order_id)
        UNION ALL
        SELECT hold.id, format('%s held for order %s, which is not there', quantity, order_id)
        FROM reservations_stockreservation AS hold
        WHERE status = 'active' AND NOT EXISTS (SELECT FROM orders_order AS orders WHERE orders.id = order_id)
    """,
}

# A query that comes after this asks of one business: it finds these in the place of the tables. Not for I13, for
# a parent of another business is not there then.
OF_ONE_BUSINESS = (
    "WITH catalog_business AS (SELECT * FROM catalog_business WHERE id = %(business)s), "
    + ", ".join(
        f"{table} AS NOT MATERIALIZED (SELECT * FROM {table} WHERE business_id = %(business)s)"
        for table in (
            "catalog_product",
            "catalog_stock",
            "catalog_stockmovement",
            "customers_customer",
            "reservations_stockreservation",
            "orders_dailysales",
            "orders_order",
            "orders_orderevent",
            "orders_orderitem",
            "orders_payment",
            "orders_shipment",
            "orders_webhookdelivery",
            "orders_webhookendpoint",
        )
    )
)


def findings(*, at_most: int = 20, business_id: UUID | None = None, rules: Collection[str] = ()) -> list[Finding]:
    """What is off, up to `at_most` findings of each invariant, as of one instant: anywhere in the database or
    with one business; by all of the rules or by some, which are named as I4 is."""
    of_its_own = not connection.in_atomic_block
    found = []
    with transaction.atomic(), connection.cursor() as cursor:
        if of_its_own:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SET LOCAL statement_timeout TO 0")  # a job reads for as long as there is to read
        for invariant, query in INVARIANTS.items():
            if rules and short_name(invariant) not in rules:
                continue
            query = f"SELECT * FROM ({query}) AS off LIMIT {at_most}"
            if business_id is None:
                cursor.execute(query)
            else:
                cursor.execute(f"{OF_ONE_BUSINESS} {query.replace('%', '%%')}", {"business": business_id})
            found += [Finding(invariant, str(subject), how) for subject, how in cursor.fetchall()]
    return found
