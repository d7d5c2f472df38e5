"""What watches over the shop: the runs of jobs, and the alerts that people are told of."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from catalog.models.shop import Business
from catalog.querysets import AlertQuerySet, JobRunQuerySet
from orders_project.ids import new_id


class Alert(models.Model):
    """Something that a person should know of. It opens once, when it begins, and closes itself when it is over.

    `subject` is what it is about: a product's or an order's id, a job's name, or empty for the whole shop. An
    alert without a business is about Holdfast itself, and is everyone's.
    """

    class Kind(models.TextChoices):
        IMPOSSIBLE_STOCK = "impossible_stock", "impossible stock"
        DRIFT = "drift", "books that don't agree"
        LOW_STOCK = "low_stock", "low stock"
        OUT_OF_STOCK = "out_of_stock", "out of stock"
        REFUSALS = "refusals", "many refused reservations"
        HOLDS_OVERDUE = "holds_overdue", "overdue holds"
        JOB_LATE = "job_late", "job not run in time"
        REFUND_DUE = "refund_due", "refund due"
        LATE_PAYMENT = "late_payment", "late payment"

    class Severity(models.TextChoices):
        CRITICAL = "critical"
        WARNING = "warning"
        NOTICE = "notice"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, null=True, related_name="alerts", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind)
    subject = models.CharField(max_length=60, blank=True)
    severity = models.CharField(max_length=8, choices=Severity)
    title = models.CharField(max_length=300, help_text="What is the matter, in a sentence.")
    facts = models.JSONField(default=dict)
    opened_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last found to be so.")
    times_seen = models.IntegerField(default=1)
    closed_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=120, blank=True)
    snoozed_until = models.DateTimeField(null=True)
    snoozed_by = models.CharField(max_length=120, blank=True)
    emailed_at = models.DateTimeField(null=True)

    objects: ClassVar[AlertQuerySet] = AlertQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="alert_open_once",
                fields=["business", "kind", "subject"],
                condition=Q(closed_at__isnull=True),
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="alert_kind_known",
                condition=Q(
                    kind__in=[
                        "impossible_stock",
                        "drift",
                        "low_stock",
                        "out_of_stock",
                        "refusals",
                        "holds_overdue",
                        "job_late",
                        "refund_due",
                        "late_payment",
                    ]
                ),
            ),
            models.CheckConstraint(
                name="alert_severity_known", condition=Q(severity__in=["critical", "warning", "notice"])
            ),
        ]
        indexes = [
            # GET /alerts, newest first.
            models.Index(name="alert_by_age", fields=["business", "opened_at", "id"]),
        ]

    def __str__(self) -> str:
        return self.title


class JobRun(models.Model):
    """One run of a job, for one business or for all of them."""

    class Outcome(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, null=True, related_name="+", db_index=False)
    job = models.CharField(max_length=40, help_text="Its name in the schedule.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=7, choices=Outcome, default=Outcome.RUNNING)
    rows = models.IntegerField(default=0, help_text="How many rows it changed or found.")
    error = models.TextField(max_length=2000, blank=True)

    objects: ClassVar[JobRunQuerySet] = JobRunQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="job_run_ended_when_over",
                condition=Q(outcome="running", ended_at__isnull=True)
                | Q(outcome__in=["done", "failed"], ended_at__isnull=False),
            ),
        ]
        indexes = [
            # The last run of each job; the runs of one.
            models.Index(name="job_run_by_age", fields=["job", "started_at"]),
            # Those whose worker died.
            models.Index(name="job_run_unfinished", fields=["job"], condition=Q(outcome="running")),
            # What is past its keep time.
            models.Index(name="job_run_started", fields=["started_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.outcome}"
