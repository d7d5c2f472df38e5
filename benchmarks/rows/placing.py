"""Orders: one by one, of one much-wanted product, all at once, in bulk, and with everything else going on."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median

from websockets.sync import client as websocket

from benchmarks import data
from benchmarks.clients import place, place_in_bulk, staff_headers
from benchmarks.load import ROUNDS, Load, crowd, in_turn, pgbench
from benchmarks.stack import EVERYTHING, Failed, bare_handler, connect, running, servers_up, verify
from benchmarks.table import Figure, row

BULK = 500  # orders of a request
BULK_CONNECTIONS = 4
CROWD = 1_000
OPEN_PAGES = 10
SETTLED = 5  # seconds that a worker and beat need to start


@row(
    "1",
    "Orders placed one by one: 1 line, 10,000 SKUs, 64 connections",
    bound="""CPU: a web process takes about 0.4 ms for an order and PostgreSQL 0.3. A third of that is what a
        batch costs by itself (its ten statements, its commit), shared by the 16 to 30 orders that are in it.""",
    needed="""Fewer statements a batch (all look-ups in one), so that small batches cost less; then fewer foreign
        keys and indexes to write (an order is 6 rows, 8 foreign keys and some 30 index entries). 4x would take the
        intake in a compiled language, or a third core.""",
)
def one_by_one() -> Iterator[Figure]:
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop()
        placed, ceiling = in_turn(
            partial(place, web, [shop]), partial(pgbench, "place", business=shop.id, skus=data.SKUS)
        )
        verify()
    yield Figure("orders placed", placed.rate, "orders/s", f"pgbench {ceiling.rate:,.0f}", aim=10_000)
    yield Figure("over pgbench's transaction of the same rows", placed.rate / ceiling.rate, "×", target=1.3, aim=4)
    yield Figure(
        "99 of 100 answered within", placed.p99, "ms", f"half within {placed.p50:,.1f}", target=50, less=True
    )


@row(
    "2",
    "The same of one much-wanted product",
    bound="As row 1: a batch moves the one counter once, and holds its row for the length of a commit.",
    needed="Nothing of its own.",
)
def much_wanted() -> Iterator[Figure]:
    with servers_up(), running(*EVERYTHING) as web:
        spread, one = data.shop(), data.shop(skus=1)
        of_many, of_one = in_turn(partial(place, web, [spread]), partial(place, web, [one], skus=1))
        verify()
    yield Figure("orders placed", of_one.rate, "orders/s", f"10,000 SKUs {of_many.rate:,.0f}")
    yield Figure("over 10,000 SKUs", of_one.rate / of_many.rate, "×", target=0.7, aim=1)
    yield Figure("99 of 100 answered within", of_one.p99, "ms", f"10,000 SKUs {of_many.p99:,.1f}", less=True)


@row(
    "3",
    "1,000 buyers of one unit at the same moment, each on a connection of its own",
    bound="A thousand requests to read and to answer: the refusals of a batch share one look at the shelf.",
    needed="Nothing: it is reached.",
)
def last_unit() -> Iterator[Figure]:
    last, bare = [], []
    with servers_up(), running(*EVERYTHING) as web, bare_handler() as nothing:
        for number in range(1 + ROUNDS):  # the first one warms up
            shop = data.shop(skus=1, stock=1)
            requests = [_order_of(shop, f"{number}-{buyer}") for buyer in range(CROWD)]
            answers = crowd(f"{web}/api/v1/orders", requests)
            refused = sum(a.status == 409 and json.loads(a.body)["code"] == "insufficient_stock" for a in answers)
            placed = sum(answer.status == 201 for answer in answers)
            if (placed, refused) != (1, CROWD - 1):
                raise Failed(f"{placed} placed, {refused} refused of {CROWD}")
            last.append(max(answer.after for answer in answers))
            bare.append(max(answer.after for answer in crowd(f"{nothing}/api/v1/orders", requests)))
        verify()
    beside = f"a bare handler {median(bare[1:]):,.0f}"
    yield Figure("the last answer after", median(last[1:]), "ms", beside, target=1000, aim=200, less=True)


def _order_of(shop: data.Shop, key: str) -> tuple[dict[str, str], str]:
    """One unit of the shop's only product, as headers and body."""
    order = {
        "channel": "website",
        "external_id": key,
        "customer": {"name": f"Buyer {key}"},
        "items": [{"sku": "SKU-1", "quantity": 1}],
    }
    headers = {
        "Authorization": f"Api-Key {shop.key}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    return headers, json.dumps(order)


@row(
    "4",
    f"Orders placed in bulk: {BULK} orders of 1 line in a request, {BULK_CONNECTIONS} connections",
    bound="""CPU on both sides: PostgreSQL takes 0.15 to 0.2 ms for the rows of an order (its foreign keys and some
        30 index entries), Python 0.15 ms to read, decide and answer. The bare statements beside it have both cores
        to themselves: with these indexes, which the lists and filters need, not even they do 10,000 a second when
        the foreign keys are gone.""",
    needed="""PostgreSQL on cores of its own, or fewer rules and fewer filters: orders without foreign keys and
        without an index for each filter would leave room for Python.""",
)
def in_bulk() -> Iterator[Figure]:
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop()
        write = partial(pgbench, "bulk", clients=2, business=shop.id, skus=data.SKUS)
        requests, statements = in_turn(
            partial(place_in_bulk, web, shop, size=BULK, connections=BULK_CONNECTIONS), write
        )
        verify()
        drop(FOREIGN_KEYS)
        (unrelated,) = in_turn(write)
        drop(INDEXES)
        (unfiltered,) = in_turn(write)
    placed, ceiling, unrelated_rate, unfiltered_rate = (
        BULK * load.rate for load in (requests, statements, unrelated, unfiltered)
    )
    beside = f"one statement of {BULK} orders {ceiling:,.0f}"
    yield Figure("orders placed", placed, "orders/s", beside, target=10_000, aim=15_000)
    yield Figure("over a statement of the same rows", placed / ceiling, "×")
    yield Figure("the statement without foreign keys", unrelated_rate, "orders/s")
    yield Figure("the statement without foreign keys and filters' indexes", unfiltered_rate, "orders/s")
    yield Figure("half of the requests answered within", requests.p50, "ms", less=True)


# What makes a row dear, as statements that drop it.
FOREIGN_KEYS = """
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
    WHERE contype = 'f' AND connamespace = 'public'::regnamespace
"""
INDEXES = """
    SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
    JOIN pg_stat_user_indexes USING (indexrelid) WHERE NOT indisunique
"""


def drop(what: str) -> None:
    """Drop what a query names; the database is thrown away afterwards."""
    with connect() as database:
        for (statement,) in database.execute(what).fetchall():
            database.execute(statement)


@row(
    "10",
    "Row 1 with everything else going on",
    bound="""Worker and beat wake up every five seconds, the admin's page takes web CPU once a second, and what
        changes is read again and told to ten sockets three times a second. Metrics are always on.""",
    needed="""Less to tell: sockets of a shop in a rush hear of a hundred products at a time. And a lighter page
        of the admin.""",
)
def everything_on() -> Iterator[Figure]:
    with servers_up(), running("web") as web:
        shop = data.shop()
        off = partial(place, web, [shop])

        def on() -> Load:
            with running("beat", "worker"), admin_being_read(web), live_feed_being_heard(web, shop):
                time.sleep(SETTLED)
                return place(web, [shop])

        alone, among_all = in_turn(off, on)
        verify()
    yield Figure("orders placed", among_all.rate, "orders/s", f"web alone {alone.rate:,.0f}")
    yield Figure("over web alone", among_all.rate / alone.rate, "×", target=0.9, aim=1)


@contextmanager
def live_feed_being_heard(web: str, shop: data.Shop) -> Iterator[None]:
    """Some pages of the shop are open, each with its socket."""

    address, key = f"{web.replace('http', 'ws')}/ws/live", {"Authorization": f"Api-Key {shop.key}"}

    def hear(socket: websocket.ClientConnection) -> None:
        for _ in socket:
            pass

    with ExitStack() as open_pages:
        for _ in range(OPEN_PAGES):
            socket = open_pages.enter_context(websocket.connect(address, additional_headers=key))
            page = threading.Thread(target=hear, args=[socket])
            page.start()
            open_pages.callback(page.join)
            open_pages.callback(socket.close)
        yield


@contextmanager
def admin_being_read(web: str) -> Iterator[None]:
    """A person of the staff looks at the list of orders in the admin, once a second."""
    over = threading.Event()
    page = urllib.request.Request(f"{web}/admin/orders/order/", headers=staff_headers())

    def look() -> None:
        with urllib.request.urlopen(page) as answer:
            if "login" in answer.url:
                raise Failed("the admin asks for a password")

    def look_again() -> None:
        while not over.wait(1):
            look()

    look()
    person_looking = threading.Thread(target=look_again)
    person_looking.start()
    try:
        yield
    finally:
        over.set()
        person_looking.join()
