"""How the cost of an order grows, one dimension at a time; the rest is as in row 1."""

from collections.abc import Iterator
from functools import partial

from benchmarks import data
from benchmarks.clients import place
from benchmarks.load import Load, in_turn
from benchmarks.stack import EVERYTHING, running, servers_up, verify
from benchmarks.table import Figure, row


@row(
    "connections",
    "Orders placed, by connections",
    bound="One connection waits for each answer before it asks again; many keep both cores busy.",
)
def by_connections() -> Iterator[Figure]:
    sizes = (1, 16, 64, 256)
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop()
        loads = in_turn(*(partial(place, web, [shop], connections=size) for size in sizes))
        verify()
    yield from _figures("connections", sizes, loads)


@row(
    "businesses",
    "Orders placed, by businesses (each with a key of its own and 100 SKUs)",
    bound="""A batch is of one key: with many keys there is less in each, down to a transaction an order. Batches
        of several businesses would share their commit.""",
)
def by_businesses() -> Iterator[Figure]:
    sizes = (1, 10, 100)
    with servers_up(), running(*EVERYTHING) as web:
        shops = [data.shop(skus=100, buyers=100) for _ in range(max(sizes))]
        loads = in_turn(*(partial(place, web, shops[:size], skus=100) for size in sizes))
        verify()
    yield from _figures("businesses", sizes, loads)


@row(
    "SKUs",
    "Orders placed, by SKUs",
    bound="Fewer SKUs share fewer counters, whose rows are locked for a moment.",
)
def by_skus() -> Iterator[Figure]:
    sizes = (10, 10_000)
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop(skus=max(sizes))
        loads = in_turn(*(partial(place, web, [shop], skus=size) for size in sizes))
        verify()
    yield from _figures("SKUs", sizes, loads)


@row(
    "lines",
    "Orders placed, by lines of an order",
    bound="Each line is an item, a hold, a line in the ledger and a counter.",
)
def by_lines() -> Iterator[Figure]:
    sizes = (1, 3, 10)
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop()
        loads = in_turn(*(partial(place, web, [shop], lines=size) for size in sizes))
        verify()
    yield from _figures("lines", sizes, loads)


def _figures(what: str, sizes: tuple[int, ...], loads: list[Load]) -> Iterator[Figure]:
    for size, load in zip(sizes, loads, strict=True):
        beside = f"half within {load.p50:,.1f} ms, 99 of 100 within {load.p99:,.1f} ms"
        yield Figure(f"{what}: {size:,}", load.rate, "orders/s", beside)
