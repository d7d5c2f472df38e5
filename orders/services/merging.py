"""Making one customer of two who are the same person."""

from datetime import datetime
from uuid import UUID

from django.db.models import F

from catalog.live import feed
from customers import services as customers
from customers.models import Customer
from orders.errors import TooManyOrders
from orders.models import Order, OrderEvent
from orders.services.timeline import event_of
from orders.services.worth import restate_worth
from orders_project.rows import Insert, insert
from orders_project.transactions import one_transaction

MOST_MOVED = 10_000  # orders in one transaction; who has more is the one to keep


@one_transaction
def merge_customers(
    *,
    business_id: UUID,
    kept_id: UUID,
    merged_id: UUID,
    actor: str,
    now: datetime,
    seen: tuple[str, str] | None = None,
) -> Customer:
    """Every order of the merged customer becomes the kept one's, and so does what was on file of them where the
    kept one had nothing (`merged_fields`); the merged one is removed. Each order's timeline says so, and the audit
    has all that was there. Returns the kept one, whose counters are counted anew.

    Who orders afterwards by a phone, an email or an id that was not taken over is a new customer.
    Raises CustomerNotFound, SameCustomer, NotesTooLong, TooManyOrders; PreconditionFailed if either was changed
    since they were as `seen` (the `Customer.edition` of both).
    """
    orders = Order.objects.of(business_id).filter(customer=merged_id)
    # The orders before the customers, as in every verb: who pays one of them has it locked, and comes to its
    # customer next. Those that were being placed are only seen when both customers are locked.
    list(orders.lock().values_list("id")[: MOST_MOVED + 1])
    kept, merged = customers.take_both(business_id=business_id, kept_id=kept_id, merged_id=merged_id, seen=seen)
    found = dict(orders.lock().values_list("id", "version")[: MOST_MOVED + 1])
    if len(found) > MOST_MOVED:
        raise TooManyOrders(
            f"{merged.name} has more than {MOST_MOVED:,} orders. Keep them, and merge the other one into them.",
            most=MOST_MOVED,
        )
    events = [
        event_of(
            business_id=business_id,
            order_id=order_id,
            version=version + 1,
            kind=OrderEvent.Kind.CUSTOMER_MERGED,
            actor=actor,
            now=now,
            facts={"from": merged.name, "from_id": str(merged_id), "to": kept.name, "to_id": str(kept_id)},
        )
        for order_id, version in found.items()
    ]
    insert(Insert(OrderEvent, events))
    orders.update(customer=kept, version=F("version") + 1)
    customers.remove_merged(kept=kept, merged=merged, orders=len(found), actor=actor, now=now)
    restate_worth(customer_ids=[kept_id], now=now)
    feed.touch_orders(business_id, list(found))
    return customers.find_customer(business_id=business_id, customer_id=kept_id)
