"""Alerts: each opens once and closes once, whoever watches, and people answer them."""

import random
from datetime import timedelta

import pytest

from catalog.alerts import LONGEST_SNOOZE, Condition, Kind, Severity, acknowledge, settle, snooze
from catalog.errors import AlertNotFound, NotAllowed
from catalog.models import Alert, Product, Stock
from catalog.services import adjust_stock
from catalog.watching import short_shelves, watch_products
from factories import ACTOR, BusinessFactory, product
from orders_project.errors import InvalidRequest

pytestmark = pytest.mark.usefixtures("db")

LOW = Condition(Kind.LOW_STOCK, Severity.NOTICE, "Mug: 3 left", subject="mug", facts={"available": 3})


def settled(shop, *conditions, now, kinds=(Kind.LOW_STOCK, Kind.OUT_OF_STOCK), **more):
    settle(business_id=shop and shop.id, kinds=kinds, conditions=conditions, now=now, **more)
    return list(Alert.objects.filter(business=shop).order_by("opened_at", "id"))


# --- Opening and closing ---------------------------------------------------------------------------


def test_alert_opens_once_and_closes_when_it_is_over(shop, now):
    [alert] = settled(shop, LOW, now=now)
    assert (alert.kind, alert.severity, alert.subject) == ("low_stock", "notice", "mug")
    assert (alert.title, alert.facts, alert.closed_at) == ("Mug: 3 left", {"available": 3}, None)
    later = now + timedelta(minutes=1)
    fewer = Condition(Kind.LOW_STOCK, Severity.NOTICE, "Mug: 2 left", subject="mug", facts={"available": 2})
    [alert] = settled(shop, fewer, now=later)
    assert (alert.title, alert.times_seen, alert.seen_at, alert.opened_at) == ("Mug: 2 left", 2, later, now)
    [alert] = settled(shop, now=later)
    assert alert.closed_at == later


def test_alert_that_comes_back_is_a_new_one(shop, now):
    settled(shop, LOW, now=now)
    settled(shop, now=now + timedelta(minutes=1))
    first, second = settled(shop, LOW, now=now + timedelta(minutes=2))
    assert first.closed_at == second.opened_at - timedelta(minutes=1)
    assert second.closed_at is None


def test_alert_is_not_closed_by_who_looked_before_it_opened(shop, now):
    settled(shop, LOW, now=now)
    [alert] = settled(shop, now=now - timedelta(seconds=1))
    assert alert.closed_at is None


def test_alerts_of_other_kinds_subjects_and_shops_are_left_alone(shop, now):
    other = BusinessFactory()
    plate = Condition(Kind.LOW_STOCK, Severity.NOTICE, "Plate: 1 left", subject="plate")
    refused = Condition(Kind.REFUSALS, Severity.WARNING, "Many")
    settled(shop, LOW, plate, now=now)
    settled(shop, refused, now=now, kinds=[Kind.REFUSALS])
    settled(other, LOW, now=now)
    settled(shop, now=now, subjects=["mug"])
    assert list(Alert.objects.filter(business=shop).open().order_by("title").values_list("title", flat=True)) == [
        "Many",
        "Plate: 1 left",
    ]
    assert Alert.objects.filter(business=other).open().exists()


def test_alert_that_gets_worse_is_heard_anew_and_does_not_get_better(shop, now):
    [alert] = settled(shop, LOW, now=now)
    acknowledge(business_id=shop.id, alert_id=alert.id, actor=ACTOR, now=now)
    Alert.objects.filter(id=alert.id).update(emailed_at=now)
    [alert] = settled(shop, Condition(Kind.LOW_STOCK, Severity.WARNING, "Worse", subject="mug"), now=now)
    assert (alert.severity, alert.acknowledged_at, alert.emailed_at) == ("warning", None, None)
    [alert] = settled(shop, LOW, now=now)
    assert alert.severity == "warning"


def test_alert_about_holdfast_itself_has_no_business(now):
    late = Condition(Kind.JOB_LATE, Severity.CRITICAL, "Late", subject="test")
    only = {"business_id": None, "kinds": [Kind.JOB_LATE], "subjects": ["test"], "now": now}
    for _ in range(2):
        settle(conditions=[late], **only)
    alert = Alert.objects.get(subject="test")
    settle(conditions=[], **only)
    alert.refresh_from_db()
    assert (alert.business_id, alert.closed_at) == (None, now)


# --- Low and out -----------------------------------------------------------------------------------


@pytest.fixture
def mug(shop):
    return product(shop, stock=20, low_stock_threshold=5)


def with_available(shop, mug, available, now):
    """The kinds of the alerts that are open once so many mugs are available."""
    shelf = Stock.objects.get(product=mug)
    if delta := available - shelf.available:
        adjust_stock(business_id=shop.id, product_id=mug.id, delta=delta, reason="test", actor=ACTOR, now=now)
    watch_products(business_id=shop.id, product_ids=[mug.id], now=now)
    return list(Alert.objects.filter(business=shop).open().values_list("kind", flat=True))


@pytest.mark.parametrize(
    ("threshold", "steps"),
    [
        (5, [(6, []), (5, ["low_stock"]), (6, ["low_stock"]), (7, []), (6, [])]),
        (5, [(0, ["out_of_stock"]), (1, ["out_of_stock"]), (2, ["low_stock"]), (0, ["out_of_stock"]), (6, [])]),
        (20, [(21, []), (20, ["low_stock"]), (24, ["low_stock"]), (25, []), (21, [])]),
        (0, [(1, []), (0, ["out_of_stock"]), (1, ["out_of_stock"]), (2, []), (1, [])]),
    ],
)
def test_product_is_low_or_out_until_there_is_clearly_more(shop, mug, now, threshold, steps):
    Product.objects.filter(id=mug.id).update(low_stock_threshold=threshold)
    for available, kinds in steps:
        assert with_available(shop, mug, available, now) == kinds, available


@pytest.mark.slow
@pytest.mark.parametrize(("around", "kind"), [(range(4, 7), "low_stock"), (range(2), "out_of_stock")])
def test_alert_opens_once_and_closes_once_across_a_thousand_fluctuations(shop, mug, now, around, kind):
    luck = random.Random(1)
    with_available(shop, mug, around[0], now)
    for _ in range(1000):
        assert with_available(shop, mug, luck.choice(around), now) == [kind]
    assert with_available(shop, mug, 20, now) == []
    [alert] = Alert.objects.filter(business=shop)
    assert (alert.kind, alert.subject, alert.closed_at) == (kind, str(mug.id), now)


def test_product_that_is_not_sold_or_never_was_there_is_not_missed(shop, mug, now):
    product(shop, "NEVER", stock=0)
    gone = product(shop, "GONE", stock=1)
    Product.objects.filter(id=gone.id).update(is_active=False)
    assert short_shelves(shop.id) == []


def test_threshold_is_the_shops_unless_the_product_has_its_own(shop, now):
    product(shop, "LOW", stock=5, name="Plate")
    product(shop, "FINE", stock=6)
    product(shop, "OWN", stock=5, low_stock_threshold=4)
    [low] = short_shelves(shop.id)
    assert (low.kind, low.title) == ("low_stock", "Plate: 5 left")
    assert low.facts == {"sku": "LOW", "available": 5, "threshold": 5}


# --- What people do with them ----------------------------------------------------------------------


def test_alert_is_acknowledged_by_the_first_who_says_so(shop, now):
    [alert] = settled(shop, LOW, now=now)
    for actor in ("person:ada", "person:ben"):
        acknowledge(business_id=shop.id, alert_id=alert.id, actor=actor, now=now)
    [alert] = settled(shop, LOW, now=now)
    assert (alert.acknowledged_at, alert.acknowledged_by) == (now, "person:ada")
    assert not Alert.objects.filter(business=shop).unheard(now).exists()
    acknowledge(business_id=shop.id, alert_id=alert.id, acknowledged=False, actor="person:ben", now=now)
    assert Alert.objects.filter(business=shop).unheard(now).get().acknowledged_by == ""


def test_alert_sleeps_until_then(shop, now):
    [alert] = settled(shop, LOW, now=now)
    until = now + timedelta(hours=1)
    alert = snooze(business_id=shop.id, alert_id=alert.id, until=until, actor=ACTOR, now=now)
    assert (alert.snoozed_until, alert.snoozed_by) == (until, ACTOR)
    unheard = Alert.objects.filter(business=shop).unheard
    assert not unheard(now).exists()
    assert unheard(until).exists()
    snooze(business_id=shop.id, alert_id=alert.id, until=None, actor=ACTOR, now=now)
    assert unheard(now).exists()


def test_alert_does_not_sleep_for_ever_or_in_the_past(shop, now):
    [alert] = settled(shop, LOW, now=now)
    for until in (now, now - timedelta(days=1), now + LONGEST_SNOOZE + timedelta(seconds=1)):
        with pytest.raises(InvalidRequest):
            snooze(business_id=shop.id, alert_id=alert.id, until=until, actor=ACTOR, now=now)


def test_alert_is_answered_only_by_those_whose_it_is(shop, now):
    [theirs] = settled(BusinessFactory(), LOW, now=now)
    ours = Alert.objects.create(
        kind=Kind.JOB_LATE, severity="critical", title="Late", subject="test", opened_at=now, seen_at=now
    )
    for alert, error in ((theirs, AlertNotFound), (ours, NotAllowed)):
        with pytest.raises(error):
            acknowledge(business_id=shop.id, alert_id=alert.id, actor=ACTOR, now=now)
        with pytest.raises(error):
            snooze(business_id=shop.id, alert_id=alert.id, until=None, actor=ACTOR, now=now)
    assert acknowledge(business_id=None, alert_id=ours.id, actor="person:root", now=now).acknowledged_at == now
    with pytest.raises(AlertNotFound):
        acknowledge(business_id=None, alert_id=theirs.id, actor="person:root", now=now)
