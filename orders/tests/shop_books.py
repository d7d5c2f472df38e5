"""What is written of a shop, and what follows from it, in plain Python: the data of shop_model.py."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from orders.services import Placement

SOLD = ("paid", "processing", "shipped", "delivered")
FROM = {
    "pending": ["draft"],
    "processing": ["paid"],
    "shipped": ["processing"],
    "delivered": ["shipped"],
    "cancelled": ["draft", "pending", "paid", "processing"],
}

# How holds end: from what to what, and the sign with which their units move the shelf and the reserved ones.
ENDS = {
    "sold": ("active", "converted", -1, -1),
    "released": ("active", "released", 0, -1),
    "expired": ("active", "expired", 0, -1),
    "returned": ("converted", "released", 1, 0),
}


class Refused(Exception):
    """A verb can't be done, and nothing of it was."""

    def __init__(self, code: str, short: Sequence[str] = ()) -> None:
        super().__init__(code)
        self.code, self.short = code, short


@dataclass(eq=False)
class Buyer:
    phone: str | None


@dataclass(frozen=True)
class Money:
    """Money that came in for an order (a capture), or went back (a refund)."""

    order: int
    kind: str
    amount: Decimal
    at: datetime


@dataclass
class Hold:
    units: int
    until: datetime
    status: str = "active"


@dataclass(eq=False)
class Order:
    number: int
    asked: "Placement"
    buyer: Buyer
    units: Mapping[str, int]  # by SKU
    prices: Mapping[str, Decimal]
    discount: Decimal
    created: datetime
    status: str = "draft"
    payment: str = "pending"
    reason: str = ""
    placed: datetime | None = None
    due: datetime | None = None
    paid: datetime | None = None
    cancelled: datetime | None = None
    parcel: str = ""
    events: list[str] = field(default_factory=list)  # one for each version
    holds: dict[str, Hold] = field(default_factory=dict)

    @property
    def total(self) -> Decimal:
        return sum((self.prices[sku] * units for sku, units in self.units.items()), -self.discount)

    @property
    def held(self) -> dict[str, int]:
        return {sku: hold.units for sku, hold in self.holds.items() if hold.status == "active"}

    def go(self, to: str) -> bool:
        """Go to a status; False says that the order is there already."""
        if self.status not in (to, *FROM[to]):
            raise Refused("illegal_transition")
        before, self.status = self.status, to
        return before != to


@dataclass
class Books:
    zone: ZoneInfo
    double_click: timedelta
    prices: dict[str, Decimal]
    stock: dict[str, int]
    kept_back: dict[tuple[str, str], int] = field(default_factory=dict)  # units, from a channel's orders
    most_open: int = 50  # orders of one buyer that wait for their money
    orders: list[Order] = field(default_factory=list)
    payments: dict[tuple[str, str], Money] = field(default_factory=dict)  # by provider and reference
    ledger: list[tuple[str, str, int | None, int, int]] = field(default_factory=list)
    keys: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # of what was done by hand

    # What is written

    def move(self, sku: str, kind: str, order: Order | None = None, stock: int = 0, held: int = 0) -> None:
        self.stock[sku] += stock
        self.ledger.append((sku, kind, order.number if order else None, stock, held))

    def end(self, order: Order, kind: str, *skus: str) -> None:
        """End what an order holds, of all goods or of these."""
        before, after, stock, held = ENDS[kind]
        for sku, hold in order.holds.items():
            if hold.status == before and sku in (skus or order.holds):
                hold.status = after
                self.move(sku, kind, order, stock * hold.units, held * hold.units)

    def hold(self, order: Order, units: Mapping[str, int], until: datetime, channel: str = "") -> None:
        """Have an order hold these units, and not those that it held; none that are kept back from the channel."""
        had = order.held
        more = {sku: units.get(sku, 0) - had.get(sku, 0) for sku in {**had, **units}}
        left = {sku: max(0, self.free(sku) - self.kept_back.get((channel, sku), 0)) for sku in more}
        if short := [sku for sku, difference in more.items() if difference > left[sku]]:
            raise Refused("insufficient_stock", short)
        for sku, difference in more.items():
            if sku not in units:
                order.holds[sku].status = "released"
            elif sku in had:
                order.holds[sku].units = units[sku]
            else:
                order.holds[sku] = Hold(units[sku], until)
            if difference:
                self.move(sku, "reserved" if difference > 0 else "released", order, held=difference)

    # What follows

    def reserved(self, sku: str) -> int:
        return sum(order.held.get(sku, 0) for order in self.orders)

    def free(self, sku: str) -> int:
        return self.stock[sku] - self.reserved(sku)

    def overdue(self, sku: str, now: datetime, spared: Collection[int] = ()) -> list[Order]:
        """Who holds this though their time is over."""
        others = [order for order in self.orders if sku in order.held and order.number not in spared]
        return [order for order in others if order.holds[sku].until <= now]

    def money(self, number: int, kind: str) -> list[Money]:
        return [money for money in self.payments.values() if (money.order, money.kind) == (number, kind)]

    def sum(self, number: int, kind: str) -> Decimal:
        return sum((money.amount for money in self.money(number, kind)), Decimal(0))

    def worth(self, buyer: Buyer) -> tuple[int, Decimal, datetime | None]:
        """What a buyer paid and kept: orders, money, and when they last paid."""
        kept = [o for o in self.orders if o.buyer is buyer and o.status in SOLD and o.payment != "refunded"]
        spent = sum((order.total - self.sum(order.number, "refund") for order in kept), Decimal(0))
        return len(kept), spent, max((order.paid for order in kept if order.paid), default=None)

    def sales(self) -> dict[tuple[date, str, str], Decimal]:
        """The figures of each day and channel, those that are not zero."""
        figures: Counter[tuple[date, str, str]] = Counter()
        for order in self.orders:
            for at, figure, amount in self.entries(order):
                if at is not None:
                    figures[at.astimezone(self.zone).date(), order.asked.channel, figure] += amount
        return {key: amount for key, amount in figures.items() if amount}

    def entries(self, order: Order) -> Iterator[tuple[datetime | None, str, Decimal | int]]:
        """What an order adds to which figure, when: money counts when it moves, what else when it was placed."""
        yield order.placed, order.status, 1
        if order.paid is None:
            if order.reason == "payment_timeout":
                yield order.placed, "expired", 1
            return
        yield order.placed, "converted", 1
        yield order.paid, "orders", 1
        yield order.paid, "gross", order.total
        # All that is left of the money is owed from the moment of cancelling on, whenever it goes back.
        back = self.money(order.number, "refund")
        before = [money for money in back if order.cancelled is None or money.at < order.cancelled]
        for money in before:
            yield money.at, "refunded", money.amount
        yield order.cancelled, "refunded", order.total - sum(money.amount for money in before)
