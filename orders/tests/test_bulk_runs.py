"""The same step for many orders: each row once, with its answer, whatever happens to the workers."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from catalog.models import Membership
from catalog.rights import DOING, Right
from catalog.wording import who
from factories import ACTOR, BusinessFactory, on_shelf, order_in, pay, place, product, verb
from orders import bulk, tidying
from orders.errors import BulkRunConfirmed, BulkRunNotFound, NoOrders, TooManyOrders
from orders.models import BulkRun, Order, OrderEvent
from orders.services import Edit, Line
from orders.tasks import do_bulk_runs
from orders_project.clock import database_now

Action = BulkRun.Action

CANCEL = {"reason": "the supplier let us down"}
BY_BANK = {"provider": "bank", "prefix": "S7-"}


def prepared(shop, action, orders):
    works_in(shop)
    return bulk.prepare(
        business_id=shop.id,
        action=action,
        order_ids=[order.id for order in orders],
        actor="person:who-chose",
        now=database_now(),
    )


def works_in(shop):
    """Whoever acts in these tests has a place in the shop."""
    user, _ = User.objects.get_or_create(username=ACTOR.removeprefix("person:"), is_staff=True)
    Membership.objects.get_or_create(business=shop, user=user, defaults={"role": Membership.Role.OWNER})


def confirmed(shop, action, orders, details=None):
    run = prepared(shop, action, orders)
    return bulk.confirm(business_id=shop.id, run_id=run.id, details=details or {}, actor=ACTOR, now=database_now())


def answers(run):
    return list(run.rows.order_by("position").values_list("outcome", "answer"))


def has_ended(run):
    return BulkRun.objects.get(id=run.id).ended_at is not None


def statuses(orders):
    found = dict(Order.objects.filter(id__in=[order.id for order in orders]).values_list("id", "status"))
    return [found[order.id] for order in orders]


# --- What is done ------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_cancel_frees_what_was_held_and_restocks_what_was_sold(shop):
    product(shop, stock=10)
    orders = [order_in(shop, status, ("MUG-01", 2)) for status in ("draft", "pending", "paid", "shipped")]
    assert on_shelf(shop) == (6, 2)
    run = confirmed(shop, Action.CANCEL, orders, CANCEL)
    assert bulk.work() == 4
    assert statuses(orders) == ["cancelled", "cancelled", "cancelled", "shipped"]
    assert on_shelf(shop) == (8, 0)
    *done, refused = answers(run)
    assert done == [("done", "")] * 3
    assert refused == ("refused", "The order is shipped (last changed by test); it can't become cancelled.")
    assert has_ended(run)
    event = orders[1].events.latest("version")
    assert (event.kind, event.actor, event.facts) == ("cancelled", ACTOR, CANCEL)
    assert bulk.work() == 0


@pytest.mark.usefixtures("db", "all_is_well")
def test_confirm_payment_writes_a_payment_of_each_order(shop):
    product(shop, stock=10)
    waiting, paid = place(shop, ("MUG-01", 2)), pay(place(shop, ("MUG-01", 1)))
    run = confirmed(shop, Action.CONFIRM_PAYMENT, [waiting, paid], BY_BANK)
    bulk.work()
    payment = waiting.payments.get()
    assert (payment.provider, payment.reference) == ("bank", f"S7-{waiting.number}")
    assert (payment.amount, payment.actor) == (waiting.total, ACTOR)
    assert paid.payments.count() == 1
    assert answers(run) == [("done", ""), ("done", "It was paid already.")]
    assert on_shelf(shop) == (7, 0)


@pytest.mark.usefixtures("db", "all_is_well")
def test_confirm_payment_under_a_reference_that_is_taken_is_refused(shop):
    product(shop, stock=10)
    order, other = place(shop, ("MUG-01", 1)), place(shop, ("MUG-01", 2))
    pay(other, reference=f"S7-{order.number}")
    run = confirmed(shop, Action.CONFIRM_PAYMENT, [order], BY_BANK)
    bulk.work()
    ((outcome, answer),) = answers(run)
    assert outcome == "refused"
    assert other.number in answer
    assert statuses([order]) == ["pending"]


@pytest.mark.usefixtures("db", "all_is_well")
def test_confirm_payment_of_goods_that_are_gone_says_that_the_money_is_due_back(shop, now):
    product(shop, stock=1)
    late = place(shop, ("MUG-01", 1), now=now - timedelta(minutes=20))
    run = confirmed(shop, Action.CONFIRM_PAYMENT, [late], BY_BANK)
    place(shop, ("MUG-01", 1), now=now)  # the next buyer takes the overdue hold
    bulk.work()
    ((outcome, answer),) = answers(run)
    assert (outcome, "due for a refund" in answer, statuses([late])) == ("done", True, ["cancelled"])


@pytest.mark.usefixtures("db", "all_is_well")
def test_packing_and_delivery(shop):
    product(shop, stock=10)
    paid, shipped, pending = [order_in(shop, status) for status in ("paid", "shipped", "pending")]
    confirmed(shop, Action.START_PROCESSING, [paid, pending])
    confirmed(shop, Action.DELIVER, [shipped, pending])
    bulk.work()
    assert statuses([paid, shipped, pending]) == ["processing", "delivered", "pending"]


@pytest.mark.usefixtures("db", "all_is_well")
def test_row_that_fails_for_a_reason_of_its_own_stops_no_other(shop, caplog):
    """An order that somebody spoiled in SQL: its parcel is not there."""
    product(shop, stock=10)
    orders = [order_in(shop, "shipped") for _ in range(3)]
    orders[1].shipments.all().delete()
    run = confirmed(shop, Action.DELIVER, orders)
    bulk.work()
    (first, _), (second, why), (third, _) = answers(run)
    assert [first, second, third] == ["done", "refused", "done"]
    assert why == "It failed, and nothing was changed. Try again, or look at the order."
    assert str(orders[1].id) in caplog.text
    assert statuses(orders) == ["delivered", "shipped", "delivered"]


@pytest.mark.usefixtures("db", "all_is_well")
def test_order_that_changed_since_it_was_looked_at_is_left_alone(shop):
    """But for notes, which change nothing of it."""
    product(shop, stock=10)
    edited, noted, untouched = [place(shop, ("MUG-01", 1)) for _ in range(3)]
    run = prepared(shop, Action.CONFIRM_PAYMENT, [edited, noted, untouched])
    verb("edit", edited, change=Edit(lines=(Line("MUG-01", 5),)))
    verb("add_note", noted, text="Rang, and will pay today")
    preview = bulk.preview(run)
    assert (preview.doable, preview.worth, preview.changed) == (2, noted.total + untouched.total, 1)
    bulk.confirm(business_id=shop.id, run_id=run.id, details=BY_BANK, actor=ACTOR, now=database_now())
    bulk.work()
    assert answers(run) == [
        ("refused", "It changed since you looked: edited by test. Nothing was done; look again, then decide."),
        ("done", ""),
        ("done", ""),
    ]
    assert statuses([edited, noted, untouched]) == ["pending", "paid", "paid"]
    assert not edited.payments.exists()


# --- Before it is confirmed --------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_nothing_is_done_before_it_is_confirmed(shop):
    product(shop)
    order = place(shop, ("MUG-01", 1))
    run = prepared(shop, Action.CANCEL, [order])
    assert bulk.work() == 0
    assert (statuses([order]), answers(run)) == (["pending"], [("waiting", "")])


@pytest.mark.usefixtures("db", "all_is_well")
def test_preview_tells_what_cancelling_does(shop):
    product(shop, stock=20, price="5.00")
    product(shop, "CUP-01", stock=20, price="1.00")
    orders = [
        order_in(shop, "draft", ("MUG-01", 1)),
        order_in(shop, "pending", ("MUG-01", 2), ("CUP-01", 1)),
        order_in(shop, "paid", ("MUG-01", 3)),
        order_in(shop, "processing", ("CUP-01", 4)),
        order_in(shop, "shipped", ("CUP-01", 5)),
        order_in(shop, "cancelled", ("CUP-01", 6)),
    ]
    verb("record_refund", orders[2], provider="bank", reference="R-1", amount=Decimal(5))
    place(shop, ("MUG-01", 1))  # not chosen
    told = bulk.preview(prepared(shop, Action.CANCEL, orders))
    assert (told.doable, told.worth, told.undoable) == (4, 5 + 11 + 15 + 4, [("shipped", 1), ("cancelled", 1)])
    assert told.released.by_sku == [("MUG-01", 2), ("CUP-01", 1)]
    assert told.restocked.by_sku == [("CUP-01", 4), ("MUG-01", 3)]
    assert told.owed == 15 - 5 + 4


@pytest.mark.usefixtures("db")
def test_preview_of_a_step_that_leaves_the_stock_alone(shop):
    product(shop)
    told = bulk.preview(prepared(shop, Action.START_PROCESSING, [order_in(shop, "paid"), order_in(shop, "draft")]))
    assert (told.doable, told.undoable) == (1, [("draft", 1)])
    assert (told.released.units, told.restocked.units, told.owed) == (0, 0, 0)


@pytest.mark.usefixtures("db")
def test_confirm_twice_leaves_it_as_it_was_confirmed_first(shop):
    product(shop)
    run = confirmed(shop, Action.CANCEL, [place(shop, ("MUG-01", 1))], CANCEL)
    again = bulk.confirm(
        business_id=shop.id, run_id=run.id, details={"reason": "x"}, actor="person:other", now=database_now()
    )
    assert (again.details, again.actor, again.confirmed_at) == (CANCEL, ACTOR, run.confirmed_at)
    with pytest.raises(BulkRunConfirmed, match="test confirmed it"):
        bulk.discard(business_id=shop.id, run_id=run.id)


@pytest.mark.usefixtures("db")
def test_discard_leaves_nothing(shop):
    product(shop)
    run = prepared(shop, Action.CANCEL, [place(shop, ("MUG-01", 1))])
    bulk.discard(business_id=shop.id, run_id=run.id)
    with pytest.raises(BulkRunNotFound):
        bulk.find_run(business_id=shop.id, run_id=run.id)


@pytest.mark.usefixtures("db")
def test_prepare_takes_orders_of_the_business_only(shop):
    product(shop)
    other = BusinessFactory()
    product(other)
    foreign, ours = place(other, ("MUG-01", 1)), place(shop, ("MUG-01", 1))
    run = prepared(shop, Action.CANCEL, [foreign, ours])
    assert list(run.rows.values_list("order_id", flat=True)) == [ours.id]
    with pytest.raises(NoOrders):
        prepared(shop, Action.CANCEL, [foreign])
    with pytest.raises(BulkRunNotFound):
        bulk.find_run(business_id=other.id, run_id=run.id)


@pytest.mark.usefixtures("db")
def test_prepare_takes_so_many_and_no_more(shop, monkeypatch):
    product(shop)
    monkeypatch.setattr(bulk, "MOST_ORDERS", 2)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(3)]
    with pytest.raises(TooManyOrders, match="2 orders at once are the most"):
        prepared(shop, Action.CANCEL, orders)
    assert prepared(shop, Action.CANCEL, orders[:2]).rows.count() == 2


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize("role", [Membership.Role.PACKER, None])
def test_rows_of_somebody_who_lost_the_right_meanwhile_are_refused(shop, role):
    product(shop)
    order = place(shop, ("MUG-01", 1))
    run = confirmed(shop, Action.CANCEL, [order], CANCEL)
    Membership.objects.filter(business=shop).update(**({"role": role} if role else {"accepted_at": None}))
    bulk.work()
    assert answers(run) == [("refused", f"{who(ACTOR)} may not {DOING[Right.ORDERS]} here any more.")]
    assert statuses([order]) == ["pending"]


# --- Workers -----------------------------------------------------------------------------------


def once_each(orders):
    """How often each order was cancelled."""
    events = OrderEvent.objects.filter(order__in=[order.id for order in orders], kind="cancelled")
    return sorted(events.values_list("order_id", flat=True)) == sorted(order.id for order in orders)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_two_workers_at_once_do_each_row_once(shop, at_once):
    product(shop, stock=40)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(40)]
    run = confirmed(shop, Action.CANCEL, orders, CANCEL)
    counts = at_once([bulk.work] * 4)
    assert sum(counts) == 40, counts
    assert once_each(orders)
    assert answers(run) == [("done", "")] * 40
    assert (has_ended(run), on_shelf(shop)) == (True, (40, 0))


@pytest.mark.usefixtures("committed", "all_is_well")
def test_worker_that_dies_between_the_step_and_its_answer_has_done_neither(shop, monkeypatch):
    """The next one goes on where it was: what was done before stays done, and is not done again."""

    class Died(BaseException):
        pass

    product(shop, stock=10)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(5)]
    run = confirmed(shop, Action.CANCEL, orders, CANCEL)
    do, tries = bulk._do, []

    def dies_at_the_third(run, order_id):
        tries.append(order_id)
        answer = do(run, order_id)
        if len(tries) == 3:
            raise Died
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "_do", dies_at_the_third)
        with pytest.raises(Died):
            bulk.work()
    assert [outcome for outcome, _ in answers(run)] == ["done", "done", "waiting", "waiting", "waiting"]
    assert statuses(orders) == ["cancelled", "cancelled", "pending", "pending", "pending"]
    assert (on_shelf(shop), has_ended(run)) == ((10, 3), False)
    assert do_bulk_runs() == 3
    assert once_each(orders)
    assert (on_shelf(shop), has_ended(run)) == ((10, 0), True)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_database_that_is_busy_leaves_the_row_waiting(shop, monkeypatch):
    """That is not the order's fault: the run fails, stops no other business's, and goes on the next time."""
    other = BusinessFactory()
    product(shop)
    product(other)
    order, theirs = place(shop, ("MUG-01", 1)), place(other, ("MUG-01", 1))
    run = confirmed(shop, Action.CANCEL, [order], CANCEL)
    confirmed(other, Action.CANCEL, [theirs], CANCEL)
    find_order = bulk.find_order

    def busy_for_the_shop(**asked):
        if asked["business_id"] == shop.id:
            raise OperationalError("canceling statement due to statement timeout")
        return find_order(**asked)

    with monkeypatch.context() as patch:
        patch.setattr(bulk, "find_order", busy_for_the_shop)
        with pytest.raises(RuntimeError, match="1 of the businesses"):
            bulk.work()
    assert (answers(run), statuses([order, theirs])) == ([("waiting", "")], ["pending", "cancelled"])
    bulk.work()
    assert (answers(run), statuses([order])) == ([("done", "")], ["cancelled"])


# --- What is kept ------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_clean_up_forgets_old_runs(shop, now):
    product(shop, stock=10)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(3)]
    unconfirmed, waiting = prepared(shop, Action.CANCEL, orders), confirmed(shop, Action.DELIVER, orders)
    ended = confirmed(shop, Action.START_PROCESSING, orders)
    BulkRun.objects.filter(id=ended.id).update(ended_at=now)
    kept = BulkRun.objects.filter(business=shop)
    tidying.clean_up(now=now + timedelta(hours=23))
    assert kept.count() == 3
    tidying.clean_up(now=now + timedelta(hours=25))
    assert not kept.filter(id=unconfirmed.id).exists()
    assert kept.count() == 2
    tidying.clean_up(now=now + timedelta(days=31))
    assert list(kept) == [waiting]
    assert Order.objects.filter(business=shop).count() == 3
