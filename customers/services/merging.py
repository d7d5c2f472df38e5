"""Making one customer of two who are the same: the customers' side of it."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from catalog import audit
from customers.errors import NotesTooLong, SameCustomer
from customers.models import Customer
from customers.services.editing import LONGEST, MERGED, missing
from orders_project import money
from orders_project.errors import PreconditionFailed


def merged_fields(kept: Customer, merged: Customer) -> dict[str, str | None]:
    """What is on file of the customer who is kept, once another is merged into them: what they had, and where they
    had nothing, what the other had. The notes of both are kept."""
    notes = "\n\n".join(note for note in (kept.note, merged.note) if note)
    return {field: getattr(kept, field) or getattr(merged, field) for field in Customer.ON_FILE} | {"note": notes}


def take_both(
    *, business_id: UUID, kept_id: UUID, merged_id: UUID, seen: tuple[str, str] | None
) -> tuple[Customer, Customer]:
    """Both customers, for whom nobody can place or pay until the transaction ends, for one of them is to go.

    Raises CustomerNotFound; SameCustomer; PreconditionFailed if either was changed since they were as `seen`
    (`Customer.edition`); NotesTooLong.
    """
    if kept_id == merged_id:
        raise SameCustomer("This is one and the same customer already.", customer=str(kept_id))
    found = Customer.objects.of(business_id).filter(id__in=[kept_id, merged_id]).select_related("business")
    both = found.lock(to_remove=True).in_bulk()
    for customer_id in (kept_id, merged_id):
        if customer_id not in both:
            raise missing(business_id, customer_id)
    kept, merged = both[kept_id], both[merged_id]
    if seen not in (None, (kept.edition, merged.edition)):
        raise PreconditionFailed(
            "One of them was changed while you looked. Nothing was merged; look again, then decide.",
            version=f"{kept.edition} {merged.edition}",
        )
    if len(merged_fields(kept, merged)["note"] or "") > LONGEST["note"]:
        raise NotesTooLong(
            f"Their notes together are longer than {LONGEST['note']:,} characters. Shorten one of them first.",
            longest=LONGEST["note"],
        )
    return kept, merged


def remove_merged(*, kept: Customer, merged: Customer, orders: int, actor: str, now: datetime) -> None:
    """Take the merged customer, whose orders are the other's now, off the file, and give the other what is kept of
    them. All that was there is put down in the audit."""
    fields = merged_fields(kept, merged)
    since = min(kept.created_at, merged.created_at)
    filled = {
        field: [getattr(kept, field) or "", value or ""]
        for field, value in fields.items()
        if value != getattr(kept, field)
    }
    audit.record(
        business_id=kept.business_id,
        actor=actor,
        now=now,
        action=MERGED,
        subject=merged,
        changes={"id": [str(merged.id), str(kept.id)], **_gone(merged), "orders": [str(orders), "0"]},
    )
    merged.delete()  # first: a phone is nobody else's
    Customer.objects.filter(id=kept.id).update(**fields, created_at=since)
    audit.record(
        business_id=kept.business_id,
        actor=actor,
        now=now,
        action="took over",
        subject=kept,
        changes={"merged with": ["", merged.name], **filled},
    )


def _gone(merged: Customer) -> Mapping[str, list[str]]:
    """All that was on file of a customer who isn't there any more."""
    told = {field: getattr(merged, field) or "" for field in Customer.ON_FILE}
    told |= {
        "created_at": merged.created_at.isoformat(),
        "total_orders": str(merged.total_orders),
        "total_spent": money.text(merged.total_spent, merged.currency),
    }
    return {field: [value, ""] for field, value in told.items()}
