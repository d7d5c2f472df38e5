"""The express lanes of orders: placing and paying, alone and in bulk."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from catalog.authentication import Access
from catalog.express import KeyLane
from catalog.rights import Right
from orders import doorway
from orders.plain import read_placement, read_placements, read_receipt, read_receipts
from orders.services import Placed, Placement, Receipt
from orders.shown import Shown
from orders_project.api.parsing import LARGEST_BODY, LARGEST_BULK_BODY
from orders_project.api.reading import etag, usable_key
from orders_project.errors import DomainError
from orders_project.express import Answer, Lane, Plain, json_of, refusal

MOST_TOGETHER = 300  # orders in one transaction: more gain nothing, and make those who wait wait longer


class PlacingLane(KeyLane[Placement]):
    """POST /orders."""

    method = "POST"
    route = "api/v1/orders"
    largest_body = LARGEST_BODY
    most_together = MOST_TOGETHER
    right = Right.ORDERS

    def read(self, plain: Plain) -> Placement | None:
        key = plain.headers.get(b"idempotency-key")
        if key is None:
            return read_placement(plain.body, idempotency_key=None)
        text = key.decode("latin-1")
        return read_placement(plain.body, idempotency_key=text) if usable_key(text) else None

    def answer_to(self, access: Access, batch: Sequence[Placement]) -> list[Answer]:
        outcomes = doorway.place(access, batch)
        return [
            _placed(outcome, shown)
            for outcome, shown in zip(outcomes, doorway.show_placed(outcomes, now=access.now), strict=True)
        ]


def _placed(outcome: Placed | DomainError, shown: Shown | DomainError) -> Answer:
    if isinstance(outcome, DomainError):
        return refusal(outcome)
    if isinstance(shown, DomainError):
        return refusal(shown)
    status, headers = doorway.answered(outcome)
    return Answer(status, json_of(shown), headers)


class PaymentLane(KeyLane[Receipt]):
    """PATCH /orders/{id}/payment, where it tells of money that came in."""

    method = "PATCH"
    route = "api/v1/orders/<uuid:order_id>/payment"
    largest_body = LARGEST_BODY
    most_together = MOST_TOGETHER
    right = Right.PAYMENTS

    def read(self, plain: Plain) -> Receipt | None:
        return read_receipt(plain.body, UUID(plain.path[1]))

    def answer_to(self, access: Access, batch: Sequence[Receipt]) -> list[Answer]:
        return [
            refusal(shown)
            if isinstance(shown, DomainError)
            else Answer(200, json_of(shown), etag(shown["version"]))
            for shown in doorway.confirm(access, batch)
        ]


class BulkLane(KeyLane[bytes]):
    """Each request is a batch by itself; those of one key take turns. It is long, so it is read in the thread
    that answers it."""

    largest_body = LARGEST_BULK_BODY
    most_together = 1

    def read(self, plain: Plain) -> bytes:
        return plain.body

    def answer_to(self, access: Access, batch: Sequence[bytes]) -> list[Answer | None]:
        (body,) = batch
        results = self.results(access, body)
        return [None if results is None else Answer(200, json_of(results))]

    @abstractmethod
    def results(self, access: Access, body: bytes) -> dict[str, Any] | None:
        """What became of the rows in a body; None if Django should read it."""


class BulkPlacingLane(BulkLane):
    """POST /orders/bulk."""

    method = "POST"
    route = "api/v1/orders/bulk"
    right = Right.ORDERS

    def results(self, access: Access, body: bytes) -> dict[str, Any] | None:
        asked = read_placements(body)
        return doorway.place_in_bulk(access, asked) if asked else None


class BulkPaymentLane(BulkLane):
    """PATCH /orders/bulk/payment."""

    method = "PATCH"
    route = "api/v1/orders/bulk/payment"
    right = Right.PAYMENTS

    def results(self, access: Access, body: bytes) -> dict[str, Any] | None:
        told = read_receipts(body)
        return doorway.confirm_in_bulk(access, told) if told else None


LANES: list[Lane[Any]] = [PlacingLane(), PaymentLane(), BulkPlacingLane(), BulkPaymentLane()]
