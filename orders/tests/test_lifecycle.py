"""The table of statuses: every pair, what it does to the shelf, and what a refusal says."""

import itertools

import pytest

from factories import ACTOR, on_shelf, order_in, pay, product, verb
from orders import services
from orders.errors import IllegalTransition
from orders.lifecycle import MAY_BECOME, Status

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

# Written out a second time, on purpose: (from, to) and what it moves on the shelf, for an order of two
# units: (stock_quantity, reserved_stock).
LEGAL = {
    ("draft", "pending"): (0, +2),
    ("draft", "cancelled"): (0, 0),
    ("pending", "paid"): (-2, -2),
    ("pending", "cancelled"): (0, -2),
    ("paid", "processing"): (0, 0),
    ("paid", "cancelled"): (+2, 0),
    ("processing", "shipped"): (0, 0),
    ("processing", "cancelled"): (+2, 0),
    ("shipped", "delivered"): (0, 0),
}
# What is done already is a success that changes nothing; an order stays paid on its way to the door.
DONE = {(status.value, status.value) for status in Status} | {
    (status, "paid") for status in ("processing", "shipped", "delivered")
}
PAIRS = list(itertools.product(Status.values, Status.values))


def bring(order, to, now):
    """Call the verb that leads to a status."""
    match to:
        case "draft":
            return services.refuse(
                business_id=order.business_id, order_id=order.id, status=Status.DRAFT, actor=ACTOR, now=now
            )
        case "pending":
            return verb("submit", order, now=now)
        case "paid":
            return pay(order, now=now)
        case "processing":
            return verb("start_processing", order, now=now)
        case "shipped":
            return verb("ship", order, carrier="Royal Mail", tracking_number="RM1GB", now=now)
        case "delivered":
            return verb("deliver", order, now=now)
        case "cancelled":
            return verb("cancel", order, reason="changed their mind", now=now)


def state(order):
    order.refresh_from_db()
    return order.status, order.version, order.events.count(), on_shelf(order.business)


@pytest.mark.parametrize(("start", "to"), LEGAL)
def test_move_legal(shop, now, start, to):
    product(shop, stock=10)
    order = order_in(shop, start, now=now)
    stock, reserved = on_shelf(shop)
    _, version, events, _ = state(order)
    assert bring(order, to, now).status == to
    by_stock, by_reserved = LEGAL[start, to]
    assert state(order) == (to, version + 1, events + 1, (stock + by_stock, reserved + by_reserved))


@pytest.mark.parametrize(("start", "to"), sorted(DONE))
def test_move_done_already(shop, now, start, to):
    product(shop, stock=10)
    order = order_in(shop, start, now=now)
    before = state(order)
    assert bring(order, to, now).status == start
    assert state(order) == before


# Money for a cancelled order is recorded, never refused: tests/test_paying.py.
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL and pair not in DONE and pair != ("cancelled", "paid")]


@pytest.mark.parametrize(("start", "to"), ILLEGAL)
def test_move_illegal(shop, now, start, to):
    product(shop, stock=10)
    order = order_in(shop, start, now=now)
    before = state(order)
    with pytest.raises(IllegalTransition) as refused:
        bring(order, to, now)
    last = order.events.latest("version")
    assert refused.value.facts == {
        "order_status": start,
        "requested": to,
        "allowed": sorted(
            (end for begin, end in LEGAL if begin == start), key=[status.value for status in Status].index
        ),
        "last_change": {"kind": last.kind, "actor": ACTOR, "at": last.at.isoformat()},
    }
    assert state(order) == before


def test_table_of_statuses_is_this_one():
    assert {(start.value, to.value) for start, nexts in MAY_BECOME.items() for to in nexts} == set(LEGAL)
    assert len(LEGAL) + len(DONE) + len(ILLEGAL) + 1 == 7 * 7
