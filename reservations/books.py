"""The books of a shelf: its counters, what its ledger adds up to, and what is held of it. They agree, always; and
should they not, this is how they are made to, without a line of the ledger changed or a counter overwritten."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from catalog import stock
from catalog.stock import Kind, Move
from orders_project.rows import select


@dataclass(frozen=True, slots=True)
class Books:
    """What is written of one product, in units."""

    stock_quantity: int
    reserved_stock: int
    ledger_stock: int
    ledger_reserved: int
    held: int


READ = """
    SELECT stock_quantity, reserved_stock, ledger.stock::bigint, ledger.reserved::bigint, hold.units::bigint
    FROM catalog_stock, (
        SELECT coalesce(sum(stock_delta), 0) AS stock, coalesce(sum(reserved_delta), 0) AS reserved
        FROM catalog_stockmovement WHERE business_id = %s AND product_id = %s
    ) AS ledger, (
        SELECT coalesce(sum(quantity), 0) AS units FROM reservations_stockreservation
        WHERE business_id = %s AND product_id = %s AND status = 'active'
    ) AS hold
    WHERE business_id = %s AND product_id = %s
"""


def read_books(*, business_id: UUID, product_id: UUID) -> Books | None:
    """The books of a product, which can't change until the transaction ends; None if it has no shelf.

    Whoever moves units writes ledger and hold in the transaction that waits for the shelf. So what is read with
    the shelf locked is all of a change or nothing of it.
    """
    stock.look(business_id=business_id, product_ids=[product_id], locked=True)
    rows = select(READ, *[business_id, product_id] * 3)
    return Books(*rows[0]) if rows else None


def set_right(
    *,
    business_id: UUID,
    product_id: UUID,
    books: Books,
    stock_quantity: int | None = None,
    reserved_stock: int | None = None,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Bring a counter of a product to a number, and the ledger with it, in two lines that say so: one for what
    had moved the counter without a line, one for the way from there to the number. The caller holds the books.

    Raises ShelfShort for numbers at which more would be held than is there.
    """
    explained_stock, moved_stock = _steps(books.ledger_stock, books.stock_quantity, stock_quantity)
    explained_held, moved_held = _steps(books.ledger_reserved, books.reserved_stock, reserved_stock)
    explained = Move(product_id, Kind.RECONCILED, now, explained_stock, explained_held)
    moved = Move(product_id, Kind.RECONCILED, now, moved_stock, moved_held)
    stock.explain(business_id=business_id, moves=_real(explained), actor=actor, reason=reason)
    stock.move(business_id=business_id, moves=_real(moved), actor=actor, reason=reason)


def _steps(ledger: int, counter: int, number: int | None) -> tuple[int, int]:
    """From the ledger to the counter, and from the counter to the number; nowhere without one."""
    return (0, 0) if number is None else (counter - ledger, number - counter)


def _real(line: Move) -> list[Move]:
    return [line] if line.stock_delta or line.reserved_delta else []
