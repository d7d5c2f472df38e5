"""What is watched of the shelves and of the jobs: what is low, what is out, which job is late."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.digest import send_digest
from catalog.jobs import late_jobs

SHELF_KINDS = (Kind.LOW_STOCK, Kind.OUT_OF_STOCK)

# An alert opens where available is at the threshold, and closes only when it is over it by a margin, or each sale
# and each hold that runs out would open and close it. The threshold of being out is 0, with the same margin.
# Of those few it is then asked whether they ever had stock: their first lines in the ledger say so.
SHELVES = """
    WITH short AS MATERIALIZED (
        SELECT product.id, sku, product.name, available, threshold,
            (available <= 0 OR was_out AND available <= margin) IS TRUE AS is_out
        FROM catalog_product AS product
        JOIN catalog_business AS business ON business.id = product.business_id
        JOIN catalog_stock AS stock ON stock.product_id = product.id
        CROSS JOIN LATERAL (SELECT stock_quantity - reserved_stock AS available,
            coalesce(low_stock_threshold, low_stock_default) AS threshold) AS level
        CROSS JOIN LATERAL (SELECT greatest(1, ceil(threshold * 0.2)) AS margin) AS band
        LEFT JOIN (
            SELECT subject, bool_or(kind = 'out_of_stock') AS was_out, bool_or(kind = 'low_stock') AS was_low
            FROM catalog_alert
            WHERE business_id = %(business)s AND kind IN ('low_stock', 'out_of_stock') AND closed_at IS NULL
            GROUP BY subject
        ) AS alert ON subject = product.id::text
        WHERE product.business_id = %(business)s AND is_active
            AND (%(products)s::uuid[] IS NULL OR product.id = ANY(%(products)s))
            AND (available <= threshold OR was_out AND available <= margin
                OR was_low AND available <= threshold + margin)
    )
    SELECT id, sku, name, available, threshold, is_out FROM short
    WHERE (
        SELECT true FROM catalog_stockmovement WHERE product_id = short.id AND stock_delta > 0 ORDER BY at LIMIT 1
    )
"""


def watch_products(*, business_id: UUID, product_ids: Collection[UUID], now: datetime) -> None:
    """Open and close the alerts of products that just changed."""
    settle(
        business_id=business_id,
        kinds=SHELF_KINDS,
        conditions=short_shelves(business_id, product_ids),
        subjects=[str(product_id) for product_id in product_ids],
        now=now,
    )


def short_shelves(business_id: UUID, product_ids: Collection[UUID] | None = None) -> list[Condition]:
    """What is low and what is out, of all the business's products or of these: only of active ones that ever had
    stock. What is out is not low as well."""
    products = None if product_ids is None else list(product_ids)
    with connection.cursor() as cursor:
        cursor.execute(SHELVES, {"business": business_id, "products": products})
        return [_short_shelf(*row) for row in cursor]


def _short_shelf(product_id: UUID, sku: str, name: str, available: int, threshold: int, is_out: bool) -> Condition:
    return Condition(
        Kind.OUT_OF_STOCK if is_out else Kind.LOW_STOCK,
        Severity.WARNING if is_out else Severity.NOTICE,
        title=f"{name}: {available} left" if available > 0 else f"{name}: none left",
        subject=str(product_id),
        facts={"sku": sku, "available": available, "threshold": threshold},
    )


OFTEN = timedelta(minutes=1)  # what runs more often than this keeps promises, and is missed at once


def watch_jobs(*, now: datetime) -> None:
    """Open and close the alerts of jobs that have not run in time. The web asks this too, and it sends the mail
    itself: a worker that is dead can't tell of it."""
    late = late_jobs(now)
    conditions = [
        Condition(
            Kind.JOB_LATE,
            Severity.CRITICAL if job.every < OFTEN else Severity.WARNING,
            title=f"{job.job} has not run since {job.since:%Y-%m-%d %H:%M} UTC",
            subject=job.job,
            facts={"since": job.since.isoformat(), "every_seconds": int(job.every.total_seconds())},
        )
        for job in late
    ]
    settle(business_id=None, kinds=[Kind.JOB_LATE], conditions=conditions, now=now)
    if late:
        send_digest(business_id=None, now=now)
