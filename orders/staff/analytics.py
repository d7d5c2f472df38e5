"""What the shop earned, what became of its holds, and what it could have sold besides."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponseBase

from catalog.authentication import Access
from catalog.staff import staff_page
from orders.staff.page import choice, show, taken_out
from orders.stats import Day, Figures, kept_days, shop_stats
from orders_project import money
from reservations.demand import LostDemand, lost_demand

# How many days back, today counted, and how they are put together.
PERIODS = {
    "7d": (7, "7 days", "day"),
    "30d": (30, "30 days", "day"),
    "90d": (90, "90 days", "week"),
    "1y": (365, "a year", "month"),
}


@staff_page
def analytics(request: HttpRequest, access: Access) -> HttpResponseBase:
    """Revenue, orders and conversion by channel and over time, cohorts of holds, and lost demand."""
    business = access.business
    period = choice(request, "range", PERIODS, "30d")
    count, _, interval = PERIODS[period]
    zone = ZoneInfo(business.time_zone)
    last = access.now.astimezone(zone).date()
    first = last - timedelta(days=count - 1)
    if request.GET.get("format") == "csv":
        return _csv(request, access, first, last)
    lost = _lost(access, first)
    return show(
        request,
        access,
        "staff/analytics.html",
        title="Analytics",
        question="What did the shop earn, and what was lost?",
        stats=shop_stats(
            business=business,
            first=first,
            last=last,
            tz=business.time_zone,
            interval=interval,  # type: ignore[arg-type]
        ),
        cohorts=_cohorts(kept_days(business, max(first, last - timedelta(days=MOST_COHORTS - 1)), last)),
        cohort_days=min(count, MOST_COHORTS),
        lost=lost[:MOST_LOST],
        lost_count=len(lost),
        range=period,
        periods=PERIODS,
        interval=interval,
    )


MOST_LOST = 20  # rows shown; the file has them all
MOST_COHORTS = 30  # days, however far back the page goes


def _lost(access: Access, first: date) -> list[LostDemand]:
    since = datetime.combine(first, time.min, ZoneInfo(access.business.time_zone))
    return lost_demand(business_id=access.business.id, since=since, until=access.now)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The orders placed on one day, each with a hold, and what became of them since."""

    day: date
    figures: Figures

    @property
    def made(self) -> int:
        return sum(self.figures.by_status().values())

    @property
    def released(self) -> int:
        return self.made - self.figures.converted - self.figures.expired - self.figures.pending


def _cohorts(days: Iterable[Day]) -> list[Cohort]:
    by_day: defaultdict[date, Figures] = defaultdict(Figures)
    for day in days:
        by_day[day.day].add(day.figures)
    return [Cohort(day, by_day[day]) for day in sorted(by_day, reverse=True) if by_day[day].by_status()]


def _csv(request: HttpRequest, access: Access, first: date, last: date) -> HttpResponseBase:
    if choice(request, "table", ("sales", "lost"), "sales") == "lost":
        found = _lost(access, first)
        return taken_out(access, "lost-demand", LOST, map(_lost_line, found))
    days = sorted(kept_days(access.business, first, last), key=lambda day: (day.day, day.channel, day.currency))
    return taken_out(access, "sales", SALES, map(_line, days))


LOST = ("sku", "name", "channel", "refusals", "units", "value", "currency")
SALES = ("day", "channel", "currency", "placed", "converted", "expired", "pending", "orders", "gross", "refunded")


def _lost_line(one: LostDemand) -> Sequence[Any]:
    amount = money.text(one.value, one.currency)
    return (one.sku, one.name, one.channel, one.refusals, one.units, amount, one.currency)


def _line(day: Day) -> Sequence[Any]:
    figures = day.figures
    placed = sum(figures.by_status().values())
    holds = (placed, figures.converted, figures.expired, figures.pending)
    amounts = (money.text(amount, day.currency) for amount in (figures.gross, figures.refunded))
    return (day.day, day.channel, day.currency, *holds, figures.orders, *amounts)
