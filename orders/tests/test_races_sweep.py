"""The sweep, and everything at once. Each test was seen red without its guard, as in test_races."""

import random
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db import connection

from catalog.models import Product, StockMovement
from customers.services import Buyer
from factories import on_shelf, pay, place, product, verb
from orders.errors import InsufficientStock
from orders.models import Order
from orders.tests.racing import MINUTE, cancel, edit, outcomes, refund, shelf, sweep, timeline
from orders_project.errors import DomainError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


# --- the sweep -------------------------------------------------------------------------------


def test_expire_due_by_several_workers_at_once(shop, at_once, now):
    """Two beats double every tick. Each order expires once, and each unit comes back once.

    The guard: the lock in ending.EXPIRE.
    """
    product(shop, "MUG-01", stock=100)
    product(shop, "TEA-01", stock=100)
    orders = [place(shop, ("MUG-01", 1 + n % 3), ("TEA-01", 1), now=now - 15 * MINUTE) for n in range(20)]
    answers = at_once([lambda: sweep(shop, now)] * 6, behind=shelf(shop))
    assert sum(answers) == 20
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(100, 0), (100, 0)]
    assert all(timeline(order) == ["placed", "expired"] for order in orders)


def test_place_while_overdue_holds_are_swept(shop, at_once, now):
    """A shelf full of overdue holds, thirty buyers, and the sweep at the same time: ten units go to ten.

    The guard: the lock on the holds in reservations.services._held_by.
    """
    product(shop, stock=10)
    for _ in range(10):
        place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    calls = [lambda: place(shop, ("MUG-01", 1), now=now)] * 30 + [lambda: sweep(shop, now)] * 3
    random.Random(7).shuffle(calls)
    answers = at_once(calls)
    found = outcomes(answers)
    assert found["Order"] + found["InsufficientStock"] == 30
    assert found["int"] == 3
    assert on_shelf(shop) == (10, found["Order"])
    sweep(shop, now)  # who was told "none left" while the sweep had the holds in hand may try again
    for _ in range(10 - found["Order"]):
        place(shop, ("MUG-01", 1), now=now)
    with pytest.raises(InsufficientStock):
        place(shop, ("MUG-01", 1), now=now)


def test_expire_due_while_somebody_keeps_a_shelf(shop, another_session, now):
    """What one order waits for in vain keeps no other from being expired.

    The guard: Busy among bad_orders.BAD_ORDER.
    """
    kept, free = product(shop, "MUG-01"), product(shop, "TEA-01")
    for goods in (kept, free):
        place(shop, (goods.sku, 1), now=now - 15 * MINUTE)
    other = another_session()
    other.execute("SELECT FROM catalog_stock WHERE product_id = %s FOR UPDATE", [kept.id])
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '10ms'")
    with pytest.raises(RuntimeError, match="for 1 of the orders"):
        sweep(shop, now)
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(10, 1), (10, 0)]
    other.rollback()
    assert sweep(shop, now) == 1


# --- everything at once ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_verb_at_once(shop, at_once, now, seed):
    """Twelve people do what comes into their heads to the same few orders of a few scarce goods, late and
    early. Each answer is an order or a refusal that says why, and the books are right."""
    skus = ["CUP-01", "MUG-01", "TEA-01"]
    for sku in skus:
        product(shop, sku, stock=12)
    buyers = [Buyer(name=f"Buyer {n}", phone=f"+44770090010{n}") for n in range(4)]
    orders = []

    def act(chance):
        at = now + chance.choice([-16, -14, 0]) * MINUTE
        cart = [(sku, chance.randint(1, 3)) for sku in chance.sample(skus, chance.randint(1, 3))]
        order = chance.choice(orders) if orders else None
        if order is None or chance.random() < 0.3:
            buyer = chance.choice(buyers)
            orders.append(place(shop, *cart, buyer=buyer, draft=chance.random() < 0.2, now=at))
            return orders[-1]
        match chance.randrange(11):
            case 0 | 1 | 2:
                current = Order.objects.get(id=order.id)
                return pay(current, reference=f"TX-{order.id}-{chance.randint(1, 2)}", now=now)
            case 3 | 4:
                return edit(order, *cart, now=at)
            case 5:
                return cancel(order, now=now)
            case 6:
                return sweep(shop, now)
            case 7:
                return verb("record_failed_payment", order, release=chance.random() < 0.5, reason="x", now=now)
            case 8:
                return verb("extend_hold", order, minutes=5, reason="x", now=at)
            case 9:
                return refund(order, chance.randint(1, 20), str(uuid4()))
            case 10:
                shipped = {"carrier": "DHL", "tracking_number": str(chance.randint(1, 3)), "now": now}
                return verb("record_shipping", order, **shipped)

    def person(number):
        chance = random.Random(seed * 1000 + number)
        answers = []
        for _ in range(25):
            try:
                answers.append(act(chance))
            except DomainError as refusal:
                answers.append(refusal)
        return answers

    people = at_once([lambda number=number: person(number) for number in range(12)])
    assert not [answer for answer in people if isinstance(answer, Exception)], people
    found = outcomes(answer for answers in people for answer in answers)
    assert found["Order"] > 60  # a run in which nothing happened proves nothing
    assert not found["Busy"]
    sweep(shop, now + timedelta(days=2))
    for order in Order.objects.filter(business=shop):
        assert all(later == earlier + 1 for earlier, later in pairwise(versions(order)))
    assert StockMovement.objects.filter(business=shop, kind="sold").exists()
    assert Product.objects.filter(business=shop).count() == 3


def versions(order):
    return list(order.events.order_by("version").values_list("version", flat=True))
