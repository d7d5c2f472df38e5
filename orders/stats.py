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

The database keeps the figures of each day of the business's own time zone (DailySales), so a year's are read
as fast as a week's. For another time zone they are counted from the orders. Both do it by the same SQL, in
orders/migrations/0003_daily_sales.py.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Sum

from catalog.models import Business
from orders.lifecycle import Status
from orders.models import DailySales
from orders_project import money

Interval = Literal["day", "week", "month"]

LONGEST_RANGE = timedelta(days=5 * 366)

COUNTED = """
    SELECT day, channel, currency, pending, paid, processing, shipped, delivered, cancelled,
        converted, expired, orders, gross, refunded
    FROM orders_daily_sales(%s, %s, %s, %s)
"""


@dataclass(slots=True)
class Figures:
    """The sums of a set of orders, in one currency: those placed by the status they have now, and so on."""

    pending: int = 0
    paid: int = 0
    processing: int = 0
    shipped: int = 0
    delivered: int = 0
    cancelled: int = 0
    converted: int = 0
    expired: int = 0
    orders: int = 0
    gross: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)

    def add(self, other: "Figures") -> None:
        for name in NAMES:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def by_status(self) -> dict[str, int]:
        """How many of the orders placed are in each status now."""
        return {status.value: getattr(self, status) for status in Status if status != Status.DRAFT}

    def say(self, currency: str) -> dict[str, Any]:
        """The figures as the API answers them: money as text, shares between 0 and 1."""
        average = money.rounded(self.gross / self.orders, currency) if self.orders else None
        placed = sum(self.by_status().values())
        return {
            "gross": money.text(self.gross, currency),
            "refunded": money.text(self.refunded, currency),
            "net": money.text(self.gross - self.refunded, currency),
            "orders": self.orders,
            "aov": None if average is None else money.text(average, currency),
            "placed": placed,
            "conversion": round(self.converted / placed, 4) if placed else None,
            "expiry_rate": round(self.expired / placed, 4) if placed else None,
        }


NAMES = [field.name for field in fields(Figures)]


@dataclass(frozen=True, slots=True)
class Day:
    """The figures of one day, channel and currency."""

    day: date
    channel: str
    currency: str
    figures: Figures


def shop_stats(*, business: Business, first: date, last: date, tz: str, interval: Interval) -> dict[str, Any]:
    """The shop's figures from the first to the last day (both counted), for each currency: in all, by
    channel, by status and by interval. Intervals without orders are there too, with zeros."""
    own = tz == business.time_zone
    days = list(kept_days(business, first, last) if own else _counted(business, first, last, ZoneInfo(tz)))
    currencies = sorted({day.currency for day in days} | {business.currency})
    starts = {_start_of(first + timedelta(days=n), interval): None for n in range((last - first).days + 1)}
    return {
        "business": business.id,
        "from": first,
        "to": last,
        "tz": tz,
        "interval": interval,
        "currencies": [
            _of_currency(currency, [day for day in days if day.currency == currency], starts, interval)
            for currency in currencies
        ],
    }


def rebuild(*, business_id: UUID) -> None:
    """Count the business's daily sales anew from its orders. Its orders wait meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT orders_rebuild_daily_sales(%s)", [business_id])


def kept_days(business: Business, first: date, last: date) -> Iterator[Day]:
    """The figures of days of the business's own time zone, as the database keeps them."""
    sales = DailySales.objects.filter(business=business, day__range=(first, last))
    for day, channel, currency, *sums in sales.values_list("day", "channel", "currency").annotate(
        *map(Sum, NAMES)
    ):
        yield Day(day, channel, currency, Figures(*sums))


def _counted(business: Business, first: date, last: date, zone: ZoneInfo) -> Iterator[Day]:
    """The figures of days of any time zone, counted from the orders."""
    begins = datetime.combine(first, time.min, zone)
    ends = datetime.combine(last + timedelta(days=1), time.min, zone)
    return counted_between(business, begins, ends, zone)


def counted_between(business: Business, begins: datetime, ends: datetime, zone: ZoneInfo) -> Iterator[Day]:
    """The figures from one instant to another (not counted), which may be only a part of a day, counted from the
    orders."""
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, [business.id, zone.key, begins, ends])
        for day, channel, currency, *sums in cursor:
            yield Day(day, channel, currency, Figures(*sums))


def _of_currency(currency: str, days: list[Day], starts: Iterable[date], interval: Interval) -> dict[str, Any]:
    total = Figures()
    by_channel: defaultdict[str, Figures] = defaultdict(Figures)
    by_start = {start: Figures() for start in starts}
    for day in days:
        for sums in (total, by_channel[day.channel], by_start[_start_of(day.day, interval)]):
            sums.add(day.figures)
    return {
        "currency": currency,
        **total.say(currency),
        "by_status": total.by_status(),
        "by_channel": [{"channel": name, **by_channel[name].say(currency)} for name in sorted(by_channel)],
        "by_interval": [{"start": start, **figures.say(currency)} for start, figures in by_start.items()],
    }


def _start_of(day: date, interval: Interval) -> date:
    """The first day of the interval that has this day in it; weeks begin on Monday."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day
