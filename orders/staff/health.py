"""The page that staff keep open all day."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, Min, Q, Sum, When
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse

from catalog.alerts import Condition
from catalog.authentication import Access
from catalog.jobs import last_runs, late_jobs
from catalog.models import Alert, Business, Product
from catalog.staff import staff_page
from catalog.watching import short_shelves
from orders.lifecycle import Status
from orders.models import Discrepancy, Order
from orders.staff.alerts import rows_of
from orders.staff.charts import DAY, MINUTE, RANGES, Chart, Range, Series, chosen_range
from orders.staff.jobs import jobs_of
from orders.staff.page import show
from orders.staff.verdict import verdict
from reservations.demand import LostDemand, lost_demand, units_lost
from reservations.minutes import Levels, Minute, levels_before, minutes_since, rate_since
from reservations.models import StockReservation

FEW = 8  # rows of each small list
FEW_ALERTS = 4  # the others are a page of their own

WORST_FIRST = Case(
    *(When(severity=severity, then=rank) for rank, severity in enumerate(Alert.Severity)),
    default=len(Alert.Severity),
)


@staff_page
def stock_health(request: HttpRequest, access: Access) -> HttpResponse:
    """Is the stock healthy? The verdict, what stands against it, and the figures behind it."""
    business, now = access.business, access.now
    chosen = chosen_range(request, now)
    minutes = minutes_since(business_id=business.id, since=min(chosen.since, now - DAY), now=now)
    lost = _by_product(lost_demand(business_id=business.id, since=chosen.since, until=now))
    shelf = _shelf(business.id)
    shelves = short_shelves(business.id)
    alerts = Alert.objects.of(business.id)
    runs, runs_here = last_runs(), last_runs(business.id)
    late = late_jobs(now, runs)
    jobs = jobs_of(runs | runs_here, late)
    return show(
        request,
        access,
        "staff/stock_health.html",
        title="Stock health",
        question="Is the stock healthy?",
        verdict=verdict(access, late),
        alerts_count=alerts.open().count(),
        **rows_of(list(alerts.unheard(now).order_by(WORST_FIRST, "-opened_at")[:FEW_ALERTS]), access),
        shelf=shelf,
        available=shelf["units"] - shelf["held"],
        holds=_holds(business.id, now),
        held_value=_held_value(business),
        refused_now=rate_since(now - 5 * MINUTE, minutes),
        refused_today=rate_since(now - DAY, minutes),
        compares=next(job for job in jobs if job.name == "stock-reconciliation"),
        findings=Discrepancy.objects.of(business.id).open().count(),
        jobs=jobs,
        low=_short(business.id, Alert.Kind.LOW_STOCK, shelves),
        out=_short(business.id, Alert.Kind.OUT_OF_STOCK, shelves),
        wanted=_most_wanted(business.id, lost),
        lost=lost[:FEW],
        lost_count=len(lost),
        charts=_charts(business, chosen, _steps(business.id, chosen, minutes)),
        range=chosen,
        ranges=RANGES,
    )


def _shelf(business_id: UUID) -> dict[str, int]:
    """Units on the shelf, and held of them."""
    return Product.objects.of(business_id).aggregate(
        units=Coalesce(Sum("stock__stock_quantity"), 0), held=Coalesce(Sum("stock__reserved_stock"), 0)
    )


def _held_value(business: Business) -> Decimal | None:
    """What the held goods cost, in the currency of today; orders of before it changed are left out."""
    pending = Order.objects.of(business.id).filter(status=Status.PENDING, currency=business.currency)
    value: Decimal | None = pending.aggregate(value=Sum("subtotal"))["value"]
    return value


# How many minutes a hold has left, in words: from, and up to.
LEFT = (
    ("overdue", None, 0),
    ("under 1 min", 0, 1),
    ("1 to 5 min", 1, 5),
    ("5 to 10 min", 5, 10),
    ("10 to 15 min", 10, 15),
    ("longer", 15, None),
)


def _holds(business_id: UUID, now: datetime) -> dict[str, Any]:
    """How many holds there are, by the minutes that they have left, and the one that is overdue the longest."""
    counts = {f"left_{n}": Count("id", filter=_left(low, high, now)) for n, (_, low, high) in enumerate(LEFT)}
    oldest = Min("expires_at", filter=Q(expires_at__lte=now))
    active = StockReservation.objects.of(business_id).active()
    found = active.aggregate(count=Count("id"), oldest=oldest, **counts)
    by_time_left = [(words, found[f"left_{n}"]) for n, (words, _, _) in enumerate(LEFT)]
    return {"count": found["count"], "oldest": found["oldest"], "by_time_left": by_time_left}


def _left(low: int | None, high: int | None, now: datetime) -> Q:
    within = Q()
    if low is not None:
        within &= Q(expires_at__gt=now + low * MINUTE)
    if high is not None:
        within &= Q(expires_at__lte=now + high * MINUTE)
    return within


# --- Products ----------------------------------------------------------------------------------


def _short(business_id: UUID, kind: Alert.Kind, shelves: Iterable[Condition]) -> dict[str, Any]:
    """The products that are low, or out, as their alerts have it: how many, and the scarcest of them."""
    found = [shelf for shelf in shelves if shelf.kind == kind]
    scarcest = sorted(found, key=lambda shelf: (shelf.facts["available"], shelf.facts["sku"]))[:FEW]
    keys = [UUID(shelf.subject) for shelf in scarcest]
    products = Product.objects.of(business_id).select_related("stock").in_bulk(keys)
    return {"count": len(found), "products": [products[key] for key in keys]}


@dataclass(slots=True)
class Lost:
    """What was asked for of a product and could not be had, through all channels."""

    product_id: UUID
    sku: str
    name: str
    currency: str
    units: int = 0
    value: Decimal = Decimal(0)


def _by_product(demand: Iterable[LostDemand]) -> list[Lost]:
    """The lost demand of each product, the greatest first."""
    found: dict[tuple[UUID, str], Lost] = {}
    for one in demand:
        sums = found.setdefault(
            (one.product_id, one.currency), Lost(one.product_id, one.sku, one.name, one.currency)
        )
        sums.units += one.units
        sums.value += one.value
    return sorted(found.values(), key=lambda lost: -lost.value)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A product that many ask for: units held of it now, and units refused in the range."""

    product: Product
    held: int
    refused: int


def _most_wanted(business_id: UUID, lost: Sequence[Lost]) -> list[Wanted]:
    """The products of which the most is held or was refused."""
    active = StockReservation.objects.of(business_id).active().order_by()
    held = dict(active.values_list("product").annotate(units=Sum("quantity")).order_by("-units")[:FEW])
    refused: defaultdict[UUID, int] = defaultdict(int)
    for one in lost:
        refused[one.product_id] += one.units
    most = sorted({*held, *refused}, key=lambda key: -held.get(key, 0) - refused[key])[:FEW]
    products = Product.objects.of(business_id).select_related("stock").in_bulk(most)
    return [Wanted(products[key], products[key].stock.reserved_stock, refused[key]) for key in most]


# --- Charts ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a chart: the levels at its end, what happened in its minutes, units that could not be had."""

    levels: Levels
    minutes: Sequence[Minute]
    lost: int

    def sum(self, *names: str) -> int:
        return sum(getattr(minute, name) for minute in self.minutes for name in names)

    @property
    def minutes_to_pay(self) -> float | None:
        converted = self.sum("converted")
        return round(self.sum("seconds_to_pay") / converted / 60, 1) if converted else None


def _steps(business_id: UUID, chosen: Range, minutes: Iterable[Minute]) -> list[Step | None]:
    """The minutes of the range by the chart's steps, None before the first that is known. Levels last until
    something moves them."""
    levels = levels_before(business_id=business_id, minute=chosen.since)
    lost = units_lost(business_id=business_id, since=chosen.since, until=chosen.until, step=chosen.step)
    by_step: defaultdict[datetime, list[Minute]] = defaultdict(list)
    for minute in minutes:
        by_step[chosen.start_of(minute.minute)].append(minute)
    steps: list[Step | None] = []
    for start in chosen.starts:
        if known := by_step[start]:
            levels = Levels(known[-1].held_units, known[-1].available_units)
        steps.append(None if levels is None else Step(levels, known, lost.get(start, 0)))
    return steps


def _charts(business: Business, chosen: Range, steps: Sequence[Step | None]) -> list[Chart]:
    def chart(
        id: str,
        title: str,
        unit: str,
        empty: str,
        *series: tuple[str, str, Callable[[Step], float | None]],
        **more: Any,
    ) -> Chart:
        return Chart(
            id=id,
            title=title,
            unit=unit,
            range=chosen,
            series=[
                Series(
                    name, tone, [None if step is None else value(step) for step in steps], on_right=name == "held"
                )
                for name, tone, value in series
            ],
            zone=business.time_zone,
            empty=empty,
            **more,
        )

    return [
        chart(
            "levels",
            "Held against available",
            "units",
            "Nothing on the shelf in this time. Units appear here when they come in.",
            ("available", "available", lambda step: step.levels.available),
            ("held", "held", lambda step: step.levels.held),
            stepped=True,
        ),
        chart(
            "holds",
            f"Holds in each {chosen.step_words}",
            "",
            "No holds in this time. They appear here as orders are placed, paid, given up or refused.",
            ("made", "held", lambda step: step.sum("made")),
            ("sold", "sold", lambda step: step.sum("converted")),
            ("expired or released", "over", lambda step: step.sum("expired", "released")),
            ("refused orders", "refused", lambda step: step.sum("refused")),
        ),
        chart(
            "pay",
            "From hold to payment, on average",
            "min",
            "No hold was paid in this time. How long it takes appears here when one is.",
            ("minutes", "sold", lambda step: step.minutes_to_pay),
            dotted=True,
        ),
        chart(
            "lost",
            f"Lost demand in each {chosen.step_words}",
            "units",
            "Nobody asked for more than there was. Units that could not be had appear here.",
            ("units asked for, and not there", "refused", lambda step: step.lost),
        ),
    ]
