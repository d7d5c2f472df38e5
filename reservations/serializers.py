"""How holds look over the API."""

from datetime import datetime
from typing import Any

from rest_framework import serializers

from orders_project.api.fields import Money
from reservations.models import StockReservation


class LostDemandSerializer(serializers.Serializer[Any]):
    """What was asked for of one product through one channel and could not be had."""

    product = serializers.UUIDField(source="product_id")
    sku = serializers.CharField()
    name = serializers.CharField()
    channel = serializers.CharField()
    refusals = serializers.IntegerField(help_text="Orders that were refused.")
    units = serializers.IntegerField(help_text="Units asked for beyond what was available.")
    value = Money(read_only=True)
    currency = serializers.CharField()


class ReservationSerializer(serializers.ModelSerializer[StockReservation]):
    """A hold. Needs `now` in its context, the instant from which the seconds are counted."""

    order = serializers.UUIDField(source="order_id")
    product = serializers.UUIDField(source="product_id")
    sku = serializers.CharField(source="product.sku")
    seconds_left = serializers.SerializerMethodField(help_text="Until the hold runs out; null once it ended.")

    class Meta:
        model = StockReservation
        fields = [
            "id",
            "order",
            "product",
            "sku",
            "quantity",
            "status",
            "expires_at",
            "seconds_left",
            "created_at",
        ]
        read_only_fields = fields

    def get_seconds_left(self, hold: StockReservation) -> int | None:
        if hold.status != StockReservation.Status.ACTIVE:
            return None
        now: datetime = self.context["now"]
        return max(int((hold.expires_at - now).total_seconds()), 0)
