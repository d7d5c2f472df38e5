"""How a page of ours is shown: whole, only the parts of it that move, or as a CSV file."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import site
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import content_disposition_header, urlencode
from django.utils.text import get_valid_filename

from catalog.authentication import Access
from catalog.staff import businesses_of

PAGE = 50  # rows of a list
MOST_BUSINESSES = 100  # to choose from in one list; of a superuser there may be more, each with its address


def show(request: HttpRequest, access: Access, template: str, **context: Any) -> HttpResponse:
    """A page in the back office's shell; with `?part` only what is its own, for the page to renew itself."""
    context |= {"business": access.business, "now": access.now, "may_write": access.may_write}
    context["here"] = f"{request.path}{_query(request)}"
    if "part" in request.GET:
        return render(request, template, {**context, "layout": "staff/part.html"})
    businesses = list(businesses_of(request.user)[:MOST_BUSINESSES])  # type: ignore[arg-type]  # staff are users
    if access.business not in businesses:
        businesses.insert(0, access.business)
    return render(
        request,
        template,
        {**site.each_context(request), **context, "businesses": businesses, "layout": "staff/page.html"},
    )


def _query(request: HttpRequest) -> str:
    """The address's query without what only says how the page is to be sent."""
    kept = request.GET.copy()
    kept.pop("part", None)
    return f"?{kept.urlencode()}" if kept else ""


def link(name: str, access: Access) -> str:
    """The address of a page of ours about the same business."""
    return f"{reverse(f'staff:{name}')}?{urlencode({'business': access.business.slug})}"


def choice(request: HttpRequest, name: str, choices: Iterable[str], default: str) -> str:
    """What was chosen in the address among a few; anything else isn't there."""
    chosen = request.GET.get(name) or default
    if chosen != default and chosen not in choices:
        raise Http404(f"There is no such {name}.")
    return chosen


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


# What a spreadsheet would take for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """The rows as a CSV file, sent as they are read. Instants are in UTC; text that begins like a formula is
    marked as text, for spreadsheets would work it out."""
    response = StreamingHttpResponse(_lines(header, rows), content_type="text/csv; charset=utf-8")
    disposition = content_disposition_header(as_attachment=True, filename=get_valid_filename(f"{name}.csv"))
    response.headers["Content-Disposition"] = disposition
    return response


class _Line:
    """What the csv module writes a line to."""

    def write(self, line: str) -> str:
        return line


def _lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow([_cell(value) for value in row])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(FORMULA) else text
