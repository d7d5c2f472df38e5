"""Whose shop it is, what it sells, and what is on the shelf."""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from catalog.querysets import ApiKeyQuerySet, ProductQuerySet, StockMovementQuerySet, StockQuerySet
from orders_project import money
from orders_project.constraints import SameBusiness
from orders_project.ids import new_id

LONGEST_PAYMENT_WINDOW = 24 * 60  # minutes


class Business(models.Model):
    """A merchant's shop. Everything else belongs to exactly one."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    currency = models.CharField(max_length=3, help_text="ISO 4217, such as GBP. Every price is in it.")
    country = models.CharField(
        max_length=2,
        help_text="ISO 3166, such as GB. Phone numbers without a country code are read as of here.",
    )
    time_zone = models.CharField(max_length=60, default="UTC", help_text="Where the business's day begins.")
    payment_window_minutes = models.PositiveSmallIntegerField(
        default=15, help_text="How long an order holds its stock while it waits for the payment."
    )
    duplicate_window_seconds = models.PositiveSmallIntegerField(
        default=10,
        help_text="A second order of the same goods by the same customer within this time is taken for "
        "a double click and refused. 0 turns it off.",
    )
    low_stock_default = models.PositiveIntegerField(
        default=5,
        help_text="A product with no more than this available is low, unless it says otherwise.",
    )
    loyal_spend = models.DecimalField(
        max_digits=12,
        decimal_places=money.DECIMAL_PLACES,
        default=Decimal(200),
        help_text="What a good customer has spent with you in all; half of the engagement score's points "
        "for money are given at this sum.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "businesses"
        constraints = [
            models.CheckConstraint(name="business_currency_code", condition=Q(currency__regex=r"^[A-Z]{3}$")),
            models.CheckConstraint(name="business_country_code", condition=Q(country__regex=r"^[A-Z]{2}$")),
            models.CheckConstraint(
                name="business_payment_window",
                condition=Q(payment_window_minutes__range=(1, LONGEST_PAYMENT_WINDOW)),
            ),
            models.CheckConstraint(name="business_loyal_spend_positive", condition=Q(loyal_spend__gt=0)),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's place in a business."""

    class Role(models.TextChoices):
        OWNER = "owner"
        MANAGER = "manager"
        PACKER = "packer"
        VIEWER = "viewer"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="membership_once", fields=["business", "user"]),
            models.CheckConstraint(
                name="membership_role_known",
                condition=Q(role__in=["owner", "manager", "packer", "viewer"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.business}"

    @property
    def may_write(self) -> bool:
        return self.role in (self.Role.OWNER, self.Role.MANAGER)


class ApiKey(models.Model):
    """A client's key to one business. Only its hash is kept; the key is shown once, when it is made."""

    class Scope(models.TextChoices):
        READ = "read"
        WRITE = "write", "read and write"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=60, help_text="Who or what uses it, such as “Website checkout”.")
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scope = models.CharField(max_length=5, choices=Scope)
    throttled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ApiKeyQuerySet] = ApiKeyQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(name="api_key_scope_known", condition=Q(scope__in=["read", "write"])),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class Product(models.Model):
    """Something that is sold, under a stock keeping unit (SKU). What is on the shelf is its `stock`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="products", db_index=False)
    sku = models.CharField("SKU", max_length=64)
    name = models.CharField(max_length=200)
    description = models.TextField(max_length=5000, blank=True)
    price = models.DecimalField(max_digits=12, decimal_places=money.DECIMAL_PLACES)
    currency = models.CharField(max_length=3, editable=False)
    is_active = models.BooleanField(default=True, help_text="Only active products can be ordered.")
    low_stock_threshold = models.PositiveIntegerField(
        null=True, blank=True, help_text="Empty: the business's default."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[ProductQuerySet] = ProductQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(name="product_of_business", fields=["business", "id"]),
            models.UniqueConstraint(name="product_sku_once", fields=["business", "sku"]),
            models.CheckConstraint(name="product_sku_not_empty", condition=~Q(sku="")),
            models.CheckConstraint(name="product_price_not_negative", condition=Q(price__gte=0)),
            models.CheckConstraint(name="product_currency_code", condition=Q(currency__regex=r"^[A-Z]{3}$")),
        ]
        indexes = [
            # GET /products: the list, oldest first and newest first.
            models.Index(name="product_by_age", fields=["business", "created_at", "id"]),
            # GET /products?search=: part of a name or SKU.
            GinIndex(
                name="product_words",
                fields=["name", "sku"],
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"


class Stock(models.Model):
    """The counters of one product. Only `catalog.stock` changes them, and the ledger says why.

    They stand apart from the product, because order lines refer to the product: with the counters in
    that row, buyers of a much-wanted product wait for its foreign keys too.
    """

    product = models.OneToOneField(Product, models.PROTECT, primary_key=True, db_constraint=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    stock_quantity = models.BigIntegerField(default=0, help_text="Units on the shelf, held ones included.")
    reserved_stock = models.BigIntegerField(default=0, help_text="Units held for orders that wait for payment.")
    version = models.BigIntegerField(default=1, help_text="Counts every change.")

    objects: ClassVar[StockQuerySet] = StockQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "stock"
        constraints = [
            SameBusiness(name="stock_product_same_business", field="product", table="catalog_product"),
            # The law of the house: nobody is promised a unit that isn't there.
            models.CheckConstraint(
                name="stock_never_oversold",
                condition=Q(reserved_stock__gte=0) & Q(stock_quantity__gte=F("reserved_stock")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.available} available"

    @property
    def available(self) -> int:
        return self.stock_quantity - self.reserved_stock


class StockMovement(models.Model):
    """One line of the ledger: what moved a product's counters, by how much, who did it and why.

    Append-only: a trigger refuses to change, delete or truncate. The sum of a product's lines is its
    counters, always.
    """

    class Kind(models.TextChoices):
        OPENING = "opening", "opening stock"
        RECEIVED = "received"
        ADJUSTED = "adjusted"
        RESERVED = "reserved"
        RELEASED = "released"
        EXPIRED = "expired"
        SOLD = "sold"
        RETURNED = "returned"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    product = models.ForeignKey(
        Product, models.PROTECT, related_name="movements", db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=8, choices=Kind)
    stock_delta = models.BigIntegerField()
    reserved_delta = models.BigIntegerField()
    # The order it was for. Orders are a room above this one, so the foreign key is theirs to add.
    order_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=120)
    reason = models.CharField(max_length=200, blank=True)
    idempotency_key = models.CharField(max_length=255, null=True)
    at = models.DateTimeField()

    objects: ClassVar[StockMovementQuerySet] = StockMovementQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            SameBusiness(name="movement_product_same_business", field="product", table="catalog_product"),
            models.UniqueConstraint(
                name="movement_key_once",
                fields=["business", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
            models.CheckConstraint(name="movement_actor_named", condition=~Q(actor="")),
            models.CheckConstraint(
                name="movement_adjusted_has_reason", condition=~Q(kind="adjusted") | ~Q(reason="")
            ),
            # Which way each kind may move the counters.
            models.CheckConstraint(
                name="movement_kind_fits_deltas",
                condition=Q(
                    kind__in=["opening", "received", "returned"],
                    stock_delta__gt=0,
                    reserved_delta=0,
                )
                | Q(kind="adjusted", reserved_delta=0) & ~Q(stock_delta=0)
                | Q(kind="reserved", stock_delta=0, reserved_delta__gt=0)
                | Q(kind__in=["released", "expired"], stock_delta=0, reserved_delta__lt=0)
                | Q(kind="sold", stock_delta__lt=0, reserved_delta=F("stock_delta")),
            ),
            models.CheckConstraint(
                name="movement_order_named",
                condition=Q(kind__in=["opening", "received", "adjusted"], order_id__isnull=True)
                | Q(
                    kind__in=["reserved", "released", "expired", "sold", "returned"],
                    order_id__isnull=False,
                ),
            ),
        ]
        indexes = [
            # GET /stock-movements, and one product's ledger.
            models.Index(name="movement_by_time", fields=["business", "at", "id"]),
            models.Index(name="movement_of_product", fields=["product", "at", "id"]),
            # GET /stock-movements?kind=, of those that not every order makes.
            models.Index(
                name="movement_by_kind",
                fields=["business", "kind", "at", "id"],
                condition=~Q(kind__in=["reserved", "sold"]),
            ),
            # GET /stock-movements?order=, and the order's foreign key.
            models.Index(name="movement_of_order", fields=["order_id"], condition=Q(order_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.stock_delta:+d} stock, {self.reserved_delta:+d} reserved"
