"""The jobs that tidy up, on data broken on purpose: each repairs it, and a second run finds nothing."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils.module_loading import import_string

from catalog.models import Alert, JobRun, Stock, StockMovement
from factories import on_shelf, order_in, pay, place, product, verb
from orders import tidying
from orders.invariants import findings
from orders.models import Order, WebhookEndpoint
from orders.reconciliation import reconcile
from orders.services import Edit, Line
from orders.stats import rebuild
from orders.tasks import clean_up, free_stuck_reservations
from orders.tests.careless import do
from orders_project.clock import database_now
from reservations.models import RefusedDemand, StockMinute, StockReservation

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def free(shop, now=None):
    """A run of the job, and how many holds of the shop it ended: others may have some left of other tests."""
    held = StockReservation.objects.filter(business=shop).active()
    before = held.count()
    tidying.free_stuck(now=now or database_now())
    return before - held.count()


def clean(now):
    return tidying.clean_up(now=now)


def hold_of(order):
    return StockReservation.objects.get(order_id=order.id)


def status_of(order):
    return Order.objects.values_list("status", flat=True).get(id=order.id)


def ledger(order):
    return list(
        StockMovement.objects.filter(order_id=order.id)
        .order_by("id")
        .values_list("kind", "stock_delta", "reserved_delta")
    )


# --- stuck holds -----------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_free_stuck_leaves_alone_what_is_well(shop, now):
    product(shop, stock=20)
    for status in ("draft", "pending", "paid", "shipped", "cancelled"):
        order_in(shop, status, now=now)
    before = on_shelf(shop)
    assert free(shop) == 0
    assert on_shelf(shop) == before


@pytest.mark.usefixtures("db", "all_is_well")
def test_free_stuck_after_the_worker_was_dead_for_an_hour(shop, now):
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 4), now=now - 75 * MINUTE)
    paid = pay(place(shop, ("MUG-01", 1), now=now - 75 * MINUTE), now=now - 70 * MINUTE)
    assert free(shop) == 1
    assert (status_of(order), hold_of(order).status, on_shelf(shop)) == ("cancelled", "expired", (9, 0))
    assert status_of(paid) == "paid"
    assert free(shop) == 0


@pytest.mark.usefixtures("db", "all_is_well")
def test_free_stuck_leaves_the_sweep_its_time(shop, now):
    product(shop)
    order = place(shop, ("MUG-01", 4), now=now)
    assert free(shop, order.payment_due_at + timedelta(seconds=29)) == 0
    assert free(shop, order.payment_due_at + timedelta(seconds=30)) == 1


@pytest.mark.usefixtures("db", "all_is_well")
def test_free_stuck_overdue_though_its_order_has_time(shop, now):
    """Nobody has taken the units, and the buyer was promised more time: they are kept for as long."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 4), now=now)
    StockReservation.objects.filter(order_id=order.id).update(expires_at=now - 3 * MINUTE)
    assert "I5" in {finding.rule for finding in findings(business_id=shop.id)}
    free(shop, now)
    assert (hold_of(order).status, hold_of(order).expires_at) == ("active", order.payment_due_at)
    assert (status_of(order), on_shelf(shop)) == ("pending", (10, 4))


@pytest.mark.usefixtures("db", "all_is_well")
def test_free_stuck_of_a_cancelled_order(shop, now):
    """Somebody cancelled the order's row in SQL: its hold was left over, and counts."""
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 4), now=now)
    verb("cancel", place(shop, ("MUG-01", 1), now=now), reason="not this one")
    cancelled = (
        "WITH event AS (INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)"
        " VALUES (gen_random_uuid(), %(shop)s, %(order)s, 2, 'cancelled', 'person:careless', now(), '{}'))"
        "UPDATE orders_order SET status = 'cancelled', cancel_reason = 'by hand', cancelled_at = now(),"
        " payment_due_at = NULL, version = 2 WHERE id = %(order)s"
    )
    with connection.cursor() as cursor:
        cursor.execute(cancelled, {"shop": shop.id, "order": order.id})
    assert on_shelf(shop) == (10, 4)
    assert free(shop) == 1
    assert (hold_of(order).status, on_shelf(shop)) == ("released", (10, 0))
    assert ledger(order) == [("reserved", 0, 4), ("released", 0, -4)]
    assert free(shop) == 0


@pytest.mark.usefixtures("db", "all_is_well")
@pytest.mark.parametrize(("status", "ended"), [("cancelled", "released"), ("paid", "converted")])
def test_free_stuck_whose_end_the_ledger_knows(shop, now, status, ended):
    """The order ended well and only its hold was left over: no unit is moved a second time."""
    product(shop, stock=10)
    order = order_in(shop, status, ("MUG-01", 4), now=now)
    shelf, lines = on_shelf(shop), ledger(order)
    StockReservation.objects.filter(order_id=order.id).update(status="active", closed_at=None)
    assert free(shop) == 1
    assert (hold_of(order).status, on_shelf(shop), ledger(order)) == (ended, shelf, lines)
    assert free(shop) == 0


@pytest.mark.usefixtures("db", "all_is_well")
def test_free_stuck_of_a_sold_order(shop, now):
    """The sale is in the order's row and nothing of it in the stock: the hold becomes the sale."""
    product(shop, stock=10)
    order = order_in(shop, "paid", ("MUG-01", 4), now=now)
    statements = [
        "DELETE FROM catalog_stockmovement WHERE order_id = %(order)s AND kind = 'sold'",
        "UPDATE reservations_stockreservation SET status = 'active', closed_at = NULL WHERE order_id = %(order)s",
        "UPDATE catalog_stock SET stock_quantity = 10, reserved_stock = 4 FROM orders_orderitem AS item"
        " WHERE item.order_id = %(order)s AND catalog_stock.product_id = item.product_id",
    ]
    do(statements, {"order": order.id})
    assert free(shop) == 1
    assert (hold_of(order).status, on_shelf(shop)) == ("converted", (6, 0))
    assert ledger(order) == [("reserved", 0, 4), ("sold", -4, -4)]
    assert free(shop) == 0


def delete_order(shop, order):
    """Somebody deletes an order, with its foreign keys asleep."""
    do(["DELETE FROM orders_order WHERE id = %(order)s"], {"order": order.id})
    rebuild(business_id=shop.id)  # the statistics, which a trigger would have kept


@pytest.mark.usefixtures("committed", "all_is_well")
def test_free_stuck_of_no_order(shop, now):
    """The ledger can't name the order any more, but says what it was."""
    product(shop, stock=10)
    kept = place(shop, ("MUG-01", 1), now=now)
    order = place(shop, ("MUG-01", 4), now=now)
    delete_order(shop, order)
    assert {finding.rule for finding in findings(business_id=shop.id)} == {"I14"}
    free(shop)
    assert (hold_of(order).status, hold_of(kept).status, on_shelf(shop)) == ("released", "active", (10, 1))
    line = StockMovement.objects.get(business=shop, kind="reconciled")
    assert (line.reserved_delta, line.order_id, line.actor) == (-4, None, "job:stuck-reservations")
    assert "is not there" in line.reason


@pytest.mark.usefixtures("committed", "all_is_well")
def test_free_stuck_one_that_can_not_be_ended_stops_no_other(shop, now, caplog):
    """The counter of one was lost, and the run fails. When reconciliation has set it right, the next one ends that
    hold too."""
    product(shop, "MUG-01", stock=10)
    product(shop, "TEA-01", stock=10)
    orders = [place(shop, (sku, 4), now=now) for sku in ("MUG-01", "TEA-01")]
    for order in orders:
        delete_order(shop, order)
    Stock.objects.filter(business=shop, product__sku="MUG-01").update(reserved_stock=0)
    with pytest.raises(RuntimeError, match="for 1 of the orders"):
        free(shop)
    assert str(orders[0].id) in caplog.text
    assert [hold_of(order).status for order in orders] == ["active", "released"]
    shop.reconcile_up_to = 4
    shop.save(update_fields=["reconcile_up_to"])
    reconcile(business_id=shop.id, now=database_now())
    free(shop)
    assert [hold_of(order).status for order in orders] == ["released", "released"]
    assert on_shelf(shop) == (10, 0)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_free_stuck_at_once(shop, now, at_once):
    product(shop, stock=10)
    overdue = [place(shop, ("MUG-01", 1), now=now - 20 * MINUTE) for _ in range(3)]
    left_over = [order_in(shop, "cancelled", ("MUG-01", 1), now=now) for _ in range(3)]
    StockReservation.objects.filter(order_id__in=[order.id for order in left_over]).update(
        status="active", closed_at=None
    )
    answers = at_once([lambda: free(shop)] * 3)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert {hold_of(order).status for order in overdue} == {"expired"}
    assert {hold_of(order).status for order in left_over} == {"released"}
    assert on_shelf(shop) == (10, 0)


# --- clean-up --------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_clean_up_calls_off_drafts_that_nobody_touched(shop, now):
    """They are not deleted: the timeline says what became of them. One that was edited lately is alive."""
    product(shop)
    old, edited, young = (place(shop, ("MUG-01", 1), draft=True, now=now - age * DAY) for age in (31, 31, 29))
    verb("edit", edited, change=Edit(lines=(Line("MUG-01", 2),)), now=now - 2 * DAY)
    pending = place(shop, ("MUG-01", 1), now=now)
    assert clean(now) >= 1
    assert [status_of(order) for order in (old, edited, young, pending)] == [
        "cancelled",
        "draft",
        "draft",
        "pending",
    ]
    old.refresh_from_db()
    event = old.events.latest("version")
    assert (old.cancel_reason, event.kind, event.actor) == ("abandoned", "cancelled", "job:clean-up")
    assert event.facts == {"reason": "abandoned"}
    clean(now)
    assert old.events.count() == 2


@pytest.mark.usefixtures("db", "all_is_well")
def test_clean_up_leaves_a_draft_that_is_submitted_just_now(shop, now):
    """Between the job's two looks: it is asked again under the lock."""
    product(shop)
    draft = place(shop, ("MUG-01", 1), draft=True, now=now - 31 * DAY)
    verb("submit", draft, now=now)
    called_off = tidying._call_off_draft(business_id=shop.id, order_id=draft.id, since=now - 30 * DAY, now=now)
    assert (called_off, status_of(draft)) == (0, "pending")


@pytest.mark.usefixtures("db", "all_is_well")
def test_clean_up_expires_what_is_left_over(shop, now):
    product(shop)
    order = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    assert clean(now) >= 1
    assert status_of(order) == "cancelled"


@pytest.mark.usefixtures("db")
def test_clean_up_keeps_idempotency_keys(shop, now):
    """A repeat that comes a year later finds its order."""
    product(shop)
    order = place(shop, ("MUG-01", 1), draft=True, idempotency_key="k-1", now=now - 366 * DAY)
    clean(now)
    assert Order.objects.get(business=shop, idempotency_key="k-1") == order


@pytest.mark.usefixtures("db")
def test_clean_up_deletes_what_is_past_its_keep_time(shop, now, monkeypatch):
    monkeypatch.setattr(tidying, "FEW", 2)  # a batch is less than what there is
    mug = product(shop)
    days = settings.RETENTION_DAYS

    def rows_of(age):
        """What is as old as its keep time and a little more, or less."""
        run, alert, minute = (now - days[name] * DAY - age for name in ("job_runs", "alerts", "minutes"))
        JobRun.objects.bulk_create(JobRun(job="clean-up", business=shop, started_at=run) for _ in range(5))
        alert_of = {"business": shop, "kind": "refusals", "severity": "notice", "title": "Many", "seen_at": alert}
        Alert.objects.create(opened_at=alert, closed_at=alert, **alert_of)
        zeros = dict.fromkeys(
            {field.name for field in StockMinute._meta.concrete_fields} - {"business", "minute"}, 0
        )
        StockMinute.objects.create(business=shop, minute=minute, **zeros)
        RefusedDemand.objects.create(
            business=shop,
            minute=minute,
            product=mug,
            channel="website",
            refusals=1,
            units=1,
            value=1,
            currency="GBP",
        )
        key = f"{shop.id.hex}{age.days}"
        Session.objects.create(session_key=key, session_data=str(shop.id), expire_date=now - age)

    def counts():
        of_shop = [
            model.objects.filter(business=shop).count() for model in (JobRun, Alert, StockMinute, RefusedDemand)
        ]
        return [*of_shop, Session.objects.filter(session_data=str(shop.id)).count()]

    rows_of(MINUTE)
    rows_of(-MINUTE)
    still_open = Alert.objects.create(
        business=shop,
        kind="drift",
        severity="warning",
        title="Old",
        opened_at=now - 999 * DAY,
        seen_at=now,
    )
    assert counts() == [10, 3, 2, 2, 2]
    assert clean(now) >= 9
    assert counts() == [5, 2, 1, 1, 1]
    assert Alert.objects.filter(id=still_open.id).exists()


@pytest.mark.usefixtures("db")
def test_clean_up_gives_up_and_then_deletes_what_nobody_takes(shop, now):
    endpoint = WebhookEndpoint.objects.create(
        business=shop, url="https://shop.example", created_at=now, created_by="person:ada"
    )
    product(shop)
    for days in (0, 4, settings.RETENTION_DAYS["webhooks"] + 1):
        order = place(shop, ("MUG-01", 1))
        endpoint.deliveries.filter(order=order).update(queued_at=now - days * DAY)
    tidying.clean_up(now=now)
    waiting, given_up = endpoint.deliveries.order_by("-queued_at")
    assert waiting.next_try_at
    assert given_up.given_up_at == now


@pytest.mark.usefixtures("db", "all_is_well")
def test_clean_up_that_can_not_end_an_order_does_all_else_and_fails(shop, now):
    product(shop, "MUG-01")
    overdue = place(shop, ("MUG-01", 1), now=now - 16 * MINUTE)
    draft = place(shop, ("MUG-01", 1), draft=True, now=now - 31 * DAY)
    old = JobRun.objects.create(job="clean-up", started_at=now - 999 * DAY)
    shelf = Stock.objects.filter(business=shop)
    shelf.update(reserved_stock=0)
    with pytest.raises(RuntimeError, match="for 1 of the orders"):
        clean(now)
    assert [status_of(overdue), status_of(draft)] == ["pending", "cancelled"]
    assert not JobRun.objects.filter(id=old.id).exists()
    shelf.update(reserved_stock=1)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_clean_up_at_once(shop, now, at_once):
    product(shop)
    drafts = [place(shop, ("MUG-01", 1), draft=True, now=now - 31 * DAY) for _ in range(5)]
    answers = at_once([lambda: clean(now)] * 3)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert [(status_of(draft), draft.events.count()) for draft in drafts] == [("cancelled", 2)] * 5


# --- all jobs --------------------------------------------------------------------------------


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", settings.SCHEDULE)
def test_every_job_of_the_schedule_is_recorded(name):
    JobRun.objects.all().delete()
    task, _ = settings.SCHEDULE[name]
    import_string(task)()
    run = JobRun.objects.get(job=name, business=None)
    assert (run.outcome, run.error) == ("done", "")


@pytest.mark.usefixtures("db", "redis_away", "all_is_well")
def test_jobs_do_their_work_with_redis_away(shop, now):
    product(shop, stock=10)
    place(shop, ("MUG-01", 1), now=now - 20 * MINUTE)
    draft = place(shop, ("MUG-01", 1), draft=True, now=now - 31 * DAY)
    free_stuck_reservations()
    clean_up()
    assert (on_shelf(shop), status_of(draft)) == ((10, 0), "cancelled")
