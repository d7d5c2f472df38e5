"""Why is this 3? One product's counters, rebuilt from the ledger at any instant, and who holds what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db.models import F, Max, Q, QuerySet, Sum, Window
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from catalog.authentication import Access
from catalog.models import Product, Stock, StockMovement
from catalog.services import find_product
from catalog.staff import staff_page
from orders.models import Order
from orders.staff.charts import RANGES, Chart, Range, Series, chosen_range
from orders.staff.page import PAGE, after, csv_file, show, turn_page
from orders_project.rows import select
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


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the ledger with what was `available` after it, and the number of its order."""

    movement: StockMovement
    order_number: str | None


@staff_page
def product(request: HttpRequest, access: Access, product_id: UUID) -> HttpResponseBase:
    """One product now, or at the instant `at`: how its counters came to be so, and its ledger line by line."""
    found = find_product(business_id=access.business.id, product_id=product_id)
    then = _instant(request.GET.get("at", ""))
    ledger = StockMovement.objects.of(access.business.id).filter(product=found)
    if then is not None:
        ledger = ledger.filter(at__lte=then)
    if request.GET.get("format") == "csv":
        return csv_file(f"ledger-{found.sku}", CSV, ledger.order_by("at", "id").values_list(*CSV).iterator())
    chosen = chosen_range(request, then or access.now, default="24h")
    counters = _counters(ledger, found.stock if then is None else None)
    lines, older = _page(ledger, request.GET.get("before", ""))
    return show(
        request,
        access,
        "staff/product.html",
        title=f"{found.sku} {found.name}",
        question=f"Why {'was' if then else 'is'} this {counters.available:,}?",
        product=found,
        then=then,
        counters=counters,
        holds=_held(found, then),
        chart=_chart(found, chosen, access.business.time_zone),
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
        if instant is not None:
            aware = instant if instant.tzinfo else timezone.make_aware(instant)
            return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Http404("An instant looks like 2026-11-23T14:05.")


def _counters(ledger: QuerySet[StockMovement], shelf: Stock | None) -> Counters:
    """What a ledger adds up to, by the kinds of its lines; with a shelf, what that counts."""
    # The shelf is read anew in the same statement, or a sale in between would look like a fault.
    sums = ledger.values_list("kind").annotate(
        Sum("stock_delta"),
        Sum("reserved_delta"),
        Max("product__stock__stock_quantity"),
        Max("product__stock__reserved_stock"),
    )
    lines = list(sums)
    told = (sum(line[1] for line in lines), sum(line[2] for line in lines))
    counted = told if shelf is None else lines[0][3:] if lines else (shelf.stock_quantity, shelf.reserved_stock)
    units = {line[0]: line[1] for line in lines}
    parts = [(words, units[kind]) for kind, words in PARTS.items() if kind in units]
    return Counters(counted[0], counted[1], parts, agree=told == counted)


def _held(product: Product, then: datetime | None) -> list[tuple[StockReservation, Order | None]]:
    """The holds on a product that live now, or lived then, the first to run out at the top; with their orders."""
    holds = StockReservation.objects.of(product.business_id).filter(product=product)
    if then is None:
        holds = holds.active()
    else:
        holds = holds.filter(Q(closed_at=None) | Q(closed_at__gt=then), created_at__lte=then)
    page = list(holds.order_by("expires_at", "id")[:PAGE])
    orders = (
        Order.objects.of(product.business_id).select_related("customer").in_bulk([hold.order_id for hold in page])
    )
    return [(hold, orders.get(hold.order_id)) for hold in page]


def _page(ledger: QuerySet[StockMovement], before: str) -> tuple[list[Line], str | None]:
    """A page of the ledger, the newest lines first, and where the next one begins."""
    available = Window(Sum(F("stock_delta") - F("reserved_delta")), order_by=("at", "id"))
    page, older = turn_page(after(ledger, "at", before).annotate(available=available), "at")
    numbers = _numbers(page)
    return [Line(movement, numbers.get(movement.order_id)) for movement in page], older


def _numbers(movements: Sequence[StockMovement]) -> Mapping[UUID | None, str]:
    ids = {movement.order_id for movement in movements if movement.order_id}
    if not ids:
        return {}
    of_shop = Order.objects.of(movements[0].business_id).filter(id__any_of=ids)
    return dict(of_shop.values_list("id", "number"))


MOVED = """
    SELECT date_bin(%s, at, %s), sum(stock_delta)::bigint, sum(reserved_delta)::bigint FROM catalog_stockmovement
    WHERE business_id = %s AND product_id = %s AND at < %s GROUP BY 1
"""


def _chart(product: Product, chosen: Range, zone: str) -> Chart:
    """The counters at the end of each step, as the ledger has them."""
    # What was before the stretch falls into steps before it.
    moved = select(MOVED, chosen.step, chosen.since, product.business_id, product.id, chosen.until)
    steps = {start: (stock, reserved) for start, stock, reserved in moved}
    stock = sum(stock for start, (stock, _) in steps.items() if start < chosen.since)
    reserved = sum(reserved for start, (_, reserved) in steps.items() if start < chosen.since)
    shelf, held = [], []
    for start in chosen.starts:
        stock_delta, reserved_delta = steps.get(start, (0, 0))
        stock, reserved = stock + stock_delta, reserved + reserved_delta
        shelf.append(stock - reserved)
        held.append(reserved)
    return Chart(
        id="counters",
        title="Available and held",
        unit="units",
        range=chosen,
        series=[Series("available", "available", shelf), Series("held", "held", held)],
        zone=zone,
        stepped=True,
    )


CSV = ("at", "kind", "stock_delta", "reserved_delta", "order_id", "actor", "reason")
