"""What the list of orders can be narrowed by."""

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from catalog.authentication import access_of
from catalog.channels import Channel
from catalog.models import LONGEST_SKU
from orders.lifecycle import PAYMENT_OF, PaymentStatus, Status
from orders.models import Order
from orders_project.api.filters import AmountFilter, InstantFilter


class _Choice(django_filters.ChoiceFilter.field_class):
    def clean(self, value: str) -> str:
        if not value:  # between two commas; it would find nothing
            raise ValidationError("Nothing is no choice.")
        choice: str = super().clean(value)
        return choice


class ChoicesFilter(django_filters.BaseInFilter, django_filters.ChoiceFilter):
    """One or more of the choices, separated by commas."""

    field_class = _Choice


class OrderFilter(django_filters.FilterSet):
    status = ChoicesFilter(choices=Status.choices, help_text="One or more, separated by commas.")
    payment_status = ChoicesFilter(choices=PaymentStatus.choices, help_text="One or more, separated by commas.")
    channel = ChoicesFilter(choices=Channel.choices, help_text="One or more, separated by commas.")
    customer = django_filters.UUIDFilter(field_name="customer_id")
    sku = django_filters.CharFilter(method="having_sku", max_length=LONGEST_SKU)
    created_after = InstantFilter(field_name="created_at", lookup_expr="gte")
    created_before = InstantFilter(field_name="created_at", lookup_expr="lt")
    min_total = AmountFilter(field_name="total", lookup_expr="gte")
    max_total = AmountFilter(field_name="total", lookup_expr="lte")
    search = django_filters.CharFilter(
        method="matching",
        min_length=2,
        max_length=100,
        help_text="The beginning of a number or tracking number, an external id, an SKU, or part of the "
        "customer's name, phone or email (of two letters: where a word begins).",
    )

    class Meta:
        model = Order
        fields: list[str] = []

    def filter_queryset(self, queryset: QuerySet[Order]) -> QuerySet[Order]:
        statuses, payments = (self.form.cleaned_data[name] or () for name in ("status", "payment_status"))
        fitting = {payment for status in statuses for payment in PAYMENT_OF[Status(status)]}
        if statuses and payments and fitting.isdisjoint(payments):
            return queryset.none()  # or all orders of these statuses would be read to find that out
        return super().filter_queryset(queryset)

    def having_sku(self, orders: QuerySet[Order], name: str, sku: str) -> QuerySet[Order]:
        return orders & Order.objects.with_sku(sku)

    def matching(self, orders: QuerySet[Order], name: str, words: str) -> QuerySet[Order]:
        return orders & Order.objects.matching(access_of(self.request).business.id, words)
