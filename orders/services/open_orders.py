"""How many orders of one customer may wait for their payment: nobody empties a shelf without paying."""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from catalog.models import Business
from orders.errors import TooManyOpenOrders
from orders_project.rows import select

# Those whose time is over don't count: a dead worker can't keep customers out.
OPEN = """
    SELECT customer_id, count(*) FROM orders_order
    WHERE business_id = %s AND customer_id = ANY(%s) AND status = 'pending' AND payment_due_at > %s
    GROUP BY customer_id
"""


class OpenOrders:
    """How many orders of these customers wait for their payment. The caller holds the customers."""

    def __init__(self, business: Business, customer_ids: Collection[UUID], now: datetime) -> None:
        self._most = business.most_open_orders
        found = select(OPEN, business.id, list(customer_ids), now) if customer_ids and self._most else []
        self._open = Counter(dict(found))

    def refuse_one_more(self, customer_id: UUID) -> None:
        """Raises TooManyOpenOrders if as many wait as the business allows."""
        if self._most is not None and self._open[customer_id] >= self._most:
            raise TooManyOpenOrders(
                f"{self._open[customer_id]} orders of this customer wait for their payment. "
                "One of them has to be paid or cancelled first.",
                customer=str(customer_id),
                open=self._open[customer_id],
                allowed=self._most,
            )

    def remember(self, customer_id: UUID) -> None:
        """One more waits."""
        self._open[customer_id] += 1
