"""An order as it is asked for, and as it was placed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property

import msgspec

from catalog.channels import Channel
from customers.services import Buyer, Person
from orders.models import Order
from orders.services.pricing import Line
from orders_project.rows import Row
from reservations.services import Wanted


class Placement(msgspec.Struct, frozen=True, dict=True):
    """An order as it is asked for. Amounts in the business's currency; `currency` is only checked.

    `idempotency_key` and `external_id` each make a repeat of the same placement answer with the first order.
    `at` is when it was placed, if that was before: a sale that was made elsewhere.
    """

    channel: Channel
    buyer: Buyer
    lines: tuple[Line, ...]
    currency: str | None = None
    shipping_fee: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    shipping_address: Mapping[str, str] | None = None
    note: str = ""
    draft: bool = False
    external_id: str | None = None
    idempotency_key: str | None = None
    at: datetime | None = None

    @property
    def promised_through(self) -> Channel | None:
        """The channel through which it takes units now. None for a draft, which takes none, and for what was sold
        before: that is gone, whatever is kept back and whoever bought it."""
        return None if self.draft or self.at else self.channel

    @cached_property
    def fingerprint(self) -> str:
        """What tells a repeat from another order under the same key: a hash of all that was asked for."""
        asked = msgspec.structs.asdict(self)
        del asked["idempotency_key"]
        return hashlib.sha256(_json.encode(asked)).hexdigest()


_json = msgspec.json.Encoder(order="deterministic", decimal_format="string")


@dataclass(frozen=True)
class Placed:
    """An order that was placed: its row, and of one that was just placed all that belongs to it.

    `replayed`: an earlier request placed it, that this one repeats.
    """

    row: Row
    customer: Person | None = None
    items: Sequence[Row] = ()
    holds: Sequence[Wanted] = ()
    replayed: bool = False

    @cached_property
    def order(self) -> Order:
        order = Order(**self.row)
        order._state.adding = False
        return order
