"""An order: what was bought, by whom, for how much, what was paid, what was sent, and all that happened."""

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper

from catalog.channels import Channel
from catalog.models import LONGEST_SKU, Business, Product
from catalog.wording import who
from customers.models import Customer
from orders.lifecycle import PaymentStatus, Status, status_fits_payment
from orders.querysets import OrderQuerySet
from orders_project import money
from orders_project.constraints import SameBusiness
from orders_project.ids import new_id


def amount_field(**options: object) -> "models.DecimalField[Decimal, Decimal]":
    """A column for money, in the currency that stands in the same row."""
    return models.DecimalField(max_digits=money.MAX_DIGITS, decimal_places=money.DECIMAL_PLACES, **options)  # type: ignore[arg-type]


class Order(models.Model):
    """An order with the prices of its day. While it is pending it holds its stock until `payment_due_at`.

    `version` counts its changes; each change wrote one OrderEvent with that version.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(
        Business, models.PROTECT, related_name="orders", db_constraint=False, db_index=False
    )
    number = models.CharField(
        max_length=20, db_collation="C", help_text="What people call it, such as 261123-K7M2QX."
    )
    customer = models.ForeignKey(
        Customer, models.PROTECT, related_name="orders", db_constraint=False, db_index=False
    )
    channel = models.CharField(max_length=9, choices=Channel)
    status = models.CharField(max_length=10, choices=Status)
    payment_status = models.CharField(max_length=18, choices=PaymentStatus, default=PaymentStatus.PENDING)
    cancel_reason = models.CharField(max_length=200, blank=True)

    currency = models.CharField(max_length=3)
    subtotal = amount_field()
    shipping_fee = amount_field(default=Decimal(0))
    discount = amount_field(default=Decimal(0))
    total = amount_field()

    shipping_address = models.JSONField(null=True)
    note = models.TextField(max_length=2000, blank=True)
    external_id = models.CharField(max_length=120, null=True)
    idempotency_key = models.CharField(max_length=255, null=True)
    fingerprint = models.CharField(
        max_length=64, help_text="SHA-256 of what was asked for, to tell a repeat from a reuse."
    )

    version = models.IntegerField(default=1)
    created_at = models.DateTimeField()
    placed_at = models.DateTimeField(null=True, help_text="When it was submitted and took its hold.")
    payment_due_at = models.DateTimeField(
        null=True, help_text="Until when it holds its stock; only while pending."
    )
    paid_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    objects: ClassVar[OrderQuerySet] = OrderQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            SameBusiness(name="order_customer_same_business", field="customer", table="customers_customer"),
            models.UniqueConstraint(name="order_of_business", fields=["business", "id"]),
            models.UniqueConstraint(name="order_number_once", fields=["business", "number"]),
            models.UniqueConstraint(
                name="order_key_once",
                fields=["business", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
            models.UniqueConstraint(
                name="order_external_id_once",
                fields=["business", "channel", "external_id"],
                condition=Q(external_id__isnull=False),
            ),
            models.CheckConstraint(name="order_channel_known", condition=Q(channel__in=Channel.values)),
            models.CheckConstraint(name="order_status_fits_payment", condition=status_fits_payment()),
            models.CheckConstraint(
                name="order_total_adds_up",
                condition=Q(total=F("subtotal") + F("shipping_fee") - F("discount")),
            ),
            models.CheckConstraint(
                name="order_amounts_not_negative",
                condition=Q(subtotal__gte=0, shipping_fee__gte=0, discount__gte=0, total__gte=0),
            ),
            models.CheckConstraint(
                name="order_pending_has_due_time",
                condition=Q(status="pending", payment_due_at__isnull=False)
                | ~Q(status="pending") & Q(payment_due_at__isnull=True),
            ),
            models.CheckConstraint(
                name="order_placed_unless_draft",
                condition=Q(status__in=["draft", "cancelled"]) | Q(placed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="order_sold_has_paid_time",
                condition=~Q(status__in=["paid", "processing", "shipped", "delivered"]) | Q(paid_at__isnull=False),
            ),
            models.CheckConstraint(
                name="order_cancelled_has_time_and_reason",
                condition=Q(status="cancelled", cancelled_at__isnull=False) & ~Q(cancel_reason="")
                | ~Q(status="cancelled") & Q(cancelled_at__isnull=True, cancel_reason=""),
            ),
            models.CheckConstraint(name="order_version_positive", condition=Q(version__gt=0)),
        ]
        indexes = [
            # The sweep: pending orders whose time is up. Small, for it holds open orders only.
            models.Index(
                name="order_due",
                fields=["business", "payment_due_at"],
                condition=Q(status="pending"),
            ),
            # How many orders of a customer wait for their payment. As small.
            models.Index(
                name="order_open",
                fields=["customer", "payment_due_at"],
                condition=Q(status="pending"),
            ),
            # GET /orders: all, and by each filter, newest first; created_after and created_before.
            models.Index(name="order_by_age", fields=["business", "created_at", "id"]),
            models.Index(name="order_by_status", fields=["business", "status", "created_at", "id"]),
            models.Index(name="order_by_payment", fields=["business", "payment_status", "created_at", "id"]),
            models.Index(name="order_by_channel", fields=["business", "channel", "created_at", "id"]),
            # GET /orders?customer=; a double click of the same customer; the customer's counters.
            models.Index(name="order_by_customer", fields=["customer", "created_at", "id"]),
            # GET /orders?ordering=total, min_total, max_total.
            models.Index(name="order_by_total", fields=["business", "total", "id"]),
            # Statistics in another time zone: what was submitted after it was written, and what was called off.
            models.Index(
                name="order_submitted",
                fields=["business", "placed_at"],
                condition=Q(placed_at__gt=F("created_at")),
            ),
            models.Index(
                name="order_called_off",
                fields=["business", "cancelled_at"],
                condition=Q(cancelled_at__isnull=False, paid_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.number


class OrderItem(models.Model):
    """One line of an order, with the product's SKU, name and price as they were."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    order = models.ForeignKey(Order, models.CASCADE, related_name="items", db_constraint=False, db_index=False)
    position = models.PositiveSmallIntegerField()
    product = models.ForeignKey(Product, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    sku = models.CharField(max_length=LONGEST_SKU)
    name = models.CharField(max_length=200)
    currency = models.CharField(max_length=3)
    unit_price = amount_field()
    quantity = models.BigIntegerField()
    line_total = amount_field()

    class Meta:
        constraints = [
            SameBusiness(name="item_order_same_business", field="order", table="orders_order"),
            SameBusiness(name="item_product_same_business", field="product", table="catalog_product"),
            models.UniqueConstraint(name="item_position_once", fields=["order", "position", "business"]),
            models.CheckConstraint(name="item_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(name="item_price_not_negative", condition=Q(unit_price__gte=0)),
            models.CheckConstraint(
                name="item_total_multiplies",
                condition=Q(line_total=F("unit_price") * F("quantity")),
            ),
        ]
        indexes = [
            # GET /orders?sku=
            models.Index(name="item_by_sku", fields=["business", "sku", "order"]),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku}"


class OrderEvent(models.Model):
    """Something that happened to an order: what, who, when, and the facts. The order's timeline; append-only."""

    class Kind(models.TextChoices):
        CREATED = "created", "created as a draft"
        PLACED = "placed"
        SUBMITTED = "submitted"
        EDITED = "edited"
        HOLD_EXTENDED = "hold_extended", "hold extended"
        PAYMENT_FAILED = "payment_failed", "payment failed"
        PAID = "paid"
        PAID_LATE = "paid_late", "paid late, stock taken again"
        REFUND_DUE = "refund_due", "paid too late, to be refunded"
        PROCESSING = "processing"
        SHIPPED = "shipped"
        SHIPMENT_CHANGED = "shipment_changed", "shipment changed"
        DELIVERED = "delivered"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        REFUNDED = "refunded"
        NOTED = "noted"
        CUSTOMER_MERGED = "customer_merged"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    order = models.ForeignKey(Order, models.CASCADE, related_name="events", db_constraint=False, db_index=False)
    version = models.IntegerField(help_text="The order's version that this change made.")
    kind = models.CharField(max_length=16, choices=Kind)
    actor = models.CharField(max_length=120)
    at = models.DateTimeField()
    facts = models.JSONField(default=dict)

    class Meta:
        verbose_name = "event"
        constraints = [
            SameBusiness(name="event_order_same_business", field="order", table="orders_order"),
            models.UniqueConstraint(name="event_once_per_version", fields=["order", "version", "business"]),
            models.CheckConstraint(name="event_actor_named", condition=~Q(actor="")),
        ]
        indexes = [
            # The back office's list of events, and those of a kind that not every order has, such as money that
            # came late.
            models.Index(name="event_by_time", fields=["business", "at", "id"]),
            models.Index(
                name="event_by_kind",
                fields=["business", "kind", "at", "id"],
                condition=~Q(kind__in=["placed", "paid", "processing", "shipped", "delivered", "expired"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} by {who(self.actor)}"


class Payment(models.Model):
    """Money that came in for an order (a capture), or went back (a refund). Append-only."""

    class Kind(models.TextChoices):
        CAPTURE = "capture", "payment"
        REFUND = "refund"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="payments", db_constraint=False, db_index=False)
    kind = models.CharField(max_length=7, choices=Kind)
    provider = models.CharField(max_length=60)
    reference = models.CharField(max_length=120)
    currency = models.CharField(max_length=3)
    amount = amount_field()
    at = models.DateTimeField()
    actor = models.CharField(max_length=120)

    class Meta:
        constraints = [
            SameBusiness(name="payment_order_same_business", field="order", table="orders_order"),
            models.UniqueConstraint(name="payment_once", fields=["business", "provider", "reference"]),
            models.CheckConstraint(name="payment_kind_known", condition=Q(kind__in=["capture", "refund"])),
            models.CheckConstraint(
                name="payment_amount_positive",
                condition=Q(amount__gt=0) | Q(amount=0, kind="capture"),
            ),
        ]
        indexes = [
            # The order's page, and its foreign key.
            models.Index(name="payment_of_order", fields=["order", "at"]),
            # Statistics in another time zone: money in and out.
            models.Index(name="payment_by_time", fields=["business", "at"]),
            # The back office's list of payments: the few that went back, and a reference that somebody asks for.
            models.Index(name="payment_refunds", fields=["business", "at", "id"], condition=Q(kind="refund")),
            models.Index(name="payment_by_reference", fields=["business", "reference"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.reference}"


class Shipment(models.Model):
    """The parcel of an order."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    order = models.ForeignKey(Order, models.PROTECT, related_name="shipments", db_constraint=False, db_index=False)
    carrier = models.CharField(max_length=60)
    tracking_number = models.CharField(max_length=120, db_collation="C")
    tracking_url = models.URLField(max_length=500, blank=True)
    shipped_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            SameBusiness(name="shipment_order_same_business", field="order", table="orders_order"),
            models.UniqueConstraint(name="shipment_once_per_order", fields=["order", "business"]),
            models.CheckConstraint(
                name="shipment_can_be_tracked", condition=~Q(carrier="") & ~Q(tracking_number="")
            ),
            models.CheckConstraint(
                name="shipment_delivered_after_shipped",
                condition=Q(delivered_at__isnull=True) | Q(delivered_at__gte=F("shipped_at")),
            ),
        ]
        indexes = [
            # GET /orders?search=: the beginning of a tracking number.
            models.Index("business", Upper("tracking_number"), name="shipment_by_tracking"),
        ]

    def __str__(self) -> str:
        return f"{self.carrier} {self.tracking_number}"
