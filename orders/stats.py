"""What the shop earned: revenue, orders, average order value, conversion, expiry rate.

The definitions, in one place:

- Money counts on the day it moved, in the business's time zone. `gross` is what was captured for sales,
  that is for orders that were paid while their goods could be had; money that came too late for its
  goods is no sale and counts nowhere.
- `refunded` is what went back, on the day it went; and when a paid order is cancelled all that is left of
  its money, on the day it was cancelled, for it is owed from then on. What is paid back afterwards is
  that same money and isn't subtracted twice.
- `net` = gross - refunded. `orders` counts the orders paid, and `aov` = gross / orders.
- `placed` counts the orders that asked for stock, on the day they did; drafts don't. `conversion` and
  `expiry_rate` are the shares of these that were paid at any time since, and that ended by the payment
  timeout.
- Every figure belongs to one currency; currencies are never added up.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db.models import Count, DateField, F, OuterRef, Q, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Trunc

from catalog.models import Business
from orders.lifecycle import CancelReason, Status
from orders.models import Order, Payment, amount_field
from orders_project import money

Interval = Literal["day", "week", "month"]

LONGEST_RANGE = timedelta(days=5 * 366)


@dataclass(slots=True)
class Figures:
    """The sums of a set of orders, in one currency."""

    gross: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    orders: int = 0
    placed: int = 0
    converted: int = 0
    expired: int = 0

    def add(self, other: "Figures") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def say(self, currency: str) -> dict[str, Any]:
        """The figures as the API answers them: money as text, shares between 0 and 1."""
        average = money.rounded(self.gross / self.orders, currency) if self.orders else None
        return {
            "gross": money.text(self.gross, currency),
            "refunded": money.text(self.refunded, currency),
            "net": money.text(self.gross - self.refunded, currency),
            "orders": self.orders,
            "aov": None if average is None else money.text(average, currency),
            "placed": self.placed,
            "conversion": round(self.converted / self.placed, 4) if self.placed else None,
            "expiry_rate": round(self.expired / self.placed, 4) if self.placed else None,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one interval, channel and currency; `status` only where they count placed orders."""

    start: date
    channel: str
    currency: str
    figures: Figures
    status: str | None = None


def shop_stats(*, business: Business, first: date, last: date, tz: str, interval: Interval) -> dict[str, Any]:
    """The shop's figures from the first to the last day (both counted), for each currency: in all, by
    channel, by status and by interval. Intervals without orders are there too, with zeros."""
    zone = ZoneInfo(tz)
    begins = datetime.combine(first, time.min, zone)
    ends = datetime.combine(last + timedelta(days=1), time.min, zone)
    rows = list(_rows(business, begins, ends, interval))
    currencies = sorted({row.currency for row in rows} | {business.currency})
    return {
        "business": business.id,
        "from": first,
        "to": last,
        "tz": tz,
        "interval": interval,
        "currencies": [
            _of_currency(
                currency, [row for row in rows if row.currency == currency], list(_starts(first, last, interval))
            )
            for currency in currencies
        ],
    }


def _of_currency(currency: str, rows: list[Row], starts: list[date]) -> dict[str, Any]:
    by_channel: defaultdict[str, Figures] = defaultdict(Figures)
    by_start = {start: Figures() for start in starts}
    by_status: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        by_channel[row.channel].add(row.figures)
        by_start[row.start].add(row.figures)
        if row.status is not None:
            by_status[row.status] += row.figures.placed
    return {
        "currency": currency,
        **_sum(by_channel.values()).say(currency),
        "by_status": {status.value: by_status[status] for status in Status if status != Status.DRAFT},
        "by_channel": [{"channel": name, **by_channel[name].say(currency)} for name in sorted(by_channel)],
        "by_interval": [{"start": start, **figures.say(currency)} for start, figures in by_start.items()],
    }


def _sum(parts: Iterable[Figures]) -> Figures:
    total = Figures()
    for part in parts:
        total.add(part)
    return total


def _rows(business: Business, begins: datetime, ends: datetime, interval: Interval) -> Iterator[Row]:
    def start_of(field: str) -> Trunc:
        return Trunc(field, interval, output_field=DateField(), tzinfo=begins.tzinfo)

    def within(field: str) -> Q:
        return Q(**{f"{field}__gte": begins, f"{field}__lt": ends})

    orders = Order.objects.of(business.id)
    placed = orders.filter(within("placed_at")).values_list(start_of("placed_at"), "channel", "currency", "status")
    timed_out = Q(status=Status.CANCELLED, cancel_reason=CancelReason.PAYMENT_TIMEOUT, paid_at__isnull=True)
    for start, channel, currency, status, count, converted, expired in placed.annotate(
        count=Count("id"),
        paid=Count("id", filter=Q(paid_at__isnull=False)),
        timed_out=Count("id", filter=timed_out),
    ).order_by():
        yield Row(start, channel, currency, Figures(placed=count, converted=converted, expired=expired), status)

    of_sales = Payment.objects.filter(business=business, order__paid_at__isnull=False)
    captured = of_sales.filter(within("at"), kind=Payment.Kind.CAPTURE)
    for start, channel, currency, amount, count in (
        captured.values_list(start_of("at"), "order__channel", "currency")
        .annotate(sum=Sum("amount"), count=Count("id"))
        .order_by()
    ):
        yield Row(start, channel, currency, Figures(gross=amount, orders=count))

    before_cancelling = Q(order__cancelled_at__isnull=True) | Q(at__lt=F("order__cancelled_at"))
    refunds = of_sales.filter(before_cancelling, kind=Payment.Kind.REFUND)
    went_back = refunds.filter(within("at"))
    for start, channel, currency, amount in (
        went_back.values_list(start_of("at"), "order__channel", "currency").annotate(sum=Sum("amount")).order_by()
    ):
        yield Row(start, channel, currency, Figures(refunded=amount))

    earlier = (
        refunds.filter(order=OuterRef("pk")).order_by().values("order").annotate(sum=Sum("amount")).values("sum")
    )
    owed = F("total") - Coalesce(Subquery(earlier), Value(Decimal(0)), output_field=amount_field())
    called_off = orders.filter(within("cancelled_at"), paid_at__isnull=False)
    for start, channel, currency, amount in (
        called_off.values_list(start_of("cancelled_at"), "channel", "currency").annotate(sum=Sum(owed)).order_by()
    ):
        yield Row(start, channel, currency, Figures(refunded=amount))


def _starts(first: date, last: date, interval: Interval) -> Iterator[date]:
    """The first day of each interval that has a day in the range; weeks begin on Monday."""
    start = first
    if interval == "week":
        start -= timedelta(days=first.weekday())
    elif interval == "month":
        start = first.replace(day=1)
    while start <= last:
        yield start
        if interval == "month":
            start = (start.replace(day=28) + timedelta(days=4)).replace(day=1)
        else:
            start += timedelta(days=7 if interval == "week" else 1)
