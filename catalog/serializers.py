"""How the catalog looks over the API."""

from typing import Any
from uuid import UUID

from rest_framework import serializers

from catalog.alerts import LONGEST_SNOOZE
from catalog.channels import Channel
from catalog.models import Alert, Product, Stock, StockMovement
from catalog.services import LARGEST_ADJUSTMENT
from orders_project.api.fields import Money, Text, WholeNumber, YesNo


class AvailabilitySerializer(serializers.ModelSerializer[Stock]):
    """What can be promised of a product right now."""

    product = serializers.UUIDField(source="product_id")
    sku = serializers.CharField(source="product.sku")
    available = serializers.SerializerMethodField(
        help_text="stock_quantity less reserved_stock; with `channel` less what is kept back from it as well."
    )

    class Meta:
        model = Stock
        fields = ["product", "sku", "stock_quantity", "reserved_stock", "available", "version"]
        read_only_fields = fields

    def get_available(self, shelf: Stock) -> int:
        channel: Channel | None = self.context.get("channel")
        return shelf.available_to(channel) if channel else shelf.available


def show_availability(product_id: UUID, sku: str, on_shelf: int, reserved: int, version: int) -> dict[str, Any]:
    """The same from a row, for those who show many at once."""
    return {
        "product": product_id,
        "sku": sku,
        "stock_quantity": on_shelf,
        "reserved_stock": reserved,
        "available": on_shelf - reserved,
        "version": version,
    }


class ProductSerializer(serializers.ModelSerializer[Product]):
    price = Money(read_only=True)
    available = serializers.IntegerField(source="stock.available")

    class Meta:
        model = Product
        fields = ["id", "sku", "name", "description", "price", "currency", "is_active", "available", "created_at"]
        read_only_fields = fields


class StockMovementSerializer(serializers.ModelSerializer[StockMovement]):
    """One line of the ledger."""

    product = serializers.UUIDField(source="product_id")
    sku = serializers.CharField(source="product.sku")
    order = serializers.UUIDField(source="order_id", allow_null=True)

    class Meta:
        model = StockMovement
        fields = [
            "id",
            "product",
            "sku",
            "kind",
            "stock_delta",
            "reserved_delta",
            "order",
            "actor",
            "reason",
            "at",
        ]
        read_only_fields = fields


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """Something that a person should know of."""

    class Meta:
        model = Alert
        fields = [
            "id",
            "kind",
            "severity",
            "subject",
            "title",
            "facts",
            "opened_at",
            "seen_at",
            "times_seen",
            "closed_at",
            "acknowledged_at",
            "acknowledged_by",
            "snoozed_until",
            "snoozed_by",
        ]
        read_only_fields = fields


class AnswerSerializer(serializers.Serializer[Any]):
    """What somebody does about an alert: one of these, or both."""

    acknowledged = YesNo(required=False, help_text="Whether somebody sees to it.")
    snoozed_until = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text=f"Until when nobody is to hear of it, {LONGEST_SNOOZE.days} days ahead at most; null wakes it.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Say what is done about the alert.", code="required")
        return attrs


class StockAdjustmentSerializer(serializers.Serializer[Any]):
    """A correction of the count, by so many units up or down."""

    delta = WholeNumber(
        min_value=-LARGEST_ADJUSTMENT, max_value=LARGEST_ADJUSTMENT, help_text="Units more, or less if negative."
    )
    reason = Text(max_length=200, help_text="Why: it stays in the ledger.")
