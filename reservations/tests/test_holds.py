"""Promises on the shelf: taken back when their time is over, whoever comes first, worker or not."""

from datetime import timedelta

import pytest

from catalog.channels import Channel
from catalog.models import StockMovement
from factories import on_shelf, order_in, pay, place, product, verb
from orders.errors import InsufficientStock
from orders.services import expire_due
from reservations.models import StockReservation
from reservations.services import Free, Shelf, Shortage, extend

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)


def hold_of(order):
    return StockReservation.objects.get(order_id=order.id)


def test_extend_does_not_revive_a_hold_whose_time_is_up(shop, now):
    product(shop, stock=3)
    order = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    later = now + 5 * MINUTE
    assert extend(business_id=shop.id, order_id=order.id, until=later, now=now) == 0
    assert hold_of(order).expires_at < now
    assert extend(business_id=shop.id, order_id=order.id, until=later, now=now - 2 * MINUTE) == 1
    assert hold_of(order).expires_at == later
    pay(order, now=now)


# --- a dead worker can't leak stock ----------------------------------------------------------


def test_reserve_takes_back_overdue_holds_first(shop, now):
    """Nobody swept for a minute. The next buyer gets the goods all the same."""
    product(shop, stock=3)
    late = [place(shop, ("MUG-01", 1), now=now - 16 * MINUTE) for _ in range(3)]
    order = place(shop, ("MUG-01", 2), now=now)
    assert {hold_of(each).status for each in late} == {"expired"}
    assert on_shelf(shop) == (3, 2)
    taken = StockMovement.objects.filter(order_id__in=[each.id for each in late], kind="expired")
    assert {line.actor for line in taken} == {"person:test"}  # the buyer's doorway did it, not a job
    assert pay(order, now=now).status == "paid"
    expire_due(business_id=shop.id, now=now)
    assert on_shelf(shop) == (1, 0)


def test_reserve_leaves_holds_in_time_alone(shop, now):
    product(shop, stock=3)
    late = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    in_time = place(shop, ("MUG-01", 2), now=now - 14 * MINUTE)
    with pytest.raises(InsufficientStock) as refused:
        place(shop, ("MUG-01", 2), now=now)
    assert refused.value.facts["items"][0]["available"] == 1
    assert (hold_of(late).status, hold_of(in_time).status) == ("expired", "active")
    assert on_shelf(shop) == (3, 2)  # what is overdue is free again, though it was too little


def test_reserve_leaves_overdue_holds_alone_while_there_is_enough(shop, now):
    product(shop, stock=3)
    late = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 2), now=now)
    assert hold_of(late).status == "active"
    assert pay(late, now=now).status == "paid"
    assert on_shelf(shop) == (2, 2)


def test_reserve_of_two_products_takes_back_of_the_short_ones(shop, now):
    product(shop, "MUG-01", stock=1)
    product(shop, "TEA-01", stock=1)
    for sku in ("MUG-01", "TEA-01"):
        place(shop, (sku, 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), ("TEA-01", 1), now=now)
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(1, 1), (1, 1)]


def test_submit_takes_back_overdue_holds_too(shop, now):
    product(shop, stock=1)
    place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    draft = place(shop, ("MUG-01", 1), draft=True, now=now)
    assert verb("submit", draft, now=now).status == "pending"
    assert on_shelf(shop) == (1, 1)


# --- a hold ends once ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ended"), [("pending", "active"), ("paid", "converted"), ("processing", "converted")]
)
def test_hold_follows_its_order(shop, now, status, ended):
    product(shop)
    hold = hold_of(order_in(shop, status, now=now))
    assert (hold.status, hold.closed_at) == (ended, now if ended == "converted" else None)


def test_hold_is_closed_with_its_own_quantity(shop, now):
    """Failure 11: cancelling restores the wrong quantity. It is the hold that knows, not the lines."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 3), ("MUG-01", 2), now=now)
    verb("cancel", order, reason="changed their mind", now=now + MINUTE)
    hold = hold_of(order)
    assert (hold.quantity, hold.status, hold.closed_at) == (5, "released", now + MINUTE)
    assert on_shelf(shop) == (10, 0)


def test_hold_of_a_late_payment_is_made_anew(shop, now):
    """Expired, taken again and sold, and put back at last: one hold, and a ledger that says all of it."""
    product(shop, stock=2)
    order = place(shop, ("MUG-01", 2), now=now)
    expire_due(business_id=shop.id, now=now + 15 * MINUTE)
    pay(order, now=now + 16 * MINUTE)
    verb("cancel", order, reason="broken", now=now + 17 * MINUTE)
    hold = hold_of(order)
    assert (hold.status, hold.closed_at) == ("released", now + 17 * MINUTE)
    assert list(StockMovement.objects.filter(order_id=order.id).order_by("id").values_list("kind", flat=True)) == [
        "reserved",
        "expired",
        "reserved",
        "sold",
        "returned",
    ]


# --- the shelf as it is counted down ---------------------------------------------------------


def test_shelf_admits_all_or_none():
    shelf = Shelf(Free({"mug": 3, "tea": 1}, {}))
    assert shelf.admit({"mug": 2, "tea": 2}) == [Shortage("tea", requested=2, available=1)]
    assert shelf.admit({"mug": 3, "tea": 1}) == []
    assert shelf.admit({"mug": 1, "tea": 1}) == [Shortage("mug", 1, 0), Shortage("tea", 1, 0)]


def test_shelf_leaves_an_order_what_it_has():
    """Failure 4: a customer is blocked by their own hold."""
    shelf = Shelf(Free({"mug": 1}, {}))
    assert shelf.admit({"mug": 5}, held={"mug": 3}) == [Shortage("mug", requested=5, available=4)]
    assert shelf.admit({"mug": 4}, held={"mug": 3}) == []
    assert shelf.admit({"mug": 3}, held={"mug": 3}) == []
    assert shelf.admit({"mug": 1}, held={"mug": 4}) == []
    assert shelf.admit({"mug": 3}) == []


def test_shelf_keeps_units_back_from_a_channel():
    website, instagram = Channel.WEBSITE, Channel.INSTAGRAM
    shelf = Shelf(Free({"mug": 5}, {(instagram, "mug"): 2}))
    assert shelf.admit({"mug": 4}, channel=instagram) == [Shortage("mug", requested=4, available=3)]
    assert shelf.admit({"mug": 2}, channel=instagram) == []
    assert shelf.admit({"mug": 2}, channel=website) == []
    assert shelf.admit({"mug": 1}, channel=instagram) == [Shortage("mug", requested=1, available=0)]
    # Nothing more; but what an order has it keeps, and may give back.
    assert shelf.admit({"mug": 3}, channel=instagram, held={"mug": 2}) == [Shortage("mug", 3, available=2)]
    assert shelf.admit({"mug": 2}, channel=instagram, held={"mug": 2}) == []
    assert shelf.admit({"mug": 1}) == []  # money that came late takes the last one
