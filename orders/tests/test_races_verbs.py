"""Verb against verb, each of them first once. Each test was seen red without its guard, as in test_races."""

from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.services import adjust_stock
from factories import ACTOR, on_shelf, order_in, pay, place, product, verb
from orders.errors import InsufficientStock
from orders.models import Order, Shipment
from orders.tests.racing import ADA, BOTH_WAYS, MINUTE, cancel, edit, outcomes, shelf, state, sweep, timeline
from orders_project.clock import database_now
from reservations.models import StockReservation

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


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

    The guard: the WHERE of catalog.stock.MOVE, and behind it the CHECK stock_never_oversold.
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

    The guard: the lock in stock.look, which look_at_shelf asks first.
    """
    product(shop, stock=5)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(2)]
    answers = at_once([lambda order=order: edit(order, ("MUG-01", 4)) for order in orders], behind=shelf(shop))
    assert outcomes(answers) == {"Order": 1, "InsufficientStock": 1}
    refusal = next(answer for answer in answers if isinstance(answer, InsufficientStock))
    assert refusal.facts["items"][0]["available"] == 1  # the one that it holds itself
    assert on_shelf(shop) == (5, 5)


def test_submit_two_drafts_for_the_last_units(shop, at_once):
    """The guard: the lock in stock.look, which look_at_shelf asks first."""
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
    """The guard: the order's row is changed before the parcel's in _correct_shipment: else a deadlock."""
    product(shop, stock=10)
    order = order_in(shop, "shipped", now=now)
    parcel = Shipment.objects.get(order=order)
    calls = [
        lambda: verb("ship", order, carrier="DHL", tracking_number="D-1", now=now),
        lambda: verb("deliver", order, now=now),
    ]
    assert outcomes(at_once(calls, behind=parcel, in_turn=True)) == {"Order": 2}
    assert timeline(order)[-2:] == ["shipment_changed", "delivered"]


def test_ship_corrected_after_it_was_delivered(shop, at_once, now):
    """The guard: _correct_shipment looks at the order that it has locked."""
    product(shop, stock=10)
    order = order_in(shop, "shipped", now=now)
    calls = [
        lambda: verb("deliver", order, now=now),
        lambda: verb("ship", order, carrier="DHL", tracking_number="D-1", now=now),
    ]
    assert outcomes(at_once(calls, behind=order, in_turn=True)) == {"Order": 1, "IllegalTransition": 1}
    assert timeline(order)[-1] == "delivered"


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
