"""What tells customers apart: a phone or an external id is of one customer alone."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import IntegrityError, transaction

from customers.errors import IdentityTaken
from customers.models import Customer
from orders_project.transactions import violated_constraint

UNIQUE = {"customer_phone_once": "phone", "customer_external_id_once": "external_id"}


@contextmanager
def no_identity_twice(business_id: UUID, written: Collection[Customer]) -> Iterator[None]:
    """Write these customers. Raises IdentityTaken with the other customer who has what identifies one of them."""
    try:
        with transaction.atomic():  # so that the database can still be asked who has it
            yield
    except IntegrityError as error:
        field = UNIQUE.get(violated_constraint(error) or "")
        if field is None:
            raise
        raise _taken(business_id, field, written) from error


def _taken(business_id: UUID, field: str, written: Collection[Customer]) -> IdentityTaken:
    wanted: defaultdict[str, set[UUID]] = defaultdict(set)
    for customer in written:
        if value := getattr(customer, field):
            wanted[value].add(customer.id)
    has = Customer.objects.of(business_id).filter(**{f"{field}__any_of": wanted})
    other = next((one for one in has if wanted[getattr(one, field)] - {one.id}), None)
    name, value = (other.name, getattr(other, field)) if other else ("Somebody", next(iter(wanted)))
    return IdentityTaken(
        f"{name} has the {field.replace('_', ' ')} {value}. If they are the same person, merge the two.",
        field=field,
        value=value,
        customer=str(other.id) if other else None,
    )
