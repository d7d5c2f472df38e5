"""The same step for many orders, which a worker takes one by one."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from catalog.models import Business
from catalog.wording import who
from orders.models.order import Order
from orders.querysets import BulkRowQuerySet, BulkRunQuerySet
from orders_project.constraints import SameBusiness
from orders_project.ids import new_id


class BulkRun(models.Model):
    """What somebody asked to be done with many orders. Its rows are the queue, and the answers.

    Nothing is done before somebody has looked it over and confirmed it; `actor` is then who did.
    """

    class Action(models.TextChoices):
        CONFIRM_PAYMENT = "confirm_payment", "confirm payment"
        START_PROCESSING = "start_processing", "start processing"
        DELIVER = "deliver", "mark delivered"
        CANCEL = "cancel"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_index=False)
    action = models.CharField(max_length=16, choices=Action)
    details = models.JSONField(default=dict, help_text="What the step takes besides the order, such as a reason.")
    actor = models.CharField(max_length=120)
    created_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[BulkRunQuerySet] = BulkRunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(name="bulk_run_of_business", fields=["business", "id"]),
            models.CheckConstraint(
                name="bulk_run_confirmed_before_its_end",
                condition=Q(ended_at__isnull=True) | Q(confirmed_at__isnull=False),
            ),
        ]
        indexes = [
            # The runs of a business, newest first.
            models.Index(name="bulk_run_by_age", fields=["business", "created_at", "id"]),
            # Those that a worker has still to do.
            models.Index(
                name="bulk_run_open",
                fields=["confirmed_at"],
                condition=Q(confirmed_at__isnull=False, ended_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} by {who(self.actor)}"


class BulkRow(models.Model):
    """One order of a bulk run, and what became of it. Its outcome is written in the transaction of the step."""

    class Outcome(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        REFUSED = "refused"

    pk = models.CompositePrimaryKey("run", "position")
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    run = models.ForeignKey(BulkRun, models.CASCADE, related_name="rows", db_constraint=False, db_index=False)
    position = models.IntegerField()
    order = models.ForeignKey(Order, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    version = models.IntegerField(help_text="The order's version that was looked at.")
    outcome = models.CharField(max_length=7, choices=Outcome, default=Outcome.WAITING)
    answer = models.CharField(max_length=500, blank=True, help_text="Why it was refused, or what there is to add.")

    objects: ClassVar[BulkRowQuerySet] = BulkRowQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            SameBusiness(name="bulk_row_run_same_business", field="run", table="orders_bulkrun"),
            SameBusiness(name="bulk_row_order_same_business", field="order", table="orders_order"),
            models.UniqueConstraint(name="bulk_row_once", fields=["run", "order"]),
        ]
        indexes = [
            # What is next.
            models.Index(name="bulk_row_waiting", fields=["run", "position"], condition=Q(outcome="waiting")),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.outcome}"
