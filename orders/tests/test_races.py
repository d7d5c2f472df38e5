"""Many at once. Each test was seen red with the guard that its docstring names taken out.

Most of them meet for certain and not by luck: they all wait behind one row, after they have looked and
before they have changed anything (`at_once`).
"""

import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db import connection, transaction

from catalog.models import Product, Stock, StockMovement
from catalog.services import adjust_stock, receive_stock
from customers.models import Customer
from customers.services import Buyer, rescore
from factories import ACTOR, on_shelf, order_in, pay, place, placement, product, verb
from orders import services
from orders.errors import InsufficientStock
from orders.models import Order, OrderEvent, Payment, Shipment
from orders.services import Edit, Line
from orders_project import transactions
from orders_project.clock import database_now
from orders_project.errors import DomainError
from reservations.models import StockReservation

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]

MINUTE = timedelta(minutes=1)
ADA = Buyer(name="Ada", phone="+447700900123")
BOTH_WAYS = pytest.mark.parametrize("turned", [False, True], ids=["first", "second"])


@pytest.fixture
def no_second_try(monkeypatch):
    """What collides reaches the client: so a deadlock is seen, and not mended by another try."""
    monkeypatch.setattr(transactions, "ATTEMPTS", 1)


def outcomes(answers):
    return Counter(type(answer).__name__ for answer in answers)


def available(shop, sku="MUG-01"):
    return Stock.objects.get(business=shop, product__sku=sku).available


def shelf(shop, sku="MUG-01"):
    """The row for others to wait behind."""
    return Stock.objects.get(business=shop, product__sku=sku)


def sweep(shop, now):
    return services.expire_due(business_id=shop.id, now=now)


def edit(order, *lines, **more):
    change = Edit(lines=tuple(Line(sku, quantity) for sku, quantity in lines))
    return verb("edit", order, change=change, **more)


def cancel(order, **more):
    return verb("cancel", order, reason="changed their mind", **more)


def refund(order, amount, reference):
    return verb("record_refund", order, provider="bank", reference=reference, amount=Decimal(amount))


def timeline(order):
    return list(OrderEvent.objects.filter(order_id=order.id).order_by("version").values_list("kind", flat=True))


def state(order):
    return Order.objects.values_list("status", "payment_status").get(id=order.id)


# --- buyer against buyer ---------------------------------------------------------------------


def test_place_hundred_buyers_for_one_unit(shop, at_once):
    """Failure 1: two buyers get the last unit. All hundred have seen it on the shelf.

    The guard: the WHERE of StockQuerySet.that_allows, and behind it the CHECK stock_never_oversold. Without
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
    """The guard: the WHERE of StockQuerySet.that_allows."""
    product(shop, stock=5)
    answers = at_once([lambda: place(shop, ("MUG-01", 1))] * 10)
    orders = [answer for answer in answers if isinstance(answer, Order)]
    assert outcomes(answers) == {"Order": 5, "InsufficientStock": 5}
    at_once([lambda order=order: pay(order) for order in orders[:3]])
    assert on_shelf(shop) == (2, 2)
    assert available(shop) == 0


def test_place_thousand_buyers_for_fifty_units(shop, at_once):
    """Twenty one after the other in each of fifty threads.

    The guard: the WHERE of StockQuerySet.that_allows, and behind it the CHECK stock_never_oversold.
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


# --- money -----------------------------------------------------------------------------------


def test_confirm_payment_same_receipt_twenty_times(shop, at_once):
    """Failure 7: a repeated payment message deducts twice. Failure 8: webhook and return page.

    The guards: the lock on the order in paying._Books, and behind it the unique rule payment_once. One
    without the other is enough; with both out it is red.
    """
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2))
    answers = at_once([lambda: pay(order, reference="TX-1")] * 20, behind=order)
    assert outcomes(answers) == {"Order": 20}
    assert Payment.objects.filter(order=order).count() == 1
    assert on_shelf(shop) == (8, 0)


def test_confirm_payment_by_ten_different_payments(shop, at_once):
    """The guard: the lock on the order in paying._Books."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2))
    answers = at_once([lambda n=n: pay(order, reference=f"TX-{n}") for n in range(10)], behind=order)
    assert outcomes(answers) == {"Order": 1, "AlreadyPaid": 9}
    (payment,) = Payment.objects.filter(order=order)
    assert {answer.facts["reference"] for answer in answers if isinstance(answer, DomainError)} == {
        payment.reference
    }
    assert on_shelf(shop) == (8, 0)


def test_confirm_payment_same_reference_for_two_orders(shop, at_once):
    """The guard: the unique rule payment_once, and another look when it refuses."""
    product(shop, stock=10)
    orders = [place(shop, ("MUG-01", 2)) for _ in range(2)]
    answers = at_once([lambda order=order: pay(order, reference="TX-1") for order in orders], behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "PaymentReferenceTaken": 1}
    assert on_shelf(shop) == (8, 2)


def test_confirm_payment_two_late_ones_for_the_last_unit(shop, at_once, now):
    """Failure 6: money taken, no order. One lives on, the other is owed its money; neither is an error.

    The guard: `locked=True` in paying._Books._take.
    """
    product(shop, stock=2)
    orders = [place(shop, ("MUG-01", 2), now=now - timedelta(hours=hours)) for hours in (2, 1)]
    sweep(shop, now)
    answers = at_once([lambda order=order: pay(order) for order in orders], behind=shelf(shop))
    assert outcomes(answers) == {"Order": 2}
    assert sorted(map(state, orders)) == [("cancelled", "refund_due"), ("paid", "paid")]
    assert on_shelf(shop) == (0, 0)


def test_record_refund_never_more_than_came_in(shop, at_once):
    """The guard: the lock on the order in record_refund."""
    product(shop, price="9.90")
    order = pay(place(shop, ("MUG-01", 1)))
    answers = at_once([lambda n=n: refund(order, "1.00", f"R-{n}") for n in range(12)], behind=order)
    assert outcomes(answers) == {"Order": 9, "RefundTooLarge": 3}
    assert state(order) == ("paid", "partially_refunded")


def test_record_refund_same_reference_for_two_orders(shop, at_once):
    """The guard: record_refund looks again when the unique rule payment_once refuses."""
    product(shop, stock=10)
    orders = [pay(place(shop, ("MUG-01", quantity), buyer=ADA)) for quantity in (1, 2)]
    ada = Customer.objects.get(business=shop)
    answers = at_once([lambda order=order: refund(order, "5.00", "R-1") for order in orders], behind=ada)
    assert outcomes(answers) == {"Order": 1, "PaymentReferenceTaken": 1}
    assert Payment.objects.filter(business=shop, reference="R-1").count() == 1


def test_counters_of_a_sale_and_a_cancel_at_once(shop, at_once):
    """Failure 15: lifetime value wrong. The cancel counts anew while the sale adds to what it counted.

    The guard: customers.hold in restate_worth.
    """
    product(shop, stock=100, price="10.00")
    orders = [place(shop, ("MUG-01", quantity), buyer=ADA) for quantity in range(1, 9)]
    sold, called_off = orders[:4], [pay(order) for order in orders[4:]]
    ada = Customer.objects.get(business=shop)
    calls = [lambda order=order: pay(order) for order in sold]
    calls += [lambda order=order: cancel(order) for order in called_off]
    assert outcomes(at_once(calls, behind=ada)) == {"Order": 8}
    ada.refresh_from_db()
    assert (ada.total_orders, ada.total_spent) == (4, 100)


def test_rescore_while_a_sale_is_counted(shop, at_once, now):
    """A repair job that sums without a lock, then writes the stale sum.

    The guard: the score is computed from the very row that is updated, not from a copy of it.
    """
    product(shop, stock=100, price="10.00")
    pay(place(shop, ("MUG-01", 1), buyer=ADA), now=now)
    order = place(shop, ("MUG-01", 30), buyer=ADA)
    later = now + timedelta(days=30)
    ada = Customer.objects.get(business=shop)
    calls = [lambda: pay(order, now=later), lambda: rescore(customer_ids=[ada.id], now=later)]
    at_once(calls, behind=shelf(shop), in_turn=True)
    ada.refresh_from_db()
    score = ada.engagement_score
    rescore(customer_ids=[ada.id], now=later)
    ada.refresh_from_db()
    assert ada.engagement_score == score == 71  # 40 + 30 (1 - 0.5^(2/3)) + 30 (1 - 0.5^(310/200))
    rescore(customer_ids=[ada.id], now=database_now())


# --- verb against verb, each of them first once ----------------------------------------------


@BOTH_WAYS
def test_confirm_payment_against_the_sweep(shop, at_once, now, turned):
    """Failure 6: the payment comes at the instant of expiry. Whoever is first, the buyer gets the goods,
    for nobody else wants them, and pays once.

    The guard: the lock on the order in paying._Books. (A sweep that overwrote a payment would be stopped by
    the CHECK order_status_fits_payment; its own guards are seen in the tests of cancel and extend_hold.)
    """
    product(shop, stock=2)
    order = place(shop, ("MUG-01", 2), now=now - 15 * MINUTE)
    calls = [lambda: pay(order, now=now), lambda: sweep(shop, now)]
    answers = at_once(calls[::-1] if turned else calls, behind=shelf(shop), in_turn=True)
    assert outcomes(answers) == {"Order": 1, "int": 1}
    assert state(order) == ("paid", "paid")
    assert timeline(order) == (["placed", "expired", "paid_late"] if turned else ["placed", "paid"])
    assert on_shelf(shop) == (0, 0)


@BOTH_WAYS
def test_confirm_payment_against_the_next_buyer(shop, at_once, now, turned):
    """Failure 1: two buyers get the last unit. The worker is dead; the first pays late while the next one
    takes back the overdue hold.

    The guard: the lock on the holds in reservations.services._held_by.
    """
    product(shop, stock=1)
    late = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    calls = [lambda: pay(late, now=now), lambda: place(shop, ("MUG-01", 1), now=now)]
    # Whoever is first has the hold in hand and waits: the payer for the shelf, the buyer, with the next
    # customer to be written, for the shop's row.
    answers = at_once(calls[::-1] if turned else calls, behind=shop if turned else shelf(shop), in_turn=True)
    if turned:
        assert outcomes(answers) == {"Order": 2}
        assert state(late) == ("cancelled", "refund_due")
        assert on_shelf(shop) == (1, 1)
    else:
        assert outcomes(answers) == {"Order": 1, "InsufficientStock": 1}
        assert state(late) == ("paid", "paid")
        assert on_shelf(shop) == (0, 0)


def test_confirm_payment_while_the_next_buyer_looks(shop, at_once, now, no_second_try):
    """The payer has the hold in hand and not yet the shelf, the buyer the shelf: nobody may wait for the
    other's.

    The guard: SKIP LOCKED in reservations.services._take_back_overdue.
    """
    product(shop, stock=1)
    late = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    calls = [lambda: pay(late, now=now), lambda: place(shop, ("MUG-01", 1), now=now)]
    answers = at_once(calls, behind=late.customer, in_turn=True)
    assert outcomes(answers) == {"Order": 1, "InsufficientStock": 1}
    assert state(late) == ("paid", "paid")


@BOTH_WAYS
def test_confirm_payment_against_cancel(shop, at_once, turned):
    """Both happen, in one order or the other, and both end in money that is owed and goods that are back.

    The guards: the status in the WHERE of timeline.move, and the lock on the order in paying._Books.
    """
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2))
    calls = [lambda: pay(order), lambda: cancel(order)]
    answers = at_once(calls[::-1] if turned else calls, behind=shelf(shop), in_turn=True)
    assert outcomes(answers) == {"Order": 2}
    assert state(order) == ("cancelled", "refund_due")
    assert timeline(order) == (
        ["placed", "cancelled", "refund_due"] if turned else ["placed", "paid", "cancelled"]
    )
    assert on_shelf(shop) == (10, 0)


@BOTH_WAYS
def test_cancel_against_the_sweep(shop, at_once, now, turned):
    """Failure 11: cancelling restores twice. Exactly one of them ends the order.

    The guards: the status in the WHERE of timeline.move, and the lock in ending.EXPIRE.
    """
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2), now=now - 15 * MINUTE)
    calls = [lambda: cancel(order, now=now), lambda: sweep(shop, now)]
    answers = at_once(calls[::-1] if turned else calls, behind=shelf(shop), in_turn=True)
    assert outcomes(answers) == {"Order": 1, "int": 1}
    assert timeline(order) == ["placed", "expired" if turned else "cancelled"]
    assert on_shelf(shop) == (10, 0)


@BOTH_WAYS
def test_edit_against_confirm_payment(shop, at_once, turned):
    """Failure 13: editing an order leaves stock wrong. What is paid is what it was, or the money is refused.

    The guards: the lock on the order in editing._lock_for_edit, and the one in paying._Books.
    """
    product(shop, stock=10, price="9.90")
    order = place(shop, ("MUG-01", 2))
    calls = [lambda: edit(order, ("MUG-01", 3)), lambda: pay(order, amount=Decimal("19.80"))]
    answers = at_once(calls[::-1] if turned else calls, behind=shelf(shop), in_turn=True)
    assert outcomes(answers) == {"Order": 1, "NotEditable" if turned else "PaymentMismatch": 1}
    assert state(order) == (("paid", "paid") if turned else ("pending", "pending"))
    assert on_shelf(shop) == ((8, 0) if turned else (10, 3))


@BOTH_WAYS
def test_extend_hold_against_the_sweep(shop, at_once, now, turned):
    """A hold whose time is up is not revived, and one that was given time is not taken.

    The guards: the lock on the order in extend_hold, and the lock in ending.EXPIRE.
    """
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2), now=now - 15 * MINUTE)
    in_time = now - timedelta(seconds=1)
    calls = [
        lambda: verb("extend_hold", order, minutes=15, reason="they asked", now=in_time),
        lambda: sweep(shop, now),
    ]
    # The sweep gives back to the shelf; the longer hold only needs the hold.
    row = shelf(shop) if turned else StockReservation.objects.get(order_id=order.id)
    answers = at_once(calls[::-1] if turned else calls, behind=row, in_turn=True)
    assert timeline(order) == ["placed", "expired" if turned else "hold_extended"]
    assert outcomes(answers) == {"int": 1, "IllegalTransition" if turned else "Order": 1}
    assert on_shelf(shop) == (10, 0 if turned else 2)


def test_extend_hold_twice_at_once(shop, at_once, now):
    """Two people give an order more time, and it has both.

    The guard: extend_hold reckons from the order that it has locked.
    """
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2), now=now)
    answers = at_once([lambda: verb("extend_hold", order, minutes=15, reason="x", now=now)] * 2, behind=order)
    assert outcomes(answers) == {"Order": 2}
    assert Order.objects.get(id=order.id).payment_due_at == order.payment_due_at + 30 * MINUTE


def test_extend_hold_against_the_next_buyer(shop, at_once, now):
    """The next buyer's clock is a moment ahead: it takes the overdue hold while the extension waits for it.

    The guard: extend_hold counts the holds that it found alive.
    """
    product(shop, stock=1)
    order = place(shop, ("MUG-01", 1), now=now - 15 * MINUTE)
    calls = [
        lambda: place(shop, ("MUG-01", 1), now=now),
        lambda: verb("extend_hold", order, minutes=1, reason="they asked", now=now - timedelta(seconds=1)),
    ]
    answers = at_once(calls, behind=shop, in_turn=True)  # the buyer has the hold in hand, and waits
    assert outcomes(answers) == {"Order": 1, "PaymentWindowOver": 1}
    sweep(shop, now)


def test_add_product_same_sku_from_ten(shop, at_once):
    """The guard: add_product says what it means when the unique rule product_sku_once refuses."""
    answers = at_once([lambda: product(shop, "MUG-01", stock=5)] * 10, behind=shop)
    assert outcomes(answers) == {"Product": 1, "SkuTaken": 9}
    assert on_shelf(shop) == (5, 0)


def test_adjust_stock_against_buyers(shop, at_once):
    """Failure 20: a stock write loses sales made meanwhile. Ten units, ten are taken off, ten are ordered.

    The guard: the WHERE of StockQuerySet.that_allows, and behind it the CHECK stock_never_oversold.
    """
    goods = product(shop, stock=10)

    def take_off():
        return adjust_stock(
            business_id=shop.id, product_id=goods.id, delta=-1, reason="broken", actor=ACTOR, now=database_now()
        )

    answers = at_once([take_off, lambda: place(shop, ("MUG-01", 1))] * 10, behind=shelf(shop))
    found = outcomes(answers)
    assert found["Stock"] + found["Order"] == 10
    assert found["StockBelowReserved"] + found["InsufficientStock"] == 10
    assert on_shelf(shop) == (10 - found["Stock"], found["Order"])


def test_adjust_stock_same_key_twenty_times(shop, at_once):
    """The guard: the lock on the shelf in adjust_stock."""
    goods = product(shop, stock=100)

    def take_off():
        return adjust_stock(
            business_id=shop.id,
            product_id=goods.id,
            delta=-3,
            reason="broken",
            actor=ACTOR,
            now=database_now(),
            idempotency_key="k-1",
        )

    answers = at_once([take_off] * 20, behind=shelf(shop))
    assert outcomes(answers) == {"Stock": 20}
    assert on_shelf(shop) == (97, 0)


def test_adjust_stock_same_key_for_two_products(shop, at_once):
    """The guard: adjust_stock says what it means when the unique rule movement_key_once refuses."""
    goods = [product(shop, sku, stock=100) for sku in ("MUG-01", "TEA-01")]

    def take_off(product_id):
        return adjust_stock(
            business_id=shop.id,
            product_id=product_id,
            delta=-3,
            reason="broken",
            actor=ACTOR,
            now=database_now(),
            idempotency_key="k-1",
        )

    # The first has written its line and waits to know whether its product is still there.
    calls = [lambda product_id=each.id: take_off(product_id) for each in goods]
    answers = at_once(calls, behind=goods[0], in_turn=True)
    assert outcomes(answers) == {"Stock": 1, "KeyReused": 1}
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(97, 0), (100, 0)]


def test_cancel_twenty_times(shop, at_once):
    """Failure 11: cancelling restores twice.

    The guard: the status in the WHERE of timeline.move.
    """
    product(shop, stock=10)
    pending, paid = place(shop, ("MUG-01", 2)), pay(place(shop, ("MUG-01", 3)))
    for order in (pending, paid):
        assert outcomes(at_once([lambda order=order: cancel(order)] * 20, behind=order)) == {"Order": 20}
        assert timeline(order).count("cancelled") == 1
    assert on_shelf(shop) == (10, 0)


@BOTH_WAYS
def test_record_failed_payment_against_confirm_payment(shop, at_once, turned):
    """Failure 3 and 6: the failed attempt frees the goods, and the good one takes them again; or it comes
    too late to free anything.

    The guards: the status in the WHERE of record_failed_payment, and the lock on the order in paying._Books.
    """
    product(shop, stock=2)
    order = place(shop, ("MUG-01", 2))
    calls = [lambda: verb("record_failed_payment", order, release=True, reason="declined"), lambda: pay(order)]
    answers = at_once(calls[::-1] if turned else calls, behind=shelf(shop), in_turn=True)
    assert state(order) == ("paid", "paid")
    if turned:
        assert outcomes(answers) == {"Order": 1, "IllegalTransition": 1}
        assert timeline(order) == ["placed", "paid"]
    else:
        assert outcomes(answers) == {"Order": 2}
        assert timeline(order) == ["placed", "payment_failed", "cancelled", "paid_late"]


def test_edit_from_the_same_version(shop, at_once):
    """Failure 20: the last writer wins, and the others' changes are lost without a word.

    The guard: the lock on the order in editing._lock_for_edit, and the version that is asked under it.
    """
    product(shop, stock=100)
    order = place(shop, ("MUG-01", 1))
    calls = [
        lambda quantity=quantity: edit(order, ("MUG-01", quantity), expected_version=1)
        for quantity in range(2, 12)
    ]
    answers = at_once(calls, behind=order)
    assert outcomes(answers) == {"Order": 1, "PreconditionFailed": 9}
    winner = next(answer for answer in answers if isinstance(answer, Order))
    assert on_shelf(shop) == (100, winner.items.get().quantity)


def test_edit_two_orders_for_the_last_units(shop, at_once):
    """Failure 13: editing an order leaves stock wrong. Three are left, and both ask for three more.

    The guard: the lock in stock.available, which look_at_shelf asks first.
    """
    product(shop, stock=5)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(2)]
    answers = at_once([lambda order=order: edit(order, ("MUG-01", 4)) for order in orders], behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "InsufficientStock": 1}
    refusal = next(answer for answer in answers if isinstance(answer, InsufficientStock))
    assert refusal.facts["items"][0]["available"] == 1  # the one that it holds itself
    assert on_shelf(shop) == (5, 5)


def test_submit_two_drafts_for_the_last_units(shop, at_once):
    """The guard: the lock in stock.available, which look_at_shelf asks first."""
    product(shop, stock=3)
    drafts = [place(shop, ("MUG-01", 2), draft=True) for _ in range(2)]
    answers = at_once([lambda draft=draft: verb("submit", draft) for draft in drafts], behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "InsufficientStock": 1}
    assert on_shelf(shop) == (3, 2)


def test_edit_two_orders_that_swap_their_goods(shop, at_once, no_second_try):
    """The guard: the ORDER BY of StockQuerySet.lock. Without it this test is red only when they meet badly;
    test_shelves_are_locked_in_the_order_of_their_keys is red for certain."""
    skus = ["MUG-01", "TEA-01"]
    for sku in skus:
        product(shop, sku, stock=1000)

    def swap(index):
        order = place(shop, (skus[index % 2], 5))
        for step in range(10):
            cart = [(skus[(index + step) % 2], 1 + step % 3), (skus[(index + step + 1) % 2], 7)]
            edit(order, *cart)
        return "swapped"

    assert outcomes(at_once([lambda index=index: swap(index) for index in range(8)])) == {"str": 8}


def test_ship_and_deliver_twenty_times(shop, at_once, now):
    """Failure 12: shipping corrupts stock.

    The guard: the status in the WHERE of timeline.move.
    """
    product(shop, stock=10)
    order = order_in(shop, "processing", now=now)
    ship = [lambda: verb("ship", order, carrier="DHL", tracking_number="D-1", now=now)] * 20
    assert outcomes(at_once(ship, behind=order)) == {"Order": 20}
    assert outcomes(at_once([lambda: verb("deliver", order, now=now)] * 20, behind=order)) == {"Order": 20}
    assert Shipment.objects.filter(order=order).count() == 1
    assert timeline(order) == ["placed", "paid", "processing", "shipped", "delivered"]
    assert on_shelf(shop) == (8, 0)


def test_ship_corrected_while_it_is_delivered(shop, at_once, now, no_second_try):
    """The guard: the order's row is locked before the parcel's in _correct_shipment."""
    product(shop, stock=10)
    order = order_in(shop, "shipped", now=now)
    parcel = Shipment.objects.get(order=order)
    calls = [
        lambda: verb("ship", order, carrier="DHL", tracking_number="D-1", now=now),
        lambda: verb("deliver", order, now=now),
    ]
    assert outcomes(at_once(calls, behind=parcel, in_turn=True)) == {"Order": 2}
    assert timeline(order)[-2:] == ["shipment_changed", "delivered"]


def test_confirm_payment_late_while_the_same_buyers_order_is_cancelled(shop, at_once, now, no_second_try):
    """The guard: paying._Books._take holds the buyers before the shelves."""
    product(shop, stock=10)
    late = place(shop, ("MUG-01", 1), buyer=ADA, now=now - 16 * MINUTE)
    sweep(shop, now)
    other = pay(place(shop, ("MUG-01", 2), buyer=ADA))
    hold = StockReservation.objects.get(order_id=other.id)
    answers = at_once([lambda: cancel(other), lambda: pay(late, now=now)], behind=hold, in_turn=True)
    assert outcomes(answers) == {"Order": 2}
    assert on_shelf(shop) == (9, 0)


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
