"""Finding the buyer of an order, and keeping what the buyer has been worth."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec

from catalog.models import Business
from customers.errors import InvalidPhone, UnknownCustomer
from customers.models import Customer
from orders_project.errors import DomainError
from orders_project.ids import new_id
from orders_project.phones import complete_phone
from orders_project.rows import Insert, prepared, select
from orders_project.transactions import one_transaction


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


@dataclass(frozen=True, slots=True)
class Worth:
    """What a customer has paid and kept: orders, money in the business's currency, the last payment."""

    total_orders: int = 0
    total_spent: Decimal = Decimal(0)
    last_paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sale:
    """An order that a customer paid."""

    customer_id: UUID
    amount: Decimal
    paid_at: datetime


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
    completed = [_complete(buyer, business) for buyer in buyers]
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


def _complete(buyer: Buyer, business: Business) -> Buyer | InvalidPhone:
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
                "created_at": person.is_new_since,
                "total_orders": 0,
                "total_spent": 0,
                "last_paid_at": None,
                "engagement_score": 0,
            }
            for person in new.values()
        ],
    )


# As arrays, for one statement counts the sales of however many customers.
COUNT_SALES = """
    UPDATE customers_customer SET
        total_orders = total_orders + sold.orders,
        total_spent = total_spent + sold.amount,
        last_paid_at = greatest(last_paid_at, sold.last)
    FROM unnest(%s::uuid[], %s::int[], %s::numeric[], %s::timestamptz[]) AS sold (customer, orders, amount, last)
    WHERE id = sold.customer
"""


def count_sales(*, sales: Sequence[Sale]) -> None:
    """Orders were paid: for each one order and its money more on the buyer's account."""
    by_customer: defaultdict[UUID, list[Sale]] = defaultdict(list)
    for sale in sales:
        by_customer[sale.customer_id].append(sale)
    if not by_customer:
        return
    if len(by_customer) > 1:
        hold(customer_ids=by_customer)  # in key order, so that two batches can't deadlock
    sold = [
        (key, len(their), sum(s.amount for s in their), max(s.paid_at for s in their))
        for key, their in by_customer.items()
    ]
    with prepared() as cursor:
        cursor.execute(COUNT_SALES, [list(column) for column in zip(*sold, strict=True)])
    rescore(customer_ids=by_customer, now=max(sale.paid_at for sale in sales))


def hold(*, customer_ids: Collection[UUID]) -> None:
    """Lock these customers' rows until the transaction ends, so that their counters can be restated."""
    if customer_ids:
        rows = Customer.objects.filter(id__any_of=customer_ids).order_by("id").select_for_update(no_key=True)
        list(rows.values_list("id"))


def restate(*, worth: Mapping[UUID, Worth], now: datetime) -> None:
    """Set the counters to what the orders say. The caller holds the customers, and counted after that."""
    fields = ("total_orders", "total_spent", "last_paid_at")
    customers = [Customer(id=key, **{field: getattr(w, field) for field in fields}) for key, w in worth.items()]
    Customer.objects.bulk_update(customers, fields, batch_size=500)
    rescore(customer_ids=list(worth), now=now)


# The engagement score: how much alive a customer's relation to the shop is, 0 to 100.
#
# An RFM score (recency, frequency, monetary value: the oldest and best-tried way to rank customers;
# A. M. Hughes, "Strategic Database Marketing", 1994) in smooth form, so that each order moves it a little
# and nobody changes class overnight. Recency weighs most, because it foretells the next order best. The
# halves are what a merchant can feel: after 90 silent days half of the recency is gone; three orders, or
# a good customer's money, earn half of the rest. The days are UTC's, so that a score is true all day long.
# (`least` keeps the powers within what a float can hold.)
SCORE = """
    CASE WHEN total_orders = 0 THEN 0 ELSE round(
        40 * 0.5::float8 ^ least(greatest(
            (%(now)s AT TIME ZONE 'UTC')::date - (last_paid_at AT TIME ZONE 'UTC')::date, 0) / 90.0, 100)
      + 30 * (1 - 0.5::float8 ^ least(total_orders / 3.0, 100))
      + 30 * (1 - 0.5::float8 ^ least(total_spent / loyal_spend, 100))
    ) END
"""

# Computed from the very row that is updated: if a sale changes it meanwhile, PostgreSQL computes again.
RESCORE = f"""
    UPDATE customers_customer AS customer SET engagement_score = {SCORE}
    FROM catalog_business AS business
    WHERE business.id = business_id AND customer.id = ANY(%(ids)s)
        AND engagement_score <> {SCORE}
"""


def rescore(*, customer_ids: Collection[UUID], now: datetime) -> int:
    """Bring these customers' engagement scores up to `now`. Returns how many changed.

    The formula is written above, once: the verbs, the hourly job and the rebuild all come through here.
    """
    with prepared() as cursor:
        cursor.execute(RESCORE, {"now": now, "ids": list(customer_ids)})
        return cursor.rowcount


RESCORE_BATCH = 2000  # customers in one transaction: a sale to one of them waits only a moment


def rescore_everyone(*, now: datetime) -> int:
    """Bring all engagement scores up to `now`, batch by batch. Returns how many changed."""
    changed = 0
    everyone = Customer.objects.order_by("id").values_list("id", flat=True)
    batch = list(everyone[:RESCORE_BATCH])
    while batch:
        changed += one_transaction(rescore)(customer_ids=batch, now=now)
        batch = list(everyone.filter(id__gt=batch[-1])[:RESCORE_BATCH])
    return changed
