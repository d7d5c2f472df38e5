"""What those have in common that exchange signed messages with a business."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q

from catalog.models import Business
from orders_project import signatures
from orders_project.ids import new_id


class Signed(models.Model):
    """Somebody's program that a business exchanges messages with, each signed with a secret that both know.

    `generation` counts its secrets. The one before is good for a day after a change, too, so that no message is
    lost while somebody sets the other side up anew.
    """

    OVERLAP = timedelta(days=1)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.PROTECT, related_name="+", db_index=False)
    generation = models.IntegerField(default=1)
    rotated_at = models.DateTimeField(null=True, help_text="When its secret was last changed.")
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=120)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                name="%(class)s_rotated_since_its_first_secret",
                condition=Q(generation=1, rotated_at__isnull=True) | Q(generation__gt=1, rotated_at__isnull=False),
            ),
        ]

    @property
    def secret(self) -> str:
        """What messages are to be signed with from now on."""
        return signatures.secret(self.id, self.generation)

    def old_secret_until(self, now: datetime) -> datetime | None:
        """Until when the secret before is good, too; None if it isn't any more."""
        until = self.rotated_at and self.rotated_at + self.OVERLAP
        return until if until and until > now else None

    def secrets(self, now: datetime) -> Sequence[str]:
        """The secrets that are good now, the newest first."""
        generations = [self.generation, self.generation - 1] if self.old_secret_until(now) else [self.generation]
        return [signatures.secret(self.id, generation) for generation in generations]
