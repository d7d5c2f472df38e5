"""How orders look over the API, and what it takes to make and change one."""

from typing import Any

from rest_framework import serializers

from customers.serializers import BuyerSerializer
from orders.lifecycle import Channel, PaymentStatus, Status
from orders.models import Order, OrderEvent, OrderItem, Payment, Shipment
from orders_project.api.fields import Choice, Money, Phone, WholeNumber
from reservations.serializers import ReservationSerializer

LARGEST_QUANTITY = 100_000
MOST_LINES = 100

# --- What the API answers ----------------------------------------------------------------------


class OrderItemSerializer(serializers.ModelSerializer[OrderItem]):
    product = serializers.UUIDField(source="product_id")
    unit_price = Money(read_only=True)
    line_total = Money(read_only=True)

    class Meta:
        model = OrderItem
        fields = ["id", "product", "sku", "name", "unit_price", "quantity", "line_total"]
        read_only_fields = fields


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    amount = Money(read_only=True)

    class Meta:
        model = Payment
        fields = ["id", "kind", "provider", "reference", "amount", "currency", "at"]
        read_only_fields = fields


class ShipmentSerializer(serializers.ModelSerializer[Shipment]):
    class Meta:
        model = Shipment
        fields = ["id", "carrier", "tracking_number", "tracking_url", "shipped_at", "delivered_at"]
        read_only_fields = fields


class OrderSerializer(serializers.ModelSerializer[Order]):
    """An order. Needs `now` and `holds` (of each order) in its context."""

    customer = BuyerSerializer()
    items = OrderItemSerializer(many=True)
    subtotal = Money(read_only=True)
    shipping_fee = Money(read_only=True)
    discount = Money(read_only=True)
    total = Money(read_only=True)
    holds = serializers.SerializerMethodField()
    payments = PaymentSerializer(many=True)
    shipments = ShipmentSerializer(many=True)

    class Meta:
        model = Order
        fields = [
            "id",
            "number",
            "status",
            "payment_status",
            "channel",
            "customer",
            "items",
            "currency",
            "subtotal",
            "shipping_fee",
            "discount",
            "total",
            "payment_due_at",
            "holds",
            "payments",
            "shipments",
            "shipping_address",
            "note",
            "external_id",
            "cancel_reason",
            "created_at",
            "placed_at",
            "paid_at",
            "cancelled_at",
            "version",
        ]
        read_only_fields = fields

    def get_holds(self, order: Order) -> list[dict[str, Any]]:
        holds = self.context["holds"][order.id]
        return ReservationSerializer(holds, many=True, context=self.context).data  # type: ignore[return-value]


class OrderEventSerializer(serializers.ModelSerializer[OrderEvent]):
    """One line of an order's timeline."""

    class Meta:
        model = OrderEvent
        fields = ["version", "kind", "actor", "at", "facts"]
        read_only_fields = fields


# --- What the API takes ------------------------------------------------------------------------


class LineSerializer(serializers.Serializer[Any]):
    sku = serializers.CharField(max_length=64, required=False)
    product = serializers.UUIDField(required=False)
    quantity = WholeNumber(min_value=1, max_value=LARGEST_QUANTITY)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("sku" in attrs) == ("product" in attrs):
            raise serializers.ValidationError("Name the product by its sku or its id.", code="sku_or_product")
        return attrs


class CustomerOfOrderSerializer(serializers.Serializer[Any]):
    """Either the id of a known customer, or a name and what may identify them."""

    id = serializers.UUIDField(required=False)
    name = serializers.CharField(max_length=200, required=False)
    phone = Phone(max_length=40, required=False, allow_null=True)
    email = serializers.EmailField(max_length=254, required=False, allow_null=True)
    external_id = serializers.CharField(max_length=120, required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("id" in attrs) == ("name" in attrs):
            raise serializers.ValidationError("Give the customer's id, or a name.", code="id_or_name")
        return attrs


class AddressSerializer(serializers.Serializer[Any]):
    """Where to send it. An address pasted from a chat may come as plain text instead."""

    name = serializers.CharField(max_length=200, required=False)
    line1 = serializers.CharField(max_length=200, required=False)
    line2 = serializers.CharField(max_length=200, required=False)
    city = serializers.CharField(max_length=100, required=False)
    region = serializers.CharField(max_length=100, required=False)
    postal_code = serializers.CharField(max_length=20, required=False)
    country = serializers.CharField(max_length=60, required=False)
    phone = serializers.CharField(max_length=40, required=False)
    text = serializers.CharField(
        max_length=1000, required=False, help_text="The whole address, as it was written."
    )

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({"text": data} if isinstance(data, str) else data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("The address is empty.", code="empty")
        return attrs


class EditSerializer(serializers.Serializer[Any]):
    """What can be changed of a draft or a pending order: all of it is replaced."""

    items: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=LineSerializer(), min_length=1, max_length=MOST_LINES
    )
    shipping_address = AddressSerializer(required=False, allow_null=True)
    shipping_fee = Money(required=False)
    discount = Money(required=False)
    note = serializers.CharField(max_length=2000, required=False, allow_blank=True)


class PlacementSerializer(EditSerializer):
    """A new order. Prices come from the catalog."""

    channel = Choice(Channel.values)
    customer = CustomerOfOrderSerializer()
    currency = serializers.CharField(max_length=3, required=False, help_text="Only checked: the business's own.")
    external_id = serializers.CharField(max_length=120, required=False, allow_null=True)
    draft = serializers.BooleanField(required=False, help_text="Write it down without holding stock.")


class StatusSerializer(serializers.Serializer[Any]):
    """Where the order is to go, and what that step needs."""

    status = Choice(Status.values)
    reason = serializers.CharField(max_length=200, required=False, help_text="For cancelled.")
    carrier = serializers.CharField(max_length=60, required=False, help_text="For shipped.")
    tracking_number = serializers.CharField(max_length=120, required=False, help_text="For shipped.")
    tracking_url = serializers.URLField(max_length=500, required=False, help_text="For shipped.")


class PaymentChangeSerializer(serializers.Serializer[Any]):
    """What happened to the money: it was paid (the default), an attempt failed, or it was refunded."""

    status = Choice(
        [PaymentStatus.PAID.value, PaymentStatus.FAILED.value, PaymentStatus.REFUNDED.value], required=False
    )
    provider = serializers.CharField(max_length=60, required=False)
    reference = serializers.CharField(max_length=120, required=False)
    amount = Money(required=False)
    currency = serializers.CharField(max_length=3, required=False, help_text="Only checked: the order's own.")
    release = serializers.BooleanField(
        required=False, help_text="With failed: no other attempt will come, free the hold at once."
    )
    reason = serializers.CharField(
        max_length=200, required=False, help_text="With failed: what the provider said."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("status") != PaymentStatus.FAILED:
            missing = {"provider", "reference", "amount"} - attrs.keys()
            if missing:
                raise serializers.ValidationError(
                    {name: serializers.ErrorDetail("This is needed.", code="required") for name in sorted(missing)}
                )
        return attrs


class ShippingSerializer(serializers.Serializer[Any]):
    """The parcel: what it is sent with, and when it left and arrived."""

    carrier = serializers.CharField(max_length=60, required=False)
    tracking_number = serializers.CharField(max_length=120, required=False)
    tracking_url = serializers.URLField(max_length=500, required=False)
    shipped_at = serializers.DateTimeField(required=False)
    delivered_at = serializers.DateTimeField(required=False)


# --- Statistics --------------------------------------------------------------------------------


class FiguresSerializer(serializers.Serializer[Any]):
    """The figures of a set of orders, in one currency. A dash (null) where there is nothing to divide by."""

    gross = serializers.CharField(help_text="Money captured for sales.")
    refunded = serializers.CharField(help_text="Money that went back, or is owed since an order was cancelled.")
    net = serializers.CharField(help_text="gross less refunded.")
    orders = serializers.IntegerField(help_text="Orders paid.")
    aov = serializers.CharField(allow_null=True, help_text="Average order value: gross / orders.")
    placed = serializers.IntegerField(help_text="Orders placed, drafts not counted.")
    conversion = serializers.FloatField(allow_null=True, help_text="Of those placed, the share that was paid.")
    expiry_rate = serializers.FloatField(allow_null=True, help_text="Of those placed, the share that timed out.")


class ChannelFiguresSerializer(FiguresSerializer):
    channel = serializers.CharField()


class IntervalFiguresSerializer(FiguresSerializer):
    start = serializers.DateField(help_text="The interval's first day.")


class CurrencyStatsSerializer(FiguresSerializer):
    currency = serializers.CharField()
    by_status = serializers.DictField(child=serializers.IntegerField(), help_text="Orders placed, by status now.")
    by_channel = ChannelFiguresSerializer(many=True)
    by_interval = IntervalFiguresSerializer(many=True)


class StatsSerializer(serializers.Serializer[Any]):
    business = serializers.UUIDField()
    tz = serializers.CharField()
    interval = serializers.CharField()
    currencies = CurrencyStatsSerializer(many=True, help_text="Never summed across.")

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateField(), "to": serializers.DateField()}
