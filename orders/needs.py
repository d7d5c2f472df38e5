"""What waits for somebody among the orders. Home counts it, and the list of orders is narrowed to it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from orders.querysets import OrderQuerySet

SOON = timedelta(minutes=3)
TOO_LONG = timedelta(days=3)  # from packing to the door
LATELY = timedelta(days=30)
A_WHILE = timedelta(minutes=10)  # in which what fails now and then is over

# What staff look for: what it is called, and which orders it means now.
NEEDS: Mapping[str, tuple[str, Callable[[OrderQuerySet, datetime], OrderQuerySet]]] = {
    "expiring": ("Expiring soon", lambda orders, now: orders.due_between(now, now + SOON)),
    "overdue": ("Overdue", lambda orders, now: orders.due(now)),
    "to_pack": ("To pack", lambda orders, now: orders.to_pack()),
    "no_tracking": ("No tracking", lambda orders, now: orders.processing_since(now - TOO_LONG)),
    "refund_due": ("Refund due", lambda orders, now: orders.to_refund()),
    "paid_late": ("Paid late", lambda orders, now: orders.paid_late()),
    "pending_but_paid": ("Pending but paid", lambda orders, now: orders.paid_unbooked(now - LATELY)),
}
