"""Payments of pending orders."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from benchmarks import data, stack
from benchmarks.clients import pay
from benchmarks.load import ROUNDS, SECONDS, in_turn, pgbench
from benchmarks.stack import EVERYTHING, running, servers_up, verify
from benchmarks.table import Figure, row

ENOUGH = SECONDS * 6_000  # orders for one run: more than can be paid in it


@row(
    "5",
    "Payments confirmed, 64 connections",
    bound="""CPU: orders, lines and payments are read as model objects, and each answer shows the order whole,
        which takes five more queries a batch.""",
    needed="Rows instead of model objects, as in placing, and the answer from what was just written.",
)
def payments() -> Iterator[Figure]:
    with servers_up(), running(*EVERYTHING) as web:
        shop = data.shop()
        data.add_pending(shop, 2 * (1 + ROUNDS) * ENOUGH, due=timedelta(hours=1))
        runs = _shared_out()
        paid, ceiling = in_turn(
            lambda: pay(web, shop, next(runs)),
            partial(pgbench, "pay", business=shop.id),
        )
        verify()
    yield Figure("payments", paid.rate, "payments/s", f"pgbench {ceiling.rate:,.0f}", target=1_000, aim=4_000)
    yield Figure("over pgbench's transaction of the same rows", paid.rate / ceiling.rate, "×")
    yield Figure("99 of 100 answered within", paid.p99, "ms", f"half within {paid.p50:,.1f}", less=True)


def _shared_out() -> Iterator[list[str]]:
    """Each run's orders as lua/pay.lua wants them: half of all. The others go into a table, for sql/pay.sql."""
    with stack.connect() as database:
        database.execute(
            """
            CREATE SCHEMA bench;
            CREATE SEQUENCE bench.next;
            CREATE TABLE bench.pending AS SELECT row_number() OVER (ORDER BY id) AS n, id AS order_id
            FROM orders_order ORDER BY id LIMIT (SELECT count(*) / 2 FROM orders_order);
            CREATE UNIQUE INDEX ON bench.pending (n);
            """
        )
        others = database.execute(
            """
            SELECT id || ' ' || total FROM orders_order
            WHERE NOT EXISTS (SELECT FROM bench.pending WHERE order_id = id)
            """
        )
        orders = [order for (order,) in others]
    return (orders[start : start + ENOUGH] for start in range(0, len(orders), ENOUGH))
