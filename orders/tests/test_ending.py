"""How orders end without the goods: cancelled by someone, or by silence."""

import logging
from datetime import datetime, timedelta

import pytest

from catalog.jobs import last_runs
from catalog.models import Stock, StockMovement
from factories import BusinessFactory, on_shelf, order_in, pay, place, product, verb
from orders import services
from orders.errors import IllegalTransition
from orders.models import Order
from orders.services import ending
from orders.tasks import expire_due_orders
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)


def state(order):
    order = Order.objects.get(id=order.id)
    return order.status, order.payment_status, order.cancel_reason


def cancel(order, reason="changed their mind", now=None):
    return verb("cancel", order, reason=reason, now=now)


def sweep(shop, now):
    return services.expire_due(business_id=shop.id, now=now)


def ledger(order):
    moved = StockMovement.objects.filter(order_id=order.id).order_by("id")
    return [(line.kind, line.stock_delta, line.reserved_delta) for line in moved]


# --- cancel ----------------------------------------------------------------------------------


def test_cancel_draft(shop):
    product(shop)
    order = cancel(place(shop, ("MUG-01", 2), draft=True))
    assert state(order) == ("cancelled", "pending", "changed their mind")
    assert ledger(order) == []


def test_cancel_pending_gives_back_what_it_held(shop, now):
    """Failure 11: cancelling restores none, twice, or the wrong quantity."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 3), now=now)
    place(shop, ("MUG-01", 1))
    for _ in range(2):
        order = cancel(order, now=now + MINUTE)
        assert on_shelf(shop) == (10, 1)
    assert (order.cancelled_at, order.payment_due_at, order.version) == (now + MINUTE, None, 2)
    assert ledger(order) == [("reserved", 0, 3), ("released", 0, -3)]
    assert StockReservation.objects.get(order_id=order.id).status == "released"
    event = order.events.latest("version")
    assert (event.kind, event.facts) == ("cancelled", {"reason": "changed their mind"})


@pytest.mark.parametrize("status", ["paid", "processing"])
def test_cancel_sold_puts_it_back_and_owes_the_money(shop, now, status):
    """Failure 11: cancelling restores none, twice, or the wrong quantity."""
    product(shop, stock=10)
    order = order_in(shop, status, ("MUG-01", 3), now=now)
    assert on_shelf(shop) == (7, 0)
    for reason in ("broken", "said twice"):
        order = cancel(order, reason)
        assert state(order) == ("cancelled", "refund_due", "broken")
        assert on_shelf(shop) == (10, 0)
    assert ledger(order) == [("reserved", 0, 3), ("sold", -3, -3), ("returned", 3, 0)]
    returned = StockMovement.objects.get(order_id=order.id, kind="returned")
    assert returned.reason == "broken"


def test_cancel_edited_gives_back_what_it_holds_now(shop):
    product(shop, "MUG-01", stock=10)
    product(shop, "TEA-01", stock=10)
    order = place(shop, ("MUG-01", 3), ("TEA-01", 1))
    lines = (services.Line("MUG-01", 5),)
    verb("edit", order, change=services.Edit(lines=lines))
    cancel(order)
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(10, 0), (10, 0)]


@pytest.mark.parametrize("status", ["shipped", "delivered"])
def test_cancel_on_its_way(shop, now, status):
    product(shop, stock=10)
    order = order_in(shop, status, now=now)
    with pytest.raises(IllegalTransition) as refused:
        cancel(order)
    assert refused.value.facts["last_change"]["kind"] == status
    assert on_shelf(shop) == (8, 0)


def test_cancel_expired_stays_as_it_is(shop, now):
    product(shop)
    order = place(shop, ("MUG-01", 2), now=now)
    sweep(shop, now + 15 * MINUTE)
    cancel(order, now=now + 16 * MINUTE)
    assert state(order) == ("cancelled", "pending", "payment_timeout")
    assert ledger(order) == [("reserved", 0, 2), ("expired", 0, -2)]


def test_cancel_paid_late_puts_it_back(shop, now):
    product(shop, stock=2)
    order = place(shop, ("MUG-01", 2), now=now)
    sweep(shop, now + 15 * MINUTE)
    pay(order, now=now + 16 * MINUTE)
    cancel(order, now=now + 17 * MINUTE)
    assert on_shelf(shop) == (2, 0)


# --- expire_due ------------------------------------------------------------------------------


def test_expire_due_cancels_and_frees_the_goods(shop, now):
    """Ten units, an order, its time passes: ten are available again."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 4), now=now)
    assert sweep(shop, order.payment_due_at - timedelta(microseconds=1)) == 0
    assert on_shelf(shop) == (10, 4)
    assert sweep(shop, order.payment_due_at) == 1
    assert state(order) == ("cancelled", "pending", "payment_timeout")
    assert on_shelf(shop) == (10, 0)
    expired = order.events.latest("version")
    assert (expired.kind, expired.actor, expired.version) == ("expired", "job:payment_timeout", 2)
    assert datetime.fromisoformat(expired.facts["payment_due_at"]) == order.payment_due_at
    moved = StockMovement.objects.get(order_id=order.id, kind="expired")
    assert (moved.reserved_delta, moved.actor) == (-4, "job:payment_timeout")
    assert sweep(shop, order.payment_due_at) == 0


@pytest.mark.parametrize("status", ["draft", "paid", "processing", "shipped", "delivered", "cancelled"])
def test_expire_due_leaves_alone_what_waits_for_no_money(shop, now, status):
    product(shop)
    order = order_in(shop, status, now=now)
    before, shelf = state(order), on_shelf(shop)
    assert sweep(shop, now + 1000 * MINUTE) == 0
    assert (state(order), on_shelf(shop)) == (before, shelf)


def test_expire_due_after_the_next_buyer_took_the_hold(shop, now):
    product(shop, stock=1)
    first = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    place(shop, ("MUG-01", 1), now=now)
    assert sweep(shop, now) == 1
    assert state(first) == ("cancelled", "pending", "payment_timeout")
    assert ledger(first) == [("reserved", 0, 1), ("expired", 0, -1)]
    assert on_shelf(shop) == (1, 1)


def test_expire_leaves_what_changed_since_it_was_seen_to_be_due(shop, now):
    """Paid, called off or given more time between the sweep's two looks: it is asked again under the lock.

    Red without the status and time in ending.EXPIRE.
    """
    product(shop, stock=10)
    orders = [place(shop, ("MUG-01", 2), now=now) for _ in range(3)]
    pay(orders[0], now=now)
    cancel(orders[1], now=now)
    verb("extend_hold", orders[2], minutes=5, reason="they asked", now=now)
    before = [*map(state, orders), on_shelf(shop)]
    due = [order.id for order in orders]
    assert ending._expire(business_id=shop.id, order_ids=due, now=now + 15 * MINUTE) == 0
    assert [*map(state, orders), on_shelf(shop)] == before


def test_expire_due_many_orders_of_the_same_goods(shop, now, monkeypatch):
    """The counters move by the sum, in batches until none is left."""
    monkeypatch.setattr(ending, "SWEEP_BATCH", 4)
    product(shop, "MUG-01", stock=100)
    product(shop, "TEA-01", stock=100)
    for quantity in range(1, 11):
        place(shop, ("MUG-01", quantity), ("TEA-01", 1), now=now)
    alive = place(shop, ("MUG-01", 5), now=now + MINUTE)
    assert sweep(shop, now + 15 * MINUTE) == 10
    assert [on_shelf(shop, "MUG-01"), on_shelf(shop, "TEA-01")] == [(100, 5), (100, 0)]
    assert state(alive)[0] == "pending"


@pytest.mark.parametrize("broken", [1, 3])
def test_expire_due_is_not_stopped_by_one_bad_row(shop, now, monkeypatch, caplog, broken):
    """A counter that drifted makes some releases impossible; all other orders expire, whatever batch
    they are in, and the bad ones wait for a repair."""
    monkeypatch.setattr(ending, "SWEEP_BATCH", 2)
    bad, good = [], []
    for number in range(6):
        product(shop, f"SKU-{number}", stock=1)
        order = place(shop, (f"SKU-{number}", 1), now=now)
        (bad if number < broken else good).append(order)
    drifted = Stock.objects.filter(business=shop, product__sku__in=[f"SKU-{number}" for number in range(broken)])
    drifted.update(reserved_stock=0)
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match=f"for {broken} of the orders"):
        sweep(shop, now + 15 * MINUTE)
    assert {state(order)[0] for order in good} == {"cancelled"}
    assert {state(order)[0] for order in bad} == {"pending"}
    [line] = caplog.records  # the first of them, and no flood of them every few seconds
    assert str(bad[0].id) in line.getMessage()
    assert line.exc_info
    drifted.update(reserved_stock=1)  # repaired
    assert sweep(shop, now + 15 * MINUTE) == broken


def test_expire_due_orders_takes_a_batch_of_each_shop_in_turn(shop, now, monkeypatch):
    """A shop with many due orders keeps nobody else's goods off the shelf until it is through."""
    monkeypatch.setattr(ending, "SWEEP_BATCH", 2)
    others = [BusinessFactory(), BusinessFactory()]
    for business, orders in ((shop, 6), (others[0], 1), (others[1], 3)):
        product(business)
        for _ in range(orders):
            place(business, ("MUG-01", 1), now=now - 15 * MINUTE)
    expire = ending._expire
    turns = []

    def watched(*, business_id, **batch):
        turns.append(business_id)
        return expire(business_id=business_id, **batch)

    monkeypatch.setattr(ending, "_expire", watched)
    assert expire_due_orders() == 10
    assert set(turns[:3]) == {shop.id, *(business.id for business in others)}
    assert turns[-1] == shop.id


def test_expire_due_orders_goes_through_every_shop(shop, now):
    """The job: business by business, by the database's own clock."""
    other = BusinessFactory()
    for business in (shop, other):
        product(business)
        place(business, ("MUG-01", 1), now=now - 15 * MINUTE)
        place(business, ("MUG-01", 1), now=now)
    assert expire_due_orders() == 2
    assert [on_shelf(shop), on_shelf(other)] == [(10, 1), (10, 1)]


def test_expire_due_orders_that_can_not_be_expired_fail_the_run(shop, now, monkeypatch):
    """What can be expired is, in other shops too; and nobody who looks at the runs is told that all went well."""
    monkeypatch.setattr(ending, "SWEEP_BATCH", 2)
    other = BusinessFactory()
    for business, orders in ((shop, 3), (other, 2)):
        product(business, stock=10)
        for _ in range(orders):
            place(business, ("MUG-01", 1), now=now - 16 * MINUTE)
    Stock.objects.filter(business=shop).update(reserved_stock=0)
    with pytest.raises(RuntimeError, match="for 3 of the orders"):
        expire_due_orders()
    assert [on_shelf(shop), on_shelf(other)] == [(10, 0), (10, 0)]
    run = last_runs()["payment-timeout"]
    assert (run.outcome, run.error) == (
        "failed",
        "RuntimeError: It failed for 3 of the orders.",
    )
    Stock.objects.filter(business=shop).update(reserved_stock=3)
    assert expire_due_orders() == 3
    assert last_runs()["payment-timeout"].outcome == "done"
