"""The minutes of a shop say what the ledger says."""

from datetime import timedelta

import pytest
from django.db.models import F

from catalog.models import Stock
from factories import BusinessFactory, on_shelf, pay, place, product, verb
from orders.services import expire_due
from orders_project import locks
from reservations.demand import Refusal, count_refusals
from reservations.minutes import RefusalRate, fold_minutes, levels_before, minutes_since, refusal_rate
from reservations.models import StockMinute

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

FIELDS = ("made", "converted", "expired", "released", "placed", "refused", "held_units", "available_units")


@pytest.fixture
def began(now):
    """The beginning of a minute, half an hour ago."""
    return now.replace(second=0, microsecond=0) - timedelta(minutes=30)


@pytest.fixture
def minutes(shop, began):
    """Three minutes in which something happened, of a shop that had 20 mugs and 10 plates; and what they were."""
    at = [began + timedelta(minutes=minute, seconds=10) for minute in range(20)]
    mug = product(shop, stock=20, now=at[0])
    product(shop, "PLATE", stock=10, now=at[0])
    paid = place(shop, ("MUG-01", 2), ("PLATE", 1), now=at[1])
    given_up = place(shop, ("MUG-01", 3), now=at[1])
    place(shop, ("MUG-01", 4), now=at[1])
    count_refusals(business_id=shop.id, refusals=[Refusal("website", {str(mug.id): 1})] * 5, now=at[1])
    pay(paid, now=at[3])
    verb("cancel", given_up, reason="test", now=at[3])
    expire_due(business_id=shop.id, now=at[17])
    return {
        at[0]: (0, 0, 0, 0, 0, 0, 0, 30),
        at[1]: (4, 0, 0, 0, 3, 5, 10, 20),
        at[3]: (0, 2, 0, 1, 0, 0, 4, 23),
        at[17]: (0, 0, 1, 0, 0, 0, 0, 27),
    }


def shown(found):
    return {
        minute.minute + timedelta(seconds=10): tuple(getattr(minute, field) for field in FIELDS)
        for minute in found
    }


def test_minutes_are_those_of_the_ledger_before_and_after_they_are_folded(shop, minutes, began, now):
    assert on_shelf(shop) == (18, 0)
    assert shown(minutes_since(business_id=shop.id, since=began, now=now)) == minutes
    fold_minutes(now=now)
    assert shown(StockMinute.objects.filter(business=shop)) == minutes
    assert shown(minutes_since(business_id=shop.id, since=began, now=now)) == minutes
    [third] = StockMinute.objects.filter(business=shop, converted=2)
    assert third.seconds_to_pay == 240  # of two holds, after two minutes each


def test_minutes_folded_as_they_pass_are_the_same(shop, minutes, began, now):
    for minute in range(40):
        fold_minutes(now=began + timedelta(minutes=minute, seconds=30))
    assert shown(StockMinute.objects.filter(business=shop)) == minutes


def test_minute_gets_what_is_committed_after_its_end(shop, began, now):
    product(shop, stock=20, now=began)
    for minute in (1, 2):
        place(shop, ("MUG-01", 1), now=began + timedelta(minutes=minute))
    fold_minutes(now=began + timedelta(minutes=2))
    place(shop, ("MUG-01", 1), now=began + timedelta(minutes=1, seconds=59))
    fold_minutes(now=began + timedelta(minutes=2, seconds=20))
    made = StockMinute.objects.filter(business=shop).order_by("minute").values_list("made", flat=True)
    assert list(made) == [0, 2, 1]
    expire_due(business_id=shop.id, now=now)


def test_minutes_go_on_from_what_was_folded(shop, minutes, began, now):
    fold_minutes(now=now)
    place(shop, ("MUG-01", 5), now=now)
    *before, last = minutes_since(business_id=shop.id, since=began, now=now)
    assert shown(before) == minutes
    assert (last.made, last.held_units, last.available_units) == (1, 5, 22)
    fold_minutes(now=now)
    assert StockMinute.objects.filter(business=shop).count() == 5


def test_broken_counter_does_not_break_the_past(shop, minutes, began, now):
    mugs = Stock.objects.filter(product__sku="MUG-01", business=shop)
    mugs.update(stock_quantity=F("stock_quantity") + 7, reserved_stock=F("reserved_stock") + 4)
    assert shown(minutes_since(business_id=shop.id, since=began, now=now)) == minutes
    fold_minutes(now=now)
    assert shown(StockMinute.objects.filter(business=shop)) == minutes
    mugs.update(stock_quantity=F("stock_quantity") - 7, reserved_stock=F("reserved_stock") - 4)


def test_what_came_late_into_the_ledger_counts_from_the_next_hour_on(shop, now):
    hour = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    product(shop, stock=20, now=hour)
    place(shop, ("MUG-01", 2), now=hour + timedelta(minutes=10))
    fold_minutes(now=hour + timedelta(minutes=11))
    place(shop, ("MUG-01", 3), now=hour + timedelta(minutes=5))
    for minute in (20, 61):
        place(shop, ("MUG-01", 1), now=hour + timedelta(minutes=minute))
        fold_minutes(now=hour + timedelta(minutes=minute + 1))
    last = StockMinute.objects.filter(business=shop).latest("minute")
    assert (last.held_units, last.available_units) == (7, 13)
    expire_due(business_id=shop.id, now=now)


def test_first_fold_goes_back_a_week(shop, now):
    product(shop, stock=20, now=now - timedelta(days=9))
    pay(place(shop, ("MUG-01", 2), now=now - timedelta(days=7)), now=now - timedelta(days=7))
    fold_minutes(now=now)
    [minute] = StockMinute.objects.filter(business=shop)
    assert (minute.made, minute.converted, minute.available_units) == (1, 1, 18)


def test_levels_before_a_minute_are_those_that_the_last_thing_left(shop, minutes, began, now):
    after = [0, 1, 2, 4, 18]
    for _ in range(2):
        levels = [levels_before(business_id=shop.id, minute=began + timedelta(minutes=minute)) for minute in after]
        assert levels == [None, (0, 30), (10, 20), (4, 23), (0, 27)]
        fold_minutes(now=now)


def test_minutes_where_nothing_happened_are_not_written(shop, minutes, began, now):
    fold_minutes(now=now)
    rows = list(StockMinute.objects.filter(business=shop).values())
    fold_minutes(now=now + timedelta(minutes=5))
    assert list(StockMinute.objects.filter(business=shop).values()) == rows


def test_fold_goes_on_when_it_fails_for_one_shop(shop, now):
    shops = [shop, BusinessFactory(), BusinessFactory()]
    for each in shops:
        product(each, now=now)
    locks._client().sadd(f"refused:{shops[1].id}", "not a minute")
    with pytest.raises(RuntimeError, match="1 of the businesses"):
        fold_minutes(now=now)
    assert {minute.business_id for minute in StockMinute.objects.filter(business__in=shops)} == {
        shop.id,
        shops[2].id,
    }


def test_refusal_rate_counts_orders_of_the_time_that_is_asked_for(shop, minutes, began, now):
    for _ in range(2):
        assert refusal_rate(business_id=shop.id, since=began, now=now) == RefusalRate(placed=3, refused=5)
        assert refusal_rate(business_id=shop.id, since=began, now=now).share == 5 / 8
        later = began + timedelta(minutes=2)
        assert refusal_rate(business_id=shop.id, since=later, now=now) == RefusalRate(placed=0, refused=0)
        fold_minutes(now=now)
    assert RefusalRate(0, 0).share == 0


def test_refusal_rate_remembers_minutes_that_are_final(shop, now):
    mug = product(shop)
    count_refusals(business_id=shop.id, refusals=[Refusal("website", {str(mug.id): 1})] * 5, now=now)
    for minutes in range(5):
        later = now + timedelta(minutes=minutes)
        fold_minutes(now=later)
        assert refusal_rate(business_id=shop.id, since=now, now=later) == RefusalRate(placed=0, refused=5)
    assert StockMinute.objects.get(business=shop).refused == 5
