"""Keeping what customers have been worth: the counters of what they paid and kept."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from customers.models import Customer
from customers.services.scoring import rescore
from orders_project.rows import prepared, select


@dataclass(frozen=True, slots=True)
class Worth:
    """What a customer has paid and kept: orders, money in the business's currency, the last payment."""

    total_orders: int = 0
    total_spent: Decimal = Decimal(0)
    last_paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sale:
    """An order that a customer paid."""

    customer_id: UUID
    amount: Decimal
    paid_at: datetime


# As arrays, for one statement counts the sales of however many customers.
COUNT_SALES = """
    UPDATE customers_customer SET
        total_orders = total_orders + sold.orders,
        total_spent = total_spent + sold.amount,
        last_paid_at = greatest(last_paid_at, sold.last)
    FROM unnest(%s::uuid[], %s::int[], %s::numeric[], %s::timestamptz[]) AS sold (customer, orders, amount, last)
    WHERE id = sold.customer
"""


def count_sales(*, sales: Sequence[Sale]) -> None:
    """Orders were paid: for each one order and its money more on the buyer's account."""
    by_customer: defaultdict[UUID, list[Sale]] = defaultdict(list)
    for sale in sales:
        by_customer[sale.customer_id].append(sale)
    if not by_customer:
        return
    if len(by_customer) > 1:
        hold(customer_ids=by_customer)  # in key order, so that two batches can't deadlock
    sold = [
        (key, len(their), sum(s.amount for s in their), max(s.paid_at for s in their))
        for key, their in by_customer.items()
    ]
    with prepared() as cursor:
        cursor.execute(COUNT_SALES, [list(column) for column in zip(*sold, strict=True)])
    rescore(customer_ids=by_customer, now=max(sale.paid_at for sale in sales))


# In key order, so that two who lock the same can't deadlock.
HOLD = "SELECT id FROM customers_customer WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"


def hold(*, customer_ids: Collection[UUID]) -> None:
    """Lock these customers' rows until the transaction ends, so that their counters can be restated."""
    if customer_ids:
        select(HOLD, list(customer_ids))


def restate(*, worth: Mapping[UUID, Worth], now: datetime) -> None:
    """Set the counters to what the orders say. The caller holds the customers, and counted after that."""
    fields = ("total_orders", "total_spent", "last_paid_at")
    customers = [Customer(id=key, **{field: getattr(w, field) for field in fields}) for key, w in worth.items()]
    Customer.objects.bulk_update(customers, fields, batch_size=500)
    rescore(customer_ids=list(worth), now=now)
