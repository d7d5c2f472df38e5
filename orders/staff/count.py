"""What is really there? The sheet for counting many shelves, and setting the books right by what was counted."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect

from catalog.authentication import Access
from catalog.errors import CountRefused
from catalog.long_lists import refuse_unreadable
from catalog.models import Product
from catalog.querysets import ProductQuerySet
from catalog.rights import Right
from catalog.services import Count, count_stock
from catalog.staff import staff_form
from catalog.wording import grouped, of, signed
from orders.staff.holds import reason_in
from orders.staff.page import ID, choice, show, words_in
from orders.staff.shelf import units_in
from orders_project.errors import Busy, InvalidRequest

ROWS = 100  # products on a sheet
UNITS = re.compile("[0-9]{1,10}")

WHICH = {"active": "All that are sold", "short": "Low or out", "all": "All, also what is no longer sold"}


@dataclass(frozen=True, slots=True)
class Row:
    """A product on the sheet, what it says that the shelf has, what was `typed` as its count, and why that was
    refused."""

    product: Product
    on_shelf: int
    typed: str = ""
    problem: str = ""


@staff_form
def count(request: HttpRequest, access: Access) -> HttpResponseBase:
    """A sheet of products; sent back, the counts that stand on it are applied, all or none. If they are refused
    the sheet comes again as it was filled in, and says of each product why."""
    access.check(Right.STOCK)
    refuse_unreadable(request)
    products = Product.objects.of(access.business.id).select_related("stock").order_by("sku")
    if request.method == "POST":
        return _counted(request, access, products)
    which = choice(request, "which", WHICH, "active")
    if which != "all":
        products = products.filter(is_active=True)
    if which == "short":
        products = products.short()
    if words := words_in(request, "words"):
        products = products.matching(words)
    found = list(products.filter(sku__gt=request.GET.get("after", ""))[: ROWS + 1])
    rows = [Row(product, product.stock.stock_quantity) for product in found[:ROWS]]
    return _sheet(request, access, rows, which=which, words=words, more=len(found) > ROWS)


def _sheet(request: HttpRequest, access: Access, rows: Sequence[Row], **context: Any) -> HttpResponseBase:
    return show(
        request,
        access,
        "staff/count.html",
        title="Count the shelves",
        question="What is really there?",
        rows=rows,
        choices=WHICH,
        **context,
    )


def _counted(request: HttpRequest, access: Access, products: ProductQuerySet) -> HttpResponseBase:
    """Apply what a sheet says; the sheet again if that is refused. It says of a shelf what it said before, but for
    those of which it tells that they changed: so no count is taken for one of what the counter didn't see."""
    typed = _typed(request)
    problems: dict[str, str] = {}
    try:
        done = _apply(request, access, typed, problems)
    except (InvalidRequest, CountRefused, Busy) as refused:
        on_shelf = {key: seen for key, (_, seen) in typed.items()}
        on_shelf |= {row["product"]: row["stock_quantity"] for row in refused.facts.get("rows", ())}
        found = {str(one.id): one for one in products.filter(id__any_of=typed)}
        rows = [Row(one, on_shelf[key], typed[key][0], problems.get(key, "")) for key, one in found.items()]
        return _sheet(request, access, rows, problem=refused.detail, reason=request.POST.get("reason", ""))
    messages.success(request, done)
    return HttpResponseRedirect(request.get_full_path())


def _typed(request: HttpRequest) -> dict[str, tuple[str, int]]:
    """What stands on a sheet, by the products' ids: the count, and what the sheet said that the shelf has.

    Raises Http404 for what is no sheet of ours.
    """
    ids = [name.removeprefix("count-") for name in request.POST if name.startswith("count-")]
    seen = [request.POST.get(f"seen-{key}", "") for key in ids]
    if len(ids) > ROWS or not all(map(ID.fullmatch, ids)) or not all(map(UNITS.fullmatch, seen)):
        raise Http404("There is no such sheet.")
    counts = [request.POST[f"count-{key}"].strip() for key in ids]
    return dict(zip(ids, zip(counts, map(int, seen), strict=True), strict=True))


def _apply(
    request: HttpRequest, access: Access, typed: Mapping[str, tuple[str, int]], problems: dict[str, str]
) -> str:
    """Apply the counts, and return what was done in a sentence. What is wrong with one of them is put under its
    product's id in `problems`. Raises InvalidRequest, CountRefused, Busy."""
    counts: dict[UUID, Count] = {}
    for key, (text, seen) in typed.items():
        try:
            if text:  # an empty cell wasn't counted
                counts[UUID(key)] = Count(counted=units_in(text), on_shelf=seen)
        except InvalidRequest as refused:
            problems[key] = refused.detail
    if problems:
        raise InvalidRequest.at("counted", "not_an_integer", "Nothing was changed: some counts are no numbers.")
    if not counts:
        raise InvalidRequest.at("counted", "required", "Nothing was changed: no product was counted.")
    try:
        deltas = count_stock(
            business_id=access.business.id,
            counts=counts,
            reason=reason_in(request),
            actor=access.actor,
            now=access.now,
        )
    except CountRefused as refused:
        problems |= {row["product"]: _why(row, counts[UUID(row["product"])]) for row in refused.facts["rows"]}
        raise
    counted = f"Counted {of(len(counts), 'product')}"
    if not deltas:
        return f"{counted}: every shelf agrees with the books."
    more, fewer = (sum(delta for delta in deltas.values() if delta * sign > 0) for sign in (1, -1))
    by = " and ".join(signed(delta) for delta in (more, fewer) if delta)
    return f"{counted}: {len(deltas)} differed, by {by} units."


def _why(row: Mapping[str, Any], count: Count) -> str:
    """Why the count of one product was refused."""
    shelf, held = row["stock_quantity"], row["reserved_stock"]
    if shelf != count.on_shelf:
        return (
            f"Meanwhile the shelf went from {grouped(count.on_shelf)} to {grouped(shelf)}. "
            f"Is {grouped(count.counted)} still right?"
        )
    return f"{grouped(held)} are held for orders: count again, or cancel those orders first."
