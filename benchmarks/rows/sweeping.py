"""The sweep that takes back what nobody paid for, and what buyers notice of it."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from statistics import median

from django.db import connection

from benchmarks import data, stack
from benchmarks.clients import place
from benchmarks.load import ROUNDS, SECONDS
from benchmarks.stack import Failed, running, servers_up, verify
from benchmarks.table import Figure, row
from orders.models import Order
from orders.tasks import expire_due_orders
from orders_project.clock import database_now

DUE = 10_000  # orders of a sweep
OVER = timedelta(seconds=-1)
PAIRS = 5  # of runs without and with a sweep: a p99 of two seconds comes and goes


@row(
    "7",
    f"The sweep: {DUE:,} due orders cancelled, their stock given back",
    bound="""PostgreSQL, on both cores: an order that ends is written into each of its 13 indexes anew, and so
        is its hold; two foreign keys and the day's figures are checked for each.""",
    needed="""Fewer indexes on what changes (status, payment and due time of an order, status of a hold): 25,000
        would take a table of open orders apart from the closed ones.""",
)
def sweep() -> Iterator[Figure]:
    with servers_up(), running("web") as web:  # beat and worker would sweep the same orders
        shop = data.shop()
        swept, ceiling, calm, disturbed = [], [], [], []
        place(web, [shop])
        for _ in range(ROUNDS):
            data.add_pending(shop, DUE, due=OVER)
            swept.append(DUE / _sweep(shop))
            data.add_pending(shop, DUE, due=OVER)
            ceiling.append(DUE / _sweep_in_sql(shop))
        for _ in range(PAIRS):
            calm.append(place(web, [shop]).p99)
            due = math.ceil(median(swept) * 2 * SECONDS)  # so that it lasts as long as the orders come
            data.add_pending(shop, due, due=OVER)
            with ThreadPoolExecutor(1) as sweeper:
                sweeping = sweeper.submit(_sweep, shop)
                disturbed.append(place(web, [shop]).p99)
                sweeping.result()
        verify()
    rate, slowed = median(swept), median(disturbed) / median(calm)
    beside = f"a statement for each table {median(ceiling):,.0f}"
    yield Figure("orders expired", rate, "orders/s", beside, target=10_000, aim=25_000)
    yield Figure("over a statement for each table", rate / median(ceiling), "×")
    beside = f"{median(calm):,.1f} → {median(disturbed):,.1f} ms"
    yield Figure("p99 of orders placed meanwhile, over without", slowed, "×", beside, target=2, less=True)


def _sweep(shop: data.Shop) -> float:
    """Expire what is due, all of it; returns the seconds it took."""
    begun = time.perf_counter()
    expire_due_orders()
    took = time.perf_counter() - begun
    left = Order.objects.of(shop.business.id).due(database_now()).count()
    connection.close()
    if left:
        raise Failed(f"{left} orders were not expired")
    return took


def _sweep_in_sql(shop: data.Shop) -> float:
    """The same by sql/expire.sql."""
    with stack.connect() as database:
        begun = time.perf_counter()
        with database.transaction():
            database.execute((data.SQL / "expire.sql").read_text(), {"business": shop.business.id})
        return time.perf_counter() - begun
