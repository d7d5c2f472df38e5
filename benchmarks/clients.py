"""What clients of the API do, as load. What they were answered is held against what the database has."""

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.test import Client

from benchmarks import data, stack
from benchmarks.data import SKUS, Shop
from benchmarks.load import THREADS, Load, wrk
from benchmarks.stack import Failed

CONNECTIONS = 64


def place(
    web: str, shops: Sequence[Shop], *, skus: int = SKUS, lines: int = 1, connections: int = CONNECTIONS
) -> Load:
    """Place orders at shops by turns, each with an Idempotency-Key and an external_id of its own."""
    before = _rows_of("orders_order")
    load = ask_for_orders(web, shops, skus=skus, lines=lines, connections=connections)
    _hold_against(load, _rows_of("orders_order") - before, connections)
    return load


def ask_for_orders(
    web: str, shops: Sequence[Shop], *, skus: int = SKUS, lines: int = 1, connections: int = CONNECTIONS
) -> Load:
    """What `place` sends, to a web server that may store nothing."""
    with _file(shop.key for shop in shops) as keys:
        arguments = (next(data.runs), keys, skus, lines)
        return wrk(f"{web}/api/v1/orders", "place", *arguments, connections=connections)


def place_in_bulk(web: str, shop: Shop, *, size: int, connections: int) -> Load:
    """Place orders, `size` of them in a request. The load counts requests."""
    before = _rows_of("orders_order")
    with _file([shop.key]) as key:
        arguments = (next(data.runs), key, SKUS, size)
        load = wrk(f"{web}/api/v1/orders/bulk", "bulk", *arguments, connections=connections)
    _hold_against(load, (_rows_of("orders_order") - before) / size, connections)
    return load


def pay(web: str, shop: Shop, orders: Iterable[str]) -> Load:
    """Pay for orders, each of them "id total", once. There must be more of them than can be paid in SECONDS."""
    before = _rows_of("orders_payment")
    with _file([shop.key]) as key, _file(orders) as listed:
        load = wrk(web, "pay", THREADS, key, listed, connections=CONNECTIONS)
    _hold_against(load, _rows_of("orders_payment") - before, CONNECTIONS)
    return load


def read(web: str, shop: Shop, paths: Iterable[str]) -> Load:
    """Get any of the paths, again and again."""
    with _file([shop.key]) as key, _file(paths) as listed:
        return wrk(web, "read", key, listed, connections=CONNECTIONS)


@contextmanager
def _file(lines: Iterable[str]) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(lines))
        file.flush()
        yield file.name


def _rows_of(table: str) -> int:
    """How many rows there are once the requests that nobody waits for any more are done."""
    with stack.connect() as database:

        def count() -> int:
            ((rows,),) = database.execute(f"SELECT count(*) FROM {table}")
            return rows

        before, now = -1, count()
        while before != now:
            time.sleep(0.2)
            before, now = now, count()
        return now


def _hold_against(load: Load, written: float, connections: int) -> None:
    """Every answer wrote what it said, and nothing else was written but what was under way at the end."""
    if not load.answers <= written <= load.answers + connections:
        raise Failed(f"{load.answers} answers, but {written:g} in the database")


def staff_headers() -> dict[str, str]:
    """What the browser of somebody who runs Holdfast sends: they are signed in."""
    browser = Client()
    person, _ = get_user_model().objects.get_or_create(username="staff", is_staff=True, is_superuser=True)
    browser.force_login(person)
    return {"Cookie": f"sessionid={browser.cookies['sessionid'].value}"}
