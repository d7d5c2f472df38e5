"""The orders that benchmarks begin with are orders like any other: every invariant holds over them."""

from datetime import timedelta

import psycopg
import pytest
from django.db import connection

from benchmarks import data, stack
from benchmarks.rows import sweeping
from conftest import KEYS
from orders.models import Order

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


@pytest.fixture(autouse=True)
def _test_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes past Holdfast goes into the test database."""
    place = {key: value for key, value in connection.get_connection_params().items() if key in KEYS}
    monkeypatch.setattr(
        stack, "connect", lambda: psycopg.connect(**place, autocommit=True, cursor_factory=psycopg.ClientCursor)
    )


@pytest.fixture
def shop() -> data.Shop:
    return data.shop(skus=20, buyers=20)


def test_a_past_has_orders_of_every_fate(shop: data.Shop) -> None:
    data.add_history(shop, 50)
    data.add_history(shop, 50)
    statuses = Order.objects.of(shop.business.id).values_list("status", flat=True)
    assert sorted(set(statuses)) == ["cancelled", "delivered", "paid"]
    assert len(statuses) == 100


def test_both_sweeps_expire_what_is_due(shop: data.Shop) -> None:
    data.add_pending(shop, 20, due=timedelta(hours=1))
    for sweep in (lambda: sweeping._sweep(shop), lambda: sweeping._sweep_in_sql(shop)):
        data.add_pending(shop, 10, due=sweeping.OVER)
        sweep()
    orders = Order.objects.of(shop.business.id)
    assert orders.filter(status="pending").count() == 20
    assert orders.filter(cancel_reason="payment_timeout").count() == 20
