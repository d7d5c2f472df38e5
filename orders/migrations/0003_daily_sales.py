"""The daily sales are kept true by the database itself, in the transaction that changes an order or a refund.

What counts and when is said once, below, for the triggers, the rebuilding and the checking alike.
"""

from django.db import migrations

COUNTS = "pending", "paid", "processing", "shipped", "delivered", "cancelled", "converted", "expired", "orders"
FIGURES = (*COUNTS, "gross", "refunded")
NAMES = ", ".join(FIGURES)
SUMS = ", ".join(f"coalesce(sum(amount) FILTER (WHERE figure = '{name}'), 0) AS {name}" for name in FIGURES)
ADDED = ", ".join(f"{name} = kept.{name} + excluded.{name}" for name in FIGURES)

# What a refund adds to which figure, at which instant. What went back before the order was cancelled is not
# owed a second time by cancelling; what went back afterwards was owed since.
OF_REFUND = """(
    SELECT entry.* FROM (VALUES
        (refund.at, 'refunded', refund.amount),
        (o.cancelled_at, 'refunded', -refund.amount)
    ) AS entry (at, figure, amount)
    WHERE refund.kind = 'refund' AND o.paid_at IS NOT NULL
        AND (o.cancelled_at IS NULL OR refund.at < o.cancelled_at)
)"""

# What an order adds, with its refunds; what has no instant doesn't count.
OF_ORDER = f"""(
    VALUES
        (o.placed_at, o.status, 1),
        (CASE WHEN o.paid_at IS NOT NULL THEN o.placed_at END, 'converted', 1),
        (CASE WHEN o.paid_at IS NULL AND o.cancel_reason = 'payment_timeout' THEN o.placed_at END, 'expired', 1),
        (o.paid_at, 'orders', 1),
        (o.paid_at, 'gross', o.total),
        (CASE WHEN o.paid_at IS NOT NULL THEN o.cancelled_at END, 'refunded', o.total)
    UNION ALL
    SELECT entry.* FROM orders_payment AS refund, LATERAL {OF_REFUND} AS entry
    WHERE refund.order_id = o.id AND o.paid_at IS NOT NULL
)"""

# The figures of a business by the orders themselves, of all that happened from one instant to another (not
# counted), on the days of any time zone. The candidates may be more than those that count; each of them is
# found by an index.
COUNTED = f"""
CREATE FUNCTION orders_daily_sales(shop uuid, zone text, begins timestamptz, ends timestamptz)
RETURNS TABLE (day date, channel text, currency text, {", ".join(f"{name} bigint" for name in COUNTS)},
    gross numeric, refunded numeric)
LANGUAGE sql STABLE AS $$
    WITH candidate AS (
        SELECT id FROM orders_order WHERE business_id = shop AND created_at >= begins AND created_at < ends
        UNION
        SELECT id FROM orders_order
        WHERE business_id = shop AND placed_at > created_at AND placed_at >= begins AND placed_at < ends
        UNION
        SELECT id FROM orders_order WHERE business_id = shop AND cancelled_at >= begins AND cancelled_at < ends
            AND paid_at IS NOT NULL
        UNION
        SELECT order_id FROM orders_payment WHERE business_id = shop AND at >= begins AND at < ends
    )
    SELECT (at AT TIME ZONE zone)::date AS day, channel, currency, {SUMS}
    FROM candidate JOIN orders_order AS o USING (id), LATERAL {OF_ORDER} AS entry (at, figure, amount)
    WHERE business_id = shop AND at >= begins AND at < ends
    GROUP BY 1, 2, 3
$$;
"""

# The lowest slot that no other transaction of the business uses: so none waits for another's row.
SLOT = """
CREATE FUNCTION orders_sales_slot(shop uuid) RETURNS integer LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(
        (SELECT slot FROM generate_series(1, 64) AS slot
         WHERE pg_try_advisory_xact_lock(hashtextextended(shop::text, slot)) LIMIT 1),
        -pg_backend_pid())
$$;
"""


def entered(entries: str) -> str:
    """SQL that adds entries to the daily sales. What adds up to nothing is not written."""
    return f"""
    INSERT INTO orders_dailysales AS kept (business_id, day, channel, currency, slot, {NAMES})
    SELECT business.id, (at AT TIME ZONE business.time_zone)::date AS day, channel, moved.currency,
        orders_sales_slot(business.id), {SUMS}
    FROM (
        SELECT business_id, at, channel, currency, figure, sum(amount) AS amount
        FROM ({entries}) AS entry
        WHERE at IS NOT NULL
        GROUP BY business_id, at, channel, currency, figure HAVING sum(amount) <> 0
    ) AS moved
    JOIN catalog_business AS business ON business.id = business_id
    GROUP BY business.id, day, channel, moved.currency
    ON CONFLICT (business_id, day, channel, currency, slot) DO UPDATE SET {ADDED};
    """


def of_orders(rows: str, sign: str = "") -> str:
    return f"""
        SELECT business_id, channel, currency, at, figure, {sign}amount AS amount
        FROM {rows} AS o, LATERAL {OF_ORDER} AS entry (at, figure, amount)
    """


OF_REFUNDS = f"""
        SELECT o.business_id, channel, o.currency, entry.at, figure, entry.amount
        FROM came AS refund JOIN orders_order AS o ON o.id = refund.order_id, LATERAL {OF_REFUND} AS entry
"""


def trigger(name: str, entries: str) -> str:
    """A trigger function for the rows that came. It shares the business, which who rebuilds has alone."""
    return f"""
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(business_id::text, 0))
    FROM (SELECT DISTINCT business_id FROM came) AS shop;
    {entered(entries)}
    RETURN NULL;
END $$;
"""


TRIGGERS = f"""
{trigger("orders_count_new_orders", of_orders("came"))}
{trigger("orders_count_changes", of_orders("came") + "UNION ALL" + of_orders("went", "-"))}
{trigger("orders_count_refunds", OF_REFUNDS)}

CREATE TRIGGER order_counted AFTER INSERT ON orders_order REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION orders_count_new_orders();
CREATE TRIGGER order_change_counted AFTER UPDATE ON orders_order REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION orders_count_changes();
CREATE TRIGGER refund_counted AFTER INSERT ON orders_payment REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION orders_count_refunds();
"""

# Alone with the business, for what others have counted and not committed could not be seen.
REBUILDING = f"""
CREATE FUNCTION orders_rebuild_daily_sales(shop uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(shop::text, 0));
    DELETE FROM orders_dailysales WHERE business_id = shop;
    INSERT INTO orders_dailysales (business_id, day, channel, currency, slot, {NAMES})
    SELECT shop, day, channel, sales.currency, 1, {NAMES}
    FROM catalog_business AS business, orders_daily_sales(shop, time_zone, '-infinity', 'infinity') AS sales
    WHERE business.id = shop;
END $$;

CREATE FUNCTION orders_count_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM orders_rebuild_daily_sales(NEW.id);
    RETURN NULL;
END $$;

CREATE TRIGGER business_days_moved AFTER UPDATE OF time_zone ON catalog_business
    FOR EACH ROW WHEN (OLD.time_zone <> NEW.time_zone) EXECUTE FUNCTION orders_count_anew();
"""

UNDO = """
DROP TRIGGER business_days_moved ON catalog_business;
DROP TRIGGER refund_counted ON orders_payment;
DROP TRIGGER order_change_counted ON orders_order;
DROP TRIGGER order_counted ON orders_order;
DROP FUNCTION orders_count_anew, orders_rebuild_daily_sales, orders_count_refunds, orders_count_changes,
    orders_count_new_orders, orders_sales_slot, orders_daily_sales;
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_laws")]

    operations = [migrations.RunSQL(COUNTED + SLOT + TRIGGERS + REBUILDING, UNDO)]
