"""What customers have paid and kept, counted from their orders."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import Count, F, Max, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from customers import services as customers
from customers.services import Worth
from orders.models import Order, Payment, amount_field


def restate_worth(*, customer_ids: Collection[UUID], now: datetime) -> None:
    """Set these customers' counters to what their orders say. To be called inside a transaction.

    Their rows are locked before the orders are read. A sale that commits meanwhile waits with its own
    increment until this is done, so neither is lost nor counted twice.
    """
    customers.hold(customer_ids=customer_ids)
    refunded = (
        Payment.objects.filter(order=OuterRef("pk"), kind=Payment.Kind.REFUND)
        .order_by()
        .values("order")
        .annotate(sum=Sum("amount"))
        .values("sum")
    )
    counted = (
        Order.objects.counted()
        .filter(customer__in=customer_ids)
        .annotate(kept=F("total") - Coalesce(Subquery(refunded), Value(0), output_field=amount_field()))
        .values_list("customer_id")
        .annotate(orders=Count("pk"), spent=Sum("kept"), last=Max("paid_at"))
    )
    worth = {customer_id: Worth(orders, spent, last) for customer_id, orders, spent, last in counted}
    customers.restate(worth={key: worth.get(key, Worth()) for key in customer_ids}, now=now)
