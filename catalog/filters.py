"""What lists of the catalog can be narrowed by."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from catalog.authentication import access_of
from catalog.models import LONGEST_SKU, Alert, Product, StockMovement
from orders_project.api.filters import InstantFilter, YesNoFilter


class AlertFilter(django_filters.FilterSet):
    open = YesNoFilter(method="still_open", help_text="Whether it is still so.")
    kind = django_filters.ChoiceFilter(choices=Alert.Kind)
    severity = django_filters.ChoiceFilter(choices=Alert.Severity)
    subject = django_filters.CharFilter(max_length=60, help_text="Such as the id of a product.")

    class Meta:
        model = Alert
        fields: list[str] = []

    def still_open(self, alerts: QuerySet[Alert], name: str, is_open: bool) -> QuerySet[Alert]:
        return alerts.filter(closed_at__isnull=is_open)


class ProductFilter(django_filters.FilterSet):
    sku = django_filters.CharFilter(max_length=LONGEST_SKU)
    is_active = YesNoFilter()
    search = django_filters.CharFilter(
        method="with_words", min_length=2, max_length=100, help_text="Part of a name or an SKU."
    )

    class Meta:
        model = Product
        fields: list[str] = []

    def with_words(self, products: QuerySet[Product], name: str, words: str) -> QuerySet[Product]:
        return products & Product.objects.matching(words)


class StockMovementFilter(django_filters.FilterSet):
    product = django_filters.UUIDFilter(field_name="product_id")
    sku = django_filters.CharFilter(method="of_sku", max_length=LONGEST_SKU)
    order = django_filters.UUIDFilter(field_name="order_id")
    kind = django_filters.ChoiceFilter(choices=StockMovement.Kind)
    after = InstantFilter(field_name="at", lookup_expr="gte")
    before = InstantFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = StockMovement
        fields: list[Any] = []

    def of_sku(self, movements: QuerySet[StockMovement], name: str, sku: str) -> QuerySet[StockMovement]:
        return movements.filter(product=Product.objects.of(access_of(self.request).business.id).id_of(sku))
