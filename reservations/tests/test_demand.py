"""Refusals are counted without a row for each, and folded into lost demand: once, however often it is done."""

from datetime import timedelta
from decimal import Decimal

import pytest

from factories import BusinessFactory, product
from orders_project import locks
from reservations import demand
from reservations.demand import FINAL_AFTER, Refusal, count_refusals, lost_demand, units_lost
from reservations.minutes import fold_minutes, refusal_rate
from reservations.models import RefusedDemand, StockMinute


@pytest.fixture
def mug(shop):
    return product(shop, stock=0, price="9.90", name="Mug")


def refuse(shop, now, *missing, channel="website"):
    """One order that was refused, with so many units of each product missing."""
    refusal = Refusal(channel, {str(product.id): units for product, units in missing})
    count_refusals(business_id=shop.id, refusals=[refusal], now=now)


def lost(shop, now):
    found = lost_demand(business_id=shop.id, since=now - timedelta(days=1), until=now + timedelta(days=1))
    return [(row.sku, row.channel, row.refusals, row.units, row.value) for row in found]


@pytest.mark.usefixtures("db")
def test_refusals_become_lost_demand_by_product_and_channel(shop, mug, now):
    plate = product(shop, "PLATE", price="20.00", stock=0)
    refuse(shop, now, (mug, 2))
    refuse(shop, now, (mug, 1), (plate, 3))
    refuse(shop, now + timedelta(minutes=1), (mug, 1))
    refuse(shop, now, (mug, 5), channel="whatsapp")
    fold_minutes(now=now + timedelta(minutes=1))
    assert lost(shop, now) == [
        ("PLATE", "website", 1, 3, Decimal("60.00")),
        ("MUG-01", "whatsapp", 1, 5, Decimal("49.50")),
        ("MUG-01", "website", 3, 4, Decimal("39.60")),
    ]
    minutes = StockMinute.objects.filter(business=shop).order_by("minute")
    assert [(minute.refused, minute.placed) for minute in minutes] == [(3, 0), (1, 0)]


@pytest.mark.usefixtures("db")
def test_lost_demand_is_told_before_it_is_written_down(shop, mug, now):
    refuse(shop, now, (mug, 2))
    assert lost(shop, now) == [("MUG-01", "website", 1, 2, Decimal("19.80"))]
    fold_minutes(now=now)
    refuse(shop, now, (mug, 1))
    assert lost(shop, now) == [("MUG-01", "website", 2, 3, Decimal("29.70"))]


@pytest.mark.usefixtures("db")
def test_units_lost_are_told_step_by_step(shop, mug, now):
    began = now.replace(minute=0, second=0, microsecond=0)
    for minute, units in ((0, 2), (4, 1), (5, 3), (14, 4), (15, 9)):
        refuse(shop, began + timedelta(minutes=minute, seconds=10), (mug, units), channel="website")
    refuse(shop, began, (mug, 5), channel="whatsapp")
    for _ in range(2):
        found = units_lost(
            business_id=shop.id,
            since=began,
            until=began + timedelta(minutes=15),
            step=timedelta(minutes=5),
        )
        assert found == {began + timedelta(minutes=minute): units for minute, units in ((0, 8), (5, 3), (10, 4))}
        fold_minutes(now=began + timedelta(minutes=16))


@pytest.mark.usefixtures("db")
def test_folding_twice_or_again_later_changes_nothing(shop, mug, now):
    refuse(shop, now, (mug, 2))
    fold_minutes(now=now)
    before = lost(shop, now)
    fold_minutes(now=now)
    assert lost(shop, now) == before
    refuse(shop, now, (mug, 2))
    for later in (timedelta(0), FINAL_AFTER, FINAL_AFTER + timedelta(minutes=1), timedelta(hours=2)):
        fold_minutes(now=now + later)
        assert lost(shop, now) == [("MUG-01", "website", 2, 4, Decimal("39.60"))]
    assert demand.counted(shop.id) == {}


@pytest.mark.usefixtures("db")
def test_counts_that_redis_lost_take_nothing_away(shop, mug, now):
    for _ in range(3):
        refuse(shop, now, (mug, 1))
    fold_minutes(now=now)
    locks._client().delete(*locks._client().scan_iter(f"refused:{shop.id}*"))
    refuse(shop, now, (mug, 1))
    fold_minutes(now=now)
    assert lost(shop, now) == [("MUG-01", "website", 3, 3, Decimal("29.70"))]
    assert StockMinute.objects.get(business=shop).refused == 3


@pytest.mark.usefixtures("db")
def test_worker_that_was_away_for_hours_folds_what_it_missed(shop, mug, now):
    for hours in (1, 5, 20):
        refuse(shop, now - timedelta(hours=hours), (mug, 1))
    fold_minutes(now=now)
    assert lost(shop, now) == [("MUG-01", "website", 3, 3, Decimal("29.70"))]
    assert StockMinute.objects.filter(business=shop, refused=1).count() == 3


@pytest.mark.usefixtures("db")
def test_value_is_that_of_the_price_when_it_was_refused(shop, mug, now):
    refuse(shop, now, (mug, 1))
    fold_minutes(now=now)
    mug.price = Decimal("100.00")
    mug.save(update_fields=["price"])
    fold_minutes(now=now)
    assert lost(shop, now) == [("MUG-01", "website", 1, 1, Decimal("9.90"))]


@pytest.mark.usefixtures("db")
def test_demand_beyond_all_measure_breaks_nothing(shop, now):
    gold = product(shop, "GOLD", price="999999999.99", stock=0)
    for _ in range(300):
        refuse(shop, now, (gold, 100_000))
    fold_minutes(now=now)
    [(sku, _, refusals, units, value)] = lost(shop, now)
    assert (sku, refusals, units) == ("GOLD", 300, 30_000_000)
    assert value == demand.LARGEST_VALUE


@pytest.mark.usefixtures("db")
def test_shops_lose_their_own_demand_alone(shop, mug, now):
    other = BusinessFactory()
    refuse(shop, now, (mug, 1))
    refuse(other, now, (mug, 1))  # another's product: it can't be, and is nobody's demand
    fold_minutes(now=now)
    assert len(lost(shop, now)) == 1
    assert lost(other, now) == []


@pytest.mark.usefixtures("committed")
def test_folders_at_once_fold_once(shop, mug, now, at_once):
    for _ in range(10):
        refuse(shop, now, (mug, 1))
    answers = at_once([lambda: fold_minutes(now=now)] * 4)
    assert all(isinstance(answer, int) for answer in answers), answers
    assert lost(shop, now) == [("MUG-01", "website", 10, 10, Decimal("99.00"))]
    assert StockMinute.objects.get(business=shop).refused == 10


@pytest.mark.usefixtures("db", "redis_away")
def test_refusals_go_uncounted_while_redis_is_away(shop, mug, now):
    refuse(shop, now, (mug, 1))
    fold_minutes(now=now)
    assert not RefusedDemand.objects.filter(business=shop).exists()
    assert refusal_rate(business_id=shop.id, since=now - timedelta(minutes=5), now=now).refused == 0
