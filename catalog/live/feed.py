"""The live feed of a business, in Redis: what has changed, and what was told of it.

Who changes something only notes which products and orders it were. The notes of a tenth of a second go to Redis
together, from a thread of their own: a slow Redis keeps nobody waiting, and while it is away they are kept here.
The ticker of a web process turns them into events, which stand in a stream for those who come back.

The stream is there as long as somebody listens, and a while longer. Without one nothing is marked; so one that
was made anew has an epoch of its own, and whoever comes from another one must look at everything again.
"""

import logging
import re
import secrets
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any
from uuid import UUID

import msgspec
import redis
from django.conf import settings
from django.db import transaction

from orders_project.locks import AWAY_FOR

logger = logging.getLogger(__name__)

TOGETHER = 0.1  # seconds for which notes are gathered
KEPT = 1000  # events, for those who come back
KEPT_FOR = 600  # seconds after the last one has left
MOST_MARKS = 1000  # of products or of orders; when more wait to be told, those who look must look at everything
AT_ONCE = 100  # of each kind in one tick
TURN = 5000  # milliseconds for which a process may take to tell what it took
TICK = 250  # milliseconds at least between two ticks for a business, in whatever processes

RELOAD = '{"type":"reload"}'

_json = msgspec.json.Encoder(decimal_format="string")


@cache
def client() -> Any:  # redis-py's types don't know of decode_responses
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=1,
        socket_connect_timeout=1,
        health_check_interval=1,  # of a Redis that was away meanwhile, the old connections are useless
        decode_responses=True,
    )


# --- Those who change something ----------------------------------------------------------------


@dataclass(slots=True)
class _Notes:
    """What is to be told of a business."""

    products: set[str] = field(default_factory=set)
    orders: set[str] = field(default_factory=set)
    news: list[str] = field(default_factory=list)

    def add(self, products: Iterable[str], orders: Iterable[str], news: Iterable[str]) -> None:
        # What is over the limit is not told one by one, so there is no need to know it.
        if len(self.products) <= MOST_MARKS:
            self.products.update(products)
        if len(self.orders) <= MOST_MARKS:
            self.orders.update(orders)
        self.news.extend(news)
        del self.news[:-KEPT]


_notes: defaultdict[UUID | None, _Notes] = defaultdict(_Notes)
_noting = threading.Lock()
_messenger: threading.Timer | None = None


def touch_products(business_id: UUID, product_ids: Iterable[UUID]) -> None:
    """The counters of these products changed: to be told when the transaction is committed."""
    transaction.on_commit(partial(_note, business_id, products=list(product_ids)))


def touch_orders(business_id: UUID, order_ids: Iterable[UUID]) -> None:
    """These orders changed: to be told when the transaction is committed."""
    transaction.on_commit(partial(_note, business_id, orders=list(order_ids)))


def publish(business_id: UUID | None, type: str, facts: Mapping[str, Any]) -> None:
    """Tell of an event, with its facts, when the transaction is committed; without a business tell everyone."""
    transaction.on_commit(partial(_note, business_id, news=[text_of({"type": type, **facts})]))


def text_of(event: Mapping[str, Any]) -> str:
    """An event, or what else a client is told, as JSON."""
    return _json.encode(event).decode()


def _note(
    business_id: UUID | None,
    *,
    products: Iterable[UUID] = (),
    orders: Iterable[UUID] = (),
    news: Iterable[str] = (),
) -> None:
    with _noting:
        _notes[business_id].add(map(str, products), map(str, orders), news)
        _send_off()


def _send_off(*, again: bool = False) -> None:
    global _messenger
    if _messenger is None or not _messenger.is_alive():
        _messenger = threading.Timer(AWAY_FOR if again else TOGETHER, _deliver)
        _messenger.daemon = again  # a process ends when its notes are delivered, but waits for no Redis
        _messenger.start()


# Marks what changed, if somebody listens. The value of a mark tells whether it was made anew meanwhile.
MARK = """
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
    local notes = cjson.decode(ARGV[1])
    for _, event in ipairs(notes.news) do redis.call('RPUSH', KEYS[2], event) end
    for i, ids in ipairs({notes.products, notes.orders}) do
        for _, id in ipairs(ids) do redis.call('HSET', KEYS[2 + i], id, ARGV[2]) end
        if redis.call('HLEN', KEYS[2 + i]) > tonumber(ARGV[3]) then
            redis.call('DEL', KEYS[2 + i])
            redis.call('RPUSH', KEYS[2], ARGV[4])
        end
    end
    redis.call('LTRIM', KEYS[2], -tonumber(ARGV[3]), -1)
    for i = 2, 4 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
    return 1
"""


def _deliver() -> None:
    """Mark in Redis what was noted; with Redis away it is kept, and tried again."""
    global _messenger
    with _noting:
        told = dict(_notes)
        _notes.clear()
    away = False
    try:
        for business_id in list(told):
            _mark(business_id, told[business_id])
            del told[business_id]
    except redis.RedisError as error:
        logger.warning("Redis is away; what changed is told when it is back: %s", error)
        away = True
    with _noting:
        _messenger = None
        for business_id, notes in told.items():
            newer = _notes[business_id]
            notes.add(newer.products, newer.orders, newer.news)
            _notes[business_id] = notes
        if _notes:
            _send_off(again=away)


def _mark(business_id: UUID | None, notes: _Notes) -> None:
    businesses = client().smembers(FEEDS) if business_id is None else [str(business_id)]
    for business in businesses:
        keys = [_feed(business), *_marks(business)]
        stamp = secrets.token_hex(4)
        try:
            marked = _script(MARK)(keys=keys, args=[_json.encode(notes), stamp, MOST_MARKS, RELOAD, KEPT_FOR])
        except redis.ResponseError:  # it is there, and would refuse this again
            logger.exception("Redis refuses what changed; those who listen are not told of it.")
            continue
        if not marked and business_id is None:
            client().srem(FEEDS, business)


# --- Those who listen ----------------------------------------------------------------------------

FEEDS = "live:feeds"  # the businesses that have one, and some whose feed has ended since


def _feed(business_id: UUID | str) -> str:
    return f"live:{business_id}:feed"


def _marks(business_id: UUID | str) -> list[str]:
    return [f"live:{business_id}:{kind}" for kind in ("news", "products", "orders")]


@cache
def _script(text: str) -> Any:
    return client().register_script(text)


OPEN = """
    if redis.call('EXISTS', KEYS[1]) == 0 then
        redis.call('XADD', KEYS[1], ARGV[1] .. '-1', 'event', ARGV[2])
        redis.call('SADD', KEYS[2], ARGV[4])
    end
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    return redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]
"""


def position(business_id: UUID) -> str:
    """Where the feed stands now, as "epoch-sequence"; from now on changes are told. Whoever asks before reading
    the database, and listens from there on, misses nothing. Raises redis.RedisError."""
    args = [secrets.randbits(48), RELOAD, KEPT_FOR, str(business_id)]
    return str(_script(OPEN)(keys=[_feed(business_id), FEEDS], args=args))


@dataclass(frozen=True, slots=True)
class Told:
    """Events of a business, each a JSON object with its `seq`, in their order, and where the feed stands after
    them. They follow `after` without a gap."""

    after: str
    last: str
    events: list[str]


def told_since(business_id: UUID, last: str) -> Told | None:
    """What was told after the position `last`; None if that can't be said any more. Raises redis.RedisError."""
    if not POSITION.fullmatch(last):
        return None
    entries = client().xrange(_feed(business_id), min=last)
    if not entries or entries[0][0] != last:
        return None
    return Told(last, entries[-1][0], [_numbered(key, entry["event"]) for key, entry in entries[1:]])


POSITION = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


def _numbered(position: str, event: str) -> str:
    return f'{{"seq":{position.partition("-")[2]},{event[1:]}'


# --- Those who tell -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Marked:
    """What is to be told of a business. Whoever took it is the only one who tells until `tell`."""

    token: str
    news: list[str]
    products: dict[UUID, str]  # of each the value of its mark
    orders: dict[UUID, str]


# Nothing is removed yet: what a process takes that is killed then, another one tells.
TAKE = """
    redis.call('EXPIRE', KEYS[1], ARGV[3])
    if redis.call('EXISTS', KEYS[3], KEYS[4], KEYS[5]) == 0 then return nil end
    if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return nil end
    return {
        redis.call('LRANGE', KEYS[3], 0, ARGV[4] - 1),
        redis.call('HRANDFIELD', KEYS[4], ARGV[4], 'WITHVALUES'),
        redis.call('HRANDFIELD', KEYS[5], ARGV[4], 'WITHVALUES'),
    }
"""
TELL = """
    if redis.call('GET', KEYS[2]) ~= ARGV[1] then return nil end
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
    local told = cjson.decode(ARGV[3])
    redis.call('LTRIM', KEYS[3], told.news, -1)
    for i, marks in ipairs({told.products, told.orders}) do
        for id, stamp in pairs(marks) do
            if redis.call('HGET', KEYS[3 + i], id) == stamp then redis.call('HDEL', KEYS[3 + i], id) end
        end
    end
    local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
    if not newest then return nil end
    local epoch, seq = string.match(newest[1], '(%d+)-(%d+)')
    for i = 5, #ARGV do
        seq = string.format('%d', seq + 1)
        redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], epoch .. '-' .. seq, 'event', ARGV[i])
    end
    return newest[1]
"""


def take(business_id: UUID) -> Marked | None:
    """What is to be told of a business, if there is anything and it is time; keeps the feed alive. Raises
    redis.RedisError."""
    token = secrets.token_hex(8)
    taken = _script(TAKE)(keys=_keys(business_id), args=[token, TURN, KEPT_FOR, AT_ONCE])
    if taken is None:
        return None
    news, products, orders = taken
    return Marked(token, news, _pairs(products), _pairs(orders))


def tell(business_id: UUID, marked: Marked, events: Sequence[str]) -> Told | None:
    """Write down the events, JSON objects, for what was marked; what was marked anew meanwhile stays marked. None
    if it was another one's turn by now, who tells it then. Raises redis.RedisError."""
    told = _json.encode({"news": len(marked.news), "products": marked.products, "orders": marked.orders})
    after = _script(TELL)(keys=_keys(business_id), args=[marked.token, TICK, told, KEPT, *events])
    if after is None:
        return None
    epoch, _, seq = after.partition("-")
    positions = [f"{epoch}-{int(seq) + number}" for number in range(1, len(events) + 1)]
    return Told(after, [after, *positions][-1], list(map(_numbered, positions, events)))


def start_anew(business_id: UUID) -> None:
    """Begin another feed: who listens must look at everything again, for something may have been missed. Raises
    redis.RedisError."""
    client().delete(_feed(business_id))
    position(business_id)


def _keys(business_id: UUID) -> list[str]:
    return [_feed(business_id), f"live:{business_id}:turn", *_marks(business_id)]


def _pairs(flat: Sequence[str]) -> dict[UUID, str]:
    return dict(zip(map(UUID, flat[::2]), flat[1::2], strict=True))
