"""Who buys, and what they have been worth so far."""

import hashlib
import json
from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from catalog.models import Business
from customers.querysets import CustomerQuerySet
from orders_project import money
from orders_project.ids import new_id


class Customer(models.Model):
    """A buyer, as one business knows them: by the business's own id, by telephone, or by email."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="customers", db_index=False)
    name = models.CharField(max_length=200)
    phone = models.CharField(max_length=16, null=True, blank=True, help_text="E.164, such as +447700900123.")
    email = models.EmailField(max_length=254, null=True, blank=True)
    external_id = models.CharField(
        max_length=120,
        null=True,
        blank=True,
        help_text="What your other systems call this customer.",
    )
    note = models.TextField(max_length=5000, blank=True, help_text="Only your own people see it.")
    created_at = models.DateTimeField(editable=False)

    # Counters, moved in the transaction that moves the order. They count what was paid and kept: orders
    # that were paid and not cancelled or wholly refunded, and their money less what was paid back.
    total_orders = models.IntegerField(default=0, editable=False)
    total_spent = models.DecimalField(
        max_digits=money.MAX_DIGITS,
        decimal_places=money.DECIMAL_PLACES,
        default=Decimal(0),
        editable=False,
    )
    last_paid_at = models.DateTimeField(null=True, editable=False)
    engagement_score = models.PositiveSmallIntegerField(default=0, editable=False)

    objects: ClassVar[CustomerQuerySet] = CustomerQuerySet.as_manager()  # type: ignore[assignment]

    # What people say of a customer, and may put right.
    ON_FILE = ("name", "phone", "email", "external_id", "note")

    class Meta:
        constraints = [
            models.UniqueConstraint(name="customer_of_business", fields=["business", "id"]),
            models.UniqueConstraint(
                name="customer_external_id_once",
                fields=["business", "external_id"],
                condition=Q(external_id__isnull=False),
            ),
            models.UniqueConstraint(
                name="customer_phone_once",
                fields=["business", "phone"],
                condition=Q(phone__isnull=False),
            ),
            models.CheckConstraint(
                name="customer_phone_e164",
                condition=Q(phone__isnull=True) | Q(phone__regex=r"^\+[0-9]{4,15}$"),
            ),
            models.CheckConstraint(
                name="customer_counters_not_negative",
                condition=Q(total_orders__gte=0, total_spent__gte=0),
            ),
            models.CheckConstraint(
                name="customer_score_of_hundred", condition=Q(engagement_score__range=(0, 100))
            ),
        ]
        indexes = [
            # Finding the customer of an order by email; GET /customers?email=.
            models.Index(name="customer_by_email", fields=["business", "email"]),
            # GET /customers in its three orders.
            models.Index(name="customer_by_age", fields=["business", "created_at", "id"]),
            models.Index(name="customer_by_spent", fields=["business", "total_spent", "id"]),
            models.Index(name="customer_by_score", fields=["business", "engagement_score", "id"]),
            # search=: part of a name, an email or a phone.
            GinIndex(
                name="customer_words",
                fields=["name", "email", "phone"],
                opclasses=["gin_trgm_ops", "gin_trgm_ops", "gin_trgm_ops"],
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def edition(self) -> str:
        """Another one whenever what is on file is changed: so a form can tell what its reader saw."""
        told = [getattr(self, field) for field in self.ON_FILE]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    @property
    def currency(self) -> str:
        """What `total_spent` is counted in: the business's one currency."""
        return self.business.currency
