"""Filters of lists: only those that are declared, and only with values that make sense."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.request import Request

from orders_project.api.fields import Money
from orders_project.api.parsing import unreadable_character
from orders_project.errors import InvalidParameter

PAGE_PARAMETERS = {"limit", "cursor", "ordering"}
LONGEST_VALUE = 8000  # characters; a hundred SKUs of the longest kind
LOST_BYTES = "\ufffd"  # what stands for bytes that are not UTF-8


def check_parameters(request: Request, known: set[str]) -> None:
    """Raises InvalidParameter for a parameter that is not `known`, comes twice, or holds unreadable text."""
    for name, values in request.query_params.lists():
        if name not in known:
            raise InvalidParameter(
                f"There is no parameter {_shown(name)} here. {_known(known)}",
                parameter=_shown(name),
                allowed=sorted(known),
            )
        if len(values) > 1:
            raise InvalidParameter(f"{name} was given {len(values)} times; give it once.", parameter=name)
        if not values[0]:
            raise InvalidParameter(f"{name} is empty; give it a value or leave it out.", parameter=name)
        if len(values[0]) > LONGEST_VALUE:
            raise InvalidParameter(
                f"{name} may have {LONGEST_VALUE} characters.", parameter=name, longest=LONGEST_VALUE
            )
        if LOST_BYTES in values[0] or unreadable_character(values[0]):
            raise InvalidParameter(f"The value of {name} is not readable text in UTF-8.", parameter=name)


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
            choices = getattr(filterset.form.fields[name], "choices", ())
            if allowed := [str(value) for value, _ in choices if value]:
                raise InvalidParameter(
                    f"{name} must be one of: {', '.join(allowed)}.", parameter=name, allowed=allowed
                )
            raise InvalidParameter(f"{name}: {messages[0]}", parameter=name)
        return filterset.qs


class _Amount(forms.Field):
    def to_python(self, value: Any) -> Decimal | None:
        if value in self.empty_values:
            return None
        if not Money.PLAIN.fullmatch(value):
            raise ValidationError("An amount looks like 19.90.")
        return Decimal(value)


class _YesNo(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if value not in ("true", "false"):
            raise ValidationError("This is true or false.")
        return bool(value == "true")


class _Instant(forms.Field):
    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        instant = utc(value)
        if instant is None:
            raise ValidationError(
                "An instant looks like 2026-11-23T10:15:00Z. The + of an offset is written %2B in an address."
            )
        return instant


def utc(text: str) -> datetime | None:
    """The instant that a text tells, in UTC, where it is unless it names its offset; None if it tells none.

    Not with its offset: PostgreSQL knows none of sixteen hours or more, and some texts have one.
    """
    try:
        instant = parse_datetime(text)
        return instant and (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@extend_schema_field({"type": "string", "pattern": f"^{Money.PLAIN.pattern}$", "example": "19.90"})
class AmountFilter(django_filters.Filter):
    """Money, as "19.90". Not "1e5", "1_000" or NaN, all of which django-filter's NumberFilter takes."""

    field_class = _Amount


@extend_schema_field(OpenApiTypes.BOOL)
class YesNoFilter(django_filters.Filter):
    """true or false; django-filter's BooleanFilter passes over what it doesn't understand."""

    field_class = _YesNo


@extend_schema_field(OpenApiTypes.DATETIME)
class InstantFilter(django_filters.Filter):
    """A date and time, in UTC unless it names its offset."""

    field_class = _Instant


def _known(parameters: set[str]) -> str:
    return f"Known: {', '.join(sorted(parameters))}." if parameters else "None is known."


def _shown(name: str) -> str:
    return name[:60].encode("ascii", "replace").decode()
