"""What lists of the catalog can be narrowed by."""

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from catalog.models import Product, StockMovement
from orders_project.api.filters import InstantFilter, YesNoFilter


class ProductFilter(django_filters.FilterSet):
    sku = django_filters.CharFilter(max_length=64)
    is_active = YesNoFilter()
    search = django_filters.CharFilter(
        method="with_words", min_length=2, max_length=100, help_text="Part of a name or an SKU."
    )

    class Meta:
        model = Product
        fields: list[str] = []

    def with_words(self, products: QuerySet[Product], name: str, words: str) -> QuerySet[Product]:
        return products.filter(Q(name__icontains=words) | Q(sku__icontains=words))


class StockMovementFilter(django_filters.FilterSet):
    product = django_filters.UUIDFilter(field_name="product_id")
    sku = django_filters.CharFilter(field_name="product__sku", max_length=64)
    order = django_filters.UUIDFilter(field_name="order_id")
    kind = django_filters.ChoiceFilter(choices=StockMovement.Kind)
    after = InstantFilter(field_name="at", lookup_expr="gte")
    before = InstantFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = StockMovement
        fields: list[Any] = []
