"""What happened to orders, and what money moved: only to be read."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from catalog.columns import Happened, page_link
from catalog.long_lists import AmountBetween, AnyOf, DaysBetween, LongListAdmin
from catalog.staff import access_in
from catalog.wording import price
from orders.models import Order, OrderEvent, Payment


def _numbered(words: str, request: HttpRequest) -> QuerySet[Order]:
    """Orders whose number begins with these words."""
    return Order.objects.of(access_in(request).business.id).filter(number__startswith=words.upper())


class OfOrders(Happened):
    """Of what happened to an order: which one."""

    list_select_related: ClassVar[Any] = ("order",)

    @admin.display(description="order")
    def of_order(self, row: OrderEvent | Payment) -> str:
        return page_link("order", row.order_id, row.order.number)


@admin.register(OrderEvent)
class OrderEventAdmin(OfOrders, LongListAdmin):
    question = "What happened, and who did it?"
    empty = "Nothing happened yet. Every change of an order appears here."
    list_display = ("time", "of_order", "what", "by")
    list_filter = (("kind", AnyOf), ("at", DaysBetween))
    search_fields = ("order__number",)
    search_help_text = "Number of an order"
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

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[OrderEvent]:
        return queryset.filter(order__in=_numbered(words, request))


@admin.register(Payment)
class PaymentAdmin(OfOrders, LongListAdmin):
    question = "What money came in, and what went back?"
    empty = "No money yet. What comes in for orders appears here, and what goes back."
    list_display = ("time", "of_order", "what", "sum", "provider", "reference", "by")
    list_filter = (("kind", AnyOf), ("at", DaysBetween), ("amount", AmountBetween))
    search_fields = ("reference",)
    search_help_text = "Reference, or number of an order"
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

    @admin.display(description="amount")
    def sum(self, payment: Payment) -> str:
        return price(payment.amount, payment.currency)

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Payment]:
        return queryset.filter(Q(reference=words) | Q(order__in=_numbered(words, request)))
