"""Many at once. Each test was seen red with the guard that its docstring names taken out.

Most of them meet for certain and not by luck: they all wait behind one row, after they have looked and
before they have changed anything (`at_once`).
"""

import random
from uuid import uuid4

import pytest
from django.db import connection, transaction

from catalog.models import Stock
from catalog.services import receive_stock
from customers.models import Customer
from customers.services import Buyer
from factories import ACTOR, on_shelf, pay, place, placement, product, verb
from orders import services
from orders.errors import InsufficientStock
from orders.models import Order
from orders.tests.racing import ADA, MINUTE, available, edit, outcomes, shelf, sweep, timeline
from orders_project.clock import database_now
from orders_project.errors import DomainError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


# --- buyer against buyer ---------------------------------------------------------------------


def test_place_hundred_buyers_for_one_unit(shop, at_once):
    """Failure 1: two buyers get the last unit. All hundred have seen it on the shelf.

    The guard: the WHERE of catalog.stock.MOVE, and behind it the CHECK stock_never_oversold. Without
    Shelf.admit the promise is kept, but the ninety-nine are told Busy, and not what is left.
    """
    product(shop, stock=1)
    answers = at_once([lambda: place(shop, ("MUG-01", 1))] * 100, behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "InsufficientStock": 99}
    refusal = next(answer for answer in answers if isinstance(answer, InsufficientStock))
    assert refusal.facts["items"][0]["requested"] == 1
    assert refusal.facts["items"][0]["available"] == 0
    assert available(shop) == 0


def test_place_ten_buyers_for_five_units_of_whom_three_pay(shop, at_once):
    """The guard: the WHERE of catalog.stock.MOVE."""
    product(shop, stock=5)
    answers = at_once([lambda: place(shop, ("MUG-01", 1))] * 10)
    orders = [answer for answer in answers if isinstance(answer, Order)]
    assert outcomes(answers) == {"Order": 5, "InsufficientStock": 5}
    at_once([lambda order=order: pay(order) for order in orders[:3]])
    assert on_shelf(shop) == (2, 2)
    assert available(shop) == 0


def test_place_thousand_buyers_for_fifty_units(shop, at_once):
    """Twenty one after the other in each of fifty threads.

    The guard: the WHERE of catalog.stock.MOVE, and behind it the CHECK stock_never_oversold.
    """
    product(shop, stock=50)

    def twenty():
        answers = []
        for _ in range(20):
            try:
                answers.append(place(shop, ("MUG-01", 1)))
            except DomainError as refusal:
                answers.append(refusal)
        return answers

    answers = [answer for answers in at_once([twenty] * 50) for answer in answers]
    assert outcomes(answers) == {"Order": 50, "InsufficientStock": 950}
    assert on_shelf(shop) == (50, 50)


def test_place_carts_in_opposite_orders(shop, at_once, no_second_try):
    """Locks taken in the order of the cart, not of the key: deadlock. A crowd buys without one.

    The guard: StockQuerySet.lock, which catalog.stock._move_counters asks first. Without it this test is red
    only when the crowd meets badly; the next one is red for certain.
    """
    skus = ["CUP-01", "MUG-01", "TEA-01"]
    for sku in skus:
        product(shop, sku, stock=1000)

    def buy(seed):
        chance = random.Random(seed)
        for _ in range(8):
            # As many of each as none of the others, so that each shelf is changed by itself.
            cart = list(zip(skus, chance.sample([1, 2, 3], 3), strict=True))
            chance.shuffle(cart)
            place(shop, *cart)
        return "bought"

    assert outcomes(at_once([lambda seed=seed: buy(seed) for seed in range(12)])) == {"str": 12}
    assert sum(on_shelf(shop, sku)[1] for sku in skus) == 12 * 8 * 6


@pytest.fixture
def read_as_they_lie(committed):
    """Sessions that begin now read rows as they lie in the table. By an index they come in the order of its keys,
    and that is luck: whether one is asked is for the planner to say."""
    database = connection.ops.quote_name(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        for way in ("indexscan", "bitmapscan"):
            cursor.execute(f"ALTER DATABASE {database} SET enable_{way} TO off")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {database} RESET ALL")


@pytest.mark.usefixtures("read_as_they_lie")
@pytest.mark.parametrize("act", ["place", "edit"])
def test_shelves_are_locked_in_the_order_of_their_keys(shop, at_once, now, act):
    """While two carts wait for the first shelf, nobody keeps the second: so they can't wait for each other.

    The guard: StockQuerySet.lock, its ORDER BY, and that catalog.stock._move_counters asks it first.
    """
    skus = ["MUG-01", "TEA-01"]
    first, _ = (product(shop, sku, stock=10) for sku in skus)
    orders = [place(shop, (sku, 1)) for sku in skus]
    # Now the first shelf's row lies behind the second's, and has more on it: no other order is by key.
    receive_stock(business_id=shop.id, product_id=first.id, quantity=10, actor=ACTOR, now=now)

    def keep_the_second():
        with transaction.atomic():
            return Stock.objects.select_for_update(nowait=True, of=["self"]).get(
                business=shop, product__sku="TEA-01"
            )

    carts = [[("MUG-01", 1), ("TEA-01", 2)], [("TEA-01", 2), ("MUG-01", 1)]]
    calls = [
        lambda cart=cart, order=order: place(shop, *cart) if act == "place" else edit(order, *cart)
        for cart, order in zip(carts, orders, strict=True)
    ]
    answers = at_once([*calls, keep_the_second], behind=shelf(shop, "MUG-01"), in_turn=True)
    assert outcomes(answers) == {"Order": 2, "Stock": 1}


def test_place_carts_of_two_goods_hold_all_or_nothing(shop, at_once):
    """Nothing is half held when one of two goods runs out.

    The guard: the `transaction.atomic()` of place_many, which takes back the first shelf's change.
    """
    product(shop, "MUG-01", stock=8)
    product(shop, "TEA-01", stock=13)
    carts = [[("MUG-01", 1), ("TEA-01", 2)], [("TEA-01", 2), ("MUG-01", 1)]] * 10
    answers = at_once([lambda cart=cart: place(shop, *cart) for cart in carts], behind=shelf(shop, "TEA-01"))
    assert outcomes(answers) == {"Order": 6, "InsufficientStock": 14}
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(8, 6), (13, 12)]


# --- one buyer, twice ------------------------------------------------------------------------


def test_place_same_key_from_fifty(shop, at_once):
    """Failure 8: double orders. All fifty have asked whether the key is known before any has written it.

    The guard: the unique rule order_key_once, and another look when it refuses (WORTH_ANOTHER_LOOK).
    """
    product(shop, stock=100)
    asked = placement(("MUG-01", 2), idempotency_key="k-1")

    def ask():
        return services.place(business=shop, placement=asked, actor=ACTOR, now=database_now())

    answers = at_once([ask] * 50, behind=shelf(shop))
    assert outcomes(answers) == {"Placed": 50}
    assert len({placed.order.id for placed in answers}) == 1
    assert sum(placed.replayed for placed in answers) == 49
    assert on_shelf(shop) == (100, 2)


def test_place_same_key_for_the_last_unit(shop, at_once, now):
    """Failure 4: a customer is blocked by their own hold. The repeat finds the shelf empty, for it is
    their own first order that emptied it; it is answered with that order.

    The guard: place_many asks who asked before after it has looked at the shelf, not before.
    """
    product(shop, stock=1)
    place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)  # overdue, so that all of them lock the shelf to look
    asked = placement(("MUG-01", 1), idempotency_key="k-1")

    def ask():
        return services.place(business=shop, placement=asked, actor=ACTOR, now=now)

    answers = at_once([ask] * 10, behind=shelf(shop))
    assert outcomes(answers) == {"Placed": 10}
    assert len({placed.order.id for placed in answers}) == 1
    sweep(shop, now)


def test_place_same_external_id_from_twenty(shop, at_once):
    """The guard: the unique rule order_external_id_once, and another look when it refuses."""
    product(shop, stock=100)
    answers = at_once([lambda: place(shop, ("MUG-01", 2), external_id="web-1")] * 20, behind=shelf(shop))
    assert outcomes(answers) == {"Order": 20}
    assert len({order.id for order in answers}) == 1
    assert on_shelf(shop) == (100, 2)


def test_place_double_click_at_the_same_moment(shop, at_once):
    """Failure 8: double orders of a double click. Failure 9: each of them with a new key.

    The guard: place_many holds the known customers' rows while it asks what they ordered a moment ago.
    """
    product(shop, stock=100)
    place(shop, ("MUG-01", 1), buyer=ADA)  # so she is known
    clicks = [lambda: place(shop, ("MUG-01", 2), buyer=ADA, idempotency_key=str(uuid4()))] * 5
    answers = at_once(clicks, behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "DuplicateOrder": 4}
    assert on_shelf(shop) == (100, 3)


def test_place_double_click_of_a_new_customer(shop, at_once):
    """The guard: the unique rule customer_phone_once, and another look when it refuses."""
    product(shop, stock=100)
    answers = at_once([lambda: place(shop, ("MUG-01", 2), buyer=ADA)] * 5, behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "DuplicateOrder": 4}


def test_place_double_click_of_a_new_customer_known_by_email_alone(shop, at_once):
    """The guard: recognising._take_turns. No rule makes emails unique: without it they are five customers."""
    product(shop, stock=100)
    buyer = Buyer(name="Ada", email="ada@example.com")
    answers = at_once([lambda: place(shop, ("MUG-01", 2), buyer=buyer)] * 5, behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "DuplicateOrder": 4}
    assert Customer.objects.filter(business=shop).count() == 1


def test_place_same_new_customer_from_twenty(shop, at_once):
    """The guard: the unique rule customer_phone_once, and another look when it refuses."""
    product(shop, stock=1000)
    answers = at_once(
        [lambda quantity=quantity: place(shop, ("MUG-01", quantity), buyer=ADA) for quantity in range(1, 21)],
        behind=shelf(shop),
    )
    assert outcomes(answers) == {"Order": 20}
    assert Customer.objects.filter(business=shop).count() == 1
    assert len({order.customer_id for order in answers}) == 1


def test_submit_twenty_times(shop, at_once):
    """The guard: the status in the WHERE of timeline.move."""
    product(shop, stock=100)
    draft = place(shop, ("MUG-01", 2), draft=True)
    assert outcomes(at_once([lambda: verb("submit", draft)] * 20, behind=draft)) == {"Order": 20}
    assert on_shelf(shop) == (100, 2)
    assert timeline(draft) == ["created", "submitted"]
