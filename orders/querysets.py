"""The questions that are asked of orders, by name."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.apps import apps
from django.db import models
from django.db.models import Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce
from django.db.models.lookups import IsNull

from catalog.models import Product
from customers.models import Customer
from orders.lifecycle import SOLD, PaymentStatus, Status

if TYPE_CHECKING:
    from orders.models import (  # noqa: F401  (type arguments)
        BulkRow,
        BulkRun,
        Discrepancy,
        Order,
        PaymentNotice,
        PaymentSource,
        WebhookDelivery,
        WebhookEndpoint,
    )

FEW = 1000  # matches that are fetched one by one rather than looked for in the list


def _one_of(field: str, rows: models.QuerySet[Any], key: str) -> Q:
    """Orders whose `field` is the `key` of one of the rows."""
    found = list(rows.values_list(key, flat=True)[: FEW + 1])
    if len(found) <= FEW:
        return Q(**{f"{field}__any_of": found})
    # Asked of one order after the other; for EXISTS PostgreSQL would fetch all rows first.
    return Q(IsNull(Subquery(rows.filter(**{key: OuterRef(field)}).values(key)[:1]), False))


class OrderQuerySet(models.QuerySet["Order"]):
    def of(self, business_id: UUID) -> OrderQuerySet:
        return self.filter(business_id=business_id)

    def due(self, now: datetime) -> OrderQuerySet:
        """Pending orders whose time to be paid is over."""
        return self.filter(status=Status.PENDING, payment_due_at__lte=now)

    def due_between(self, start: datetime, end: datetime) -> OrderQuerySet:
        """Pending orders whose time to be paid is over after `start`, and by `end`."""
        return self.filter(status=Status.PENDING, payment_due_at__gt=start, payment_due_at__lte=end)

    def to_pack(self) -> OrderQuerySet:
        """Orders that are paid, and that nobody packs yet."""
        return self.filter(status=Status.PAID)

    def processing_since(self, instant: datetime) -> OrderQuerySet:
        """Orders that have been packed since an instant or longer, and have no parcel yet."""
        events = apps.get_model("orders", "OrderEvent").objects
        began = events.filter(order=OuterRef("pk"), business=OuterRef("business"), kind="processing")
        # Asked of one order after the other: they are few, events are many. An imported order has no such event.
        since = Coalesce(Subquery(began.values("at")[:1]), F("paid_at"))
        return self.alias(since=since).filter(status=Status.PROCESSING, since__lte=instant)

    def paid_late(self) -> OrderQuerySet:
        """Orders that were cancelled for want of money, and that the money brought back to life."""
        events = apps.get_model("orders", "OrderEvent").objects
        late = events.filter(order=OuterRef("pk"), business=OuterRef("business"), kind="paid_late")
        return self.filter(Exists(late))

    def paid_unbooked(self, since: datetime) -> OrderQuerySet:
        """Orders made after an instant that wait for their money, or were cancelled for want of it, though money
        came in. No verb leaves such an order behind."""
        payments = apps.get_model("orders", "Payment").objects
        came = payments.filter(order=OuterRef("pk"), business=OuterRef("business"), kind="capture", amount__gt=0)
        return self.filter(
            Exists(came),
            created_at__gte=since,
            status__in=[Status.PENDING, Status.CANCELLED],
            payment_status__in=[PaymentStatus.PENDING, PaymentStatus.FAILED],
        )

    def to_refund(self) -> OrderQuerySet:
        """Orders that were called off with money that has not gone back."""
        return self.filter(payment_status=PaymentStatus.REFUND_DUE)

    def placed_since(self, instant: datetime) -> OrderQuerySet:
        """Orders made after an instant that were not called off."""
        return self.filter(created_at__gt=instant).exclude(status=Status.CANCELLED)

    def abandoned(self, since: datetime) -> OrderQuerySet:
        """Drafts that nobody has touched since an instant."""
        events = apps.get_model("orders", "OrderEvent").objects
        touched = events.filter(order=OuterRef("pk"), business=OuterRef("business"), at__gte=since)
        return self.filter(~Exists(touched), status=Status.DRAFT, created_at__lt=since)

    def counted(self) -> OrderQuerySet:
        """Orders that count for a customer's worth: paid, and neither cancelled nor wholly refunded."""
        return self.filter(
            status__in=SOLD,
            payment_status__in=[PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED],
        )

    def owing(self) -> models.QuerySet[Any]:
        """The orders to refund; `owed` is how much of the money has not gone back."""
        refunds = apps.get_model("orders", "Payment").objects.filter(order=OuterRef("pk"), kind="refund")
        refunded = refunds.order_by().values("order").annotate(sum=Sum("amount")).values("sum")
        return self.to_refund().annotate(owed=F("total") - Coalesce(Subquery(refunded), Decimal(0)))

    def with_sku(self, sku: str) -> OrderQuerySet:
        items = apps.get_model("orders", "OrderItem").objects
        return self.filter(Exists(items.filter(order=OuterRef("pk"), business=OuterRef("business"), sku=sku)))

    def matching(self, business_id: UUID, words: str) -> OrderQuerySet:
        """Orders of a business whose number or tracking number begins with these words, whose external id
        or SKU they are, or whose customer has them.

        What the words may be is looked up first, each in its own index. The few that are found stand in the
        question, so the database sees that few orders match and fetches just these; of many that match, a
        page is soon full with those that come by.
        """
        shipments = apps.get_model("orders", "Shipment").objects.filter(business=business_id)
        items = apps.get_model("orders", "OrderItem").objects.filter(business=business_id)
        customers = Customer.objects.of(business_id).matching(words)
        skus = Product.objects.of(business_id).filter(sku__iregex=f"^{re.escape(words)}$").values_list("sku")
        sent = shipments.filter(tracking_number__istartswith=words)
        with_sku = items.filter(sku__any_of=[sku for (sku,) in skus])
        return self.filter(
            Q(number__startswith=words.upper())
            | Q(external_id=words)
            | _one_of("customer__pk", customers, "pk")
            | _one_of("pk", sent, "order")
            | _one_of("pk", with_sku, "order")
        )

    def lock(self, *, skip_locked: bool = False) -> OrderQuerySet:
        """Lock the orders for change, in key order."""
        return self.order_by("pk").select_for_update(no_key=True, skip_locked=skip_locked, of=("self",))


class DiscrepancyQuerySet(models.QuerySet["Discrepancy"]):
    def of(self, business_id: UUID) -> DiscrepancyQuerySet:
        return self.filter(business_id=business_id)

    def open(self) -> DiscrepancyQuerySet:
        """Findings that nobody has set right, and that are still so."""
        return self.filter(status="open")


class BulkRunQuerySet(models.QuerySet["BulkRun"]):
    def of(self, business_id: UUID) -> BulkRunQuerySet:
        return self.filter(business_id=business_id)

    def open(self) -> BulkRunQuerySet:
        """Runs that were confirmed and have not ended."""
        return self.filter(confirmed_at__isnull=False, ended_at__isnull=True)

    def unconfirmed(self) -> BulkRunQuerySet:
        """Runs that are only looked over as yet."""
        return self.filter(confirmed_at__isnull=True)


def _changed_since() -> Exists:
    events = apps.get_model("orders", "OrderEvent").objects.exclude(kind="noted")
    of_order = events.filter(order=OuterRef("order"), business=OuterRef("business"))
    return Exists(of_order.filter(version__gt=OuterRef("version")))


class BulkRowQuerySet(models.QuerySet["BulkRow"]):
    def waiting(self) -> BulkRowQuerySet:
        """Rows that are still to be done."""
        return self.filter(outcome="waiting")

    def outdated(self) -> BulkRowQuerySet:
        """Rows whose order changed since it was looked at, in more than a note."""
        return self.filter(_changed_since())

    def compared(self) -> BulkRowQuerySet:
        """The rows, each of which says whether it is so (`is_outdated`)."""
        return self.annotate(is_outdated=_changed_since())

    def take(self) -> BulkRow | None:
        """The next one that nobody else is doing, locked until the transaction ends."""
        rows = self.waiting().order_by("position")
        return rows.select_for_update(no_key=True, skip_locked=True, of=("self",)).first()


class PaymentSourceQuerySet(models.QuerySet["PaymentSource"]):
    def of(self, business_id: UUID) -> PaymentSourceQuerySet:
        return self.filter(business_id=business_id)

    def open(self) -> PaymentSourceQuerySet:
        """Sources whose messages are taken."""
        return self.filter(closed_at__isnull=True)


class PaymentNoticeQuerySet(models.QuerySet["PaymentNotice"]):
    def of(self, business_id: UUID) -> PaymentNoticeQuerySet:
        return self.filter(business_id=business_id)

    def waiting(self) -> PaymentNoticeQuerySet:
        """Notices of what could not be done yet."""
        return self.filter(outcome="waiting")

    def due(self, now: datetime) -> PaymentNoticeQuerySet:
        """Waiting notices whose time for another try has come."""
        return self.waiting().filter(next_try_at__lte=now)

    def unmatched(self) -> PaymentNoticeQuerySet:
        """Notices that were refused, and that nobody has seen to."""
        return self.filter(outcome="refused", settled_at__isnull=True)

    def take(self, now: datetime) -> PaymentNotice | None:
        """The next due one, in the order in which they came, that nobody else is doing; it is locked until the
        transaction ends."""
        rows = self.due(now).order_by("received_at", "id")
        return rows.select_for_update(no_key=True, skip_locked=True, of=("self",)).first()


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def of(self, business_id: UUID) -> WebhookEndpointQuerySet:
        return self.filter(business_id=business_id)

    def open(self) -> WebhookEndpointQuerySet:
        """Endpoints that are told of what happens."""
        return self.filter(closed_at__isnull=True)

    def failing(self, since: datetime) -> WebhookEndpointQuerySet:
        """Open endpoints that nothing has got through to since then, or for longer."""
        return self.open().filter(failing_since__lte=since)

    def with_something_due(self, now: datetime) -> WebhookEndpointQuerySet:
        """Open endpoints that don't rest, and that something waits for."""
        awake = self.open().exclude(rests_until__gt=now)
        return awake.filter(Exists(_deliveries().due(now).filter(endpoint=OuterRef("pk"))))


def _deliveries() -> WebhookDeliveryQuerySet:
    deliveries: WebhookDeliveryQuerySet = apps.get_model("orders", "WebhookDelivery").objects.all()
    return deliveries


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def of(self, business_id: UUID) -> WebhookDeliveryQuerySet:
        return self.filter(business_id=business_id)

    def waiting(self) -> WebhookDeliveryQuerySet:
        """Deliveries that are neither done nor given up."""
        return self.filter(next_try_at__isnull=False)

    def due(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Deliveries whose time for a try has come."""
        return self.filter(next_try_at__lte=now)

    def first_of_their_orders(self) -> WebhookDeliveryQuerySet:
        """Deliveries before which nothing of the same order waits for the same endpoint."""
        earlier = _deliveries().waiting().filter(sequence__lt=OuterRef("sequence"))
        return self.filter(~Exists(earlier.filter(endpoint=OuterRef("endpoint"), order=OuterRef("order"))))

    def lock(self) -> WebhookDeliveryQuerySet:
        """Lock the rows until the transaction ends, but for those that somebody else has locked."""
        return self.select_for_update(no_key=True, skip_locked=True, of=("self",))
