"""The ticker of a web process: a few times a second it turns what was marked into events, and tells them to all
who listen, here and in the other processes."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import redis
from channels.layers import get_channel_layer

from catalog import watching
from catalog.live import feed
from catalog.live.sockets import Listener, frame_of, group_of, in_thread, send_away
from catalog.serializers import show_availability
from orders_project.clock import database_now
from orders_project.locks import AWAY_FOR
from orders_project.rows import select

logger = logging.getLogger(__name__)

TICK = 0.3  # seconds
WATCH = 15

Event = Mapping[str, Any]

SHELVES = """
    SELECT product_id, sku, stock_quantity, reserved_stock, version,
        coalesce(low_stock_threshold, low_stock_default)
    FROM catalog_stock AS stock
    JOIN catalog_product AS product ON product.id = product_id
    JOIN catalog_business AS business ON business.id = stock.business_id
    WHERE stock.business_id = %s AND product_id = ANY(%s)
"""


def stock_events(business_id: UUID, product_ids: Sequence[UUID]) -> list[Event]:
    """How these shelves stand now: stock.changed, and stock.low of those that are at their threshold or under."""
    events: list[Event] = []
    for *row, threshold in select(SHELVES, business_id, product_ids):
        shelf = show_availability(*row)
        events.append({"type": "stock.changed", **shelf})
        if shelf["available"] <= threshold:
            events.append({"type": "stock.low", **shelf, "threshold": threshold})
    return events


def watch_products(business_id: UUID, product_ids: Collection[UUID]) -> None:
    """Open and close the alerts of these products of a business."""
    watching.watch_products(business_id=business_id, product_ids=product_ids, now=database_now())


def watch_jobs() -> None:
    """Open and close the alerts of jobs that are late: also those of a worker that is dead."""
    watching.watch_jobs(now=database_now())


class Ticker:
    """Tells those who listen, and looks after the shelves that changed and after the jobs.

    `order_events` are those of some orders of a business, which this room knows nothing of.
    """

    def __init__(self, order_events: Callable[[UUID, Sequence[UUID]], Iterable[Event]]) -> None:
        self._order_events = order_events
        self._mistrusted: set[UUID] = set()  # businesses whose listeners may have missed something
        self._moved: defaultdict[UUID, set[UUID]] = defaultdict(set)  # products of each that are to be watched

    async def run(self) -> None:
        """Tick until it is cancelled."""
        await asyncio.gather(
            self._every(TICK, self._tick),
            self._every(TICK, self._watch_shelves),
            self._every(WATCH, self._watch_jobs),
        )

    async def _every(self, seconds: float, work: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:  # it goes on; who is at fault is in the log
                logger.exception("The live feed stumbled.")
                await asyncio.sleep(AWAY_FOR)

    async def _watch_shelves(self) -> None:
        for business_id in list(self._moved):
            product_ids = self._moved.pop(business_id)
            try:
                await in_thread(watch_products, business_id, product_ids)
            except BaseException:  # they are watched later, after those of other businesses
                self._moved[business_id] |= product_ids
                raise

    async def _watch_jobs(self) -> None:
        await in_thread(watch_jobs)

    async def _tick(self) -> None:
        businesses = set(Listener.here)
        try:
            for business_id in list(self._mistrusted):
                await in_thread(feed.start_anew, business_id)
                self._mistrusted.remove(business_id)
                await self._send(business_id)
            for business_id in businesses:
                if (marked := await in_thread(feed.take, business_id)) is not None:
                    await self._tell(business_id, marked)
        except redis.RedisError as error:
            logger.warning("Redis is away; those who listen are sent away to come back: %s", error)
            self._mistrusted |= businesses
            send_away()
            await asyncio.sleep(AWAY_FOR)

    async def _tell(self, business_id: UUID, marked: feed.Marked) -> None:
        """Tell what was marked of a business, as it stands now."""
        told = await in_thread(self._write_down, business_id, marked)
        if told is not None and told.events:
            await self._send(business_id, after=told.after, last=told.last, frame=frame_of(told))
        if marked.products:
            self._moved[business_id].update(marked.products)

    async def _send(self, business_id: UUID, **told: str) -> None:
        await get_channel_layer().group_send(group_of(business_id), {"type": "told", **told})

    def _write_down(self, business_id: UUID, marked: feed.Marked) -> feed.Told | None:
        events = [
            *(stock_events(business_id, list(marked.products)) if marked.products else []),
            *(self._order_events(business_id, list(marked.orders)) if marked.orders else []),
        ]
        return feed.tell(business_id, marked, [*marked.news, *map(feed.text_of, events)])
