"""Payments that failed, and money that went back."""

from datetime import timedelta
from decimal import Decimal

import pytest

from factories import on_shelf, order_in, pay, place, product, verb
from orders import services
from orders.errors import IllegalTransition, PaymentReferenceTaken, RefundTooLarge
from orders.models import Order, Payment

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)


def state(order):
    order = Order.objects.get(id=order.id)
    return order.status, order.payment_status


def fail(order, *, release, now=None):
    return verb("record_failed_payment", order, release=release, reason="card declined", now=now)


def refund(order, amount, reference="R-1", provider="bank"):
    return verb("record_refund", order, provider=provider, reference=reference, amount=Decimal(amount))


# --- payments that failed --------------------------------------------------------------------


def test_record_failed_payment_goes_on_waiting(shop, now):
    """Failure 3: a half-started payment keeps a hold for ever. Here it keeps it until its time is over."""
    product(shop)
    order = place(shop, ("MUG-01", 2), now=now)
    fail(order, release=False, now=now + MINUTE)
    assert state(order) == ("pending", "failed")
    assert on_shelf(shop) == (10, 2)
    assert Order.objects.get(id=order.id).payment_due_at == now + 15 * MINUTE  # a failure buys no time
    event = order.events.latest("version")
    assert (event.kind, event.facts) == ("payment_failed", {"reason": "card declined"})
    assert services.expire_due(business_id=shop.id, now=now + 15 * MINUTE) == 1
    assert state(order) == ("cancelled", "failed")
    assert on_shelf(shop) == (10, 0)


def test_record_failed_payment_with_release_frees_the_goods_at_once(shop):
    """Failure 3: a half-started payment keeps a hold for ever."""
    product(shop)
    order = place(shop, ("MUG-01", 2))
    for _ in range(2):  # told twice
        order = fail(order, release=True)
        assert state(order) == ("cancelled", "failed")
        assert order.cancel_reason == "payment_failed"
        assert on_shelf(shop) == (10, 0)
    assert [event.kind for event in order.events.order_by("version")] == ["placed", "payment_failed", "cancelled"]


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("status", ["draft", "paid", "processing", "shipped", "delivered", "cancelled"])
def test_record_failed_payment_of_an_order_that_waits_for_none(shop, now, status, release):
    product(shop)
    order = order_in(shop, status, now=now)
    before, shelf = state(order), on_shelf(shop)
    with pytest.raises(IllegalTransition) as refused:
        fail(order, release=release)
    assert refused.value.facts["order_status"] == status
    assert (state(order), on_shelf(shop)) == (before, shelf)


# --- money that went back --------------------------------------------------------------------


@pytest.fixture
def paid(shop):
    product(shop, price="10.00")
    return pay(place(shop, ("MUG-01", 2)))


def test_record_refund_in_parts_until_all_is_back(shop, paid):
    refund(paid, "5.00", "R-1")
    assert state(paid) == ("paid", "partially_refunded")
    order = refund(paid, "15.00", "R-2")
    assert state(paid) == ("paid", "refunded")
    assert on_shelf(shop) == (8, 0)  # money moves no goods
    event = order.events.latest("version")
    assert (event.kind, event.version) == ("refunded", order.version)
    assert event.facts == {"provider": "bank", "reference": "R-2", "amount": "15.00"}


def test_record_refund_whole(paid):
    refund(paid, "20.00")
    assert state(paid) == ("paid", "refunded")


def test_record_refund_told_twice(paid):
    first, again = refund(paid, "5.00"), refund(paid, "5.00")
    assert first.version == again.version
    assert Payment.objects.filter(order=paid, kind="refund").count() == 1


@pytest.mark.parametrize("amount", ["20.01", "0.00", "-1.00", "0.001"])
def test_record_refund_of_what_cannot_go_back(paid, amount):
    with pytest.raises(RefundTooLarge) as refused:
        refund(paid, amount)
    assert refused.value.facts == {"amount": amount, "refundable": "20.00", "currency": "GBP"}
    assert state(paid) == ("paid", "paid")


def test_record_refund_of_more_than_is_left(paid):
    refund(paid, "15.00", "R-1")
    with pytest.raises(RefundTooLarge) as refused:
        refund(paid, "5.01", "R-2")
    assert refused.value.facts["refundable"] == "5.00"


@pytest.mark.parametrize("status", ["draft", "pending", "cancelled"])
def test_record_refund_where_nothing_came_in(shop, now, status):
    product(shop)
    with pytest.raises(RefundTooLarge) as refused:
        refund(order_in(shop, status, now=now), "1.00")
    assert refused.value.facts["refundable"] == "0.00"


def test_record_refund_with_a_reference_that_is_taken(shop, paid):
    refund(paid, "5.00", "R-1")
    other = pay(place(shop, ("MUG-01", 1)))
    for order, amount, reference in (
        (other, "5.00", "R-1"),  # of another order
        (paid, "6.00", "R-1"),  # of another amount
        (paid, "20.00", paid.payments.get(kind="capture").reference),  # the payment itself
    ):
        with pytest.raises(PaymentReferenceTaken):
            refund(order, amount, reference)
    assert refund(paid, "6.00", "R-1", provider="card").payment_status == "partially_refunded"


def test_record_refund_of_a_cancelled_order(shop, paid):
    verb("cancel", paid, reason="broken")
    assert state(paid) == ("cancelled", "refund_due")
    refund(paid, "5.00", "R-1")
    assert state(paid) == ("cancelled", "refund_due")
    refund(paid, "15.00", "R-2")
    assert state(paid) == ("cancelled", "refunded")


def test_record_refund_of_a_delivered_order(shop, now):
    product(shop, price="10.00")
    order = refund(order_in(shop, "delivered", now=now), "20.00")
    assert state(order) == ("delivered", "refunded")
