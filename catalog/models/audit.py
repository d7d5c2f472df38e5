"""What people changed, where no timeline and no ledger tells it."""

from django.db import models
from django.db.models import Q

from catalog.models.shop import Business
from catalog.wording import who
from orders_project.ids import new_id


class AuditEntry(models.Model):
    """Something that a person did in the back office: who, when, to what, and what it was before and after.

    Append-only: a trigger refuses to change or delete. What moves orders and stock stands in their own books.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, null=True, related_name="+", db_index=False)
    at = models.DateTimeField()
    actor = models.CharField(max_length=120)
    action = models.CharField(max_length=40, help_text="Such as “changed” or “revoked”.")
    kind = models.CharField(max_length=40, help_text="What sort of thing it was done to, such as “product”.")
    subject = models.CharField(max_length=60, blank=True, help_text="Its id.")
    title = models.CharField(max_length=200, help_text="What people call it.")
    changes = models.JSONField(default=dict, help_text="Field by field: what it was, and what it became.")

    class Meta:
        verbose_name = "record"
        verbose_name_plural = "audit"
        constraints = [
            models.CheckConstraint(name="audit_actor_named", condition=~Q(actor="")),
        ]
        indexes = [
            # The list, newest first; and what was done to one thing.
            models.Index(name="audit_by_age", fields=["business", "at", "id"]),
            models.Index(name="audit_of_subject", fields=["business", "subject", "at"]),
        ]

    def __str__(self) -> str:
        return f"{who(self.actor)} {self.action} {self.kind} {self.title}"
