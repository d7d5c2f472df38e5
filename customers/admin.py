"""The list of customers. A customer is shown, edited and merged by pages of ours."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from unfold.contrib.filters.admin import RadioFilter

from catalog.columns import page_link
from catalog.importing.pages import FileImport
from catalog.long_lists import DaysBetween, LongListAdmin, Tabs
from catalog.rights import Right
from catalog.staff import access_in
from catalog.wording import DASH, ago, grouped, price
from customers.importing import CustomerResource
from customers.models import Customer
from customers.querysets import CustomerQuerySet


class KindTabs(Tabs):
    """?who=paid | never | twice"""

    title = "who they are"
    parameter_name = "who"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("paid", "Have bought"), ("never", "Never paid"), ("twice", "Possibly twice on file")]

    def narrowed(self, queryset: CustomerQuerySet, asked: str, request: HttpRequest) -> CustomerQuerySet:
        return {
            "paid": queryset.who_paid,
            "never": queryset.who_never_paid,
            "twice": queryset.possibly_twice,
        }[asked]()


# The bands of the engagement score: what each is called, and its points.
BANDS = {
    "lively": ("Lively, 60 to 100", (60, 100)),
    "warm": ("Warm, 30 to 59", (30, 59)),
    "cold": ("Cold", (0, 29)),
}


class ScoreFilter(RadioFilter):
    """?score=lively"""

    title = "engagement"
    parameter_name = "score"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, words) for name, (words, _) in BANDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Customer]) -> QuerySet[Customer]:
        """Raises Http404 for what is no band."""
        asked = self.value()
        if not asked:
            return queryset
        if asked not in BANDS:
            raise Http404("There is no such score.")
        return queryset.filter(engagement_score__range=BANDS[asked][1])


@admin.register(Customer)
class CustomerAdmin(FileImport, LongListAdmin):
    import_right = Right.CUSTOMERS
    resource = CustomerResource
    question = "Who buys, and who is still with you?"
    empty = "No customers yet. They appear here with their first order."
    page = "staff:customer"
    list_display = ("customer", "reach", "kept", "spent", "score", "last_paid", "since")
    list_display_links = None
    list_filter = (KindTabs, ScoreFilter, ("created_at", DaysBetween))
    search_fields = ("name",)
    search_help_text = "Part of a name, phone or email"
    sortable_by = ("spent", "score", "since")
    ordering = ("-created_at", "-id")
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "customers": {
            **{field: field for field in Customer.ON_FILE},
            "created_at": "created_at",
            "total_orders": "total_orders",
            "total_spent": "total_spent",
            "currency": "business__currency",
            "last_paid_at": "last_paid_at",
            "engagement_score": "engagement_score",
        }
    }

    @admin.display(description="customer")
    def customer(self, customer: Customer) -> str:
        return page_link("customer", customer.pk, customer.name or DASH)

    @admin.display(description="phone and email")
    def reach(self, customer: Customer) -> str:
        known = [(known,) for known in (customer.phone, customer.email) if known]
        return format_html_join(mark_safe("<br>"), "{}", known) or DASH

    @admin.display(description="orders kept")
    def kept(self, customer: Customer) -> str:
        return grouped(customer.total_orders)

    @admin.display(description="spent", ordering="total_spent")
    def spent(self, customer: Customer) -> str:
        return price(customer.total_spent, customer.currency)

    @admin.display(description="engagement", ordering="engagement_score")
    def score(self, customer: Customer) -> str:
        score = customer.engagement_score
        return format_html(
            '<span class="hf-score"><meter min="0" max="100" value="{0}" aria-hidden="true"></meter>{0}</span>',
            score,
        )

    @admin.display(description="last paid")
    def last_paid(self, customer: Customer) -> str:
        return ago(customer.last_paid_at)

    @admin.display(description="since", ordering="created_at")
    def since(self, customer: Customer) -> str:
        return ago(customer.created_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return super().get_queryset(request).select_related("business")

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Customer]:
        return queryset & Customer.objects.of(access_in(request).business.id).matching(words)
