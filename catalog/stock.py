"""The one door to the counters. Whatever moves them comes through `move` or `move_rows`, and leaves a
line in the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.expressions import RawSQL
from django.db.models.sql import UpdateQuery

from catalog.live import feed
from catalog.models import Stock, StockMovement
from orders_project.ids import new_id_text
from orders_project.rows import Insert, insert, prepared, select

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
    also: Sequence[Insert] = (),
) -> None:
    """Write the moves in the ledger and move the counters, all or nothing. What is `also` to be inserted for
    them goes in the same statement as the ledger.

    To be called inside a transaction, and last in it: the counters of a much-wanted product are the
    rows that others wait for, so they are touched when everything else is written.
    Raises ShelfShort when a guard refuses.
    """
    moves = list(moves)
    insert(*also, _ledger(business_id, moves, actor, reason, idempotency_key))
    if not moves:
        return
    deltas: defaultdict[UUID, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in moves:
        stock_delta, reserved_delta = deltas[line.product_id]
        deltas[line.product_id] = (stock_delta + line.stock_delta, reserved_delta + line.reserved_delta)
    _move_counters(business_id, deltas)


def explain(*, business_id: UUID, moves: Iterable[Move], actor: str, reason: str) -> None:
    """Write moves in the ledger alone: for counters that were changed without a line, by somebody who did not
    come through this door. The caller holds the shelf, and says in `reason` what was found."""
    insert(_ledger(business_id, moves, actor, reason))


def _ledger(
    business_id: UUID, moves: Iterable[Move], actor: str, reason: str, idempotency_key: str | None = None
) -> Insert:
    """The lines of these moves."""
    lines = [
        {
            "id": new_id_text(),
            "business_id": business_id,
            "product_id": line.product_id,
            "kind": line.kind,
            "stock_delta": line.stock_delta,
            "reserved_delta": line.reserved_delta,
            "order_id": line.order_id,
            "actor": actor,
            "reason": reason,
            "idempotency_key": idempotency_key,
            "at": line.at,
        }
        for line in moves
    ]
    return Insert(StockMovement, lines)


# The rows of the caller's statement go into the ledger without leaving the database; what they add up to comes
# back, for the counters are moved last.
WRITE_ROWS = """
    WITH moved AS ({statement}), written AS (
        INSERT INTO catalog_stockmovement
            (id, business_id, product_id, kind, stock_delta, reserved_delta, order_id, actor, reason, at)
        SELECT uuidv7(), %s, product_id, %s, stock_delta, reserved_delta, order_id, %s, %s, at FROM moved
    )
    SELECT product_id, sum(stock_delta)::bigint, sum(reserved_delta)::bigint FROM moved GROUP BY product_id
"""


def move_rows(
    *,
    business_id: UUID,
    statement: str,
    params: Sequence[Any],
    kind: Kind,
    actor: str,
    reason: str = "",
) -> None:
    """As `move`, for as many moves as a statement of the caller's returns rows: product_id, order_id,
    stock_delta, reserved_delta and at. It may be a statement that changes what it returns."""
    with prepared() as cursor:
        cursor.execute(WRITE_ROWS.format(statement=statement), [*params, business_id, kind, actor, reason])
        deltas = {product_id: (stock_delta, reserved_delta) for product_id, stock_delta, reserved_delta in cursor}
    if deltas:
        _move_counters(business_id, deltas)


def _move_counters(business_id: UUID, deltas: Mapping[UUID, tuple[int, int]]) -> None:
    """Move each counter by its deltas: one conditional UPDATE, the guard in its WHERE, for all the products
    that move alike."""
    if len(deltas) > 1:
        # In key order, whatever the order of the cart: two carts with the same goods can't deadlock.
        select(LOCK, business_id, list(deltas))
    alike: defaultdict[tuple[int, int], list[UUID]] = defaultdict(list)
    for product_id, amounts in deltas.items():
        alike[amounts].append(product_id)
    for (stock_delta, reserved_delta), product_ids in alike.items():
        sql, parameters = _guarded_update(business_id, product_ids, stock_delta, reserved_delta)
        with prepared() as cursor:
            cursor.execute(sql, parameters)
            if cursor.rowcount < len(product_ids):
                raise ShelfShort
    feed.touch_products(business_id, deltas)


def _guarded_update(
    business_id: UUID, product_ids: Sequence[UUID], stock_delta: int, reserved_delta: int
) -> tuple[str, list[Any]]:
    """The conditional UPDATE of counters that move alike. Django writes its SQL once, for to write it takes
    longer than to execute it; the values are of every time."""
    values = [stock_delta, reserved_delta, business_id, list(product_ids)]
    return _guarded_sql(), [*values, -reserved_delta, reserved_delta - stock_delta]


@cache
def _guarded_sql() -> str:
    shelves = Stock.objects.of(UUID(int=0)).filter(product_id__any_of=[])
    update = shelves.that_allows(stock_delta=0, reserved_delta=0).query.chain(UpdateQuery)
    update.add_update_values(  # type: ignore[attr-defined]  # chain() makes one of the class that it is given
        {
            "stock_quantity": F("stock_quantity") + 0,
            "reserved_stock": F("reserved_stock") + 0,
            "version": F("version") + RawSQL("1", ()),
        }
    )
    return str(update.sql_with_params()[0])


LOOK = """
    SELECT product_id, stock_quantity - reserved_stock FROM catalog_stock
    WHERE business_id = %s AND product_id = ANY(%s)
"""
# In key order, whatever the order of the cart: two who lock the same shelves can't deadlock.
LOCK = f"{LOOK} ORDER BY product_id FOR NO KEY UPDATE"


def available(*, business_id: UUID, product_ids: Iterable[UUID], locked: bool = False) -> dict[UUID, int]:
    """Units that may be promised of each product: stock less what is held.

    With `locked` the counters can't change until the transaction ends.
    """
    return dict(select(LOCK if locked else LOOK, business_id, list(product_ids)))
