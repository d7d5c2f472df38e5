"""Finding the buyer of an order among the customers on file."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from catalog.models import Business
from customers.errors import InvalidPhone, UnknownCustomer
from customers.models import Customer
from orders_project.errors import DomainError
from orders_project.ids import new_id
from orders_project.phones import complete_phone
from orders_project.rows import Insert, select


class Buyer(msgspec.Struct, frozen=True):
    """Who an order says its buyer is: the id of a known customer, or a name and what may identify them."""

    id: UUID | None = None
    name: str = ""
    phone: str | None = None
    email: str | None = None
    external_id: str | None = None

    @property
    def is_known_by_email_alone(self) -> bool:
        return bool(self.email) and not (self.id or self.phone or self.external_id)


class Person(msgspec.Struct):
    """A customer as an order needs to know them; of one who is not on file yet, since when they buy."""

    id: UUID
    name: str
    phone: str | None
    email: str | None
    external_id: str | None
    is_new_since: datetime | None = None


def recognise(
    *, business: Business, buyers: Sequence[Buyer], since: Sequence[datetime]
) -> list[Person | DomainError]:
    """The customer of each buyer, in their order; `since` is when each of them bought.

    A buyer is recognised by id, external_id, phone or email, the first of these that is known; what else
    the order says of them does not change what is on file. One who isn't recognised is a new person, the
    same object for the same identity; `new_rows` are theirs. Answers UnknownCustomer for an id that isn't
    the business's, and InvalidPhone, in the place of the customer.
    """
    completed = [complete(buyer, business) for buyer in buyers]
    _take_turns(business.id, {b.email for b in completed if isinstance(b, Buyer) and b.is_known_by_email_alone})
    known = _Known(business.id, [buyer for buyer in completed if isinstance(buyer, Buyer)])

    def answer(buyer: Buyer | InvalidPhone, bought_at: datetime) -> Person | DomainError:
        if isinstance(buyer, InvalidPhone):
            return buyer
        person = known.find(buyer)
        if person is None and buyer.id is not None:
            return UnknownCustomer("There is no such customer.", customer=str(buyer.id))
        if person is None:
            person = Person(new_id(), buyer.name, buyer.phone, buyer.email, buyer.external_id, bought_at)
            known.add(person)
        return person

    return [answer(buyer, at) for buyer, at in zip(completed, since, strict=True)]


def complete(buyer: Buyer, business: Business) -> Buyer | InvalidPhone:
    """The buyer with the phone and email in the form in which they are kept."""
    phone = buyer.phone and complete_phone(buyer.phone, country=business.country)
    if buyer.phone and not phone:
        return InvalidPhone(
            f"“{buyer.phone}” is not a telephone number. Write it like +447700900123.",
            phone=buyer.phone,
            country=business.country,
        )
    email = buyer.email and buyer.email.lower()
    if (phone, email) == (buyer.phone, buyer.email):
        return buyer
    return msgspec.structs.replace(buyer, phone=phone, email=email)


TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM unnest(%s::text[]) AS key"


def _take_turns(business_id: UUID, emails: Collection[str | None]) -> None:
    """Let the first orders of one email go one after the other until the transaction ends. No rule makes
    emails unique, as one makes phones, for families share them: two orders at once would make two customers."""
    if emails:
        keys = [f"email {business_id} {email}" for email in sorted(map(str, emails))]
        select(TAKE_TURNS, keys)


# The newest first, so that of several with one email the oldest is the one remembered.
WHO = """
    SELECT id, name, phone, email, external_id FROM customers_customer
    WHERE business_id = %s AND ({}) ORDER BY created_at DESC, id DESC
"""


class _Known:
    """The customers on file that a batch of buyers may be, by each thing that identifies them."""

    BY = ("id", "external_id", "phone", "email")  # the strongest first

    def __init__(self, business_id: UUID, buyers: Sequence[Buyer]) -> None:
        self._found: dict[tuple[str, object], Person] = {}
        told = {field: {value for buyer in buyers if (value := getattr(buyer, field))} for field in self.BY}
        if any(told.values()):
            is_one_of_them = " OR ".join(f"{field} = ANY(%s)" for field in self.BY if told[field])
            values = [list(told[field]) for field in self.BY if told[field]]
            for row in select(WHO.format(is_one_of_them), business_id, *values):
                self.add(Person(*row))

    def add(self, person: Person) -> None:
        for field in self.BY:
            if value := getattr(person, field):
                self._found[field, value] = person

    def find(self, buyer: Buyer) -> Person | None:
        for field in self.BY:
            value = getattr(buyer, field)
            if value and (found := self._found.get((field, value))):
                return found
        return None


def new_rows(*, business_id: UUID, people: Iterable[Person]) -> Insert:
    """What is to be inserted for those of the recognised people who are new."""
    new = {person.id: person for person in people if person.is_new_since}
    return Insert(
        Customer,
        [
            {
                "id": person.id,
                "business_id": business_id,
                "name": person.name,
                "phone": person.phone,
                "email": person.email,
                "external_id": person.external_id,
                "note": "",
                "created_at": person.is_new_since,
                "total_orders": 0,
                "total_spent": 0,
                "last_paid_at": None,
                "engagement_score": 0,
            }
            for person in new.values()
        ],
    )
