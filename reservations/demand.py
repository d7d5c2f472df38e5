"""Lost demand: what buyers asked for and could not have.

A flash sale refuses ninety-nine orders for one that it takes, so a refusal writes no row: it is counted in Redis,
by business and minute, and a job folds the counts into RefusedDemand. With Redis away refusals go uncounted, and
the sale goes on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

from orders_project.locks import ask

KEPT_FOR = timedelta(days=1)  # as long as the job that folds may be away
# A minute is counted no more when it is over by so much: whoever counts in it was answered long before.
FINAL_AFTER = timedelta(minutes=2)

ORDERS = "orders"  # what counts the refused orders of a minute; the others are "refusals|units:product:channel"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An order that was refused: through which channel it came, and how many units more of each product it asked
    for than were available."""

    channel: str
    missing: Mapping[str, int]


COUNT = """
    for i = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[2], ARGV[i], ARGV[i + 1]) end
    redis.call('SADD', KEYS[1], ARGV[1])
    for _, name in ipairs(KEYS) do redis.call('EXPIRE', name, ARGV[2]) end
"""


def count_refusals(*, business_id: UUID, refusals: Sequence[Refusal], now: datetime) -> None:
    """Count orders that were refused for want of stock, all of them in one round trip. Never raises for Redis."""
    if not refusals:
        return
    counts = Counter({ORDERS: len(refusals)})
    for refusal in refusals:
        for product_id, units in refusal.missing.items():
            counts[f"refusals:{product_id}:{refusal.channel}"] += 1
            counts[f"units:{product_id}:{refusal.channel}"] += units
    minute = int(minute_of(now).timestamp())
    names = [_minutes_of(business_id), f"{_minutes_of(business_id)}:{minute}"]
    ask(COUNT, names, minute, int(KEPT_FOR.total_seconds()), *(part for count in counts.items() for part in count))


def minute_of(instant: datetime) -> datetime:
    """The minute that an instant is in, by its beginning."""
    return instant.replace(second=0, microsecond=0)


def _minutes_of(business_id: UUID) -> str:
    return f"refused:{business_id}"


# --- Folding -----------------------------------------------------------------------------------

Counts = Mapping[str, int]  # of one minute

READ = """
    local told = {}
    for _, minute in ipairs(redis.call('SMEMBERS', KEYS[1])) do
        told[#told + 1] = {minute, redis.call('HGETALL', KEYS[1] .. ':' .. minute)}
    end
    return told
"""
FORGET = "return redis.call('SREM', KEYS[1], unpack(ARGV))"


def counted(business_id: UUID) -> dict[datetime, Counts]:
    """The counts of the minutes that are not final yet; none with Redis away."""
    return {
        datetime.fromtimestamp(int(minute), UTC): {
            name.decode(): int(count) for name, count in zip(counts[::2], counts[1::2], strict=True)
        }
        for minute, counts in ask(READ, [_minutes_of(business_id)]) or []
    }


# What was counted, at the prices of now.
TOLD = """
    SELECT %(business)s::uuid AS business_id, minute, product.id AS product_id, channel, refusals, units,
        least(units * price, %(largest)s) AS value, currency
    FROM json_to_recordset(%(told)s)
        AS told(minute timestamptz, product uuid, channel text, refusals int, units bigint)
    JOIN catalog_product AS product ON product.business_id = %(business)s AND product.id = told.product
"""
COLUMNS = "business_id, minute, product_id, channel, refusals, units, value, currency"
# What is there already is raised, never lowered: so it may be folded twice, and Redis may have lost its counts.
FOLD = f"""
    INSERT INTO reservations_refuseddemand AS known ({COLUMNS})
    SELECT {COLUMNS} FROM ({TOLD}) AS told ORDER BY minute, product_id, channel
    ON CONFLICT (business_id, minute, product_id, channel) DO UPDATE SET
        refusals = greatest(known.refusals, excluded.refusals), units = greatest(known.units, excluded.units),
        value = greatest(known.value, excluded.value)
    WHERE known.refusals < excluded.refusals OR known.units < excluded.units
"""  # noqa: S608  # our own columns
LARGEST_VALUE = Decimal(10) ** 16  # what the column can hold; a slip of the finger may ask for more


def fold(*, business_id: UUID, counts: Mapping[datetime, Counts]) -> int:
    """Write down the counts of these minutes. Returns how many rows changed."""
    with connection.cursor() as cursor:
        cursor.execute(FOLD, _parameters(business_id, counts))
        return cursor.rowcount


def _parameters(business_id: UUID, counts: Mapping[datetime, Counts]) -> dict[str, Any]:
    told = [
        {
            "minute": minute,
            "product": product,
            "channel": channel,
            "refusals": of_minute[name],
            "units": of_minute[f"units:{product}:{channel}"],
        }
        for minute, of_minute in counts.items()
        for name in of_minute
        for what, _, rest in [name.partition(":")]
        if what == "refusals"
        for product, _, channel in [rest.partition(":")]
    ]
    return {"business": business_id, "told": msgspec.json.encode(told).decode(), "largest": LARGEST_VALUE}


def forget_final(*, business_id: UUID, minutes: Sequence[datetime], now: datetime) -> None:
    """Don't count these minutes again, those that are final: they were written down, and that is committed."""
    final = [int(minute.timestamp()) for minute in minutes if minute < now - FINAL_AFTER]
    if final:
        ask(FORGET, [_minutes_of(business_id)], *final)


# --- Reading -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LostDemand:
    """What was asked for of one product through one channel and could not be had."""

    product_id: UUID
    sku: str
    name: str
    channel: str
    refusals: int
    units: int
    value: Decimal
    currency: str


# Of a minute that was written down and is counted still: the one who knows of more refusals, and of two who know
# of as many the one who asked for the price first.
KNOWN = f"""
    WITH known AS (
        SELECT {COLUMNS}, true AS written FROM reservations_refuseddemand WHERE business_id = %(business)s
        UNION ALL SELECT {COLUMNS}, false FROM ({TOLD}) AS told
    ), lost AS (
        SELECT DISTINCT ON (minute, product_id, channel) {COLUMNS}
        FROM known WHERE minute >= %(since)s AND minute < %(until)s
        ORDER BY minute, product_id, channel, refusals DESC, written DESC
    )
"""  # noqa: S608  # our own columns
LOST = f"""
    {KNOWN}
    SELECT product_id, sku, name, channel, sum(refusals)::bigint, sum(units)::bigint, sum(value) AS worth,
        lost.currency
    FROM lost JOIN catalog_product AS product ON product.id = product_id
    GROUP BY product_id, sku, name, channel, lost.currency ORDER BY worth DESC, sku, channel
"""  # noqa: S608  # our own columns
UNITS = f"""
    {KNOWN}
    SELECT date_bin(%(step)s, minute, %(since)s) AS start, sum(units)::bigint FROM lost GROUP BY start
"""  # noqa: S608  # our own columns


def lost_demand(*, business_id: UUID, since: datetime, until: datetime) -> list[LostDemand]:
    """The lost demand from the minute of one instant until another, the dearest first."""
    with connection.cursor() as cursor:
        cursor.execute(LOST, _between(business_id, since, until))
        return [LostDemand(*row) for row in cursor]


def units_lost(*, business_id: UUID, since: datetime, until: datetime, step: timedelta) -> dict[datetime, int]:
    """How many units could not be had in each step of so long from the minute of `since`, by when the step began.
    A step without any is left out."""
    parameters: dict[str, Any] = {**_between(business_id, since, until), "step": step}
    with connection.cursor() as cursor:
        cursor.execute(UNITS, parameters)
        return dict(cursor)


def _between(business_id: UUID, since: datetime, until: datetime) -> dict[str, Any]:
    told = _parameters(business_id, counted(business_id))
    return {**told, "since": minute_of(since), "until": until}
