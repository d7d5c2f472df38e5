"""Customers from a file: known as the buyer of an order is, by what identifies them most surely."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from import_export.fields import Field

from catalog.importing.resource import ShopResource
from customers import services
from customers.errors import InvalidPhone
from customers.models import Customer
from customers.services.recognising import Buyer, complete

IDENTITIES = ("external_id", "phone", "email")  # the surest first


class CustomerResource(ShopResource):
    name = Field("name", "name")
    phone = Field("phone", "phone")
    email = Field("email", "email")
    external_id = Field("external_id", "external_id")
    note = Field("note", "note")

    title = "name"
    passed_over = ("created_at", "total_orders", "total_spent", "currency", "last_paid_at", "engagement_score")
    examples = (
        ("Ada Lovelace", "+447700900123", "ada@example.com", "c-1815", "Prefers mornings"),
        ("Grace Hopper", "", "grace@example.com", "", ""),
    )
    rules = (
        "A customer is known by the external id, else the phone, else the email. Who isn’t on file is added.",
        "What knows a customer less surely can be changed by a file, what knows them more surely can’t.",
        "An empty cell leaves what is on file as it is, and so does a column that isn’t there.",
        "Phones without a country code are read as of your business’s country.",
    )

    class Meta:
        model = Customer
        fields = Customer.ON_FILE

    def learn(self, rows: Sequence[Mapping[str, str]]) -> None:
        told: dict[str, set[str]] = {field: set() for field in IDENTITIES}
        for row in rows:
            for field, value in self._identities(row).items():
                told[field].add(value)
        is_one = Q(*((f"{field}__any_of", values) for field, values in told.items()), _connector=Q.OR)
        self.on_file: defaultdict[tuple[str, str], list[Customer]] = defaultdict(list)
        found = Customer.objects.of(self.access.business.id).filter(is_one)
        for customer in found.lock() if self.really else found:
            for field in IDENTITIES:
                if value := getattr(customer, field):
                    self.on_file[field, value].append(customer)
        self.seen: set[Any] = set()

    def _identities(self, row: Mapping[str, str]) -> dict[str, str]:
        """What identifies a row's customer, the surest first, in the form in which it is kept. A phone that is
        none is left out: it is refused as a field."""
        buyer = complete(
            Buyer(phone=row.get("phone") or None, email=row.get("email") or None), self.access.business
        )
        if isinstance(buyer, InvalidPhone):
            buyer = Buyer(email=row.get("email", "").lower())
        told = {"external_id": row.get("external_id"), "phone": buyer.phone, "email": buyer.email}
        return {field: value for field, value in told.items() if value}

    def known(self, row: Mapping[str, str]) -> Customer | None:
        told = self._identities(row)
        for field, value in told.items():
            if field != "email" or len(told) == 1:  # families share an email
                self._check_once((field, value), field)
        for at, (field, value) in enumerate(told.items()):
            found = self.on_file.get((field, value), [])
            if len(found) > 1:
                raise _refused(field, f"{len(found)} customers have this email: say the phone or the external id.")
            if found:
                self._check_surer(found[0], field, dict(list(told.items())[:at]))
                self._check_once(found[0].id, field)
                return found[0]
        return None

    def _check_once(self, whom: Any, field: str) -> None:
        if whom in self.seen:
            raise _refused(field, "This customer stands in the file already.")
        self.seen.add(whom)

    def _check_surer(self, customer: Customer, field: str, surer: Mapping[str, str]) -> None:
        for other, value in surer.items():
            if getattr(customer, other) and getattr(customer, other) != value:
                spoken = other.replace("_", " ")
                raise _refused(other, f"{customer.name}, who has this {field}, has another {spoken} on file.")

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        if field.column_name not in ("phone", "email"):
            super().import_field(field, instance, row, is_m2m, **kwargs)
        elif text := row.get(field.column_name):
            buyer = complete(Buyer(**{field.column_name: text}), self.access.business)
            if isinstance(buyer, InvalidPhone):
                raise ValueError(buyer.detail)
            setattr(instance, field.column_name, getattr(buyer, field.column_name))

    def mistakes(self, instance: Any, row: Mapping[str, str]) -> dict[str, str]:
        found = {}
        if not instance.name:
            found["name"] = "A new customer needs a name."
        told = self._identities(row)
        if not told:
            found["phone"] = "A phone, an email or an external id is needed, to know the customer by."
        for other in self.on_file.get(("phone", told.get("phone", "")), []):
            if other is not instance:
                found["phone"] = f"{other.name} has this phone. If they are the same person, merge the two first."
        return found

    def add(self, instances: Sequence[Any]) -> None:
        access = self.access
        services.add_customers(business=access.business, new=instances, actor=access.actor, now=access.now)

    def edit(self, instances: Sequence[Any]) -> None:
        access = self.access
        edits = {one.id: {field: getattr(one, field) or "" for field in Customer.ON_FILE} for one in instances}
        services.edit_customers(business=access.business, edits=edits, actor=access.actor, now=access.now)


def _refused(field: str, words: str) -> ValidationError:
    return ValidationError({field: words})
