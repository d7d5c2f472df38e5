"""What is watched of every shop, so that people know before a customer does."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Count, Min, Sum

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.models import Alert
from catalog.watching import short_shelves
from orders.lifecycle import Status
from orders.models import Discrepancy, Order, OrderEvent
from orders.reconciliation import WORTH
from orders.tidying import OVERDUE_AFTER
from orders_project import money
from reservations import demand
from reservations.minutes import refusal_rate
from reservations.models import StockReservation

OF_A_SHOP = [kind for kind in Kind if kind != Kind.JOB_LATE]

# Refusals are many from so many and such a share of all on, in so much time; and until both are half of that.
REFUSALS_WINDOW = timedelta(minutes=5)
MANY_REFUSALS = 20
LARGE_SHARE = 0.2

# For how long a payment that came late, and got its goods, is shown to those who pack.
LATE_PAYMENT_FOR = timedelta(days=7)


def watch(*, business_id: UUID, now: datetime) -> int:
    """Open and close the alerts of a shop. Safe to run twice at once. Returns how many things are amiss."""
    conditions = [
        *short_shelves(business_id),
        *impossible_stock(business_id),
        *_drift(business_id),
        *_refusals(business_id, now),
        *_overdue_holds(business_id, now),
        *_refunds_due(business_id),
        *_late_payments(business_id, now),
    ]
    settle(business_id=business_id, kinds=OF_A_SHOP, conditions=conditions, now=now)
    return len(conditions)


# Between two reconciliations, what matters most of what they ask: no unit that isn't there is promised.
IMPOSSIBLE = """
    SELECT product.id, sku, product.name, stock_quantity, reserved_stock, coalesce(held.units, 0)::bigint
    FROM catalog_product AS product
    JOIN catalog_stock AS stock ON stock.product_id = product.id
    LEFT JOIN (
        SELECT product_id, sum(quantity) AS units
        FROM reservations_stockreservation WHERE status = 'active' AND business_id = %(business)s
        GROUP BY product_id
    ) AS held ON held.product_id = product.id
    WHERE product.business_id = %(business)s
        AND (reserved_stock < 0 OR greatest(reserved_stock, held.units) > stock_quantity)
"""


def impossible_stock(business_id: UUID) -> Iterator[Condition]:
    """The products of which more is promised than there is, by the counters or by the holds."""
    with connection.cursor() as cursor:
        cursor.execute(IMPOSSIBLE, {"business": business_id})
        for product_id, sku, name, stock_quantity, reserved_stock, held in cursor.fetchall():
            yield Condition(
                Kind.IMPOSSIBLE_STOCK,
                Severity.CRITICAL,
                title=f"{name}: {stock_quantity} on the shelf, but {max(reserved_stock, held)} promised",
                subject=str(product_id),
                facts={
                    "sku": sku,
                    "stock_quantity": stock_quantity,
                    "reserved_stock": reserved_stock,
                    "held": held,
                },
            )


def drift_severity(rules: Iterable[str]) -> Severity:
    """How bad it is that the books break these rules. What customers are worth holds no goods back."""
    return Severity.WARNING if set(rules) <= {WORTH} else Severity.CRITICAL


def _drift(business_id: UUID) -> Iterator[Condition]:
    """What reconciliation found and nobody has set right: one thing that is off, by whatever rules."""
    found = defaultdict(list)
    for discrepancy in Discrepancy.objects.of(business_id).open():
        found[discrepancy.subject].append(discrepancy)
    for subject, discrepancies in found.items():
        broken = sorted({discrepancy.invariant for discrepancy in discrepancies})
        yield Condition(
            Kind.DRIFT,
            drift_severity(broken),
            title=f"The books don't agree: {discrepancies[0].found}"[:300],
            subject=subject,
            facts={"invariants": broken},
        )


def _refusals(business_id: UUID, now: datetime) -> Iterator[Condition]:
    is_open = Alert.objects.filter(business_id=business_id, kind=Kind.REFUSALS).open().exists()
    if not is_open and not demand.counted(business_id):
        return
    rate = refusal_rate(business_id=business_id, since=now - REFUSALS_WINDOW, now=now)
    enough = 0.5 if is_open else 1.0
    if rate.refused >= enough * MANY_REFUSALS and rate.share >= enough * LARGE_SHARE:
        yield Condition(
            Kind.REFUSALS,
            Severity.WARNING,
            title=f"{rate.refused:,} of {rate.asked:,} orders were refused "
            f"in {REFUSALS_WINDOW.seconds // 60} minutes",
            facts={"placed": rate.placed, "refused": rate.refused, "share": round(rate.share, 4)},
        )


def _holds(count: int) -> str:
    return "1 hold" if count == 1 else f"{count:,} holds"


def _overdue_holds(business_id: UUID, now: datetime) -> Iterator[Condition]:
    overdue = StockReservation.objects.of(business_id).overdue(now - OVERDUE_AFTER)
    found = overdue.aggregate(holds=Count("id"), units=Sum("quantity"), oldest=Min("expires_at"))
    if found["holds"]:
        yield Condition(
            Kind.HOLDS_OVERDUE,
            Severity.CRITICAL,
            title=f"{_holds(found['holds'])} overdue, the oldest since {found['oldest']:%H:%M} UTC",
            facts={"holds": found["holds"], "units": int(found["units"]), "oldest": found["oldest"].isoformat()},
        )


def _refunds_due(business_id: UUID) -> Iterator[Condition]:
    owing = Order.objects.of(business_id).owing().values_list("id", "number", "paid_at", "owed", "currency")
    for order_id, number, paid_at, owed, currency in owing:
        why = "was paid too late for its goods" if paid_at is None else "was cancelled"
        amount = money.text(owed, currency)
        yield Condition(
            Kind.REFUND_DUE,
            Severity.WARNING,
            title=f"Order {number} {why}: {amount} {currency} to be refunded",
            subject=str(order_id),
            facts={"number": number, "owed": amount, "currency": currency},
        )


def _late_payments(business_id: UUID, now: datetime) -> Iterator[Condition]:
    """Orders that were given up and that money has brought back to life, until somebody begins with them."""
    late = OrderEvent.objects.filter(
        business=business_id,
        kind=OrderEvent.Kind.PAID_LATE,
        at__gt=now - LATE_PAYMENT_FOR,
        order__status=Status.PAID,
    )
    for order_id, number, at in late.values_list("order_id", "order__number", "at"):
        yield Condition(
            Kind.LATE_PAYMENT,
            Severity.NOTICE,
            title=f"Order {number} was paid after its time, and lives on",
            subject=str(order_id),
            facts={"number": number, "paid_at": at.isoformat()},
        )
