"""What payment providers tell, and by which source."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from catalog.models import Business
from orders.models.order import Order
from orders.models.signed import Signed
from orders.querysets import PaymentNoticeQuerySet, PaymentSourceQuerySet
from orders_project.constraints import SameBusiness
from orders_project.ids import new_id


class PaymentSource(Signed):
    """A payment provider that tells a business of its payments, in messages that it signs."""

    name = models.CharField(
        max_length=60, help_text="The provider, as its payments will show it, such as “stripe”."
    )

    objects: ClassVar[PaymentSourceQuerySet] = PaymentSourceQuerySet.as_manager()  # type: ignore[assignment]

    class Meta(Signed.Meta):
        constraints = [
            *Signed.Meta.constraints,
            models.UniqueConstraint(name="payment_source_of_business", fields=["business", "id"]),
            models.UniqueConstraint(
                name="payment_source_named_once",
                fields=["business", "name"],
                condition=Q(closed_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PaymentNotice(models.Model):
    """A signed message of a payment source, and what became of it, written in the transaction of what it does.

    `settled_at` is when nothing was left to do about it: one that waits for its order isn't settled, and one that
    was refused only when a person has seen to it.
    """

    class Outcome(models.TextChoices):
        DONE = "done"
        WAITING = "waiting"
        REFUSED = "refused"
        IGNORED = "ignored"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    source = models.ForeignKey(
        PaymentSource, models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    message_id = models.CharField(max_length=255, db_collation="C")
    type = models.CharField(max_length=60)
    facts = models.JSONField(default=dict, help_text="What it tells.")
    received_at = models.DateTimeField()
    order = models.ForeignKey(
        Order, models.PROTECT, null=True, related_name="+", db_constraint=False, db_index=False
    )
    outcome = models.CharField(max_length=7, choices=Outcome, default=Outcome.WAITING)
    code = models.CharField(max_length=60, blank=True, help_text="Of the refusal, or of what it waits for.")
    detail = models.CharField(max_length=500, blank=True)
    tries = models.IntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    settled_by = models.CharField(max_length=120, blank=True, help_text="Who saw to it, if it was a person.")

    objects: ClassVar[PaymentNoticeQuerySet] = PaymentNoticeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            SameBusiness(name="notice_source_same_business", field="source", table="orders_paymentsource"),
            SameBusiness(name="notice_order_same_business", field="order", table="orders_order"),
            models.UniqueConstraint(name="notice_once", fields=["business", "source", "message_id"]),
            models.CheckConstraint(
                name="notice_outcome_known",
                condition=Q(outcome="waiting", next_try_at__isnull=False, settled_at__isnull=True)
                | Q(outcome="refused", next_try_at__isnull=True)
                | Q(outcome__in=["done", "ignored"], next_try_at__isnull=True, settled_at__isnull=False),
            ),
        ]
        indexes = [
            # The page of payment notices, newest first.
            models.Index(name="notice_by_age", fields=["business", "received_at", "id"]),
            # Those that somebody must see to, and those that wait for their order.
            models.Index(
                name="notice_unsettled",
                fields=["business", "received_at", "id"],
                condition=Q(settled_at__isnull=True),
            ),
            # What is to be tried again.
            models.Index(name="notice_due", fields=["next_try_at"], condition=Q(outcome="waiting")),
            # What is past its keep time.
            models.Index(name="notice_settled", fields=["settled_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id}"
