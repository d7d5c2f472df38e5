"""Reserve stock, release a reservation, convert a reservation to a sale, and what else ends a promise.

All of these run inside the transaction of the order's verb, which has changed the order's row first: so
two verbs on one order never meet here. Locks are taken in one order everywhere, shelves by key; overdue
holds of other orders are taken with SKIP LOCKED, so nobody waits for a hold while holding a shelf.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Case, Value, When

from catalog import stock
from catalog.channels import Channel
from catalog.stock import Free, Kind, Move, ShelfShort
from orders_project.ids import new_id_text
from orders_project.rows import Insert
from reservations.models import StockReservation
from reservations.querysets import StockReservationQuerySet

__all__ = ["Free", "Shelf", "ShelfShort", "Shortage", "Wanted"]

Status = StockReservation.Status

Units = Mapping[UUID, int]  # of each product
NOTHING: Units = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Units of one product to hold for an order, from one instant until another; newly promised through a channel,
    or (None) taken back for who had them."""

    order_id: UUID
    product_id: UUID
    quantity: int
    since: datetime
    expires_at: datetime
    channel: Channel | None = None
    id: str = field(default_factory=new_id_text)  # of the hold, unless an ended one is made anew


@dataclass(frozen=True, slots=True)
class Shortage:
    """A product of which fewer units are available than are asked for."""

    product_id: UUID
    requested: int
    available: int


class Shelf:
    """What is free to promise of some products, counted down as orders are admitted one after the other."""

    def __init__(self, free: Free) -> None:
        self._available = dict(free.available)
        self._kept_back = free.kept_back

    def admit(self, units: Units, *, channel: Channel | None = None, held: Units = NOTHING) -> list[Shortage]:
        """Take these units off the shelf, all of them or none; returns what there is too little of.

        What is kept back from the `channel` stays there. What the order has `held` so far is its own.
        """
        short = []
        for product_id, quantity in units.items():
            had = held.get(product_id, 0)
            kept_back = self._kept_back.get((channel, product_id), 0) if channel else 0
            left = max(0, self._available[product_id] - kept_back)
            if quantity - had > left:
                short.append(Shortage(product_id, requested=quantity, available=had + left))
        if not short:
            for product_id, quantity in units.items():
                self._available[product_id] -= quantity - held.get(product_id, 0)
        return short

    def put_back(self, units: Units) -> None:
        """Count these units as free again."""
        for product_id, quantity in units.items():
            self._available[product_id] += quantity


def look_at_shelf(
    *,
    business_id: UUID,
    product_ids: Collection[UUID],
    actor: str,
    now: datetime,
    locked: bool,
    for_orders: Collection[UUID] = (),
) -> Shelf:
    """What may be promised of these products.

    Unlocked it is a cheap look that may be out of date in a moment; the guards of `reserve` notice. Locked,
    it is the truth until the transaction ends, and overdue holds are taken back first: a dead worker
    can't keep goods off the shelf. What `for_orders` hold stays theirs, however late they are.
    """
    if locked:
        stock.look(business_id=business_id, product_ids=product_ids, locked=True)
        _take_back_overdue(
            business_id=business_id, product_ids=product_ids, spared=for_orders, actor=actor, now=now
        )
    return Shelf(stock.look(business_id=business_id, product_ids=product_ids))


def any_overdue(*, product_ids: Collection[UUID], now: datetime) -> bool:
    """Whether any unit of these products is held past its time."""
    return StockReservation.objects.overdue(now).filter(product_id__in=product_ids).exists()


def _take_back_overdue(
    *, business_id: UUID, product_ids: Collection[UUID], spared: Collection[UUID], actor: str, now: datetime
) -> None:
    overdue = StockReservation.objects.of(business_id).overdue(now).filter(product_id__any_of=product_ids)
    # SKIP LOCKED passes over what others have locked, but not over what this transaction has.
    holds = overdue.exclude(order_id__any_of=spared).lock(skip_locked=True)
    _give_back(business_id, holds, Kind.EXPIRED, actor=actor, now=now)


def reserve(*, business_id: UUID, wanted: Sequence[Wanted], actor: str, also: Sequence[Insert] = ()) -> None:
    """Hold the units for their orders, all or nothing. An order holds a product at most once. What is `also`
    to be inserted goes in the same statement.

    Raises ShelfShort when a shelf has too few; the caller rolls back, looks again with the shelf
    locked, and decides anew.
    """
    stock.move(
        business_id=business_id,
        also=[*also, _new_holds(business_id, wanted)],
        moves=[
            Move(
                hold.product_id,
                Kind.RESERVED,
                hold.since,
                reserved_delta=hold.quantity,
                order_id=hold.order_id,
                channel=hold.channel,
            )
            for hold in wanted
        ],
        actor=actor,
    )


# A hold that ended, of an order that lives on (it was edited, or paid late), is made anew.
MADE_ANEW = """
    ON CONFLICT (order_id, product_id, business_id) DO UPDATE SET
        quantity = excluded.quantity, status = excluded.status, expires_at = excluded.expires_at,
        created_at = excluded.created_at, closed_at = excluded.closed_at
"""


def _new_holds(business_id: UUID, wanted: Sequence[Wanted]) -> Insert:
    holds = [
        {
            "id": hold.id,
            "business_id": business_id,
            "order_id": hold.order_id,
            "product_id": hold.product_id,
            "quantity": hold.quantity,
            "status": Status.ACTIVE,
            "expires_at": hold.expires_at,
            "created_at": hold.since,
            "closed_at": None,
        }
        for hold in wanted
    ]
    return Insert(StockReservation, holds, MADE_ANEW)


def change_holds(
    *,
    business_id: UUID,
    order_id: UUID,
    held: Units,
    units: Units,
    channel: Channel,
    expires_at: datetime,
    actor: str,
    now: datetime,
) -> None:
    """Make an order hold exactly these units instead of those that `units_held` told of, by moving only the
    difference, all or nothing.

    Raises ShelfShort; not if the caller admitted the units to a locked shelf.
    """
    differences = {
        product_id: units.get(product_id, 0) - held.get(product_id, 0) for product_id in {**held, **units}
    }
    holds = StockReservation.objects.of(business_id).of_orders([order_id]).active()
    if dropped := held.keys() - units.keys():
        holds.filter(product_id__in=dropped).update(status=Status.RELEASED, closed_at=now)
    if kept := [product_id for product_id in held.keys() & units.keys() if differences[product_id]]:
        quantity = Case(*(When(product_id=product_id, then=Value(units[product_id])) for product_id in kept))
        holds.filter(product_id__in=kept).update(quantity=quantity)
    new = [
        Wanted(order_id, product_id, quantity, since=now, expires_at=expires_at)
        for product_id, quantity in units.items()
        if product_id not in held
    ]
    stock.move(
        business_id=business_id,
        also=[_new_holds(business_id, new)],
        moves=[
            Move(
                product_id,
                Kind.RESERVED if difference > 0 else Kind.RELEASED,
                now,
                reserved_delta=difference,
                order_id=order_id,
                channel=channel if difference > 0 else None,
            )
            for product_id, difference in differences.items()
            if difference
        ],
        actor=actor,
    )


def units_held(*, business_id: UUID, order_ids: Collection[UUID]) -> dict[UUID, dict[UUID, int]]:
    """What each order holds now, of each product. The holds can't be taken back until the transaction ends."""
    held: dict[UUID, dict[UUID, int]] = {order_id: {} for order_id in order_ids}
    holds = _held_by(business_id, order_ids).values_list("order_id", "product_id", "quantity")
    for order_id, product_id, quantity in holds:
        held[order_id][product_id] = quantity
    return held


def release(*, business_id: UUID, order_ids: Collection[UUID], actor: str, now: datetime) -> None:
    """Give back what these orders hold."""
    _give_back(business_id, _held_by(business_id, order_ids), Kind.RELEASED, actor=actor, now=now)


def expire(*, business_id: UUID, order_ids: Collection[UUID], actor: str, now: datetime) -> None:
    """Give back what these orders hold, because their time is up."""
    if order_ids:
        _give_back(business_id, _held_by(business_id, order_ids), Kind.EXPIRED, actor=actor, now=now)


def convert(*, business_id: UUID, sold_at: Mapping[UUID, datetime], actor: str) -> None:
    """Turn what these orders hold into sales, each at its time: the units leave the shelf."""
    if not sold_at:
        return
    times = {str(order_id): at.isoformat() for order_id, at in sold_at.items()}
    _end(business_id, _held_by(business_id, sold_at), Kind.SOLD, actor=actor, at=(OF_ORDER, json.dumps(times)))


def restock(*, business_id: UUID, order_id: UUID, actor: str, now: datetime, reason: str) -> None:
    """Put the units of a sale that was called off back on the shelf."""
    sold = StockReservation.objects.of(business_id).of_orders([order_id]).filter(status=Status.CONVERTED)
    _give_back(business_id, sold.lock(), Kind.RETURNED, actor=actor, now=now, reason=reason)


def extend(*, business_id: UUID, order_id: UUID, until: datetime, now: datetime) -> int:
    """Let an order's holds live until `until`; a hold whose time is up is not revived. Returns how many live."""
    holds = StockReservation.objects.of(business_id).of_orders([order_id]).active().filter(expires_at__gt=now)
    return holds.update(expires_at=until)


def keep(*, business_id: UUID, order_id: UUID, until: datetime) -> int:
    """Let all that an order holds live until `until` at least, for it waits that long; though the time of some is
    up, nobody else has taken them. Returns how many."""
    holds = StockReservation.objects.of(business_id).of_orders([order_id]).active().filter(expires_at__lt=until)
    return holds.update(expires_at=until)


# Holds whose end the ledger knows already, or that it never knew: no unit is moved for them.
CLOSE_UNMOVED = """
    UPDATE reservations_stockreservation AS hold SET status = %s, closed_at = %s
    WHERE business_id = %s AND order_id = %s AND status = 'active' AND quantity <> (
        SELECT coalesce(sum(reserved_delta), 0) FROM catalog_stockmovement AS line
        WHERE line.order_id = hold.order_id AND line.product_id = hold.product_id
    )
"""


def end_leftovers(*, business_id: UUID, order_id: UUID, kind: Kind, actor: str, now: datetime, reason: str) -> int:
    """End the holds that an order has, and should not have any more: as sold, as released, or as reconciled when
    there is no such order, which the ledger can't name then. Returns how many there were."""
    holds = _held_by(business_id, [order_id])
    leftovers = len(holds)
    with connection.cursor() as cursor:
        cursor.execute(CLOSE_UNMOVED, [ENDS[kind][0], now, business_id, order_id])
    _give_back(business_id, holds.all(), kind, actor=actor, now=now, reason=reason)
    return leftovers


def _held_by(business_id: UUID, order_ids: Iterable[UUID]) -> StockReservationQuerySet:
    return StockReservation.objects.of(business_id).of_orders(order_ids).active().lock()


# Locked and changed in one statement: what was ended by somebody else meanwhile is not among them any more.
END = """
    UPDATE reservations_stockreservation SET status = %s, closed_at = {at}
    WHERE id = ANY(ARRAY({holds}))
    RETURNING product_id, {order} AS order_id, closed_at AS at,
        quantity * %s AS stock_delta, quantity * %s AS reserved_delta
"""

# When holds end: all at one instant, or each at its order's.
AT_ONCE = "%s"
OF_ORDER = "(%s::jsonb ->> order_id::text)::timestamptz"

# How holds end: as what, and the sign with which their units move stock and reserved.
ENDS = {
    Kind.SOLD: (Status.CONVERTED, -1, -1),
    Kind.RELEASED: (Status.RELEASED, 0, -1),
    Kind.EXPIRED: (Status.EXPIRED, 0, -1),
    Kind.RETURNED: (Status.RELEASED, 1, 0),
    Kind.RECONCILED: (Status.RELEASED, 0, -1),
}


def _give_back(
    business_id: UUID, holds: StockReservationQuerySet, kind: Kind, *, actor: str, now: datetime, reason: str = ""
) -> None:
    """End the holds that a locking query finds, and put their units back."""
    _end(business_id, holds, kind, actor=actor, at=(AT_ONCE, now), reason=reason)


def _end(
    business_id: UUID,
    holds: StockReservationQuerySet,
    kind: Kind,
    *,
    actor: str,
    at: tuple[str, datetime | str],
    reason: str = "",
) -> None:
    """End the holds that a locking query finds, at an instant that is SQL and its parameter."""
    status, stock_sign, reserved_sign = ENDS[kind]
    ids, params = holds.values("id").query.sql_with_params()
    when, instant = at
    order = "NULL::uuid" if kind == Kind.RECONCILED else "order_id"
    stock.move_rows(
        business_id=business_id,
        statement=END.format(at=when, holds=ids, order=order),
        params=[status, instant, *params, stock_sign, reserved_sign],
        kind=kind,
        actor=actor,
        reason=reason,
    )
