"""Writing down what people change."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Model

from catalog.models import AuditEntry
from catalog.wording import person


def record(
    *,
    business_id: UUID | None,
    actor: str,
    now: datetime,
    action: str,
    subject: Model,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Write down, in the transaction that does it, what somebody did to something: to one business, or (None) to
    Holdfast itself. `changes` tells field by field what it was and what it became, without secrets."""
    record_each(business_id=business_id, actor=actor, now=now, action=action, changed=[(subject, changes or {})])


def record_each(
    *,
    business_id: UUID | None,
    actor: str,
    now: datetime,
    action: str,
    changed: Iterable[tuple[Model, Mapping[str, Any]]],
) -> None:
    """As `record`, of many things at once, each with its changes."""
    AuditEntry.objects.bulk_create(
        [
            AuditEntry(
                business_id=business_id,
                at=now,
                actor=actor,
                action=action,
                kind=str(subject._meta.verbose_name),
                subject=str(subject.pk),
                title=str(subject)[:200],
                changes=dict(changes),
            )
            for subject, changes in changed
        ],
        batch_size=1000,
    )


def record_of_person(*, user: User, action: str, now: datetime, changes: Mapping[str, Any] | None = None) -> None:
    """Write down what somebody did about their own account: for each business that they work in, or, if there is
    none, for Holdfast itself."""
    businesses: list[UUID | None] = list(user.memberships.accepted().values_list("business_id", flat=True))
    for business_id in businesses or [None]:
        record(
            business_id=business_id,
            actor=person(user.get_username()),
            now=now,
            action=action,
            subject=user,
            changes=changes,
        )
