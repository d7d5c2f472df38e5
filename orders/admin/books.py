"""What happened to orders, and what money moved: only to be read."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from catalog.long_lists import AmountBetween, AnyOf, DaysBetween, LongListAdmin
from catalog.staff import access_in
from catalog.wording import at, price, who
from orders.models import Order, OrderEvent, Payment


def _link(order: Order) -> str:
    return format_html(
        '<a class="hf-link" href="{}">{}</a>', reverse("staff:order", args=[order.pk]), order.number
    )


def _numbered(words: str, request: HttpRequest) -> QuerySet[Order]:
    """Orders whose number begins with these words."""
    return Order.objects.of(access_in(request).business.id).filter(number__startswith=words.upper())


@admin.register(OrderEvent)
class OrderEventAdmin(LongListAdmin):
    question = "What happened, and who did it?"
    empty = "Nothing happened yet. Every change of an order appears here."
    list_display = ("time", "of_order", "what", "by")
    list_filter = (("kind", AnyOf), ("at", DaysBetween))
    list_select_related = ("order",)
    search_fields = ("order__number",)
    search_help_text = "Number of an order"
    sortable_by = ("time",)
    ordering = ("-at", "-id")
    fields = readonly_fields = (*list_display, "version", "facts")
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "events": {
            "at": "at",
            "order": "order__number",
            "kind": "kind",
            "actor": "actor",
            "version": "version",
            "facts": "facts",
        }
    }

    @admin.display(description="when", ordering="at")
    def time(self, event: OrderEvent) -> str:
        return at(event.at)

    @admin.display(description="order")
    def of_order(self, event: OrderEvent) -> str:
        return _link(event.order)

    @admin.display(description="what")
    def what(self, event: OrderEvent) -> str:
        return capfirst(event.get_kind_display())

    @admin.display(description="who")
    def by(self, event: OrderEvent) -> str:
        return who(event.actor)

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[OrderEvent]:
        return queryset.filter(order__in=_numbered(words, request))


@admin.register(Payment)
class PaymentAdmin(LongListAdmin):
    question = "What money came in, and what went back?"
    empty = "No money yet. What comes in for orders appears here, and what goes back."
    list_display = ("time", "of_order", "what", "sum", "provider", "reference", "by")
    list_filter = (("kind", AnyOf), ("at", DaysBetween), ("amount", AmountBetween))
    list_select_related = ("order",)
    search_fields = ("reference",)
    search_help_text = "Reference, or number of an order"
    sortable_by = ("time",)
    ordering = ("-at", "-id")
    fields = readonly_fields = list_display
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "payments": {
            "at": "at",
            "order": "order__number",
            "kind": "kind",
            "provider": "provider",
            "reference": "reference",
            "currency": "currency",
            "amount": "amount",
            "actor": "actor",
        }
    }

    @admin.display(description="when", ordering="at")
    def time(self, payment: Payment) -> str:
        return at(payment.at)

    @admin.display(description="order")
    def of_order(self, payment: Payment) -> str:
        return _link(payment.order)

    @admin.display(description="what")
    def what(self, payment: Payment) -> str:
        return capfirst(payment.get_kind_display())

    @admin.display(description="amount")
    def sum(self, payment: Payment) -> str:
        return price(payment.amount, payment.currency)

    @admin.display(description="who")
    def by(self, payment: Payment) -> str:
        return who(payment.actor)

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Payment]:
        return queryset.filter(Q(reference=words) | Q(order__in=_numbered(words, request)))
