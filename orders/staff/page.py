"""How a page of ours is shown: whole, or only the parts of it that move."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import site
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from catalog.authentication import Access
from catalog.long_lists import LONGEST_SEARCH
from catalog.models import Product
from catalog.rights import Right
from customers.models import Customer
from orders.models import Order
from orders_project.csv_file import csv_file

PAGE = 50  # rows of a list


def show(request: HttpRequest, access: Access, template: str, **context: Any) -> HttpResponse:
    """A page in the back office's shell; with `?part` only what is its own, for the page to renew itself."""
    context |= {"business": access.business, "now": access.now, "rights": access.rights}
    context["here"] = f"{request.path}{_query(request)}"
    if "part" in request.GET:
        return render(request, template, {**context, "layout": "staff/part.html"})
    return render(request, template, {**site.each_context(request), **context, "layout": "staff/page.html"})


def _query(request: HttpRequest) -> str:
    """The address's query without what only says how the page is to be sent."""
    kept = request.GET.copy()
    kept.pop("part", None)
    return f"?{kept.urlencode()}" if kept else ""


def link(name: str, access: Access, *about: Any) -> str:
    """The address of a page of ours about the same business, and about one thing of it if that is given."""
    return f"{reverse(f'staff:{name}', args=about)}?{urlencode({'business': access.business.slug})}"


ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PAGES: Sequence[tuple[type[Model], str]] = (
    (Product, "product"),
    (Order, "order"),
    (Customer, "customer"),
)


def links_to(subjects: Iterable[str], access: Access) -> dict[str, str]:
    """Where to look at the products, orders and customers that alerts or findings are about, by their subjects. A
    subject that is something else has no link."""
    of_business = {"business": access.business, "id__any_of": [key for key in subjects if ID.fullmatch(key)]}
    links = {}
    for model, page in PAGES:
        for key in model._default_manager.filter(**of_business).values_list("id", flat=True):
            links[str(key)] = link(page, access, key)
    return links


def taken_out(
    access: Access, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """What a page shows, as a CSV file. Raises NotAllowed for who may not take the books out."""
    access.check(Right.EXPORTS)
    return csv_file(name, header, rows)


def choice(request: HttpRequest, name: str, choices: Iterable[str], default: str) -> str:
    """What was chosen in the address among a few; anything else isn't there."""
    chosen = request.GET.get(name) or default
    if chosen != default and chosen not in choices:
        raise Http404(f"There is no {name} “{chosen[:40]}”.")
    return chosen


def words_in(request: HttpRequest, name: str, default: str = "") -> str:
    """What somebody looks for, as far as it is searched for."""
    return request.GET.get(name, default).replace("\0", "").strip()[:LONGEST_SEARCH]


def customer_in(request: HttpRequest, access: Access) -> Customer | None:
    """The customer of the business that the address names, if it names one."""
    key = request.GET.get("customer", "")
    return Customer.objects.of(access.business.id).filter(id=key).first() if ID.fullmatch(key) else None


Row = TypeVar("Row", bound=Model)


def turn_page(
    rows: QuerySet[Row], field: str, position: str, *, newest_first: bool = True
) -> tuple[list[Row], str | None]:
    """A page of a list in the order of an instant, from a position on, and the position to go on after; None where
    it ends. Raises what `after` does."""
    sign = "-" if newest_first else ""
    rest = after(rows, field, position, newest_first=newest_first)
    found = list(rest.order_by(f"{sign}{field}", f"{sign}id")[: PAGE + 1])
    last = found[PAGE - 1] if len(found) > PAGE else None
    return found[:PAGE], None if last is None else f"{getattr(last, field).isoformat()} {last.pk}"


def after(rows: QuerySet[Row], field: str, position: str, *, newest_first: bool = True) -> QuerySet[Row]:
    """The rows after a position that `turn_page` gave, or all. Raises Http404 for what is no position."""
    if not position:
        return rows
    try:
        text, _, key = position.partition(" ")
        at, last = datetime.fromisoformat(text).astimezone(UTC), UUID(key)
    except (ValueError, OverflowError) as error:
        raise Http404("There is no such page.") from error
    beyond = "lt" if newest_first else "gt"
    # The first condition alone is enough to enter the index at the right place.
    return rows.filter(
        Q(**{f"{field}__{beyond}e": at}) & (Q(**{f"{field}__{beyond}": at}) | Q(**{f"id__{beyond}": last}))
    )
