"""What is sold, what is on the shelf, and the ledger of all that moved it."""

from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from catalog.channels import Channel
from catalog.models.shop import Business
from catalog.querysets import ProductQuerySet, StockMovementQuerySet, StockQuerySet
from orders_project import money
from orders_project.constraints import SameBusiness
from orders_project.ids import new_id

LONGEST_SKU = 64


class Product(models.Model):
    """Something that is sold, under a stock keeping unit (SKU). What is on the shelf is its `stock`."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="products", db_index=False)
    sku = models.CharField("SKU", max_length=LONGEST_SKU)
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

    @property
    def low_at(self) -> int:
        """With no more than this available the product is low."""
        low_at = self.low_stock_threshold
        return self.business.low_stock_default if low_at is None else low_at


class Stock(models.Model):
    """The counters of one product. Only `catalog.stock` changes them, and the ledger says why.

    They stand apart from the product, because order lines refer to the product: with the counters in
    that row, buyers of a much-wanted product wait for its foreign keys too.
    """

    product = models.OneToOneField(Product, models.PROTECT, primary_key=True, db_constraint=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    stock_quantity = models.BigIntegerField(default=0, help_text="Units on the shelf, held ones included.")
    reserved_stock = models.BigIntegerField(default=0, help_text="Units held for orders that wait for payment.")
    # Units that orders of a channel leave on the shelf for those of the others; held ones are not among them.
    kept_from_whatsapp = models.PositiveIntegerField(default=0)
    kept_from_instagram = models.PositiveIntegerField(default=0)
    kept_from_website = models.PositiveIntegerField(default=0)
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

    @property
    def kept_back(self) -> dict[Channel, int]:
        """Units that are kept back from each channel."""
        return {channel: getattr(self, channel.kept_from) for channel in Channel}

    def available_to(self, channel: Channel) -> int:
        """What is available to orders of the channel."""
        return max(0, self.available - self.kept_back[channel])


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
        RECONCILED = "reconciled"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    product = models.ForeignKey(
        Product, models.PROTECT, related_name="movements", db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=10, choices=Kind)
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
        verbose_name = "movement"
        verbose_name_plural = "ledger"
        constraints = [
            SameBusiness(name="movement_product_same_business", field="product", table="catalog_product"),
            models.UniqueConstraint(
                name="movement_key_once",
                fields=["business", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
            models.CheckConstraint(name="movement_actor_named", condition=~Q(actor="")),
            models.CheckConstraint(
                name="movement_by_hand_has_reason",
                condition=~Q(kind__in=["adjusted", "reconciled"]) | ~Q(reason=""),
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
                | Q(kind="sold", stock_delta__lt=0, reserved_delta=F("stock_delta"))
                | Q(kind="reconciled") & ~Q(stock_delta=0, reserved_delta=0),
            ),
            models.CheckConstraint(
                name="movement_order_named",
                condition=Q(kind__in=["opening", "received", "adjusted", "reconciled"], order_id__isnull=True)
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
