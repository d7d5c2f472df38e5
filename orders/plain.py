"""Requests about orders as plain clients write them, read at once into what the verbs take.

Each reader answers None for whatever is not plain: wrong, or right in a way that takes a longer look (spaces
to trim, a form that is seldom used). The serializers then read it, and say what is wrong. So what a reader
takes the serializers take too, and mean the same by it; a test compares them.
"""

from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from msgspec import UNSET, Meta, Struct, UnsetType

from catalog.channels import Channel
from customers.services import Buyer
from orders.serializers import LARGEST_QUANTITY, MOST_LINES, MOST_ROWS
from orders.services import Line, Placement, Receipt
from orders_project.api.fields import Money
from orders_project.api.parsing import read_json, unreadable_character
from orders_project.api.reading import usable_key
from orders_project.errors import MalformedBody
from orders_project.phones import complete_phone

NOTHING = Decimal(0)


Text3 = Annotated[str, Meta(min_length=1, max_length=3)]
Text20 = Annotated[str, Meta(min_length=1, max_length=20)]
Text40 = Annotated[str, Meta(min_length=1, max_length=40)]
Text60 = Annotated[str, Meta(min_length=1, max_length=60)]
Text64 = Annotated[str, Meta(min_length=1, max_length=64)]
Text100 = Annotated[str, Meta(min_length=1, max_length=100)]
Text120 = Annotated[str, Meta(min_length=1, max_length=120)]
Text200 = Annotated[str, Meta(min_length=1, max_length=200)]
Text255 = Annotated[str, Meta(min_length=1, max_length=255)]
Text254 = Annotated[str, Meta(min_length=1, max_length=254)]
Text1000 = Annotated[str, Meta(min_length=1, max_length=1000)]


class _Line(Struct, forbid_unknown_fields=True):
    quantity: Annotated[int, Meta(ge=1, le=LARGEST_QUANTITY)]
    sku: Text64 | UnsetType = UNSET
    product: UUID | UnsetType = UNSET


class _Customer(Struct, forbid_unknown_fields=True):
    id: UUID | UnsetType = UNSET
    name: Text200 | UnsetType = UNSET
    phone: Text40 | UnsetType | None = UNSET
    email: Text254 | UnsetType | None = UNSET
    external_id: Text120 | UnsetType | None = UNSET


class _Address(Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: Text200 | UnsetType = UNSET
    line1: Text200 | UnsetType = UNSET
    line2: Text200 | UnsetType = UNSET
    city: Text100 | UnsetType = UNSET
    region: Text100 | UnsetType = UNSET
    postal_code: Text20 | UnsetType = UNSET
    country: Text60 | UnsetType = UNSET
    phone: Text40 | UnsetType = UNSET
    text: Text1000 | UnsetType = UNSET


class _Placement(Struct, forbid_unknown_fields=True):
    channel: Channel
    customer: _Customer
    items: Annotated[list[_Line], Meta(min_length=1, max_length=MOST_LINES)]
    currency: Text3 | UnsetType = UNSET
    shipping_address: _Address | None = None
    shipping_fee: Any = NOTHING
    discount: Any = NOTHING
    note: Annotated[str, Meta(max_length=2000)] = ""
    external_id: Text120 | None = None
    draft: bool = False


class _Receipt(Struct, forbid_unknown_fields=True):
    provider: Text60
    reference: Text120
    amount: Any
    currency: Text3 | UnsetType = UNSET


class _BulkPlacement(_Placement):
    idempotency_key: Text255 | None = None


class _BulkReceipt(_Receipt, kw_only=True):
    order: UUID


class _Placements(Struct, forbid_unknown_fields=True):
    orders: Annotated[list[_BulkPlacement], Meta(min_length=1, max_length=MOST_ROWS)]


class _Receipts(Struct, forbid_unknown_fields=True):
    payments: Annotated[list[_BulkReceipt], Meta(min_length=1, max_length=MOST_ROWS)]


class _NotPlain(Exception):
    pass


NOT_PLAIN = (MalformedBody, msgspec.ValidationError, _NotPlain)


def read_placement(body: bytes, *, idempotency_key: str | None) -> Placement | None:
    """The placement that a body of POST /orders asks for, or None."""
    with suppress(*NOT_PLAIN):
        return _placement(msgspec.convert(_value(body), _Placement), idempotency_key)
    return None


def read_placements(body: bytes) -> list[Placement] | None:
    """The placements that a body of POST /orders/bulk asks for, or None."""
    with suppress(*NOT_PLAIN):
        asked = msgspec.convert(_value(body), _Placements).orders
        return [_bulk_placement(one) for one in asked]
    return None


def read_receipt(body: bytes, order_id: UUID) -> Receipt | None:
    """The payment that a body of PATCH /orders/{id}/payment tells of, or None."""
    with suppress(*NOT_PLAIN):
        return _receipt(msgspec.convert(_value(body), _Receipt), order_id)
    return None


def read_receipts(body: bytes) -> list[Receipt] | None:
    """The payments that a body of PATCH /orders/bulk/payment tells of, or None."""
    with suppress(*NOT_PLAIN):
        return [_receipt(one, one.order) for one in msgspec.convert(_value(body), _Receipts).payments]
    return None


def _value(body: bytes) -> Any:
    value = read_json(body)
    ahead = [value]
    for part in ahead:
        if isinstance(part, str):
            if part != part.strip() or unreadable_character(part):
                raise _NotPlain
        elif isinstance(part, dict):
            ahead += part.values()
        elif isinstance(part, list):
            ahead += part
    return value


def _placement(asked: _Placement, idempotency_key: str | None) -> Placement:
    return Placement(
        channel=asked.channel,
        buyer=_buyer(asked.customer),
        lines=tuple([_line(item) for item in asked.items]),
        currency=asked.currency or None,
        shipping_fee=_amount(asked.shipping_fee),
        discount=_amount(asked.discount),
        shipping_address=None if asked.shipping_address is None else _address(asked.shipping_address),
        note=asked.note,
        draft=asked.draft,
        external_id=asked.external_id,
        idempotency_key=idempotency_key,
    )


def _bulk_placement(asked: _BulkPlacement) -> Placement:
    key = asked.idempotency_key
    if not (asked.external_id if key is None else usable_key(key)):
        raise _NotPlain
    return _placement(asked, key)


def _receipt(told: _Receipt, order_id: UUID) -> Receipt:
    return Receipt(order_id, told.provider, told.reference, _amount(told.amount), told.currency or None)


def _line(item: _Line) -> Line:
    if (item.sku is UNSET) == (item.product is UNSET):
        raise _NotPlain
    return Line(item.sku or item.product, item.quantity)  # type: ignore[arg-type]  # one of them is set


def _buyer(customer: _Customer) -> Buyer:
    others = (customer.phone, customer.email, customer.external_id)
    if (customer.id is UNSET) == (customer.name is UNSET) or (customer.id and others != (UNSET, UNSET, UNSET)):
        raise _NotPlain
    if customer.phone and customer.phone.startswith("+") and complete_phone(customer.phone, country=None) is None:
        raise _NotPlain
    if customer.email:
        if not customer.email.isascii():  # in small letters some are another address, or a longer one
            raise _NotPlain
        try:
            validate_email(customer.email)
        except ValidationError:
            raise _NotPlain from None
    return Buyer(
        id=customer.id or None,
        name=customer.name or "",
        phone=customer.phone or None,
        email=customer.email.lower() if customer.email else None,
        external_id=customer.external_id or None,
    )


def _address(address: _Address) -> dict[str, str]:
    given: dict[str, str] = msgspec.to_builtins(address)
    if not given:
        raise _NotPlain
    return given


def _amount(data: Any) -> Decimal:
    amount = data if data is NOTHING else Money.read(data)
    if amount is None:
        raise _NotPlain
    return amount
