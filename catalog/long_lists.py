"""Lists of the back office that grow without end: narrowed by what stands in their address, taken out as CSV.

None of them counts all of its rows or sorts by what no index is of, and each asks the same number of questions
however long its page is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib.admin import FieldListFilter, ShowFacets, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.forms.widgets import Script
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import capfirst
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.views import ChangeList
from unfold.widgets import INPUT_CLASSES

from catalog.back_office import ShopAdmin
from catalog.rights import Right
from catalog.staff import access_in, access_with
from catalog.wording import DASH
from orders_project import money
from orders_project.csv_file import csv_file

CSV_BATCH = 2000  # rows fetched at once
LONGEST_SEARCH = 100
LEAST_SEARCH = 2  # characters: a single one is no word, and in no index of words


# --- Filters ------------------------------------------------------------------------------------


class Tabs(SimpleListFilter):
    """One of a few questions, or none: links above the list, for it is asked more often than the others."""

    template = "staff/tabs.html"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Raises Http404 for what is none of the questions."""
        asked = self.value()
        if asked is None:
            return queryset
        if asked not in dict(self.lookup_choices):
            raise Http404(f"{capfirst(str(self.title))}: there is no “{asked[:40]}”.")
        return self.narrowed(queryset, asked, request)

    def narrowed(self, queryset: Any, asked: str, request: HttpRequest) -> QuerySet[Any]:
        """The rows that are the answer."""
        raise NotImplementedError


class _Between(FieldListFilter):
    """From one value to another, both included: ?total_from=10&total_to=20."""

    template = "unfold/filters/filters_numeric_range.html"

    def expected_parameters(self) -> list[str | None]:
        return [f"{self.field_path}_from", f"{self.field_path}_to"]

    def bound(self, words: str) -> forms.Field:
        """The field of one end of the range, that says which it is."""
        raise NotImplementedError

    @property
    def form(self) -> forms.Form:
        given: dict[str, Any] = self.used_parameters
        form = forms.Form({name: values[-1] for name, values in given.items()})
        for name, words in zip(self.expected_parameters(), ("from", "to"), strict=True):
            form.fields[str(name)] = self.bound(words)
        return form

    def ends(self) -> tuple[Any, Any]:
        """Both ends, None for an open one. Raises Http404 for what is no such value."""
        form = self.form
        if not form.is_valid():
            wrong = {name: str(form[name].value())[:40] for name in form.errors}
            words = (f"“{text}”: {' '.join(map(str, form.errors[name]))}" for name, text in wrong.items())
            raise Http404(f"{capfirst(str(self.title))} {'; '.join(words)}")
        since, until = form.cleaned_data.values()
        return since, until

    def choices(self, changelist: ChangeList) -> Any:
        yield {"form": self.form}


def _attributes(field: str, words: str, **more: str) -> dict[str, str]:
    return {"class": " ".join(INPUT_CLASSES), "aria-label": f"{capfirst(field)} {words}", **more}


class DaysBetween(_Between):
    """From one day to another of the business's own zone: ?created_at_from=2026-11-01&created_at_to=2026-11-30."""

    template = "unfold/filters/filters_date_range.html"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "day"

    def bound(self, words: str) -> forms.Field:
        return forms.DateField(
            required=False,
            input_formats=["%Y-%m-%d"],
            validators=[MinValueValidator(date(1900, 1, 1)), MaxValueValidator(date(2999, 12, 31))],
            widget=forms.DateInput(attrs=_attributes(str(self.title), words, type="date")),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        since, until = self.ends()
        if since:
            queryset = queryset.filter(**{f"{self.field_path}__gte": _begin(since)})
        if until:
            queryset = queryset.filter(**{f"{self.field_path}__lt": _begin(until + timedelta(days=1))})
        return queryset


def _begin(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class AmountBetween(_Between):
    """From one amount to another."""

    def bound(self, words: str) -> forms.Field:
        return forms.DecimalField(
            required=False,
            min_value=0,
            max_digits=money.MAX_DIGITS,
            decimal_places=money.DECIMAL_PLACES,
            widget=forms.NumberInput(
                attrs=_attributes(str(self.title), words, placeholder=capfirst(words), step="any")
            ),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        least, most = self.ends()
        if least is not None:
            queryset = queryset.filter(**{f"{self.field_path}__gte": least})
        if most is not None:
            queryset = queryset.filter(**{f"{self.field_path}__lte": most})
        return queryset


class AnyOf(ChoicesCheckboxFilter):
    """One or more of a field's choices: ?status__exact=paid&status__exact=processing."""

    def choices(self, changelist: ChangeList) -> Any:
        choices = [(value, capfirst(label)) for value, label in self.field.flatchoices]
        chosen = {self.lookup_kwarg: self.value()}
        yield {"form": self.form_class(self.lookup_kwarg, f"By {self.title}", choices, chosen)}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Raises Http404 for what is no choice."""
        chosen = self.used_parameters.get(self.lookup_kwarg, [])
        if unknown := set(chosen) - {value for value, _ in self.field.flatchoices}:
            raise Http404(f"There is no {self.title} “{min(unknown)[:40]}”.")
        return queryset.filter(**{f"{self.field_path}__in": chosen}) if chosen else queryset


# --- Lists --------------------------------------------------------------------------------------


class LongList(ChangeList):
    """A page of a long list."""

    filter_specs: list[Any]
    tabs: list[Tabs]

    def get_filters(self, request: HttpRequest) -> tuple[Any, ...]:
        """What the address asks for. Raises Http404 for what isn't of a filter, nor of `narrowed_by`."""
        found: tuple[Any, ...] = super().get_filters(request)
        if not found[2].keys() <= self.model_admin.narrowed_by:
            raise Http404("There is no such list.")
        return found

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        """By what was asked for, else as ever, and in one direction throughout: as the indexes are."""
        *fields, last = super().get_ordering(request, queryset.order_by())
        if fields and last == "-pk" and not fields[-1].startswith("-"):
            last = "pk"
        return [*fields, last]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count  # the page says at its foot how many there are, and only there
        # What stands above the list isn't among the filters, whose form leaves it as it is.
        self.tabs = [spec for spec in self.filter_specs if isinstance(spec, Tabs)]
        self.filter_specs = [spec for spec in self.filter_specs if not isinstance(spec, Tabs)]
        self.has_filters = bool(self.filter_specs)
        used = [value for spec in self.filter_specs for value in spec.used_parameters.values()]
        self.is_filtered = any(value not in ("", [""]) for value in used)  # the form sends what is left empty too


class LongListAdmin(ShopAdmin):
    """A list that grows without end. `exports` are its CSV files: of each, what its columns are called, and where
    they are found."""

    question: ClassVar[str] = ""
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    narrowed_by: ClassVar[Set[str]] = frozenset()  # fields that its address may name, besides the filters
    page: ClassVar[str] = ""  # of ours, that shows a row instead of the admin's own

    class Media:
        js = (Script("holdfast/clock.js", type="module"),)

    empty_value_display = DASH
    list_before_template = "staff/list_head.html"
    list_filter_submit = True
    list_fullwidth = True
    show_facets = ShowFacets.NEVER  # they count, and count
    sortable_by: ClassVar[Any] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LongList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        refuse_unreadable(request)
        access = access_in(request)
        exports = {}
        if Right.EXPORTS in access.rights:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_export"
            exports = {file: reverse(name, args=[file]) for file in self.exports}
        context = {
            "title": capfirst(str(self.opts.verbose_name_plural)),
            "question": self.question,
            "now": access.now,
            "exports": exports,
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The row, on the page that shows it. Raises Http404, PermissionDenied."""
        if not self.page:
            return super().change_view(request, object_id, form_url, extra_context)
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404(f"There is no such {self.opts.verbose_name}.")
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return HttpResponseRedirect(reverse(self.page, args=[row.pk]))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return True  # the list itself refuses what no filter asks for

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        words = search_term.strip()[:LONGEST_SEARCH]
        if not words:
            return queryset, False
        if len(words) < LEAST_SEARCH:
            return queryset.none(), False
        return self.with_words(queryset, words, request), False

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Any]:
        """The rows that a search finds."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        export = path("export/<slug:file>/", self.admin_site.admin_view(self.export), name=name)
        return [export, *super().get_urls()]

    def export(self, request: HttpRequest, file: str) -> StreamingHttpResponse:
        """All of the list as its address narrows it. Raises PermissionDenied, Http404."""
        refuse_unreadable(request)
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters as error:
            raise Http404("There is no such list.") from error
        return self.taken_out(request, file, rows)

    def taken_out(self, request: HttpRequest, file: str, rows: QuerySet[Any]) -> StreamingHttpResponse:
        """Rows of the list as one of its CSV files, the newest first. Raises PermissionDenied, Http404."""
        access_with(request, Right.EXPORTS)
        if file not in self.exports:
            raise Http404("There is no such file.")
        columns = self.exports[file]
        found = self.in_order(file, rows).values_list(*columns.values())
        return csv_file(file, list(columns), _with_amounts(list(columns), found.iterator(CSV_BATCH)))

    def in_order(self, file: str, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.order_by(*self.ordering)


def _with_amounts(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    """The rows, with each Decimal of them as an amount in the row's currency."""
    if "currency" not in columns:
        yield from rows
        return
    at = columns.index("currency")
    for row in rows:
        yield [money.text(value, row[at]) if isinstance(value, Decimal) else value for value in row]


def refuse_unreadable(request: HttpRequest) -> None:
    """Raises Http404 for an address with a character that the database has no text for."""
    if any("\0" in value for values in request.GET.lists() for value in values[1]):
        raise Http404("There is no such list.")
