"""Who is told of what happens to the orders of a business: addresses, and what each of them is to be told."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from catalog.models import Business
from orders.models.order import Order, OrderEvent
from orders.models.signed import Signed
from orders.querysets import WebhookDeliveryQuerySet, WebhookEndpointQuerySet
from orders_project.constraints import SameBusiness


class WebhookEndpoint(Signed):
    """An address of a business's own program, which is told of every event of its orders until it is closed. While
    nothing gets through, it rests for longer and longer."""

    url = models.CharField("address", max_length=500, help_text="Such as https://shop.example/holdfast")
    failing_since = models.DateTimeField(null=True, help_text="Since when nothing got through.")
    rests_until = models.DateTimeField(null=True)

    objects: ClassVar[WebhookEndpointQuerySet] = WebhookEndpointQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(Signed.Meta):
        verbose_name = "webhook"
        constraints = [
            *Signed.Meta.constraints,
            models.UniqueConstraint(
                name="webhook_address_once", fields=["business", "url"], condition=Q(closed_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(models.Model):
    """One event for one address: the outbox. A row is written with its event, by a trigger (migration 0009), so
    no doorway forgets it; and it waits until the address has taken it, or it is given up.

    It refers to its endpoint and its event without a foreign key: a check of the endpoint would have all orders of
    a business at once lock that one row, and the trigger has both from the rows themselves. `sequence` is the
    event's version: what comes first for an order is told first.
    """

    pk = models.CompositePrimaryKey("endpoint", "event")
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    endpoint = models.ForeignKey(
        WebhookEndpoint, models.PROTECT, related_name="deliveries", db_constraint=False, db_index=False
    )
    event = models.ForeignKey(OrderEvent, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    order = models.ForeignKey(Order, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    sequence = models.IntegerField()
    queued_at = models.DateTimeField()
    tries = models.IntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, help_text="Only while it waits.")
    delivered_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)
    status = models.SmallIntegerField(null=True, help_text="What the last try was answered.")
    error = models.CharField(max_length=200, blank=True, help_text="Why the last try was not answered.")

    objects: ClassVar[WebhookDeliveryQuerySet] = WebhookDeliveryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            SameBusiness(name="webhook_order_same_business", field="order", table="orders_order"),
            models.CheckConstraint(
                name="webhook_waits_or_is_over",
                condition=Q(next_try_at__isnull=False, delivered_at__isnull=True, given_up_at__isnull=True)
                | Q(next_try_at__isnull=True, delivered_at__isnull=False, given_up_at__isnull=True)
                | Q(next_try_at__isnull=True, delivered_at__isnull=True, given_up_at__isnull=False),
            ),
        ]
        indexes = [
            # What an address is to be told now.
            models.Index(
                name="webhook_waiting",
                fields=["endpoint", "next_try_at", "event"],
                condition=Q(next_try_at__isnull=False),
            ),
            # Whether something of the same order comes before it.
            models.Index(
                name="webhook_of_order",
                fields=["endpoint", "order", "sequence"],
                condition=Q(next_try_at__isnull=False),
            ),
            # What is past its keep time.
            models.Index(name="webhook_by_age", fields=["queued_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} of {self.order_id}"
