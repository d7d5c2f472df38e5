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
from orders.tasks import expire_due_orders

DUE = 10_000  # orders of a sweep
OVER = timedelta(seconds=-1)


@row(
    "7",
    f"The sweep: {DUE:,} due orders cancelled, their stock given back",
    bound="About half of it Python that makes the rows, half PostgreSQL that writes them.",
    needed="Statements that make their rows in PostgreSQL, from the orders that are due.",
)
def sweep() -> Iterator[Figure]:
    with servers_up(), running("web") as web:  # beat and worker would sweep the same orders
        shop = data.shop()
        swept, ceiling, calm, disturbed = [], [], [], []
        place(web, [shop])
        for _ in range(ROUNDS):
            data.add_pending(shop, DUE, due=OVER)
            swept.append(DUE / _sweep(DUE))
            data.add_pending(shop, DUE, due=OVER)
            ceiling.append(DUE / _sweep_in_sql(shop))
        for _ in range(ROUNDS):
            calm.append(place(web, [shop]).p99)
            due = math.ceil(median(swept) * 2 * SECONDS)  # so that it lasts as long as the orders come
            data.add_pending(shop, due, due=OVER)
            with ThreadPoolExecutor(1) as sweeper:
                sweeping = sweeper.submit(_sweep, due)
                disturbed.append(place(web, [shop]).p99)
                sweeping.result()
        verify()
    rate, slowed = median(swept), median(disturbed) / median(calm)
    beside = f"a statement for each table {median(ceiling):,.0f}"
    yield Figure("orders expired", rate, "orders/s", beside, target=10_000, aim=25_000)
    yield Figure("over a statement for each table", rate / median(ceiling), "×")
    beside = f"{median(calm):,.1f} → {median(disturbed):,.1f} ms"
    yield Figure("p99 of orders placed meanwhile, over without", slowed, "×", beside, target=2, less=True)


def _sweep(due: int) -> float:
    """Expire what is due, which must be so many; returns the seconds it took."""
    begun = time.perf_counter()
    expired = expire_due_orders()
    connection.close()
    if expired != due:
        raise Failed(f"{expired} orders expired of {due}")
    return time.perf_counter() - begun


def _sweep_in_sql(shop: data.Shop) -> float:
    """The same by sql/expire.sql."""
    with stack.connect() as database:
        begun = time.perf_counter()
        with database.transaction():
            database.execute((data.SQL / "expire.sql").read_text(), {"business": shop.business.id})
        return time.perf_counter() - begun
