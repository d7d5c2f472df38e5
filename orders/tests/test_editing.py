"""Changing an order before it is paid: submit, edit, and a longer hold."""

from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.models import Product, StockMovement
from factories import ACTOR, on_shelf, order_in, pay, place, product, verb
from orders import services
from orders.errors import (
    DiscountTooLarge,
    IllegalTransition,
    InactiveProducts,
    InsufficientStock,
    NotEditable,
    PaymentWindowOver,
    UnknownProducts,
)
from orders.services import Edit, Line
from orders_project.errors import InvalidRequest, PreconditionFailed
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)


def edit(order, *lines, now=None, version=None, **more):
    change = Edit(lines=tuple(Line(sku, quantity) for sku, quantity in lines), **more)
    return verb("edit", order, change=change, expected_version=version, now=now)


def items(order):
    return {item.sku: (item.quantity, item.unit_price) for item in order.items.all()}


def holds(order):
    active = StockReservation.objects.filter(order_id=order.id, status="active")
    return {hold.product.sku: hold.quantity for hold in active}


def ledger(order):
    moved = StockMovement.objects.filter(order_id=order.id).order_by("id")
    return [(line.product.sku, line.kind, line.reserved_delta) for line in moved]


@pytest.fixture
def goods(shop):
    for sku in ("MUG-01", "TEA-01", "CUP-01"):
        product(shop, sku, stock=10)


# --- submit ----------------------------------------------------------------------------------


def test_submit_takes_the_hold_at_the_drafts_prices(shop, goods, now):
    draft = place(shop, ("MUG-01", 2), draft=True, now=now)
    Product.objects.filter(business=shop).update(price=Decimal(99))
    order = verb("submit", draft, now=now + MINUTE)
    assert (order.status, order.placed_at) == ("pending", now + MINUTE)
    assert order.payment_due_at == now + 16 * MINUTE
    assert order.total == Decimal("19.80")
    assert holds(order) == {"MUG-01": 2}
    assert [event.kind for event in order.events.order_by("version")] == ["created", "submitted"]


def test_submit_short_stays_a_draft(shop, goods):
    draft = place(shop, ("MUG-01", 11), ("TEA-01", 1), draft=True)
    with pytest.raises(InsufficientStock) as refused:
        verb("submit", draft)
    assert [item["sku"] for item in refused.value.facts["items"]] == ["MUG-01"]
    draft.refresh_from_db()
    assert (draft.status, draft.version) == ("draft", 1)
    assert on_shelf(shop, "TEA-01") == (10, 0)


# --- edit ------------------------------------------------------------------------------------


def test_edit_moves_only_the_difference(shop, goods):
    """Failure 13: editing an order leaves stock wrong."""
    order = place(shop, ("MUG-01", 5), ("TEA-01", 2))
    order = edit(order, ("MUG-01", 3), ("CUP-01", 4))
    assert holds(order) == {"MUG-01": 3, "CUP-01": 4}
    assert [on_shelf(shop, sku)[1] for sku in ("MUG-01", "TEA-01", "CUP-01")] == [3, 0, 4]
    assert set(ledger(order)[2:]) == {
        ("MUG-01", "released", -2),
        ("TEA-01", "released", -2),
        ("CUP-01", "reserved", 4),
    }
    event = order.events.latest("version")
    assert (event.kind, event.version, order.version) == ("edited", 2, 2)
    assert sorted(event.facts["items"], key=lambda line: line["sku"]) == [
        {"sku": "CUP-01", "from": 0, "to": 4},
        {"sku": "MUG-01", "from": 5, "to": 3},
        {"sku": "TEA-01", "from": 2, "to": 0},
    ]


def test_edit_own_hold_counts_as_available(shop):
    """Failure 4: a customer is blocked by their own hold."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 8))
    order = edit(order, ("MUG-01", 10))
    assert holds(order) == {"MUG-01": 10}
    with pytest.raises(InsufficientStock) as refused:
        edit(order, ("MUG-01", 11))
    assert refused.value.facts["items"][0] == {
        "sku": "MUG-01",
        "product": str(order.items.get().product_id),
        "requested": 11,
        "available": 10,
    }


def test_edit_keeps_the_price_of_what_it_had(shop, goods):
    order = place(shop, ("MUG-01", 1))
    Product.objects.filter(business=shop).update(price=Decimal(20))
    order = edit(order, ("MUG-01", 3), ("TEA-01", 1))
    assert items(order) == {"MUG-01": (3, Decimal("9.90")), "TEA-01": (1, Decimal(20))}
    assert order.total == Decimal("49.70")


def test_edit_removed_and_added_again(shop, goods):
    """It is held anew, at the price of today, and its closed hold is not counted twice."""
    order = place(shop, ("MUG-01", 5), ("TEA-01", 1))
    order = edit(order, ("TEA-01", 1))
    assert on_shelf(shop) == (10, 0)
    Product.objects.filter(business=shop).update(price=Decimal(20))
    order = edit(order, ("MUG-01", 4), ("TEA-01", 1))
    assert holds(order) == {"MUG-01": 4, "TEA-01": 1}
    assert items(order)["MUG-01"] == (4, Decimal(20))
    pay(order)
    assert on_shelf(shop) == (6, 0)


def test_edit_all_or_nothing(shop, goods):
    order = place(shop, ("MUG-01", 5), note="as it was")
    with pytest.raises(InsufficientStock) as refused:
        edit(order, ("MUG-01", 2), ("TEA-01", 11), ("CUP-01", 12), note="new")
    assert [item["sku"] for item in refused.value.facts["items"]] == ["TEA-01", "CUP-01"]
    order.refresh_from_db()
    assert (order.version, order.note, holds(order)) == (1, "as it was", {"MUG-01": 5})
    assert items(order) == {"MUG-01": (5, Decimal("9.90"))}


def test_edit_sets_all_that_can_be_set(shop, goods):
    order = place(shop, ("MUG-01", 2), note="ring", shipping_fee=Decimal(3), shipping_address={"line1": "Here"})
    order = edit(order, ("MUG-01", 2), discount=Decimal(1))
    assert (order.note, order.shipping_fee, order.shipping_address) == ("", 0, None)
    assert order.total == Decimal("18.80")


def test_edit_draft_holds_nothing(shop, goods):
    order = place(shop, ("MUG-01", 2), draft=True)
    order = edit(order, ("MUG-01", 1000))
    assert items(order) == {"MUG-01": (1000, Decimal("9.90"))}
    assert on_shelf(shop) == (10, 0)


def test_edit_product_that_is_no_longer_sold(shop, goods):
    """What is in the order may stay in it; nothing of the kind comes in."""
    order = place(shop, ("MUG-01", 2))
    Product.objects.filter(business=shop).update(is_active=False)
    order = edit(order, ("MUG-01", 1))
    assert holds(order) == {"MUG-01": 1}
    with pytest.raises(InactiveProducts):
        edit(order, ("MUG-01", 1), ("TEA-01", 1))


@pytest.mark.parametrize(
    ("error", "lines", "more"),
    [
        (UnknownProducts, [("NIX-99", 1)], {}),
        (DiscountTooLarge, [("MUG-01", 1)], {"discount": Decimal(10)}),
        (InvalidRequest, [("MUG-01", 1)], {"shipping_fee": Decimal("0.001")}),
    ],
)
def test_edit_refused_as_placing_is(shop, goods, error, lines, more):
    order = place(shop, ("MUG-01", 2))
    with pytest.raises(error):
        edit(order, *lines, **more)
    assert holds(order) == {"MUG-01": 2}


def test_edit_overdue(shop, goods, now):
    order = place(shop, ("MUG-01", 2), now=now)
    with pytest.raises(PaymentWindowOver) as refused:
        edit(order, ("MUG-01", 1), now=order.payment_due_at)
    assert refused.value.facts == {"payment_due_at": order.payment_due_at.isoformat()}
    edit(order, ("MUG-01", 1), now=order.payment_due_at - timedelta(seconds=1))
    order.refresh_from_db()
    assert order.payment_due_at == now + 15 * MINUTE  # an edit does not buy time


@pytest.mark.parametrize("status", ["paid", "processing", "shipped", "delivered", "cancelled"])
def test_edit_too_late(shop, goods, now, status):
    order = order_in(shop, status, now=now)
    with pytest.raises(NotEditable) as refused:
        edit(order, ("MUG-01", 1))
    assert refused.value.facts["order_status"] == status
    assert refused.value.facts["last_change"]["kind"] == status


def test_edit_expected_version(shop, goods):
    order = place(shop, ("MUG-01", 2))
    order = edit(order, ("MUG-01", 3), version=1)
    assert order.version == 2
    with pytest.raises(PreconditionFailed) as refused:
        edit(order, ("MUG-01", 9), version=1)
    assert refused.value.facts == {"version": 2, "expected": 1}
    assert holds(order) == {"MUG-01": 3}


def test_edit_then_pay_costs_the_new_total(shop, goods):
    order = edit(place(shop, ("MUG-01", 2)), ("MUG-01", 1))
    assert pay(order).status == "paid"
    assert on_shelf(shop) == (9, 0)


def test_edit_takes_back_what_others_hold_past_their_time(shop, now):
    product(shop, stock=3)
    mine = place(shop, ("MUG-01", 1), now=now)
    place(shop, ("MUG-01", 2), now=now - 16 * MINUTE)
    assert holds(edit(mine, ("MUG-01", 3), now=now)) == {"MUG-01": 3}


# --- extend_hold -----------------------------------------------------------------------------


def extend(order, minutes, now):
    return verb("extend_hold", order, minutes=minutes, reason="they asked", now=now)


def test_extend_hold_alive(shop, goods, now):
    order = place(shop, ("MUG-01", 2), ("TEA-01", 1), now=now)
    order = extend(order, 45, now + 14 * MINUTE)
    assert order.payment_due_at == now + 60 * MINUTE
    ends = StockReservation.objects.filter(order_id=order.id).values_list("expires_at", flat=True)
    assert set(ends) == {now + 60 * MINUTE}
    event = order.events.latest("version")
    assert (event.kind, event.facts["reason"]) == ("hold_extended", "they asked")
    assert services.expire_due(business_id=shop.id, now=now + 59 * MINUTE) == 0
    assert services.expire_due(business_id=shop.id, now=now + 60 * MINUTE) == 1


@pytest.mark.parametrize("late", [timedelta(0), MINUTE])
def test_extend_hold_does_not_revive_a_dead_one(shop, goods, now, late):
    order = place(shop, ("MUG-01", 2), now=now)
    with pytest.raises(PaymentWindowOver):
        extend(order, 45, order.payment_due_at + late)
    order.refresh_from_db()
    assert (order.version, order.payment_due_at) == (1, now + 15 * MINUTE)
    assert StockReservation.objects.get(order_id=order.id).expires_at == order.payment_due_at


def test_extend_hold_that_the_next_buyer_took(shop, now):
    """Asked in time and answered too late: the clock of who asked stands still while it waits its turn."""
    product(shop, stock=1)
    order = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), now=now)
    with pytest.raises(PaymentWindowOver) as refused:
        extend(order, 11, now - 2 * MINUTE)
    assert refused.value.facts == {"payment_due_at": (now - MINUTE).isoformat()}
    order.refresh_from_db()
    assert order.payment_due_at == now - MINUTE


@pytest.mark.parametrize("minutes", [-1, 0, 23 * 60 + 46])
def test_extend_hold_out_of_bounds(shop, goods, now, minutes):
    order = place(shop, ("MUG-01", 2), now=now)
    with pytest.raises(InvalidRequest):
        extend(order, minutes, now)


@pytest.mark.parametrize("status", ["draft", "paid", "cancelled"])
def test_extend_hold_of_an_order_without_one(shop, goods, now, status):
    order = order_in(shop, status, now=now)
    with pytest.raises(IllegalTransition):
        extend(order, 1, now)


def test_verbs_know_no_order_of_another_shop(shop, goods, now):
    order = place(shop, ("MUG-01", 2))
    order.business_id = product(
        type(shop).objects.create(name="Other", slug="other", currency="GBP", country="GB")
    ).business_id
    attempts = [
        lambda: verb("submit", order),
        lambda: edit(order, ("MUG-01", 1)),
        lambda: extend(order, 1, now),
        lambda: pay(order),
        lambda: verb("cancel", order, reason="x"),
        lambda: verb("start_processing", order),
        lambda: verb("ship", order, carrier="c", tracking_number="t"),
        lambda: verb("deliver", order),
        lambda: verb("record_failed_payment", order, release=True, reason="x"),
        lambda: verb("record_refund", order, provider="bank", reference="R", amount=Decimal(1)),
        lambda: verb("record_shipping", order, carrier="c", tracking_number="t"),
        lambda: verb("mark_paid", order),
    ]
    for attempt in attempts:
        with pytest.raises(services.timeline.OrderNotFound):
            attempt()
    assert order.events.get().actor == ACTOR
    order.refresh_from_db()
    assert order.version == 1
