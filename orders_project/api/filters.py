"""Filters of lists: only those that are declared, and only with values that make sense."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from orders_project.api.parsing import unreadable_character
from orders_project.errors import InvalidParameter

PAGE_PARAMETERS = {"limit", "cursor", "ordering"}
LONGEST_VALUE = 2000  # characters; a cursor is some 150


def check_parameters(request: Request, known: set[str]) -> None:
    """Raises InvalidParameter for a parameter that is not `known`, comes twice, or holds unreadable text."""
    for name, values in request.query_params.lists():
        if name not in known:
            raise InvalidParameter("There is no such parameter.", parameter=_shown(name), allowed=sorted(known))
        if len(values) > 1:
            raise InvalidParameter(f"{name} was given {len(values)} times.", parameter=name)
        if unreadable_character(values[0]) or len(values[0]) > LONGEST_VALUE:
            raise InvalidParameter(f"The value of {name} is not readable text.", parameter=name)


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter's backend, with a refusal for what it would pass over."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        filterset = self.get_filterset(request, queryset, view)
        known = set(filterset.filters) if filterset is not None else set()
        check_parameters(request, known | PAGE_PARAMETERS)
        if filterset is None:
            return queryset
        if not filterset.is_valid():
            name, messages = next(iter(filterset.errors.items()))
            raise InvalidParameter(f"{name}: {messages[0]}", parameter=name)
        return filterset.qs


def _shown(name: str) -> str:
    return name[:60].encode("ascii", "replace").decode()
