"""Why is this 3? One product's counters, rebuilt from the ledger at any instant, and who holds what."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import DateTimeField, F, Func, Max, Min, QuerySet, Sum, Value
from django.db.models.functions import Greatest
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from catalog.authentication import Access
from catalog.models import Product, StockMovement
from catalog.services import find_product
from catalog.staff import staff_page
from catalog.wording import grouped
from orders.models import Order
from orders.staff.charts import RANGES, Chart, Range, Series, chosen_range
from orders.staff.page import PAGE, after, show, taken_out, turn_page
from orders.staff.shelf import kept_of
from orders_project.clock import is_reckoned
from reservations.models import StockReservation

Kind = StockMovement.Kind

# What moved the shelf, as a merchant would say it, in the order of the sum.
PARTS = {
    Kind.OPENING: "at the beginning",
    Kind.RECEIVED: "received",
    Kind.RETURNED: "came back",
    Kind.ADJUSTED: "counted anew",
    Kind.RECONCILED: "set right",
    Kind.SOLD: "sold",
}


@dataclass(frozen=True, slots=True)
class Counters:
    """The shelf at an instant, what was held of it, what moved the shelf, and whether the ledger adds up to it."""

    stock: int
    reserved: int
    parts: Sequence[tuple[str, int]]
    agree: bool

    @property
    def available(self) -> int:
        return self.stock - self.reserved


class Moved(NamedTuple):
    """What the lines of one kind in one step of the chart add up to; and what the shelf counts now."""

    kind: str
    start: datetime
    stock: int
    reserved: int
    stock_now: int
    reserved_now: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Units held for an order, since or until an instant."""

    units: int
    at: datetime
    order: Order | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the ledger with what was `available` after it, and the number of its order."""

    movement: StockMovement
    available: int
    order_number: str | None


@staff_page
def product(request: HttpRequest, access: Access, product_id: UUID) -> HttpResponseBase:
    """One product now, or at the instant `at` if that is over: how its counters came to be so, and its ledger line
    by line."""
    found = find_product(business_id=access.business.id, product_id=product_id)
    then = _instant(request.GET.get("at", ""))
    is_to_come = then is not None and then > access.now
    if is_to_come:
        then = None
    ledger = StockMovement.objects.of(access.business.id).filter(product=found)
    if then is not None:
        ledger = ledger.filter(at__lte=then)
    if request.GET.get("format") == "csv":
        return taken_out(
            access, f"ledger-{found.sku}", CSV, ledger.order_by("at", "id").values_list(*CSV).iterator()
        )
    chosen = chosen_range(request, then or access.now, default="24h")
    moved = _moved(ledger, chosen)
    counters = _counters(moved, found, then)
    lines, older = _page(ledger, request.GET.get("before", ""))
    holders = _holders(found) if then is None else _holders_then(ledger)
    return show(
        request,
        access,
        "staff/product.html",
        title=f"{found.sku} {found.name}",
        question=f"Why {'was' if then else 'is'} this {grouped(counters.available)}?",
        product=found,
        then=then,
        is_to_come=is_to_come,
        counters=counters,
        kept=kept_of(found, {}),
        holders=_with_orders(access.business.id, holders[:PAGE]),
        more_holders=max(0, holders.count() - PAGE),
        chart=_chart(moved, chosen, access.business.time_zone),
        lines=lines,
        older=older,
        range=chosen,
        ranges=RANGES,
    )


def _instant(text: str) -> datetime | None:
    """An instant as a form sends it: in the business's time zone, if it names no other."""
    if not text:
        return None
    try:
        instant = parse_datetime(text)
        if instant is not None and is_reckoned(instant):
            aware = instant if instant.tzinfo else timezone.make_aware(instant)
            return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Http404("An instant looks like 2026-11-23T14:05.")


def _moved(ledger: QuerySet[StockMovement], chosen: Range) -> list[Moved]:
    """What a ledger adds up to, in one step what was before the stretch."""
    at = Greatest(F("at"), Value(chosen.since - chosen.step))
    start = Func(Value(chosen.step), at, Value(chosen.since), function="date_bin", output_field=DateTimeField())
    # The shelf is read anew in the same statement, or a sale in between would look like a fault.
    sums = ledger.values_list("kind", start).annotate(
        Sum("stock_delta"),
        Sum("reserved_delta"),
        Max("product__stock__stock_quantity"),
        Max("product__stock__reserved_stock"),
    )
    return [Moved(*row) for row in sums]


def _counters(moved: Sequence[Moved], product: Product, then: datetime | None) -> Counters:
    """What the ledger adds up to, by the kinds of its lines; for a product as it is now, what its shelf counts."""
    told = (sum(one.stock for one in moved), sum(one.reserved for one in moved))
    counted = told
    if then is None:
        shelf = product.stock
        counted = moved[0][4:] if moved else (shelf.stock_quantity, shelf.reserved_stock)
    units: Counter[str] = Counter()
    for one in moved:
        units[one.kind] += one.stock
    parts = [(words, units[kind]) for kind, words in PARTS.items() if units[kind]]
    return Counters(*counted, parts, agree=told == counted)


# Units, an instant, and the order that they are held for.
Holds = QuerySet[Any, tuple[int, datetime, UUID | None]]


def _holders(product: Product) -> Holds:
    """Who holds the product now, the first to run out at the top."""
    holds = StockReservation.objects.of(product.business_id).active().filter(product=product)
    return holds.order_by("expires_at", "id").values_list("quantity", "expires_at", "order_id")


def _holders_then(ledger: QuerySet[StockMovement]) -> Holds:
    """Who held the product where its ledger ends, who came first at the top. A hold itself tells no more what it
    was: it may have been edited since, or given more time."""
    of_orders = ledger.values("order_id").annotate(units=Sum("reserved_delta"), since=Min("at"))
    found = of_orders.filter(units__gt=0).order_by("since", "order_id")
    return found.values_list("units", "since", "order_id")


def _with_orders(business_id: UUID, holds: Iterable[tuple[int, datetime, UUID | None]]) -> list[Holder]:
    holds = list(holds)
    orders = Order.objects.of(business_id).select_related("customer").in_bulk([key for *_, key in holds if key])
    return [Holder(units, at, orders.get(key)) for units, at, key in holds]


def _page(ledger: QuerySet[StockMovement], before: str) -> tuple[list[Line], str | None]:
    """A page of the ledger, the newest lines first, and where the next one begins."""
    page, older = turn_page(ledger, "at", before)
    available = _available(after(ledger, "at", older)) if older else 0
    numbers = _numbers(page)
    lines = []
    for movement in reversed(page):
        available += movement.stock_delta - movement.reserved_delta
        lines.append(Line(movement, available, numbers.get(movement.order_id)))
    return lines[::-1], older


def _available(ledger: QuerySet[StockMovement]) -> int:
    """What a ledger says is available after its last line."""
    available: int = ledger.aggregate(units=Sum(F("stock_delta") - F("reserved_delta")))["units"]
    return available


def _numbers(movements: Sequence[StockMovement]) -> Mapping[UUID | None, str]:
    ids = {movement.order_id for movement in movements if movement.order_id}
    if not ids:
        return {}
    of_shop = Order.objects.of(movements[0].business_id).filter(id__any_of=ids)
    return dict(of_shop.values_list("id", "number"))


def _chart(moved: Sequence[Moved], chosen: Range, zone: str) -> Chart:
    """The counters at the end of each step, as the ledger has them; nothing before its first line."""
    by_step: defaultdict[datetime, list[Moved]] = defaultdict(list)
    for one in moved:
        by_step[one.start].append(one)
    counted: list[tuple[int, int] | None] = []
    stock = reserved = 0
    for start in [chosen.since - chosen.step, *chosen.starts]:
        stock += sum(one.stock for one in by_step[start])
        reserved += sum(one.reserved for one in by_step[start])
        is_known = by_step[start] or any(counted)
        counted.append((stock - reserved, reserved) if is_known else None)
    return Chart(
        id="counters",
        title="Available and held",
        unit="units",
        range=chosen,
        series=[
            Series(name, name, [counts and counts[n] for counts in counted[1:]])
            for n, name in enumerate(("available", "held"))
        ],
        zone=zone,
        empty="None on the shelf in this time. Units appear here when they come in.",
        stepped=True,
    )


CSV = ("at", "kind", "stock_delta", "reserved_delta", "order_id", "actor", "reason")
