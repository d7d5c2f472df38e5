"""How holds look over the API."""

from datetime import datetime

from rest_framework import serializers

from reservations.models import StockReservation


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
