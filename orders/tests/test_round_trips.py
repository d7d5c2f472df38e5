"""How many statements each verb is, between its BEGIN and its COMMIT: a fixed number, whatever the lines.
(Paying and placing many have their own measure: orders a second.)"""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from factories import order_in, place, product, verb
from orders import services
from orders.services import Edit, Line

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)
PARCEL = {"carrier": "DHL", "tracking_number": "D-1"}

SKUS = [f"SKU-{number}" for number in range(6)]
FEW_AND_MANY = pytest.mark.parametrize("lines", [2, 6])


@pytest.fixture
def goods(shop):
    for sku in SKUS:
        product(shop, sku, stock=10)


def cart(lines):
    return [(sku, 1) for sku in SKUS[:lines]]


def statements(act):
    with CaptureQueriesContext(connection) as asked:
        act()
    return len(asked) - 2


@FEW_AND_MANY
@pytest.mark.parametrize(
    ("name", "status", "arguments", "number"),
    [
        ("cancel", "draft", {"reason": "x"}, 3),
        ("cancel", "pending", {"reason": "x"}, 5),
        ("cancel", "paid", {"reason": "x"}, 9),
        ("cancel", "cancelled", {"reason": "x"}, 2),
        ("start_processing", "paid", {}, 2),
        ("start_processing", "processing", {}, 2),
        ("ship", "processing", PARCEL, 3),
        ("ship", "shipped", PARCEL, 8),
        ("deliver", "shipped", {}, 4),
        ("submit", "draft", {}, 13),
        ("record_failed_payment", "pending", {"release": False}, 2),
        ("record_refund", "paid", {"provider": "bank", "reference": "R-1", "amount": Decimal(1)}, 12),
    ],
)
def test_verb(shop, goods, now, lines, name, status, arguments, number):
    order = order_in(shop, status, *cart(lines), now=now)
    assert statements(lambda: verb(name, order, now=now, **arguments)) == number


@FEW_AND_MANY
def test_edit(shop, goods, now, lines):
    order = place(shop, *cart(lines), now=now)
    change = Edit(lines=tuple(Line(sku, quantity + 1) for sku, quantity in cart(lines)))
    assert statements(lambda: verb("edit", order, change=change, now=now)) == 16


@FEW_AND_MANY
def test_extend_hold(shop, goods, now, lines):
    order = place(shop, *cart(lines), now=now)
    longer = {"minutes": 5, "reason": "x"}
    assert statements(lambda: verb("extend_hold", order, now=now, **longer)) == 6


@FEW_AND_MANY
@pytest.mark.parametrize("orders", [1, 3])
def test_expire_due(shop, goods, now, lines, orders):
    """A batch: what is due, the orders with their events, the holds with the ledger, the counters."""
    for _ in range(orders):
        place(shop, *cart(lines), now=now - 15 * MINUTE)
    assert statements(lambda: services.expire_due(business_id=shop.id, now=now)) == 6
