"""The questions that are asked of orders, by name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.apps import apps
from django.db import models
from django.db.models import Exists, OuterRef, Q

from customers.models import Customer
from orders.lifecycle import SOLD, PaymentStatus, Status

if TYPE_CHECKING:
    from orders.models import Order  # noqa: F401  (a type argument)


class OrderQuerySet(models.QuerySet["Order"]):
    def of(self, business_id: UUID) -> OrderQuerySet:
        return self.filter(business_id=business_id)

    def due(self, now: datetime) -> OrderQuerySet:
        """Pending orders whose time to be paid is over."""
        return self.filter(status=Status.PENDING, payment_due_at__lte=now)

    def placed_since(self, instant: datetime) -> OrderQuerySet:
        """Orders made after an instant that were not called off."""
        return self.filter(created_at__gt=instant).exclude(status=Status.CANCELLED)

    def asked_before(self, *, keys: Iterable[str], external_ids: Iterable[str]) -> OrderQuerySet:
        """Orders that were placed with one of these keys or external ids."""
        return self.filter(Q(idempotency_key__in=list(keys)) | Q(external_id__in=list(external_ids)))

    def counted(self) -> OrderQuerySet:
        """Orders that count for a customer's worth: paid, and neither cancelled nor wholly refunded."""
        return self.filter(
            status__in=SOLD,
            payment_status__in=[PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED],
        )

    def with_sku(self, sku: str) -> OrderQuerySet:
        items = apps.get_model("orders", "OrderItem").objects
        return self.filter(Exists(items.filter(order=OuterRef("pk"), business=OuterRef("business"), sku=sku)))

    def matching(self, words: str) -> OrderQuerySet:
        """Orders whose number, external id or tracking number begins with these words, or whose customer
        or SKU has them."""
        shipments = apps.get_model("orders", "Shipment").objects
        items = apps.get_model("orders", "OrderItem").objects
        customers = Customer.objects.filter(business=OuterRef("business")).matching(words)
        return self.filter(
            Q(number__istartswith=words)
            | Q(external_id=words)
            | Exists(customers.filter(pk=OuterRef("customer")))
            | Exists(shipments.filter(order=OuterRef("pk"), tracking_number__istartswith=words))
            | Exists(items.filter(order=OuterRef("pk"), sku__iexact=words))
        )

    def with_details(self) -> OrderQuerySet:
        """With everything that an order's page shows, in a fixed number of queries."""
        return self.select_related("customer", "business").prefetch_related("items", "payments", "shipments")

    def lock(self, *, skip_locked: bool = False) -> OrderQuerySet:
        """Lock the orders for change, in key order."""
        return self.order_by("pk").select_for_update(no_key=True, skip_locked=skip_locked, of=("self",))
