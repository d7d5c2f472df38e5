"""Everything that happened to an order, as one story: who did what, when, and what it did to the stock."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.utils.dateparse import parse_datetime

from catalog.models import StockMovement
from catalog.wording import clock, price, spoken
from orders.lifecycle import CancelReason
from orders.models import Order, OrderEvent
from orders.templatetags.shown import channel

Kind = OrderEvent.Kind
Moved = StockMovement.Kind

MOST_EVENTS = 200  # shown of one order: the newest


class Line(NamedTuple):
    """One thing that was done; `tone` is its colour's name in the style sheet, `more` stands below, smaller."""

    words: str
    more: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody did at one moment, and the version of the order that it made."""

    at: datetime
    actor: str
    version: int
    lines: Sequence[Line]


def timeline(order: Order) -> list[Entry]:
    """What happened to an order, the newest first; beyond MOST_EVENTS only the newest of it."""
    events = list(order.events.order_by("-version")[:MOST_EVENTS])
    movements = StockMovement.objects.of(order.business_id).filter(order_id=order.id).select_related("product")
    if len(events) == MOST_EVENTS:
        movements = movements.filter(at__gte=events[-1].at)
    # A verb writes its event and its lines of the ledger with one instant and one name: so they are one act.
    acts: defaultdict[tuple[datetime, str], tuple[list[OrderEvent], list[StockMovement]]]
    acts = defaultdict(lambda: ([], []))
    for event in reversed(events):
        acts[event.at, event.actor][0].append(event)
    for movement in movements.order_by("at", "id"):
        acts[movement.at, movement.actor][1].append(movement)
    entries = [
        Entry(
            at=when,
            actor=actor,
            version=max((event.version for event in done), default=0),
            lines=[*(_told(event, order) for event in done), *_moved(moved)],
        )
        for (when, actor), (done, moved) in acts.items()
    ]
    return sorted(entries, key=lambda entry: (entry.at, entry.version), reverse=True)


# What moved the shelf for an order, as a merchant would say it, and its colour.
MOVED = {
    Moved.RESERVED: ("Held", "held"),
    Moved.RELEASED: ("Released", "ended"),
    Moved.EXPIRED: ("Time was over, released", "ended"),
    Moved.SOLD: ("Sold", "sold"),
    Moved.RETURNED: ("Back on the shelf", "available"),
}


def _moved(movements: Iterable[StockMovement]) -> list[Line]:
    """The lines of the ledger that one act wrote, those of a kind together."""
    goods: defaultdict[str, list[str]] = defaultdict(list)
    for movement in movements:
        units = abs(movement.stock_delta or movement.reserved_delta)
        goods[movement.kind].append(f"{units:,} × {movement.product.sku}")
    return [
        Line(f"{words}: {', '.join(goods[kind])}", tone=tone)
        for kind, (words, tone) in MOVED.items()
        if goods[kind]
    ]


def _told(event: OrderEvent, order: Order) -> Line:
    """An event in the words of the trade, with its facts."""
    facts = event.facts
    comes_to = _amount("It comes to {}", facts.get("total"), order)
    match event.kind:
        case Kind.CREATED:
            return Line("Written down as a draft", comes_to)
        case Kind.PLACED:
            return Line(f"Placed on {channel(order.channel)}", comes_to)
        case Kind.SUBMITTED:
            return Line("Submitted: it waits for its payment")
        case Kind.EDITED:
            return Line("Edited", _joined(_edited(facts), comes_to))
        case Kind.HOLD_EXTENDED:
            return Line(f"Given more time, until {_instant(facts.get('until', ''))}", facts.get("reason", ""))
        case Kind.PAYMENT_FAILED:
            return Line("A payment failed", _joined(_by(facts), facts.get("reason")), "refused")
        case Kind.PAID:
            return Line(_amount("Paid {}", facts.get("amount"), order), _by(facts), "sold")
        case Kind.PAID_LATE:
            late = f"after its time; the goods were still there, and were taken again. {_by(facts)}"
            return Line(_amount("Paid {}", facts.get("amount"), order), late, "sold")
        case Kind.REFUND_DUE:
            late = f"too late to have the goods: the money is to go back. {_by(facts)}"
            return Line(_amount("Paid {}", facts.get("amount"), order), late, "refused")
        case Kind.REFUNDED:
            return Line(_amount("Refunded {}", facts.get("amount"), order), _by(facts))
        case Kind.PROCESSING:
            return Line("Being packed")
        case Kind.SHIPPED:
            return Line("Shipped", _parcel(facts))
        case Kind.SHIPMENT_CHANGED:
            return Line("Shipping details set right", _parcel(facts))
        case Kind.DELIVERED:
            return Line("Delivered", tone="sold")
        case Kind.CANCELLED:
            owed = "Its money is to go back" if facts.get("payment_status") == "refund_due" else ""
            return Line("Cancelled", _joined(reason_words(facts.get("reason", "")), owed), "ended")
        case Kind.EXPIRED:
            return Line("Not paid in time: cancelled", tone="ended")
        case Kind.NOTED:
            return Line("Note", facts.get("text", ""))
        case Kind.CUSTOMER_MERGED:
            return Line(f"Its customer {facts['from']} was merged into {facts['to']}")
    return Line(spoken(event.kind).capitalize())


REASONS = {
    CancelReason.PAYMENT_TIMEOUT: "not paid in time",
    CancelReason.PAYMENT_FAILED: "its payment failed",
    CancelReason.ABANDONED: "a draft that nobody touched for long",
}


def reason_words(reason: str) -> str:
    """Why an order was cancelled, in words: those of who did it, or for the reasons that the house gives."""
    return REASONS[CancelReason(reason)] if reason in CancelReason.values else reason


def _edited(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{one['sku']} {one['from']:,} → {one['to']:,}" for one in facts.get("items", []))


def _parcel(facts: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (facts.get("carrier"), facts.get("tracking_number"))))


def _by(facts: Mapping[str, Any]) -> str:
    by = " ".join(filter(None, (facts.get("provider"), facts.get("reference"))))
    return f"By {by}" if by else ""


def _amount(words: str, amount: str | None, order: Order) -> str:
    return words.format(price(amount, order.currency)) if amount is not None else ""


def _instant(text: str) -> str:
    instant = parse_datetime(text)
    return clock(instant) if instant else text


def _joined(*parts: str | None) -> str:
    return ". ".join(filter(None, parts))
