"""Putting right what is on file of a customer."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from catalog import audit
from catalog.models import AuditEntry, Business
from catalog.wording import who
from customers.errors import CustomerNotFound, InvalidPhone
from customers.models import Customer
from customers.services.identities import no_identity_twice
from customers.services.recognising import Buyer, complete
from orders_project.api.parsing import check_readable
from orders_project.errors import InvalidRequest, PreconditionFailed
from orders_project.transactions import one_transaction

MERGED = "merged"  # the audit's word for it

# Characters of what is typed. A phone is kept shorter.
LONGEST = {"name": 200, "phone": 40, "email": 254, "external_id": 120, "note": 5000}


def find_customer(*, business_id: UUID, customer_id: UUID) -> Customer:
    """One customer. Raises CustomerNotFound, for another business's too; for one who was merged it says so."""
    customer = Customer.objects.of(business_id).filter(id=customer_id).select_related("business").first()
    if customer is None:
        raise missing(business_id, customer_id)
    return customer


def missing(business_id: UUID, customer_id: UUID) -> CustomerNotFound:
    """Why a customer isn't there."""
    of_customer = AuditEntry.objects.filter(business_id=business_id, subject=str(customer_id))
    merged = of_customer.filter(action=MERGED).first()
    if merged is None:
        return CustomerNotFound("There is no such customer.", customer=str(customer_id))
    return CustomerNotFound(
        f"{merged.title} was merged into another customer by {who(merged.actor)}.",
        customer=str(customer_id),
        merged_into=merged.changes["id"][1],
    )


@one_transaction
def edit_customer(
    *,
    business: Business,
    customer_id: UUID,
    edit: Mapping[str, str],
    actor: str,
    now: datetime,
    seen: str | None = None,
) -> Customer:
    """Give what is on file of a customer new values, an empty one for what isn't known, and put down in the audit
    what it was. Orders that were placed keep what they say.

    Raises InvalidRequest and InvalidPhone; IdentityTaken with the other customer who has this phone or external
    id; PreconditionFailed if somebody changed the customer since they were as `seen` (`Customer.edition`);
    CustomerNotFound.
    """
    customer = Customer.objects.of(business.id).filter(id=customer_id).lock().first()
    if customer is None:
        raise missing(business.id, customer_id)
    if seen not in (None, customer.edition):
        raise _changed_since(customer)
    _edit(business, [(customer, edit)], actor, now)
    return customer


@one_transaction
def edit_customers(
    *, business: Business, edits: Mapping[UUID, Mapping[str, str]], actor: str, now: datetime
) -> None:
    """As `edit_customer`, of many at once, all or none. Raises what that does."""
    customers = Customer.objects.of(business.id).filter(id__any_of=edits).lock().in_bulk()
    for customer_id in edits.keys() - customers.keys():
        raise missing(business.id, customer_id)
    _edit(business, [(customers[customer_id], edit) for customer_id, edit in edits.items()], actor, now)


def _edit(
    business: Business, edits: Iterable[tuple[Customer, Mapping[str, str]]], actor: str, now: datetime
) -> None:
    """Give customers that are locked their new values."""
    edited: list[tuple[Customer, Mapping[str, Any]]] = []
    for customer, edit in edits:
        new = _complete(edit, business)
        changed = [field for field, value in new.items() if getattr(customer, field) != value]
        if changed:
            edited.append((customer, {one: [getattr(customer, one) or "", new[one] or ""] for one in changed}))
        for field in changed:
            setattr(customer, field, new[field])
    if not edited:
        return
    customers = [customer for customer, _ in edited]
    fields = {field for _, changes in edited for field in changes}
    with no_identity_twice(business.id, customers):
        Customer.objects.bulk_update(customers, fields, batch_size=500)
    audit.record_each(business_id=business.id, actor=actor, now=now, action="changed", changed=edited)


def _changed_since(customer: Customer) -> PreconditionFailed:
    """The refusal that says who changed a customer, and what."""
    of_customer = AuditEntry.objects.filter(business_id=customer.business_id, subject=str(customer.id))
    last = of_customer.order_by("-at", "-id").first()
    told = f"{who(last.actor)} changed {', '.join(last.changes).replace('_', ' ')}" if last else "It was changed"
    return PreconditionFailed(
        f"{told} while you looked at it. Look again: what stands there now is beside what you typed.",
        version=customer.edition,
    )


def _complete(edit: Mapping[str, str], business: Business) -> dict[str, str | None]:
    """The new values in the form in which they are kept. Raises InvalidRequest, InvalidPhone."""
    new: dict[str, str | None] = {}
    for field, text in edit.items():
        text = text.replace("\r\n", "\n").strip()
        if len(text) > LONGEST[field]:
            raise InvalidRequest.at(field, "too_long", f"There is room for {LONGEST[field]:,} characters.")
        check_readable(field, text)
        new[field] = text if text or field in ("name", "note") else None
    if new.get("name") == "":
        raise InvalidRequest.at("name", "required", "A customer has a name.")
    buyer = complete(Buyer(phone=new.get("phone"), email=new.get("email")), business)
    if isinstance(buyer, InvalidPhone):
        raise buyer
    if buyer.email:
        try:
            validate_email(buyer.email)
        except ValidationError as error:
            raise InvalidRequest.at(
                "email", "invalid", "This is not an email address. Write it like ada@example.com."
            ) from error
    completed = {"phone": buyer.phone, "email": buyer.email}
    return new | {field: completed[field] for field in completed if field in new}
