"""How orders look over the API, and what it takes to make and change one."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog.channels import Channel
from catalog.models import LONGEST_SKU
from customers.serializers import BuyerSerializer
from orders.lifecycle import CancelReason, PaymentStatus, Status
from orders.models import Order, OrderEvent, OrderItem, Payment, Shipment
from orders_project.api.fields import Choice, Email, Money, Phone, Text, WholeNumber, YesNo
from orders_project.api.reading import usable_key
from orders_project.api.schema import ProblemSerializer
from reservations.serializers import ReservationSerializer

LARGEST_QUANTITY = 100_000
MOST_LINES = 100
MOST_ROWS = 1000  # in bulk

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
    tracking_url = serializers.CharField(help_text="Empty if there is none.")

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

    @extend_schema_field(ReservationSerializer(many=True))
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
    default_error_messages = {"invalid": 'An item looks like {{"sku": "MUG-01", "quantity": 1}}.'}

    sku = Text(max_length=LONGEST_SKU, required=False)
    product = serializers.UUIDField(required=False)
    quantity = WholeNumber(min_value=1, max_value=LARGEST_QUANTITY)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("sku" in attrs) == ("product" in attrs):
            raise serializers.ValidationError(
                "Name the product once: by its sku, or by its id as product.", code="sku_or_product"
            )
        return attrs


class CustomerOfOrderSerializer(serializers.Serializer[Any]):
    """Either the id of a known customer, or a name and what may identify them."""

    default_error_messages = {"invalid": 'A customer looks like {{"name": "Ada", "phone": "+447700900123"}}.'}

    id = serializers.UUIDField(required=False)
    name = Text(max_length=200, required=False)
    phone = Phone(max_length=40, required=False, allow_null=True)
    email = Email(max_length=254, required=False, allow_null=True)
    external_id = Text(max_length=120, required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("id" in attrs) == ("name" in attrs) or ("id" in attrs and len(attrs) > 1):
            raise serializers.ValidationError(
                "Give the id of a customer and nothing else, or a name with a phone, email or external_id.",
                code="id_or_name",
            )
        return attrs


class AddressSerializer(serializers.Serializer[Any]):
    """Where to send it. An address pasted from a chat may come as plain text instead."""

    default_error_messages = {"invalid": "An address is text, or an object with line1, city and so on."}

    name = Text(max_length=200, required=False)
    line1 = Text(max_length=200, required=False)
    line2 = Text(max_length=200, required=False)
    city = Text(max_length=100, required=False)
    region = Text(max_length=100, required=False)
    postal_code = Text(max_length=20, required=False)
    country = Text(max_length=60, required=False)
    phone = Text(max_length=40, required=False)
    text = Text(max_length=1000, required=False, help_text="The whole address, as it was written.")

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({"text": data} if isinstance(data, str) else data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("The address is empty.", code="empty")
        return attrs


class EditSerializer(serializers.Serializer[Any]):
    """What can be changed of a draft or a pending order: all of it is replaced."""

    items: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=LineSerializer(),
        min_length=1,
        max_length=MOST_LINES,
        error_messages={
            "not_a_list": 'A list of items is needed, such as [{{"sku": "MUG-01", "quantity": 1}}].',
            "min_length": "An order needs at least one item.",
            "max_length": "An order has {max_length} lines at most; make several orders of it.",
        },
    )
    shipping_address = AddressSerializer(required=False, allow_null=True)
    shipping_fee = Money(required=False)
    discount = Money(required=False)
    note = Text(max_length=2000, required=False, allow_blank=True)


class PlacementSerializer(EditSerializer):
    """A new order. Prices come from the catalog."""

    channel = Choice(Channel.choices)
    customer = CustomerOfOrderSerializer()
    currency = Text(max_length=3, required=False, help_text="Only checked: the business's own.")
    external_id = Text(max_length=120, required=False, allow_null=True)
    draft = YesNo(required=False, help_text="Write it down without holding stock.")


class IdempotencyKey(Text):
    """What the header of the same name is for one order."""

    default_error_messages = {"unusable_key": "A key has 1 to 255 visible ASCII characters."}

    def to_internal_value(self, data: Any) -> str:
        key = super().to_internal_value(data)
        if not usable_key(key):
            self.fail("unusable_key")
        return key


class BulkPlacementSerializer(PlacementSerializer):
    """A new order among others: with a key or an external_id of its own, by which a repeat is known."""

    idempotency_key = IdempotencyKey(max_length=255, required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.get("idempotency_key") and not attrs.get("external_id"):
            needed = serializers.ErrorDetail(
                "An order in bulk needs an idempotency_key or an external_id.", "required"
            )
            raise serializers.ValidationError({"idempotency_key": needed})
        return attrs


class PlacedResultSerializer(serializers.Serializer[Any]):
    """What became of one row: an order, or the problem that it would be answered with alone."""

    outcome = serializers.ChoiceField(["placed", "replayed", "refused"])
    order = OrderSerializer(required=False)
    problem = ProblemSerializer(required=False)


class PlacedResultsSerializer(serializers.Serializer[Any]):
    results = PlacedResultSerializer(many=True, help_text="In the order of the request.")


class Reason(Text):
    """Why an order is called off, in any words but those that the house itself gives: money that comes
    late revives an order that ended so."""

    default_error_messages = {"reserved": "This reason is given by Holdfast itself; use other words."}

    def to_internal_value(self, data: Any) -> str:
        reason = super().to_internal_value(data)
        if reason in CancelReason.values:
            self.fail("reserved")
        return reason


class StatusSerializer(serializers.Serializer[Any]):
    """Where the order is to go, and what that step needs."""

    status = Choice(Status.values)
    reason = Reason(max_length=200, required=False, help_text="For cancelled.")
    carrier = Text(max_length=60, required=False, help_text="For shipped.")
    tracking_number = Text(max_length=120, required=False, help_text="For shipped.")
    tracking_url = serializers.URLField(max_length=500, required=False, help_text="For shipped.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        shipped = dict.fromkeys(("carrier", "tracking_number", "tracking_url"), Status.SHIPPED)
        _refuse_idle(attrs, attrs["status"], {"reason": Status.CANCELLED, **shipped})
        return attrs


def _refuse_idle(attrs: dict[str, Any], status: str, goes_with: Mapping[str, str]) -> None:
    """Refuse fields that would be passed over, for they go with another status only."""
    idle = {
        name: [serializers.ErrorDetail(f"This goes with the status {goes} only; leave it out.", "not_with_status")]
        for name, goes in goes_with.items()
        if name in attrs and goes != status
    }
    if idle:
        raise serializers.ValidationError(idle)


class PaymentChangeSerializer(serializers.Serializer[Any]):
    """What happened to the money: it was paid (the default), an attempt failed, or it was refunded."""

    status = Choice(
        [PaymentStatus.PAID.value, PaymentStatus.FAILED.value, PaymentStatus.REFUNDED.value], required=False
    )
    provider = Text(max_length=60, required=False)
    reference = Text(max_length=120, required=False)
    amount = Money(required=False)
    currency = Text(max_length=3, required=False, help_text="Only checked: the order's own.")
    release = YesNo(required=False, help_text="With failed: no other attempt will come, free the hold at once.")
    reason = Text(max_length=200, required=False, help_text="With failed: what the provider said.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        status = attrs.get("status", PaymentStatus.PAID)
        _refuse_idle(attrs, status, dict.fromkeys(("release", "reason"), PaymentStatus.FAILED))
        if status != PaymentStatus.FAILED:
            missing = {"provider", "reference", "amount"} - attrs.keys()
            if missing:
                raise serializers.ValidationError(
                    {name: serializers.ErrorDetail("This is needed.", code="required") for name in sorted(missing)}
                )
        return attrs


class ReceiptSerializer(serializers.Serializer[Any]):
    """Money that came in for one order among others."""

    order = serializers.UUIDField()
    provider = Text(max_length=60)
    reference = Text(max_length=120)
    amount = Money()
    currency = Text(max_length=3, required=False, help_text="Only checked: the order's own.")


class ConfirmedResultSerializer(PlacedResultSerializer):
    outcome = serializers.ChoiceField(["confirmed", "refused"])


class ConfirmedResultsSerializer(serializers.Serializer[Any]):
    results = ConfirmedResultSerializer(many=True, help_text="In the order of the request.")


class ShippingSerializer(serializers.Serializer[Any]):
    """The parcel: what it is sent with, and when it left and arrived."""

    carrier = Text(max_length=60, required=False)
    tracking_number = Text(max_length=120, required=False)
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
