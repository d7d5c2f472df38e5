"""Books that don't agree: each is broken on purpose in SQL, found, set right, and not found again."""

from decimal import Decimal

import pytest
from django.db.models import Sum

from catalog.models import Alert, JobRun, Stock, StockMovement
from conftest import until
from customers.models import Customer
from customers.services import Buyer
from factories import BusinessFactory, on_shelf, order_in, pay, place, product
from orders.errors import BooksChanged, DiscrepancyClosed, DiscrepancyNotFound
from orders.invariants import findings
from orders.models import Discrepancy, OrderItem
from orders.reconciliation import ADVICE, apply_remedy, reconcile
from orders.tasks import reconcile_stock
from orders.tests.careless import do
from orders.watching import watch
from orders_project.clock import database_now
from orders_project.errors import InvalidRequest

BOSS = "person:boss"


@pytest.fixture
def world(shop):
    """Ten mugs came in: two are held for Ada's pending order, three are sold to her, so seven are there."""
    product(shop, stock=10)
    ada = Buyer(name="Ada", phone="+447700900123")
    pending = place(shop, ("MUG-01", 2), buyer=ada)
    paid = pay(place(shop, ("MUG-01", 3), buyer=ada))
    assert on_shelf(shop) == (7, 2)
    return {
        "shop": shop.id,
        "mug": OrderItem.objects.filter(order=paid).values_list("product_id", flat=True)[0],
        "pending": pending.id,
        "paid": paid.id,
        "ada": paid.customer_id,
    }


def check(shop):
    """A run of reconciliation, and what is open after it."""
    reconcile(business_id=shop.id, now=database_now())
    return list(Discrepancy.objects.filter(business=shop, status="open").order_by("invariant"))


def remedies(off):
    return [remedy["name"] for remedy in off.remedies]


def choose(off, remedy, actor=BOSS):
    return apply_remedy(
        business_id=off.business_id, discrepancy_id=off.id, remedy=remedy, actor=actor, now=database_now()
    )


def reconciled(shop):
    """The lines that remedies have written: both deltas, who, and why."""
    lines = StockMovement.objects.filter(business=shop, kind="reconciled").order_by("id")
    return list(lines.values_list("stock_delta", "reserved_delta", "actor", "reason"))


def ledger(shop):
    return tuple(
        StockMovement.objects.filter(business=shop)
        .aggregate(stock=Sum("stock_delta"), held=Sum("reserved_delta"))
        .values()
    )


MORE = "UPDATE catalog_stock SET stock_quantity = stock_quantity + 4 WHERE product_id = %(mug)s"
OPENING_WAS_FOUR = (
    "UPDATE catalog_stockmovement SET stock_delta = 4 WHERE kind = 'opening' AND business_id = %(shop)s"
)
LESS = "UPDATE catalog_stock SET stock_quantity = stock_quantity - 4 WHERE product_id = %(mug)s"


@pytest.mark.usefixtures("db", "all_is_well")
def test_reconcile_when_all_agrees(shop, world):
    assert check(shop) == []
    assert reconcile(business_id=shop.id, now=database_now()) == 0


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize(
    ("broken", "offered", "remedy", "shelf", "lines"),
    [
        (MORE, ["back_to_ledger", "keep_counter"], "back_to_ledger", (7, 2), [(4, 0), (-4, 0)]),
        (MORE, ["back_to_ledger", "keep_counter"], "keep_counter", (11, 2), [(4, 0)]),
        (LESS, ["keep_counter", "back_to_ledger"], "keep_counter", (3, 2), [(-4, 0)]),
        (LESS, ["keep_counter", "back_to_ledger"], "back_to_ledger", (7, 2), [(-4, 0), (4, 0)]),
    ],
)
def test_reconcile_a_counter_changed_by_sql(shop, world, broken, offered, remedy, shelf, lines):
    """The lower number is offered first: it promises nothing that may not be there."""
    do([broken], world)
    (off,) = check(shop)
    assert (off.invariant, off.subject, remedies(off)) == ("I4", str(world["mug"]), offered)
    assert off.evidence["ledger"] == 7
    assert off.evidence["stock_quantity"] == on_shelf(shop)[0]
    choose(off, remedy)
    assert on_shelf(shop) == shelf == ledger(shop)
    assert reconciled(shop) == [(*line, BOSS, off.found) for line in lines]
    assert check(shop) == []
    off.refresh_from_db()
    assert (off.status, off.applied, off.closed_by) == ("applied", remedy, BOSS)


@pytest.mark.usefixtures("db", "all_is_well")
def test_reconcile_alerts_until_it_is_set_right(shop, world):
    alerts = Alert.objects.filter(business=shop, kind="drift").open()
    do([MORE], world)
    (off,) = check(shop)
    watch(business_id=shop.id, now=database_now())
    assert alerts.get().subject == str(world["mug"])
    choose(off, "back_to_ledger")
    watch(business_id=shop.id, now=database_now())
    assert not alerts.exists()


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize("by", [-1, 3])
def test_reconcile_reserved_changed_by_sql(shop, world, by):
    do([f"UPDATE catalog_stock SET reserved_stock = reserved_stock + {by} WHERE product_id = %(mug)s"], world)
    (off,) = check(shop)
    assert (off.invariant, remedies(off)) == ("I2", ["hold_sum"])
    assert off.evidence == {"reserved_stock": 2 + by, "holds": 2, "ledger": 2, "difference": by, "unexplained": by}
    choose(off, "hold_sum")
    assert on_shelf(shop) == (7, 2) == ledger(shop)
    assert [line[:2] for line in reconciled(shop)] == [(0, by), (0, -by)]
    assert check(shop) == []


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("opening", {"I4": "keep_counter"}),
        ("reserved", {"I2": "hold_sum"}),
        ("sold", {"I2": "hold_sum", "I4": "keep_counter"}),
    ],
)
def test_reconcile_a_movement_missing(shop, world, kind, first):
    do([f"DELETE FROM catalog_stockmovement WHERE business_id = %(shop)s AND kind = '{kind}'"], world)
    found = check(shop)
    assert {off.invariant: remedies(off)[0] for off in found} == first
    for off in found:
        choose(off, remedies(off)[0])
    assert on_shelf(shop) == (7, 2) == ledger(shop)
    assert check(shop) == []


@pytest.mark.usefixtures("db")
def test_reconcile_a_hold_missing(shop, world):
    """The units are free again; that the order has lost them is for a person to decide."""
    do(["DELETE FROM reservations_stockreservation WHERE order_id = %(pending)s"], world)
    shelf, order, *_ = check(shop)
    assert (shelf.invariant, remedies(shelf)) == ("I2", ["hold_sum"])
    assert (order.invariant, order.subject, order.remedies) == ("I6", str(world["pending"]), [])
    choose(shelf, "hold_sum")
    assert on_shelf(shop) == (7, 0) == ledger(shop)
    assert "I2" not in {off.invariant for off in check(shop)}


@pytest.mark.usefixtures("db")
def test_reconcile_never_offers_what_would_oversell(shop, world):
    """Two units are held, and the ledger comes to one; more is held than is there."""
    do([OPENING_WAS_FOUR], world)
    (off,) = check(shop)
    assert remedies(off) == ["keep_counter"]
    do(["UPDATE reservations_stockreservation SET quantity = 8 WHERE order_id = %(pending)s"], world)
    assert remedies(check(shop)[0]) == []


@pytest.mark.usefixtures("db")
def test_reconcile_a_shelf_that_was_deleted(shop, world):
    do(["DELETE FROM catalog_stock WHERE product_id = %(mug)s"], world)
    off = check(shop)[0]
    assert (off.invariant, off.remedies) == ("I4", [])
    assert "has no shelf" in off.found


@pytest.mark.usefixtures("db", "all_is_well")
def test_reconcile_a_customer_counted_wrong(shop, world):
    do(["UPDATE customers_customer SET total_orders = 9, total_spent = 0 WHERE id = %(ada)s"], world)
    (off,) = check(shop)
    assert (off.invariant, off.subject, remedies(off)) == ("I12b", str(world["ada"]), ["recount"])
    choose(off, "recount")
    ada = Customer.objects.get(id=world["ada"])
    assert (ada.total_orders, ada.total_spent) == (1, Decimal("29.70"))
    assert check(shop) == []


PAST_HOLDFAST = {
    "I6": "UPDATE reservations_stockreservation SET quantity = 4 WHERE order_id = %(paid)s",
    "I7": "UPDATE reservations_stockreservation SET status = 'active', closed_at = NULL WHERE order_id = %(paid)s",
    "I12": "UPDATE orders_payment SET amount = amount - 1 WHERE order_id = %(paid)s",
    "I14": "UPDATE orders_payment SET order_id = gen_random_uuid() WHERE order_id = %(paid)s",
}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("rule", PAST_HOLDFAST)
def test_reconcile_what_a_person_must_find_out(shop, world, rule):
    """No number can be told to be the right one: it is shown, with what to do."""
    do([PAST_HOLDFAST[rule]], world)
    off = {each.invariant: each for each in check(shop)}[rule]
    assert off.remedies == []
    assert rule in ADVICE


@pytest.mark.usefixtures("db")
def test_reconcile_opens_once_and_closes_what_agrees_again(shop, world):
    do([MORE], world)
    (first,) = check(shop)
    (again,) = check(shop)
    assert (again.id, again.found_at) == (first.id, first.found_at)
    assert again.seen_at > first.seen_at
    do([MORE], world)
    (worse,) = check(shop)
    assert (worse.id, worse.evidence["difference"]) == (first.id, 8)
    do([LESS, LESS], world)
    assert check(shop) == []
    first.refresh_from_db()
    assert (first.status, first.closed_by) == ("gone", "job:stock-reconciliation")
    do([MORE], world)
    (anew,) = check(shop)
    assert anew.id != first.id


@pytest.mark.usefixtures("db")
def test_reconcile_finds_its_own_business_alone(shop, world):
    other = BusinessFactory()
    do([MORE, "UPDATE customers_customer SET total_orders = 9 WHERE id = %(ada)s"], world)
    assert check(other) == []
    assert len(check(shop)) == 2
    assert findings(business_id=other.id) == []
    assert {finding.rule for finding in findings(business_id=shop.id)} == {"I3", "I4", "I12b"}


# --- by itself -------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize(("broken", "shelf"), [(MORE, (7, 2)), (LESS, (3, 2))])
def test_reconcile_sets_small_differences_right_by_itself(shop, world, broken, shelf):
    shop.reconcile_up_to = 4
    shop.save(update_fields=["reconcile_up_to"])
    do([broken], world)
    assert check(shop) == []
    assert on_shelf(shop) == shelf == ledger(shop)
    off = Discrepancy.objects.get(business=shop)
    assert (off.status, off.applied, off.closed_by) == (
        "applied",
        off.remedies[0]["name"],
        "job:stock-reconciliation",
    )
    assert {actor for *_, actor, _ in reconciled(shop)} == {"job:stock-reconciliation"}


@pytest.mark.usefixtures("db")
def test_reconcile_leaves_great_differences_to_a_person(shop, world):
    shop.reconcile_up_to = 3
    shop.save(update_fields=["reconcile_up_to"])
    do([MORE], world)
    assert len(check(shop)) == 1
    assert on_shelf(shop) == (11, 2)


@pytest.mark.usefixtures("db")
def test_reconcile_never_chooses_the_higher_number_by_itself(shop, world):
    """Two are held and the ledger has one: that there are seven, as the counter says, somebody has to see."""
    shop.reconcile_up_to = 10
    shop.save(update_fields=["reconcile_up_to"])
    do([OPENING_WAS_FOUR], world)
    (off,) = check(shop)
    assert remedies(off) == ["keep_counter"]
    assert reconciled(shop) == []


# --- who chooses -----------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_apply_remedy_while_goods_are_sold(shop, world):
    """The shelf is off by the same, however much is sold; so the remedy still fits, and takes away no sale."""
    do([MORE], world)
    (off,) = check(shop)
    order_in(shop, "paid", ("MUG-01", 5))
    choose(off, "back_to_ledger")
    assert on_shelf(shop) == (2, 2) == ledger(shop)


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("since", "says"), [(MORE, "15 on the shelf"), (LESS, "agree again")])
def test_apply_remedy_when_it_is_off_otherwise_by_now(shop, world, since, says):
    do([MORE], world)
    (off,) = check(shop)
    do([since], world)
    before = on_shelf(shop)
    with pytest.raises(BooksChanged) as refused:
        choose(off, "keep_counter")
    assert says in refused.value.detail
    assert on_shelf(shop) == before
    assert reconciled(shop) == []


@pytest.mark.usefixtures("db")
def test_apply_remedy_that_would_oversell_by_now(shop, world):
    """Five more are held since: back to the ledger's seven, but never under what is held."""
    do([MORE], world)
    (off,) = check(shop)
    place(shop, ("MUG-01", 9))
    with pytest.raises(BooksChanged):
        choose(off, "back_to_ledger")
    assert on_shelf(shop) == (11, 11)
    choose(off, "keep_counter")


@pytest.mark.usefixtures("db", "all_is_well")
def test_apply_remedy_twice(shop, world):
    do([MORE], world)
    (off,) = check(shop)
    choose(off, "back_to_ledger")
    assert choose(off, "back_to_ledger", actor="person:late").closed_by == BOSS
    with pytest.raises(DiscrepancyClosed) as refused:
        choose(off, "keep_counter")
    assert refused.value.facts == {"status": "applied", "applied": "back_to_ledger", "closed_by": BOSS}
    assert on_shelf(shop) == (7, 2)


@pytest.mark.usefixtures("db")
def test_apply_remedy_that_is_not_offered(shop, world):
    do([MORE], world)
    (off,) = check(shop)
    for remedy in ("hold_sum", "recount", "delete_everything"):
        with pytest.raises(InvalidRequest):
            choose(off, remedy)
    with pytest.raises(DiscrepancyNotFound):
        apply_remedy(
            business_id=BusinessFactory().id,
            discrepancy_id=off.id,
            remedy="keep_counter",
            actor=BOSS,
            now=database_now(),
        )
    assert on_shelf(shop) == (11, 2)


# --- at once ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("committed", "all_is_well")
def test_apply_remedy_at_once(shop, world, at_once):
    """Of two who choose differently one does it, and the other is told; the ledger has one remedy's lines."""
    do([MORE], world)
    (off,) = check(shop)
    answers = at_once(
        [lambda: choose(off, "back_to_ledger"), lambda: choose(off, "keep_counter", actor="person:other")],
        behind=Stock.objects.get(product_id=world["mug"]),
        in_turn=True,
    )
    assert answers[0].applied == "back_to_ledger"
    assert isinstance(answers[1], DiscrepancyClosed)
    assert on_shelf(shop) == (7, 2) == ledger(shop)


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_reconcile_at_once(shop, world, at_once):
    """Two runs and a person: each fault is found once, and set right once."""
    shop.reconcile_up_to = 10
    shop.save(update_fields=["reconcile_up_to"])
    do([MORE, "UPDATE catalog_stock SET reserved_stock = 5 WHERE product_id = %(mug)s"], world)
    run = lambda: reconcile(business_id=shop.id, now=database_now())  # noqa: E731
    answers = at_once([run, run, run], behind=Stock.objects.get(product_id=world["mug"]))
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert check(shop) == []
    assert on_shelf(shop) == (7, 2) == ledger(shop)
    assert sorted(line[:2] for line in reconciled(shop)) == [(-4, 0), (0, -3), (0, 3), (4, 0)]


@pytest.mark.usefixtures("committed", "all_is_well")
def test_reconcile_while_somebody_puts_it_right(shop, world, at_once, another_session):
    """Whoever broke the counter is just about to put it back. What was found is looked at again with the shelf
    locked: set right a second time it would be off by as much the other way."""
    shop.reconcile_up_to = 10
    shop.save(update_fields=["reconcile_up_to"])
    do([MORE], world)
    careless = another_session()
    careless.execute(LESS, world)

    def put_right():
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE %s = ANY(pg_blocking_pids(pid)))"
        until(lambda: careless.execute(waits, [careless.info.backend_pid]).fetchone()[0])
        careless.commit()

    found, _ = at_once([lambda: reconcile(business_id=shop.id, now=database_now()), put_right])
    assert found == 1
    assert on_shelf(shop) == (7, 2) == ledger(shop)
    assert reconciled(shop) == []
    assert check(shop) == []


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_reconcile_while_goods_are_sold(shop, at_once):
    """What is only half done is never taken for a fault."""
    product(shop, stock=100)

    def sell():
        for _ in range(10):
            pay(place(shop, ("MUG-01", 1)))

    def look():
        return [reconcile(business_id=shop.id, now=database_now()) for _ in range(20)]

    answers = at_once([sell, sell, look, look])
    assert answers[:2] == [None, None]
    assert answers[2:] == [[0] * 20] * 2
    assert not Discrepancy.objects.filter(business=shop).exists()


@pytest.mark.usefixtures("db")
def test_reconcile_stock_is_a_run_for_each_business(shop, world):
    do([MORE], world)
    JobRun.objects.all().delete()
    reconcile_stock()
    run = JobRun.objects.get(job="stock-reconciliation", business=shop)
    assert (run.outcome, run.rows) == ("done", 1)
    assert JobRun.objects.get(job="stock-reconciliation", business=None).outcome == "done"
