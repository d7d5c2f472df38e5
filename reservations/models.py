"""Promises on the shelf, and how they end."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from catalog.models import Business, Product
from orders_project import money
from orders_project.constraints import SameBusiness
from orders_project.ids import new_id
from reservations.querysets import StockReservationQuerySet


class StockReservation(models.Model):
    """Units of one product held for one order until it is paid or its time is up.

    A hold ends once, by compare-and-set on its status, with its own quantity.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        CONVERTED = "converted", "converted to a sale"
        RELEASED = "released"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    # Orders are a room above this one, so the foreign key is theirs to add.
    order_id = models.UUIDField()
    product = models.ForeignKey(
        Product, models.PROTECT, related_name="reservations", db_constraint=False, db_index=False
    )
    quantity = models.BigIntegerField()
    status = models.CharField(max_length=9, choices=Status, default=Status.ACTIVE)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    objects: ClassVar[StockReservationQuerySet] = StockReservationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "reservation"
        constraints = [
            SameBusiness(name="hold_product_same_business", field="product", table="catalog_product"),
            models.UniqueConstraint(name="hold_once_per_order", fields=["order_id", "product", "business"]),
            models.CheckConstraint(name="hold_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(
                name="hold_closed_when_ended",
                condition=Q(status="active", closed_at__isnull=True)
                | Q(status__in=["converted", "released", "expired"], closed_at__isnull=False),
            ),
        ]
        indexes = [
            # Taking back a product's overdue holds; who holds what.
            models.Index(
                name="hold_active_of_product",
                fields=["product", "expires_at"],
                condition=Q(status="active"),
            ),
            # GET /reservations, as they were made and as they run out, and those of a product.
            models.Index(name="hold_by_age", fields=["business", "created_at", "id"]),
            models.Index(name="hold_by_expiry", fields=["business", "expires_at", "id"]),
            models.Index(name="hold_of_product", fields=["product", "created_at"]),
            # GET /reservations?status=, of those that ended without a sale.
            models.Index(
                name="hold_by_status",
                fields=["business", "status", "created_at", "id"],
                condition=Q(status__in=["released", "expired"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} held until {self.expires_at}"


class RefusedDemand(models.Model):
    """What buyers asked for in one minute and could not have: lost demand, by product and channel."""

    pk = models.CompositePrimaryKey("business", "minute", "product", "channel")
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    minute = models.DateTimeField()
    product = models.ForeignKey(Product, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    channel = models.CharField(max_length=9)
    refusals = models.IntegerField(help_text="Orders that were refused for want of this product.")
    units = models.BigIntegerField(help_text="Units asked for beyond what was available.")
    value = models.DecimalField(max_digits=money.MAX_DIGITS, decimal_places=money.DECIMAL_PLACES)
    currency = models.CharField(max_length=3)

    class Meta:
        constraints = [
            SameBusiness(name="refused_product_same_business", field="product", table="catalog_product"),
            models.CheckConstraint(
                name="refused_something", condition=Q(refusals__gt=0, units__gt=0, value__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.units} units refused"


class StockMinute(models.Model):
    """One minute of a business's holds, for the charts. Counts are of holds, but `placed` and `refused` of orders.
    A minute in which nothing happened has no row."""

    pk = models.CompositePrimaryKey("business", "minute")
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    minute = models.DateTimeField()
    made = models.IntegerField()
    converted = models.IntegerField()
    expired = models.IntegerField()
    released = models.IntegerField()
    placed = models.IntegerField(help_text="Orders that got what they asked for.")
    refused = models.IntegerField(help_text="Orders that were refused for want of stock.")
    seconds_to_pay = models.BigIntegerField(help_text="Of all that were converted, together.")
    held_units = models.BigIntegerField(help_text="At the end of the minute.")
    available_units = models.BigIntegerField(help_text="At the end of the minute.")

    def __str__(self) -> str:
        return f"{self.minute:%H:%M}"
