"""The one door to the counters. Whatever moves them comes through `move` or `move_rows`, and leaves a
line in the ledger."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from catalog.channels import Channel
from catalog.live import feed
from catalog.models import StockMovement
from orders_project.ids import new_id_text
from orders_project.rows import Insert, insert, prepared, select

Kind = StockMovement.Kind


@dataclass(frozen=True, slots=True)
class Move:
    """A change of one product's counters, in units, at an instant, and the order it is for, if any.

    What is promised through a `channel` leaves the units on the shelf that are kept back from it.
    """

    product_id: UUID
    kind: Kind
    at: datetime
    stock_delta: int = 0
    reserved_delta: int = 0
    order_id: UUID | None = None
    channel: Channel | None = None


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
    changes: defaultdict[UUID, _Change] = defaultdict(_Change)
    for line in moves:
        changes[line.product_id].add(line)
    _move_counters(business_id, changes)


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
        changes = {
            product_id: _Change(stock_delta, reserved_delta) for product_id, stock_delta, reserved_delta in cursor
        }
    if changes:
        _move_counters(business_id, changes)


@dataclass(slots=True)
class _Change:
    """What becomes of one product's counters, and how many units are promised up to each channel's last one."""

    stock_delta: int = 0
    reserved_delta: int = 0
    promised: dict[Channel, int] = field(default_factory=dict)

    def add(self, line: Move) -> None:
        self.stock_delta += line.stock_delta
        self.reserved_delta += line.reserved_delta
        if line.channel is not None:
            self.promised[line.channel] = self.reserved_delta - self.stock_delta


# The guard is in the WHERE: all that is promised must be free; and so must be what is promised up to the last unit
# of a channel, with what is kept back from it. (Of a channel without any it is NULL; greatest() passes over that.)
MOVE = f"""
    UPDATE catalog_stock SET
        stock_quantity = stock_quantity + stock_delta,
        reserved_stock = reserved_stock + reserved_delta,
        version = version + 1
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]{", %s::bigint[]" * len(Channel)})
        AS moved (product, stock_delta, reserved_delta, {", ".join(Channel)})
    WHERE business_id = %s AND product_id = product
        AND reserved_stock >= -reserved_delta
        AND stock_quantity - reserved_stock >= greatest(
            reserved_delta - stock_delta, {", ".join(f"{channel} + {channel.kept_from}" for channel in Channel)}
        )
"""  # noqa: S608  # our own


def _move_counters(business_id: UUID, changes: Mapping[UUID, _Change]) -> None:
    """Make these changes of the counters by one conditional UPDATE, all or nothing. Raises ShelfShort."""
    if len(changes) > 1:
        # In key order, whatever the order of the cart: two carts with the same goods can't deadlock.
        select(LOCK, business_id, list(changes))
    each = changes.values()
    columns: list[list[int | None]] = [
        [change.stock_delta for change in each],
        [change.reserved_delta for change in each],
        *([change.promised.get(channel) for change in each] for channel in Channel),
    ]
    with prepared() as cursor:
        # As text, which is the same for any numbers; for lists, each size of number would be another statement.
        cursor.execute(MOVE, [list(changes), *map(_array, columns), business_id])
        if cursor.rowcount < len(changes):
            raise ShelfShort
    feed.touch_products(business_id, changes)


def _array(numbers: Iterable[int | None]) -> str:
    return f"{{{','.join('NULL' if number is None else str(number) for number in numbers)}}}"


LOOK = f"""
    SELECT product_id, stock_quantity - reserved_stock, {", ".join(channel.kept_from for channel in Channel)}
    FROM catalog_stock WHERE business_id = %s AND product_id = ANY(%s)
"""  # noqa: S608  # our own
# In key order, whatever the order of the cart: two who lock the same shelves can't deadlock.
LOCK = f"{LOOK} ORDER BY product_id FOR NO KEY UPDATE"


class Free(NamedTuple):
    """Units of some products that may be promised: stock less what is held. And how many of them are kept back, by
    channel, where any are."""

    available: Mapping[UUID, int]
    kept_back: Mapping[tuple[Channel, UUID], int]


def look(*, business_id: UUID, product_ids: Iterable[UUID], locked: bool = False) -> Free:
    """What may be promised of these products. With `locked` their counters can't change until the transaction
    ends."""
    shelves = select(LOCK if locked else LOOK, business_id, list(product_ids))
    return Free(
        {product_id: available for product_id, available, *_ in shelves},
        {
            (channel, product_id): units
            for product_id, _, *kept in shelves
            for channel, units in zip(Channel, kept, strict=True)
            if units
        },
    )
