"""The one door to the counters. Whatever moves them comes through `move`, and leaves a line in the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import F

from catalog.models import Stock, StockMovement

Kind = StockMovement.Kind


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one product's counters, in units, at an instant, and the order it is for, if any."""

    product_id: UUID
    kind: Kind
    at: datetime
    stock_delta: int = 0
    reserved_delta: int = 0
    order_id: UUID | None = None


class ShelfShort(Exception):
    """A counter can't move so: it would leave a unit promised that isn't there.

    Not an answer to a client: who asked for the move says what it means. The transaction must be rolled
    back, for the ledger lines are already written.
    """


def move(
    *,
    business_id: UUID,
    moves: Iterable[Move],
    actor: str,
    reason: str = "",
    idempotency_key: str | None = None,
) -> None:
    """Write the moves in the ledger and move the counters, all or nothing.

    To be called inside a transaction, and last in it: the counters of a much-wanted product are the
    rows that others wait for, so they are touched when everything else is written.
    Raises ShelfShort when a guard refuses.
    """
    moves = list(moves)
    if not moves:
        return
    StockMovement.objects.bulk_create(
        StockMovement(
            business_id=business_id,
            product_id=line.product_id,
            kind=line.kind,
            stock_delta=line.stock_delta,
            reserved_delta=line.reserved_delta,
            order_id=line.order_id,
            actor=actor,
            reason=reason,
            idempotency_key=idempotency_key,
            at=line.at,
        )
        for line in moves
    )
    deltas: defaultdict[UUID, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in moves:
        stock_delta, reserved_delta = deltas[line.product_id]
        deltas[line.product_id] = (stock_delta + line.stock_delta, reserved_delta + line.reserved_delta)
    _move_counters(business_id, deltas)


def _move_counters(business_id: UUID, deltas: Mapping[UUID, tuple[int, int]]) -> None:
    """Move each counter by its deltas: one conditional UPDATE, the guard in its WHERE, for all the products
    that move alike."""
    shelves = Stock.objects.of(business_id)
    if len(deltas) > 1:
        # In key order, whatever the order of the cart: two carts with the same goods can't deadlock.
        list(shelves.filter(product_id__in=deltas).lock().values_list("pk"))
    alike: defaultdict[tuple[int, int], list[UUID]] = defaultdict(list)
    for product_id, amounts in deltas.items():
        alike[amounts].append(product_id)
    for (stock_delta, reserved_delta), product_ids in alike.items():
        guarded = shelves.filter(product_id__in=product_ids).that_allows(
            stock_delta=stock_delta, reserved_delta=reserved_delta
        )
        moved = guarded.update(
            stock_quantity=F("stock_quantity") + stock_delta,
            reserved_stock=F("reserved_stock") + reserved_delta,
            version=F("version") + 1,
        )
        if moved < len(product_ids):
            raise ShelfShort


def available(*, business_id: UUID, product_ids: Iterable[UUID], locked: bool = False) -> dict[UUID, int]:
    """Units that may be promised of each product: stock less what is held.

    With `locked` the counters can't change until the transaction ends.
    """
    shelves = Stock.objects.of(business_id).filter(product_id__in=set(product_ids))
    if locked:
        shelves = shelves.lock()
    return {shelf.product_id: shelf.available for shelf in shelves}
