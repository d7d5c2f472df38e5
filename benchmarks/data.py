"""What the benchmarks begin with: shops, goods, buyers, and any number of orders, made by a few statements."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from benchmarks import stack
from catalog.models import MOST_OPEN_ORDERS, ApiKey, Business
from catalog.services import NewProduct, add_products, make_api_key
from orders_project.clock import database_now

SQL = Path(__file__).parent / "sql"

SKUS = 10_000  # of a shop
BUYERS = 10_000  # of a shop; their phones are known to lua/common.lua and sql/place.sql
PLENTY = 10_000_000  # units of a product: no benchmark sells out unless it means to
WINDOW = timedelta(hours=10)  # in which an order is to be paid: no benchmark expires unless it means to
TWO_YEARS = timedelta(days=730)
BATCH = 100_000  # orders in one transaction

# What becomes of the orders of a shop with a past, by turns.
HISTORY = ("delivered", "paid", "delivered", "expired", "delivered", "delivered", "cancelled", "expired",
           "delivered", "delivered")  # fmt: skip

runs = itertools.count(1)  # numbers that set one run's keys apart from another's


@dataclass(frozen=True)
class Shop:
    """A business with a key of its API that isn't throttled."""

    business: Business
    key: str

    @property
    def id(self) -> str:
        return str(self.business.id)


def shop(*, skus: int = SKUS, buyers: int = BUYERS, stock: int = PLENTY) -> Shop:
    """A shop with so many products, SKU-1 and so on, so many units of each, and so many known buyers."""
    number = next(runs)
    business = Business.objects.create(
        name=f"Shop {number}",
        slug=f"shop-{number}",
        currency="GBP",
        country="GB",
        payment_window_minutes=WINDOW // timedelta(minutes=1),
        most_open_orders=MOST_OPEN_ORDERS,  # they are counted, and no benchmark comes so far
    )
    _, key = make_api_key(business=business, name="Website", scope=ApiKey.Scope.WRITE, throttled=False)
    goods = [NewProduct(f"SKU-{n}", f"Product {n}", Decimal("12.50"), stock) for n in range(1, skus + 1)]
    add_products(business=business, new=goods, actor="job:benchmark", now=database_now())
    made = Shop(business, key)
    add_buyers(made, 1, buyers)
    return made


def add_buyers(shop: Shop, first: int, last: int) -> None:
    """Buyers who are told by their phones' last digits, `first` to `last`; some may have come by themselves."""
    with stack.connect() as database:
        database.execute(
            """
            INSERT INTO customers_customer
                (id, business_id, name, phone, note, created_at, total_orders, total_spent, engagement_score)
            SELECT uuidv7(), %(business)s, 'Buyer ' || n, '+44' || (7700000000 + n), '', now(), 0, 0, 0
            FROM generate_series(%(first)s::bigint, %(last)s) AS n
            ON CONFLICT DO NOTHING
            """,
            {"business": shop.id, "first": first, "last": last},
        )


def add_history(shop: Shop, orders: int) -> None:
    """Two years of paid, delivered, expired and cancelled orders of one or two lines, up to yesterday."""
    yesterday = database_now() - timedelta(days=1)
    with _indexes_last():
        _add_orders(shop, orders, fates=HISTORY, lines=2, until=yesterday, span=TWO_YEARS)
    _settle(shop)


def add_pending(shop: Shop, orders: int, *, due: timedelta) -> None:
    """Pending orders of one line, that are due in `due` from now; negative, their time is over."""
    _add_orders(shop, orders, fates=["pending"], lines=1, until=database_now() + due - WINDOW, span=timedelta(0))
    _settle(shop)


@contextmanager
def _indexes_last() -> Iterator[None]:
    """Indexes that no rule needs go, and are made anew when the rows are there: so they cost half as much."""
    with stack.connect() as database:
        indexes = database.execute(
            """
            SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index
            WHERE NOT indisunique AND indrelid::regclass::text IN ('orders_order', 'orders_orderitem',
                'orders_orderevent', 'orders_payment', 'orders_shipment', 'reservations_stockreservation',
                'catalog_stockmovement')
            """
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        yield
        database.execute("SET maintenance_work_mem = '256MB'")
        for _, definition in indexes:
            database.execute(definition)


def _add_orders(
    shop: Shop, orders: int, *, fates: Sequence[str], lines: int, until: datetime, span: timedelta
) -> None:
    """Make orders, with all that belongs to them.

    Triggers are off meanwhile: the references are right by construction (`verify_stock` looks each of them up
    later), and the daily sales are counted at once, in `_settle`.
    """
    statements = (SQL / "orders.sql").read_text()
    with stack.connect() as database:
        database.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off; SET work_mem = '128MB'"
        )
        for first in range(1, orders + 1, BATCH):
            with database.transaction():
                database.execute(
                    statements,
                    {
                        "business": shop.business.id,
                        "fates": list(fates),
                        "lines": lines,
                        "first": first,
                        "last": min(first + BATCH - 1, orders),
                        "total": orders,
                        "until": until,
                        "span": span,
                        "window": WINDOW,
                    },
                )


def _settle(shop: Shop) -> None:
    """Do what PostgreSQL and the triggers would have done by and by, so that no benchmark waits for it."""
    stack.analyze()
    with stack.connect() as database:
        database.execute("SELECT orders_rebuild_daily_sales(%s)", [shop.business.id])
        database.execute("CHECKPOINT")
