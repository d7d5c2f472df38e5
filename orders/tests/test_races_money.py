"""Money that comes in at once, and twice. Each test was seen red without its guard, as in test_races."""

from datetime import timedelta

import pytest

from customers.models import Customer
from customers.services import rescore
from factories import on_shelf, pay, place, product
from orders.models import Payment
from orders.tests.racing import ADA, cancel, outcomes, refund, shelf, state, sweep
from orders_project.clock import database_now
from orders_project.errors import DomainError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]


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
