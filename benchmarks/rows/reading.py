"""What is only read: availability, the pages of a growing shop, and the load generator's own limit."""

import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from urllib.parse import quote, urlsplit

from benchmarks import data, stack
from benchmarks.clients import ask_for_orders, place, read, staff_headers
from benchmarks.load import in_turn
from benchmarks.stack import EVERYTHING, Failed, bare_handler, running, servers_up, verify
from benchmarks.table import Figure, row

FEW, MANY = 10_000, 1_000_000  # orders
ORDERS_OF_A_BUYER = 5
LOOKS = 50  # at each page, or as many as there is time for
SECONDS = 4  # for the looks at a page that is slow


@row(
    "wrk",
    "The load generator's own limit: what wrk is answered by a handler that does nothing",
    bound="wrk and the web server share the CPU; a figure near these would be wrk's as much as Holdfast's.",
)
def load_generator() -> Iterator[Figure]:
    with servers_up(), bare_handler() as bare:
        shop = data.shop()
        orders, reads = in_turn(
            partial(ask_for_orders, bare, [shop]), partial(read, bare, shop, _availability_paths())
        )
    yield Figure("row 1's requests", orders.rate, "requests/s")
    yield Figure("row 6's requests", reads.rate, "requests/s")


@row(
    "6",
    "Availability of a product, 64 connections",
    bound="The CPU of the web processes: those who ask meanwhile share two short queries.",
    needed="Nothing of its own; a quieter machine.",
)
def availability() -> Iterator[Figure]:
    with servers_up(), running(*EVERYTHING) as web, bare_handler() as bare:
        shop = data.shop()
        paths = _availability_paths()
        answered, ceiling = in_turn(partial(read, web, shop, paths), partial(read, bare, shop, paths))
    beside = f"a bare handler {ceiling.rate:,.0f}"
    yield Figure("answers", answered.rate, "answers/s", beside, target=4_000, aim=10_000)
    yield Figure("over a bare handler", answered.rate / ceiling.rate, "×")
    yield Figure(
        "99 of 100 answered within",
        answered.p99,
        "ms",
        f"half within {answered.p50:,.1f}",
        target=20,
        aim=10,
        less=True,
    )


def _availability_paths() -> list[str]:
    return [f"/api/v1/products/{product}/availability" for (product,) in _ask("SELECT id FROM catalog_product")]


@row(
    "8",
    "Growth: a page at 1,000,000 orders over the same page at 10,000",
    bound="Requests, not rows: every page is found by an index, whatever the table's size.",
    needed="Indexes and tables that are in memory: at 1,000,000 orders they are larger than PostgreSQL's buffers.",
)
def growth_of_pages() -> Iterator[Figure]:
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop(buyers=FEW // ORDERS_OF_A_BUYER)
        data.add_history(shop, FEW)
        few, placed_among_few = _look_at_pages(web, shop), place(web, [shop])
        data.add_buyers(shop, FEW // ORDERS_OF_A_BUYER + 1, MANY // ORDERS_OF_A_BUYER)
        data.add_history(shop, MANY - FEW)
        many, placed_among_many = _look_at_pages(web, shop), place(web, [shop])
        verify()
    for page in few:
        yield Figure(
            page,
            many[page] / few[page],
            "×",
            f"{few[page]:.1f} → {many[page]:.1f} ms",
            target=2,
            aim=1.2,
            less=True,
        )
    yield Figure(
        "orders placed, row 1's load",
        placed_among_many.rate / placed_among_few.rate,
        "×",
        f"{placed_among_few.rate:,.0f} → {placed_among_many.rate:,.0f} orders/s",
    )


@row(
    "11",
    "The back office's lists, of a shop with 1,000,000 orders",
    bound="""Django: the shell, the filters and 50 rows are rendered anew for each look, and take most of it. What
        PostgreSQL is asked for is found by an index, and a list is counted up to 10,000.""",
)
def lists_of_many() -> Iterator[Figure]:
    with servers_up(), running("web") as web:
        shop = data.shop(buyers=MANY // ORDERS_OF_A_BUYER)
        data.add_history(shop, MANY)
        staff = staff_headers()
        for page, address in LISTS.items():
            took = _median_time(web, staff, [f"/admin/{address}"] * LOOKS)
            yield Figure(page, took, "ms", target=300, less=True)


LISTS = {
    "orders": "orders/order/",
    "orders, the last page": "orders/order/?p=200",
    "orders, the dearest": "orders/order/?o=-6",
    "orders, search by phone": "orders/order/?q=7700000042",
    "orders of an SKU": "orders/order/?sku=SKU-1",
    "orders from an amount on, through one channel": "orders/order/?total_from=20&channel__exact=website",
    "orders to pack": "orders/order/?needs=to_pack",
    "orders that are overdue": "orders/order/?needs=overdue",
    "orders without tracking": "orders/order/?needs=no_tracking",
    "orders paid late": "orders/order/?needs=paid_late",
    "orders pending but paid": "orders/order/?needs=pending_but_paid",
    "reservations": "reservations/stockreservation/",
    "ledger": "catalog/stockmovement/",
    "ledger of a product": "catalog/stockmovement/?q=SKU-77",
    "events": "orders/orderevent/",
    "payments": "orders/payment/",
}


def _look_at_pages(web: str, shop: data.Shop) -> dict[str, float]:
    """The median milliseconds of each page."""
    orders = [order for (order,) in _ask(f"SELECT id FROM orders_order ORDER BY random() LIMIT {LOOKS}")]
    phones = [quote(f"+44{7700000000 + number}") for number in range(1, 1 + LOOKS)]
    last_month = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).date()
    stats = f"/api/v1/orders/stats/{shop.id}?from={last_month.replace(day=1)}&to={last_month}"
    pages = {
        "list of orders": ["/api/v1/orders"] * LOOKS,
        "search by phone": [f"/api/v1/orders?search={phone}" for phone in phones],
        "one order": [f"/api/v1/orders/{order}" for order in orders],
        "a month's statistics": [stats] * LOOKS,
    }
    key = {"Authorization": f"Api-Key {shop.key}"}
    return {page: _median_time(web, key, paths) for page, paths in pages.items()}


def _median_time(web: str, headers: Mapping[str, str], paths: Sequence[str]) -> float:
    """Milliseconds that the middle one of the answers took, when the caches are filled by looking once."""
    connection = http.client.HTTPConnection(urlsplit(web).netloc)

    def look(path: str) -> float:
        begun = time.perf_counter()
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise Failed(f"{path} is answered with {answer.status}")
        return 1000 * (time.perf_counter() - begun)

    def look_at_all() -> list[float]:
        over = time.monotonic() + SECONDS
        return [look(path) for path in paths if time.monotonic() < over]

    look_at_all()
    return median(look_at_all())


def _ask(question: str) -> list[tuple[object, ...]]:
    with stack.connect() as database:
        return database.execute(question).fetchall()
