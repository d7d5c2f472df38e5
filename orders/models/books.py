"""What is kept of the orders as a whole: what was sold on each day, and where the books don't agree."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from catalog.models import Business
from orders.models.order import amount_field
from orders.querysets import DiscrepancyQuerySet
from orders_project.ids import new_id


class DailySales(models.Model):
    """What a business sold on a day of its own time zone, through one channel and in one currency. The
    figures are those of orders/stats.py: the orders placed that day by the status they have now, those of
    them that were paid since or timed out, and the orders and the money of the day.

    Triggers keep it (migration 0003). Transactions at the same time add to a slot each, so that none waits
    for another: the figures of a day are the sums of its slots.
    """

    pk = models.CompositePrimaryKey("business", "day", "channel", "currency", "slot")
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    channel = models.CharField(max_length=9)
    currency = models.CharField(max_length=3)
    slot = models.IntegerField()

    pending = models.IntegerField()
    paid = models.IntegerField()
    processing = models.IntegerField()
    shipped = models.IntegerField()
    delivered = models.IntegerField()
    cancelled = models.IntegerField()
    converted = models.IntegerField()
    expired = models.IntegerField()
    orders = models.IntegerField()
    gross = amount_field()
    refunded = amount_field()

    def __str__(self) -> str:
        return f"{self.day} {self.channel} {self.currency}"


class Discrepancy(models.Model):
    """Books that don't agree, as reconciliation found them, with what would set them right.

    `subject` is the id of the row that is off. It is open until somebody applies one of the `remedies`, or until
    reconciliation finds that the books agree again.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        APPLIED = "applied"
        GONE = "gone"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_index=False)
    invariant = models.CharField(max_length=4, help_text="The rule that is broken, such as I4.")
    subject = models.CharField(max_length=60)
    found = models.TextField(max_length=1000, help_text="How it is off, in words.")
    evidence = models.JSONField(default=dict)
    remedies = models.JSONField(default=list, help_text="What may be done; the first is the one to choose.")
    status = models.CharField(max_length=7, choices=Status, default=Status.OPEN)
    found_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last found to be so.")
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=120, blank=True)
    applied = models.CharField(max_length=40, blank=True, help_text="The remedy that was chosen.")

    objects: ClassVar[DiscrepancyQuerySet] = DiscrepancyQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name_plural = "discrepancies"
        constraints = [
            models.UniqueConstraint(
                name="discrepancy_open_once",
                fields=["business", "invariant", "subject"],
                condition=Q(status="open"),
            ),
            models.CheckConstraint(
                name="discrepancy_closed_when_over",
                condition=Q(status="open", closed_at__isnull=True)
                | Q(status__in=["applied", "gone"], closed_at__isnull=False),
            ),
        ]
        indexes = [
            # The findings of a business, newest first.
            models.Index(name="discrepancy_by_age", fields=["business", "found_at", "id"]),
        ]

    def __str__(self) -> str:
        return self.found
