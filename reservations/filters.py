"""What the list of holds can be narrowed by."""

import django_filters

from orders_project.api.filters import InstantFilter
from reservations.models import StockReservation


class ReservationFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=StockReservation.Status)
    product = django_filters.UUIDFilter(field_name="product_id")
    sku = django_filters.CharFilter(field_name="product__sku", max_length=64)
    order = django_filters.UUIDFilter(field_name="order_id")
    expires_before = InstantFilter(field_name="expires_at", lookup_expr="lt")

    class Meta:
        model = StockReservation
        fields: list[str] = []
