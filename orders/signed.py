"""What an owner does with whoever exchanges signed messages with the business: payment sources and webhooks."""

from datetime import datetime

from catalog import audit
from orders.models.signed import Signed
from orders_project.errors import PreconditionFailed


def renew_secret(signed: Signed, *, generation: int, actor: str, now: datetime) -> None:
    """Have messages signed with another secret than that of a generation, which is good for a day more. Asked for
    twice, it is done once. The caller has the row locked.

    Raises PreconditionFailed if it was changed again since.
    """
    if signed.generation == generation + 1:
        return
    if signed.generation != generation:
        raise PreconditionFailed(
            "The secret was changed meanwhile. Look again, then decide.",
            version=signed.generation,
            expected=generation,
        )
    signed.generation += 1
    signed.rotated_at = now
    signed.save(update_fields=["generation", "rotated_at"])
    _record(signed, "changed the secret of", actor, now)


def close(signed: Signed, *, actor: str, now: datetime) -> None:
    """Exchange no message any more, for good. The caller has the row locked."""
    signed.closed_at = now
    signed.save(update_fields=["closed_at"])
    _record(signed, "closed", actor, now)


def _record(signed: Signed, action: str, actor: str, now: datetime) -> None:
    audit.record(business_id=signed.business_id, actor=actor, now=now, action=action, subject=signed)
