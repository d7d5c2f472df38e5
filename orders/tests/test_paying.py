"""Money that comes in: in time, twice, too late, too little, for an order that is gone. It is never lost."""

from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.models import StockMovement
from catalog.services import adjust_stock, receive_stock
from factories import ACTOR, BusinessFactory, on_shelf, order_in, pay, place, product, verb
from orders import services
from orders.errors import (
    AlreadyPaid,
    CurrencyMismatch,
    IllegalTransition,
    InsufficientStock,
    PaymentMismatch,
    PaymentReferenceTaken,
)
from orders.models import Order, Payment
from orders.services import Receipt
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)


def sweep(shop, now):
    return services.expire_due(business_id=shop.id, now=now)


def confirm(order, *, provider="bank", reference="TX-1", amount=None, currency=None, now=None):
    receipt = Receipt(order.id, provider, reference, order.total if amount is None else amount, currency)
    return services.confirm_payment(
        business_id=order.business_id, receipt=receipt, actor=ACTOR, now=now or order.created_at
    )


def timeline(order):
    return [event.kind for event in order.events.order_by("version")]


def state(order):
    order = Order.objects.get(id=order.id)
    return order.status, order.payment_status


# --- in time ---------------------------------------------------------------------------------


def test_confirm_payment_turns_the_hold_into_a_sale(shop, now):
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 3), now=now)
    order = pay(order, now=now + MINUTE, reference="TX-1")
    assert (order.status, order.payment_status, order.paid_at) == ("paid", "paid", now + MINUTE)
    assert order.payment_due_at is None
    assert on_shelf(shop) == (7, 0)
    assert StockReservation.objects.get(order_id=order.id).status == "converted"
    sold = StockMovement.objects.get(order_id=order.id, kind="sold")
    assert (sold.stock_delta, sold.reserved_delta, sold.actor, sold.at) == (-3, -3, ACTOR, now + MINUTE)
    payment = order.payments.get()
    assert (payment.kind, payment.provider, payment.reference) == ("capture", "bank", "TX-1")
    assert (payment.amount, payment.currency, payment.actor) == (Decimal("29.70"), "GBP", ACTOR)
    event = order.events.latest("version")
    assert (event.kind, event.version) == ("paid", order.version)
    assert event.facts == {"provider": "bank", "reference": "TX-1", "amount": "29.70"}


def test_confirm_payment_told_twice(shop):
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 3))
    first, again = pay(order, reference="TX-1"), pay(order, reference="TX-1")
    assert first.version == again.version == 2
    assert order.payments.count() == 1
    assert on_shelf(shop) == (7, 0)


def test_confirm_payment_told_again_much_later(shop, now):
    """The provider repeats itself when the parcel is long gone, or the order called off."""
    product(shop, stock=10)
    sent = order_in(shop, "delivered", now=now)
    called_off = verb("cancel", pay(place(shop, ("MUG-01", 3))), reason="broken")
    for order in (sent, called_off):
        before = state(order)
        pay(order)
        assert state(order) == before
    assert on_shelf(shop) == (8, 0)


def test_confirm_payment_by_another_payment(shop):
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 3))
    paid = pay(order, reference="TX-1")
    with pytest.raises(AlreadyPaid) as refused:
        pay(order, reference="TX-2")
    assert refused.value.facts == {"provider": "bank", "reference": "TX-1", "at": paid.paid_at.isoformat()}
    assert on_shelf(shop) == (7, 0)


def test_confirm_payment_with_the_reference_of_another_order(shop):
    product(shop, stock=10)
    first, second = place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 1))
    pay(first, reference="TX-1")
    with pytest.raises(PaymentReferenceTaken) as refused:
        pay(second, reference="TX-1")
    assert refused.value.facts == {
        "provider": "bank",
        "reference": "TX-1",
        "order": str(first.id),
        "number": first.number,
    }
    assert state(second) == ("pending", "pending")


def test_confirm_payment_with_the_same_reference_and_another_amount(shop):
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 1))
    pay(order, reference="TX-1")
    with pytest.raises(PaymentReferenceTaken):
        pay(order, reference="TX-1", amount=Decimal(1))


def test_confirm_payment_reference_is_of_one_provider_and_one_shop(shop):
    other = BusinessFactory()
    for business in (shop, other):
        product(business)
    orders = [place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 1)), place(other, ("MUG-01", 1))]
    for order, provider in zip(orders, ("bank", "card", "bank"), strict=True):
        assert confirm(order, provider=provider, reference="1").status == "paid"


@pytest.mark.parametrize(("amount", "difference"), [("9.89", "-0.01"), ("9.91", "0.01"), ("0.00", "-9.90")])
def test_confirm_payment_of_another_amount(shop, amount, difference):
    product(shop, price="9.90")
    order = place(shop, ("MUG-01", 1))
    order.refresh_from_db()
    with pytest.raises(PaymentMismatch) as refused:
        pay(order, amount=Decimal(amount))
    assert refused.value.facts == {
        "amount": amount,
        "expected": "9.90",
        "difference": difference,
        "currency": "GBP",
    }
    assert state(order) == ("pending", "pending")
    assert not Payment.objects.filter(order=order).exists()
    assert on_shelf(shop) == (10, 1)


def test_confirm_payment_in_another_currency(shop):
    product(shop)
    order = place(shop, ("MUG-01", 1))
    with pytest.raises(CurrencyMismatch) as refused:
        confirm(order, currency="USD")
    assert refused.value.facts == {"currency": "USD", "expected": "GBP"}
    assert confirm(order, currency="GBP").status == "paid"


def test_confirm_payment_of_a_draft(shop):
    product(shop)
    with pytest.raises(IllegalTransition) as refused:
        pay(place(shop, ("MUG-01", 1), draft=True))
    assert refused.value.facts["allowed"] == ["pending", "cancelled"]


def test_confirm_payment_of_nothing_for_a_gift(shop):
    """An order that costs nothing is paid by nothing, and called off without a debt."""
    product(shop, price="9.90")
    order = pay(place(shop, ("MUG-01", 1), discount=Decimal("9.90")))
    assert state(order) == ("paid", "paid")
    assert verb("cancel", order, reason="no thanks").payment_status == "refunded"
    assert on_shelf(shop) == (10, 0)


def test_confirm_payment_of_a_failed_one_at_last(shop):
    product(shop)
    order = place(shop, ("MUG-01", 1))
    verb("record_failed_payment", order, release=False, reason="card declined")
    assert state(order) == ("pending", "failed")
    assert pay(order).payment_status == "paid"
    assert timeline(order) == ["placed", "payment_failed", "paid"]


def test_mark_paid_by_hand(shop):
    product(shop)
    order = place(shop, ("MUG-01", 1))
    assert verb("mark_paid", order).status == verb("mark_paid", order).status == "paid"
    payment = order.payments.get()
    assert (payment.provider, payment.reference, payment.actor) == ("hand", order.number, ACTOR)


@pytest.mark.parametrize("status", ["draft", "cancelled", "shipped"])
def test_mark_paid_illegal(shop, now, status):
    product(shop)
    with pytest.raises(IllegalTransition):
        verb("mark_paid", order_in(shop, status, now=now))


# --- too late --------------------------------------------------------------------------------


def test_confirm_payment_late_before_anyone_noticed(shop, now):
    """Overdue, but neither a sweep nor a buyer came by: its hold is still there and is sold."""
    product(shop, stock=1)
    order = place(shop, ("MUG-01", 1), now=now)
    assert pay(order, now=now + 20 * MINUTE).status == "paid"
    assert on_shelf(shop) == (0, 0)


def test_confirm_payment_late_while_the_goods_are_still_there(shop, now):
    """Failure 6: money taken, no order."""
    product(shop, stock=3)
    order = place(shop, ("MUG-01", 3), now=now)
    sweep(shop, now + 15 * MINUTE)
    assert state(order) == ("cancelled", "pending")
    order = pay(order, now=now + 16 * MINUTE)
    assert (order.status, order.payment_status, order.cancel_reason, order.cancelled_at) == (
        "paid",
        "paid",
        "",
        None,
    )
    assert timeline(order) == ["placed", "expired", "paid_late"]
    assert on_shelf(shop) == (0, 0)
    assert verb("start_processing", order).status == "processing"


def test_confirm_payment_late_when_the_goods_are_gone(shop, now):
    """Failure 6: money taken, no order. It is on record as owed."""
    product(shop, stock=3)
    order = place(shop, ("MUG-01", 2), now=now - 16 * MINUTE)
    sweep(shop, now)
    other = place(shop, ("MUG-01", 2), now=now)
    order = pay(order, now=now)
    assert state(order) == ("cancelled", "refund_due")
    assert (order.cancel_reason, order.paid_at) == ("payment_timeout", None)
    assert timeline(order) == ["placed", "expired", "refund_due"]
    assert order.payments.get().amount == order.total
    assert on_shelf(shop) == (3, 2)
    assert pay(other, now=now).status == "paid"
    refunded = verb("record_refund", order, provider="bank", reference="R-1", amount=order.total)
    assert state(refunded) == ("cancelled", "refunded")


def test_confirm_payment_late_and_told_twice_takes_the_goods_once(shop, now):
    """Failure 7: a late or repeated payment message revives a cancelled order and deducts twice."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 2), now=now)
    sweep(shop, now + 15 * MINUTE)
    for _ in range(3):
        order = pay(order, now=now + 16 * MINUTE)
    assert on_shelf(shop) == (8, 0)
    assert order.payments.count() == 1
    with pytest.raises(AlreadyPaid):
        pay(order, reference="another", now=now + 17 * MINUTE)
    assert on_shelf(shop) == (8, 0)


def test_confirm_payment_after_someone_cancelled_never_revives(shop, now):
    """Failure 7: the goods are there, and still a person's word stands."""
    product(shop, stock=10)
    order = verb("cancel", place(shop, ("MUG-01", 2)), reason="changed their mind")
    for _ in range(2):
        order = pay(order)
        assert state(order) == ("cancelled", "refund_due")
    assert order.cancel_reason == "changed their mind"
    assert on_shelf(shop) == (10, 0)
    assert timeline(order) == ["placed", "cancelled", "refund_due"]
    with pytest.raises(AlreadyPaid):
        pay(order, reference="another")


def test_confirm_payment_after_a_failed_one_freed_the_goods(shop):
    product(shop, stock=2)
    order = place(shop, ("MUG-01", 2))
    verb("record_failed_payment", order, release=True, reason="card declined")
    assert on_shelf(shop) == (2, 0)
    order = pay(order)
    assert state(order) == ("paid", "paid")
    assert timeline(order) == ["placed", "payment_failed", "cancelled", "paid_late"]
    assert on_shelf(shop) == (0, 0)


def test_confirm_payment_of_nothing_when_the_goods_are_gone(shop, now):
    """A gift that nobody took in time owes no money back."""
    product(shop, stock=1)
    order = place(shop, ("MUG-01", 1), discount=Decimal("9.90"), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), now=now)
    assert state(pay(order, now=now)) == ("cancelled", "refunded")


# --- the worker is dead: nobody swept --------------------------------------------------------


def test_confirm_payment_after_the_next_buyer_took_the_hold(shop, now):
    product(shop, stock=1)
    first = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    second = place(shop, ("MUG-01", 1), now=now)
    first = pay(first, now=now)
    assert state(first) == ("cancelled", "refund_due")
    assert first.cancel_reason == "payment_timeout"
    assert state(second) == ("pending", "pending")
    assert pay(second, now=now).status == "paid"
    assert on_shelf(shop) == (0, 0)


def test_confirm_payment_after_the_hold_was_taken_and_more_came_in(shop, now):
    goods = product(shop, stock=1)
    first = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), now=now)
    receive_stock(business_id=shop.id, product_id=goods.id, quantity=1, actor=ACTOR, now=now)
    first = pay(first, now=now)
    assert state(first) == ("paid", "paid")
    assert timeline(first) == ["placed", "paid_late"]
    assert on_shelf(shop) == (1, 1)


@pytest.mark.parametrize("more", [0, 1])
def test_confirm_payment_after_a_part_of_the_hold_was_taken(shop, now, more):
    """Two goods, one of them taken by the next buyer: the payer gets both, or neither."""
    mug = product(shop, "MUG-01", stock=1)
    product(shop, "TEA-01", stock=1)
    first = place(shop, ("MUG-01", 1), ("TEA-01", 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), now=now)
    if more:
        receive_stock(business_id=shop.id, product_id=mug.id, quantity=more, actor=ACTOR, now=now)
    first = pay(first, now=now)
    if more:
        assert state(first) == ("paid", "paid")
        assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(1, 1), (0, 0)]
    else:
        assert state(first) == ("cancelled", "refund_due")
        assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(1, 1), (1, 0)]


# --- many receipts at a time -----------------------------------------------------------------


def settle(shop, receipts, now):
    return services.confirm_payments(business_id=shop.id, receipts=receipts, actor=ACTOR, now=now)


def receipt(order, reference):
    return Receipt(order.id, "bank", reference, order.total)


def test_confirm_payments_each_is_recorded_or_refused(shop, now):
    product(shop, stock=10)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(4)]
    draft = place(shop, ("MUG-01", 1), draft=True)
    outcomes = settle(
        shop,
        [
            receipt(orders[0], "TX-1"),
            receipt(orders[1], "TX-1"),  # the same reference again
            receipt(orders[0], "TX-2"),  # paid a line ago
            receipt(orders[0], "TX-1"),  # told twice
            receipt(draft, "TX-3"),
            Receipt(orders[2].id, "bank", "TX-4", Decimal(1)),
            receipt(orders[3], "TX-5"),
        ],
        now,
    )
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "Order",
        "PaymentReferenceTaken",
        "AlreadyPaid",
        "Order",
        "IllegalTransition",
        "PaymentMismatch",
        "Order",
    ]
    assert [state(order)[0] for order in orders] == ["paid", "pending", "pending", "paid"]
    assert on_shelf(shop) == (8, 2)


def test_confirm_payments_late_ones_share_what_is_left(shop, now):
    goods = product(shop, stock=3)
    late = [place(shop, ("MUG-01", 1), now=now) for _ in range(3)]
    sweep(shop, now + 15 * MINUTE)
    adjust_stock(business_id=shop.id, product_id=goods.id, delta=-1, reason="broken", actor=ACTOR, now=now)
    settle(shop, [receipt(order, order.number) for order in late], now + 16 * MINUTE)
    assert [state(order) for order in late] == [("paid", "paid"), ("paid", "paid"), ("cancelled", "refund_due")]
    assert on_shelf(shop) == (0, 0)


def test_confirm_payments_late_one_does_not_take_what_another_in_the_batch_holds(shop, now):
    """The second is overdue as well, but its hold is there; the first may not be given it."""
    product(shop, stock=2)
    first = place(shop, ("MUG-01", 1), now=now - 17 * MINUTE)
    sweep(shop, now - 2 * MINUTE)
    other = place(shop, ("MUG-01", 1), now=now - 2 * MINUTE)
    second = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    with pytest.raises(InsufficientStock):
        place(shop, ("MUG-01", 1), now=now - 2 * MINUTE)
    settle(shop, [receipt(first, "TX-1"), receipt(second, "TX-2")], now)
    assert state(first) == ("cancelled", "refund_due")
    assert state(second) == ("paid", "paid")
    assert state(other) == ("pending", "pending")
    assert on_shelf(shop) == (1, 1)


def test_confirm_payments_late_one_gets_what_another_in_the_batch_gives_up(shop, now):
    """The first can't have all of its goods any more, and so leaves the tea that it held to the second."""
    product(shop, "MUG-01", stock=1)
    product(shop, "TEA-01", stock=1)
    second = place(shop, ("TEA-01", 1), now=now - 32 * MINUTE)
    sweep(shop, now - 17 * MINUTE)
    first = place(shop, ("MUG-01", 1), ("TEA-01", 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), now=now)
    settle(shop, [receipt(first, "TX-1"), receipt(second, "TX-2")], now)
    assert state(first) == ("cancelled", "refund_due")
    assert state(second) == ("paid", "paid")
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(1, 1), (0, 0)]
