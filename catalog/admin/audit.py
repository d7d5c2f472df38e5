"""What people changed, and how they came in."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe

from catalog.columns import Happened
from catalog.long_lists import DaysBetween, LongListAdmin
from catalog.models import AuditEntry, Membership
from catalog.rights import Right
from catalog.staff import access_in
from catalog.wording import DASH, person, spoken

ARROW = " → "


class _Exactly(SimpleListFilter):
    """The entries with one value in a field."""

    field: ClassVar[str]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        chosen = self.value()
        return queryset if chosen is None else queryset.filter(**{self.field: chosen})


class ByWhom(_Exactly):
    title = "who"
    parameter_name = field = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        members = Membership.objects.filter(business=access_in(request).business)
        names = members.order_by("user__username").values_list("user__username", flat=True)
        return [(person(name), name) for name in names]


class OfWhatKind(_Exactly):
    title = "what"
    parameter_name = field = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        entries = AuditEntry.objects.filter(business=access_in(request).business)
        kinds = entries.order_by("kind").values_list("kind", flat=True).distinct()
        return [(kind, kind) for kind in kinds]


@admin.register(AuditEntry)
class AuditEntryAdmin(Happened, LongListAdmin):
    look = Right.SETTINGS
    question = "Who changed what, and who came in?"
    empty = "Nothing yet. What people change stands here, and who signed in or failed to."
    list_display = ("time", "by", "action", "kind", "title", "what")
    list_filter = (ByWhom, OfWhatKind, ("at", DaysBetween))
    search_fields = ("title", "action")
    search_help_text = "What it was done to, or what was done"
    fields = readonly_fields = ("at", "by", "action", "kind", "title", "what")

    @admin.display(description="changes")
    def what(self, entry: AuditEntry) -> str:
        """price: 9.90 → 12.00"""
        lines = [(spoken(name), _change(change)) for name, change in entry.changes.items()]
        return (
            format_html("<span>{}</span>", format_html_join(mark_safe("<br>"), "{}: {}", lines)) if lines else DASH
        )

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Any]:
        return queryset.filter(Q(title__icontains=words) | Q(action__icontains=words))


def _change(change: Any) -> str:
    return ARROW.join(str(value) or DASH for value in change) if isinstance(change, list) else str(change)
