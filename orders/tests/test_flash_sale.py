"""The command that sends a rush of buyers to a running server."""

import os
import signal
import threading
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import ApiKey, Product, StockMovement
from conftest import until
from factories import on_shelf, place, product
from orders.models import Order


@pytest.fixture
def sale(server, shop):
    """Holds a flash sale in the shop; returns what it said."""

    def hold(**options):
        said = StringIO()
        options = {"business": shop.slug, "url": server, "sku": "MUG-01", "at_once": 20, **options}
        call_command("flash_sale", stdout=said, **options)
        return said.getvalue()

    return hold


@pytest.fixture
def no_key_is_left(shop):
    yield
    keys = ApiKey.objects.filter(business=shop)
    assert keys.exists()
    assert not keys.live().exists()


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "no_key_is_left", "all_is_well")
def test_a_flash_sale_sells_each_unit_once_and_refuses_the_others(sale, shop):
    said = sale(buyers=60, units=5)
    assert "sold      5\n" in said
    assert "refused   55\n" in said
    assert "errors    0\n" in said
    assert "invariants hold" in said
    assert on_shelf(shop) == (5, 5)
    orders = Order.objects.of(shop.id)
    assert orders.count() == orders.values("customer").distinct().count() == 5


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "no_key_is_left", "all_is_well")
def test_a_flash_sale_puts_exactly_its_units_on_the_shelf_and_says_why(sale, shop):
    mug = product(shop, stock=9)
    place(shop, ("MUG-01", 2))
    assert "sold      3\n" in sale(buyers=3, units=20)
    assert on_shelf(shop) == (22, 5)
    assert "sold      4\n" in sale(buyers=7, units=4)
    assert on_shelf(shop) == (9, 9)
    changes = StockMovement.objects.filter(product=mug, kind="adjusted").order_by("at")
    assert list(changes.values_list("stock_delta", "reason")) == [
        (13, "Flash sale of 20 units"),
        (-13, "Flash sale of 4 units"),
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "no_key_is_left")
def test_a_flash_sale_that_is_stopped_leaves_no_key(sale, shop):
    def stop_when_it_sells():
        until(Order.objects.of(shop.id).exists)
        connection.close()
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop_when_it_sells)
    stopper.start()
    with pytest.raises(CommandError, match="Stopped"):
        sale(buyers=10_000, units=10_000)
    stopper.join()
    assert 0 < Order.objects.of(shop.id).count() < 10_000


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"buyers": 0}, "--buyers must be from 1 to 10,000, not 0"),
        ({"buyers": 10_001}, "--buyers must be"),
        ({"units": -1}, "--units must be"),
        ({"at_once": 501}, "--at-once must be"),
        ({"business": "no-such"}, "There is no business “no-such”"),
        ({"url": "http://127.0.0.1:1"}, "Nothing answers at http://127.0.0.1:1. Start Holdfast first: make run"),
        ({"url": "127.0.0.1:8000"}, "--url must be such as"),
        ({"sku": "OLD-01"}, "OLD-01 is not on sale"),
        ({"sku": ""}, "--sku must have"),
    ],
)
def test_a_flash_sale_that_cannot_be_held_says_why_and_changes_nothing(sale, shop, options, why):
    Product.objects.filter(id=product(shop, "OLD-01").id).update(is_active=False)
    with pytest.raises(CommandError, match=why):
        sale(**options)
    assert StockMovement.objects.of(shop.id).count() == 1
    assert not ApiKey.objects.filter(business=shop).live().exists()


def test_a_flash_sale_is_not_held_on_a_production_system_by_mistake(settings):
    settings.LOCAL = False
    with pytest.raises(CommandError, match="--yes-really"):
        call_command("flash_sale")
