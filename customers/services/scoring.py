"""The engagement score: how much alive a customer's relation to the shop is, 0 to 100.

An RFM score (recency, frequency, monetary value: the oldest and best-tried way to rank customers;
A. M. Hughes, "Strategic Database Marketing", 1994) in smooth form, so that each order moves it a little
and nobody changes class overnight. Recency weighs most, because it foretells the next order best. The
halves are what a merchant can feel: after 90 silent days half of the recency is gone; three orders, or
a good customer's money, earn half of the rest. The days are UTC's, so that a score is true all day long.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from catalog.wording import of, price
from customers.models import Customer
from orders_project.rows import prepared
from orders_project.transactions import one_transaction

RECENCY, FREQUENCY, MONEY = 40, 30, 30  # points at most
SILENT_DAYS = 90  # that take half of the points for recency
GOOD_ORDERS = 3  # that earn half of the points for orders

SILENCE = "greatest((%(now)s AT TIME ZONE 'UTC')::date - (last_paid_at AT TIME ZONE 'UTC')::date, 0)"

# The points of each part. (`least` keeps the powers within what a float can hold.)
PARTS = (
    f"""CASE WHEN total_orders = 0 THEN 0
        ELSE {RECENCY} * 0.5::float8 ^ least({SILENCE} / {SILENT_DAYS}.0, 100) END""",
    f"{FREQUENCY} * (1 - 0.5::float8 ^ least(total_orders / {GOOD_ORDERS}.0, 100))",
    f"{MONEY} * (1 - 0.5::float8 ^ least(total_spent / loyal_spend, 100))",
)
SCORE = f"round({' + '.join(PARTS)})"

# Computed from the very row that is updated: if a sale changes it meanwhile, PostgreSQL computes again.
RESCORE = f"""
    UPDATE customers_customer AS customer SET engagement_score = {SCORE}
    FROM catalog_business AS business
    WHERE business.id = business_id AND customer.id = ANY(%(ids)s)
        AND engagement_score <> {SCORE}
"""

EXPLAIN = f"""
    SELECT {SCORE}, {", ".join(PARTS)}
    FROM customers_customer AS customer JOIN catalog_business AS business ON business.id = business_id
    WHERE customer.id = %(id)s
"""


def rescore(*, customer_ids: Collection[UUID], now: datetime) -> int:
    """Bring these customers' engagement scores up to `now`. Returns how many changed.

    The formula is written above, once: the verbs, the hourly job, the rebuild and the page all take it from there.
    """
    with prepared() as cursor:
        cursor.execute(RESCORE, {"now": now, "ids": list(customer_ids)})
        return cursor.rowcount


RESCORE_BATCH = 2000  # customers in one transaction: a sale to one of them waits only a moment


def rescore_everyone(*, now: datetime) -> int:
    """Bring all engagement scores up to `now`, batch by batch. Returns how many changed."""
    changed = 0
    everyone = Customer.objects.order_by("id").values_list("id", flat=True)
    batch = list(everyone[:RESCORE_BATCH])
    while batch:
        changed += one_transaction(rescore)(customer_ids=batch, now=now)
        batch = list(everyone.filter(id__gt=batch[-1])[:RESCORE_BATCH])
    return changed


@dataclass(frozen=True, slots=True)
class Part:
    """What one thing earns a customer: so many points of so many, and what it was in words."""

    title: str
    points: int
    most: int
    fact: str
    rule: str


def explain_score(*, customer: Customer, now: datetime) -> list[Part]:
    """What a customer's score at `now` is made of: the points of the parts are the score."""
    with prepared() as cursor:
        cursor.execute(EXPLAIN, {"now": now, "id": customer.id})
        score, *exact = cursor.fetchone()
    recency, frequency, money = _whole(int(score), exact)
    paid_at = customer.last_paid_at
    orders, spent, currency = customer.total_orders, customer.total_spent, customer.currency
    return [
        Part(
            "How lately",
            recency,
            RECENCY,
            f"Last paid on {timezone.localtime(paid_at):%-d %b %Y}" if paid_at else "Nothing paid yet",
            f"{SILENT_DAYS} silent days take half of it",
        ),
        Part(
            "How often",
            frequency,
            FREQUENCY,
            f"{of(orders, 'order')} paid and kept",
            f"{of(GOOD_ORDERS, 'order')} earn half of it",
        ),
        Part(
            "How much",
            money,
            MONEY,
            f"{price(spent, currency)} spent and kept",
            f"{price(customer.business.loyal_spend, currency)}, which a good customer spends, earn half of it",
        ),
    ]


def _whole(score: int, exact: list[float]) -> list[int]:
    """Points without their fractions, those with the largest rounded up, so that they add up to the score."""
    whole = [int(points) for points in exact]
    by_fraction = sorted(range(len(exact)), key=lambda part: exact[part] % 1, reverse=True)
    for part in by_fraction[: score - sum(whole)]:
        whole[part] += 1
    return whole
