"""What the list of holds can be narrowed by."""

from datetime import datetime

import django_filters
from django.db.models import QuerySet

from catalog.authentication import access_of
from catalog.models import LONGEST_SKU, Product
from orders_project.api.filters import InstantFilter
from reservations.models import StockReservation


class ReservationFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=StockReservation.Status)
    product = django_filters.UUIDFilter(field_name="product_id")
    sku = django_filters.CharFilter(method="of_sku", max_length=LONGEST_SKU)
    order = django_filters.UUIDFilter(field_name="order_id")
    expires_before = InstantFilter(method="over_before")

    class Meta:
        model = StockReservation
        fields: list[str] = []

    def over_before(
        self, holds: QuerySet[StockReservation], name: str, instant: datetime
    ) -> QuerySet[StockReservation]:
        # What was over before was made before; it says where the list, which is by age, begins.
        return holds.filter(expires_at__lt=instant, created_at__lt=instant)

    def of_sku(self, holds: QuerySet[StockReservation], name: str, sku: str) -> QuerySet[StockReservation]:
        return holds.filter(product=Product.objects.of(access_of(self.request).business.id).id_of(sku))
