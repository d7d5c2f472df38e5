"""Customers who are put on file before their first order."""

from collections.abc import Sequence
from datetime import datetime

from catalog import audit
from catalog.models import Business
from customers.models import Customer
from customers.services.identities import no_identity_twice
from orders_project.transactions import one_transaction


@one_transaction
def add_customers(*, business: Business, new: Sequence[Customer], actor: str, now: datetime) -> None:
    """Put customers on file, whose phones and emails are in the form in which they are kept, all or none. Raises
    IdentityTaken with the customer who has the phone or external id of one of them."""
    for customer in new:
        customer.business = business
        customer.created_at = now
    with no_identity_twice(business.id, new):
        Customer.objects.bulk_create(new, batch_size=1000)
    audit.record_each(
        business_id=business.id,
        actor=actor,
        now=now,
        action="added",
        changed=[(customer, {}) for customer in new],
    )
