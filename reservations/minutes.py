"""What became of a business's holds, minute by minute, for the charts of stock health: counted from the ledger,
and kept, so that a week is read as fast as an hour."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import F, Max, Sum

from catalog.jobs import for_each
from catalog.models import Business, StockMovement
from reservations import demand
from reservations.demand import FINAL_AFTER, ORDERS, Counts, minute_of
from reservations.models import StockMinute

MINUTE = timedelta(minutes=1)
REACH = timedelta(days=8)  # how far back minutes are counted where none was written yet; no chart goes further


class Minute(NamedTuple):
    """One minute of a business, as it is counted and kept. A week has ten thousand, too many for model objects."""

    business_id: UUID
    minute: datetime
    made: int
    converted: int
    expired: int
    released: int
    placed: int
    refused: int
    seconds_to_pay: int
    held_units: int
    available_units: int


class Levels(NamedTuple):
    """The units of a business at some instant: held, and available."""

    held: int
    available: int


# The levels at the end of a minute are those before the first of them and what the ledger says since. The counters
# are not asked: one that is broken would break the past with it. What was refused is in Redis, and once the minute
# is final only where it was written down.
COUNTED = """
    WITH moved AS (
        SELECT date_trunc('minute', movement.at) AS minute, kind, movement.order_id, stock_delta, reserved_delta,
            extract(epoch FROM movement.at - hold.created_at) AS seconds
        FROM catalog_stockmovement AS movement
        LEFT JOIN reservations_stockreservation AS hold ON kind = 'sold'
            AND hold.order_id = movement.order_id AND hold.product_id = movement.product_id
        WHERE movement.business_id = %(business)s AND movement.at >= %(since)s
    ), counted AS (
        SELECT minute,
            count(*) FILTER (WHERE kind = 'reserved') AS made,
            count(*) FILTER (WHERE kind = 'sold') AS converted,
            count(*) FILTER (WHERE kind = 'expired') AS expired,
            count(*) FILTER (WHERE kind = 'released') AS released,
            count(DISTINCT order_id) FILTER (WHERE kind = 'reserved') AS placed,
            greatest(sum(seconds), 0) AS seconds_to_pay,
            sum(stock_delta) AS stock,
            sum(reserved_delta) AS reserved
        FROM moved GROUP BY minute
    ), refused AS (
        SELECT minute, max(refused) AS refused FROM (
            SELECT * FROM json_to_recordset(%(refused)s) AS told(minute timestamptz, refused int)
            UNION ALL
            SELECT minute, refused FROM reservations_stockminute
            WHERE business_id = %(business)s AND minute >= %(since)s
        ) AS told GROUP BY minute
    )
    SELECT %(business)s::uuid AS business_id, minute,
        coalesce(made, 0) AS made, coalesce(converted, 0) AS converted, coalesce(expired, 0) AS expired,
        coalesce(released, 0) AS released, coalesce(placed, 0) AS placed, coalesce(refused, 0) AS refused,
        coalesce(seconds_to_pay, 0)::bigint AS seconds_to_pay,
        (%(held)s + coalesce(sum(counted.reserved) OVER so_far, 0))::bigint AS held_units,
        (%(available)s + coalesce(sum(counted.stock - counted.reserved) OVER so_far, 0))::bigint AS available_units
    FROM counted FULL JOIN refused USING (minute)
    WINDOW so_far AS (ORDER BY minute)
    ORDER BY minute
"""
COUNTS = ("made", "converted", "expired", "released", "placed", "refused", "seconds_to_pay")
LEVELS = ("held_units", "available_units")  # as the fields of Levels are
COLUMNS = Minute._fields

# Counts only grow: two folds at once, of which one saw less, and counts that Redis lost, take nothing away.
FOLD = f"""
    INSERT INTO reservations_stockminute AS known ({", ".join(COLUMNS)})
    SELECT {", ".join(COLUMNS)} FROM ({COUNTED}) AS counted
    ON CONFLICT (business_id, minute) DO UPDATE SET
        {", ".join(f"{name} = greatest(known.{name}, excluded.{name})" for name in COUNTS)},
        {", ".join(f"{name} = excluded.{name}" for name in LEVELS)}
"""  # noqa: S608  # our own columns


def fold_minutes(*, now: datetime) -> int:
    """Write down the minutes that have something new, of every business: those since the last that was written,
    and those of REACH at first. Safe to run twice at once. Returns how many rows were written, and raises what
    `for_each` does."""
    return for_each(Business.objects.values_list("id", flat=True), lambda business_id: _fold(business_id, now))


def _fold(business_id: UUID, now: datetime) -> int:
    refused = demand.counted(business_id)
    rows = demand.fold(business_id=business_id, counts=refused)
    since = min([_unsettled(business_id, now), *refused])
    moved = StockMovement.objects.of(business_id).filter(at__gte=since + FINAL_AFTER)
    if refused or since > now - 2 * FINAL_AFTER or moved.exists():
        # What came late into the ledger, as what is imported does, is in no minute that was settled: so every hour
        # begins with all of the ledger added up.
        hour = now.replace(minute=0, second=0, microsecond=0)
        levels = levels_before(business_id=business_id, minute=since, carried_from=hour)
        with connection.cursor() as cursor:
            cursor.execute(FOLD, _parameters(business_id, since, refused, levels))
            rows += cursor.rowcount
    demand.forget_final(business_id=business_id, minutes=list(refused), now=now)
    return rows


def _parameters(
    business_id: UUID, since: datetime, refused: Mapping[datetime, Counts], levels: Levels | None
) -> dict[str, Any]:
    orders = [
        {"minute": minute, "refused": counts.get(ORDERS, 0)}
        for minute, counts in refused.items()
        if minute >= since
    ]
    told = msgspec.json.encode(orders).decode()
    return {"business": business_id, "since": since, "refused": told, **(levels or Levels(0, 0))._asdict()}


def _unsettled(business_id: UUID, now: datetime) -> datetime:
    """The first minute of a business that may have more than was written down: the one before the last, into which
    a slow transaction may come yet. So long ago as REACH where nothing was written."""
    last = StockMinute.objects.filter(business=business_id).aggregate(last=Max("minute"))["last"]
    return last - MINUTE if last else minute_of(now - REACH)


# --- Reading -----------------------------------------------------------------------------------


def levels_before(*, business_id: UUID, minute: datetime, carried_from: datetime | None = None) -> Levels | None:
    """The levels of a business when a minute began, or None if it never had a unit: those of the last minute
    before it that was written down, at `carried_from` or later; without one, what its ledger adds up to."""
    written = StockMinute.objects.filter(business=business_id, minute__lt=minute)
    if carried_from is not None:
        written = written.filter(minute__gte=carried_from)
    if last := written.order_by("-minute").values_list(*LEVELS).first():
        return Levels(*last)
    ledger = StockMovement.objects.of(business_id).filter(at__lt=minute)
    added_up = ledger.aggregate(held=Sum("reserved_delta"), available=Sum(F("stock_delta") - F("reserved_delta")))
    return None if added_up["held"] is None else Levels(**added_up)


def minutes_since(*, business_id: UUID, since: datetime, now: datetime) -> list[Minute]:
    """The minutes of a business from that of `since` until now, in their order: those that were written down, and
    those that nobody has written down yet, as they are at this moment."""
    since = minute_of(since)
    unsettled = max(since, _unsettled(business_id, now))
    written = StockMinute.objects.filter(business=business_id, minute__gte=since, minute__lt=unsettled)
    levels = levels_before(business_id=business_id, minute=unsettled)
    with connection.cursor() as cursor:
        cursor.execute(COUNTED, _parameters(business_id, unsettled, demand.counted(business_id), levels))
        return [*map(Minute._make, written.order_by("minute").values_list(*COLUMNS)), *map(Minute._make, cursor)]


@dataclass(frozen=True, slots=True)
class RefusalRate:
    """Of the orders that asked for stock: how many got it, and how many were refused."""

    placed: int
    refused: int

    @property
    def asked(self) -> int:
        return self.placed + self.refused

    @property
    def share(self) -> float:
        """Of the refused ones, between 0 and 1."""
        return self.refused / self.asked if self.refused else 0.0


def refusal_rate(*, business_id: UUID, since: datetime, now: datetime) -> RefusalRate:
    """How many orders were refused from the minute of `since` until now."""
    return rate_since(since, minutes_since(business_id=business_id, since=since, now=now))


def rate_since(since: datetime, minutes: Iterable[Minute]) -> RefusalRate:
    """The same for who has the minutes already, and maybe more of them."""
    last = [minute for minute in minutes if minute.minute >= minute_of(since)]
    return RefusalRate(sum(minute.placed for minute in last), sum(minute.refused for minute in last))
