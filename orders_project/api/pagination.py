"""Pages that cost the same wherever they are: each begins after the last row of the one before (keyset)."""

import base64
import json
import re
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from orders_project.api.filters import utc
from orders_project.errors import InvalidParameter

AMOUNT = re.compile(r"-?\d{1,30}(\.\d{1,10})?", re.ASCII)

PAGE = 50
LARGEST_PAGE = 200


class KeysetPagination(BasePagination):
    """`{"next", "previous", "results"}`, by `limit` and an opaque `cursor`.

    The view says in `orderings` which fields a list may be ordered by, the default first; the primary
    key breaks ties, so that no row is shown twice or skipped, however many are equal.
    Raises InvalidParameter for a limit, cursor or ordering that isn't one.
    """

    limit_query_param = "limit"
    cursor_query_param = "cursor"

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.limit = self._limit()
        self.ordering = self._ordering(view.orderings)
        field = self.ordering.lstrip("-")
        descending = self.ordering.startswith("-")
        backwards, position = self._position(queryset.model._meta.get_field(field), queryset.model._meta.pk)
        falling = descending != backwards
        if position is not None:
            value, key = position
            beyond = "lt" if falling else "gt"
            queryset = queryset.filter(
                # The first condition alone is enough to enter the index at the right place.
                Q(**{f"{field}__{beyond}e": value})
                & (Q(**{f"{field}__{beyond}": value}) | Q(**{f"pk__{beyond}": key}))
            )
        sign = "-" if falling else ""
        page = list(queryset.order_by(f"{sign}{field}", f"{sign}pk")[: self.limit + 1])
        more = len(page) > self.limit
        page = page[: self.limit]
        if backwards:
            page.reverse()
        self.has_previous = more if backwards else position is not None
        self.has_next = position is not None if backwards else more
        self.ends = [(getattr(row, field), row.pk) for row in (page[:1] + page[-1:])]
        return page

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link("next", self.ends[-1]) if self.has_next and self.ends else None,
                "previous": self._link("previous", self.ends[0]) if self.has_previous and self.ends else None,
                "results": data,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        def parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
            return {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": schema,
            }

        return [
            parameter(
                "limit",
                "Rows a page.",
                type="integer",
                minimum=1,
                maximum=LARGEST_PAGE,
                default=PAGE,
            ),
            parameter("cursor", "Where the page begins: taken from `next` or `previous`.", type="string"),
            parameter(
                "ordering",
                "What the list is ordered by.",
                type="string",
                enum=_both_ways(view.orderings),
                default=view.orderings[0],
            ),
        ]

    def _limit(self) -> int:
        text = self.request.query_params.get("limit", str(PAGE))
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LARGEST_PAGE):
            raise InvalidParameter(
                f"limit must be between 1 and {LARGEST_PAGE}.",
                parameter="limit",
                smallest=1,
                largest=LARGEST_PAGE,
            )
        return int(text)

    def _ordering(self, orderings: tuple[str, ...]) -> str:
        ordering = self.request.query_params.get("ordering", orderings[0])
        if ordering not in (allowed := _both_ways(orderings)):
            raise InvalidParameter("This list can't be ordered so.", parameter="ordering", allowed=allowed)
        return ordering

    def _position(self, field: Any, key: Any) -> tuple[bool, tuple[Any, Any] | None]:
        cursor = self.request.query_params.get("cursor")
        if cursor is None:
            return False, None
        try:
            direction, ordering, value, last = json.loads(base64.urlsafe_b64decode(cursor))
            if direction not in ("next", "previous") or ordering != self.ordering:
                raise ValueError("a cursor of another list")
            return direction == "previous", (_value(field, value), _value(key, last))
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidParameter("This is not a cursor of this list.", parameter="cursor") from error

    def _link(self, direction: str, end: tuple[Any, Any]) -> str:
        cursor = json.dumps([direction, self.ordering, str(end[0]), str(end[1])])
        encoded = base64.urlsafe_b64encode(cursor.encode()).decode()
        return replace_query_param(self.request.build_absolute_uri(), "cursor", encoded)


def _both_ways(orderings: tuple[str, ...]) -> list[str]:
    names = [ordering.lstrip("-") for ordering in orderings]
    return [*names, *(f"-{name}" for name in names)]


def _value(field: Any, text: Any) -> Any:
    """A field's value from the text in a cursor. Raises ValueError."""
    if not isinstance(text, str) or "\x00" in text:
        raise ValueError("not a text")
    text.encode()  # half a surrogate pair is a ValueError too
    if isinstance(field, models.DateTimeField):
        if (instant := utc(text)) is None:
            raise ValueError("not an instant")
        return instant
    if isinstance(field, models.DecimalField):
        if not AMOUNT.fullmatch(text):
            raise ValueError("not an amount")
        return Decimal(text)
    if isinstance(field, models.UUIDField):
        return UUID(text)
    if isinstance(field, models.IntegerField):
        return int(text)
    return text
