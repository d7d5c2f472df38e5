"""What people write beside an order, for each other."""

from datetime import datetime
from uuid import UUID

from orders.models import Order, OrderEvent
from orders.services.timeline import change_locked, find_order, write_event
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

Kind = OrderEvent.Kind

LONGEST_NOTE = 2000  # characters


@one_transaction
def add_note(*, business_id: UUID, order_id: UUID, text: str, actor: str, now: datetime) -> Order:
    """Write a note into an order's timeline, in whatever status it is. The same words of the same person, with
    nothing in between, are the same note. Raises InvalidRequest for none, or too many; OrderNotFound."""
    text = text.strip()
    if not 0 < len(text) <= LONGEST_NOTE:
        raise InvalidRequest.at("text", "length", f"A note has 1 to {LONGEST_NOTE:,} characters.")
    order = find_order(business_id=business_id, order_id=order_id, locked=True)
    last = order.events.latest("version")
    if (last.kind, last.actor, last.facts) == (Kind.NOTED, actor, {"text": text}):
        return order
    order = change_locked(order)
    write_event(order, Kind.NOTED, actor=actor, now=now, text=text)
    return order
