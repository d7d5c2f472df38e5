"""What the watch finds: each kind of alert opens on its data and closes when that is put right."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from catalog.alerts import Kind
from catalog.models import Alert, JobRun, Product
from catalog.watching import watch_jobs
from factories import BusinessFactory, order_in, pay, place, product, verb
from orders.models import Discrepancy
from orders.services import expire_due
from orders.tasks import watch_shops
from orders.tidying import OVERDUE_AFTER
from orders.watching import LATE_PAYMENT_FOR, MANY_REFUSALS, watch
from orders_project import locks
from reservations.demand import Refusal, count_refusals
from reservations.minutes import fold_minutes
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def mug(shop):
    return product(shop, stock=100, low_stock_threshold=0, name="Mug")


def alerts(shop, now):
    """The alerts of a shop that are open after a watch."""
    watch(business_id=shop.id, now=now)
    return list(Alert.objects.filter(business=shop).open().order_by("opened_at", "id"))


def an_alert(shop, now):
    [alert] = alerts(shop, now)
    return alert


def test_watch_finds_nothing_amiss_in_a_shop_that_sells(shop, mug, now):
    for status in ("draft", "pending", "paid", "processing", "shipped", "delivered"):
        order_in(shop, status)
    assert alerts(shop, now) == []


def test_low_and_out_of_stock_open_and_close(shop, now):
    mug = product(shop, stock=2, name="Mug")
    low = an_alert(shop, now)
    assert (low.kind, low.severity, low.title, low.subject) == ("low_stock", "notice", "Mug: 2 left", str(mug.id))
    order = place(shop, ("MUG-01", 2))
    out = an_alert(shop, now)
    assert (out.kind, out.severity, out.title) == ("out_of_stock", "warning", "Mug: none left")
    verb("cancel", order, reason="test")
    assert an_alert(shop, now).kind == "low_stock"
    Product.objects.filter(id=mug.id).update(low_stock_threshold=0)
    assert alerts(shop, now) == []


def test_stock_that_can_not_be_is_critical_until_it_is_put_right(shop, mug, now):
    place(shop, ("MUG-01", 3))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_stock SET stock_quantity = 1, reserved_stock = 0 WHERE product_id = %s", [mug.id]
        )
    alert = an_alert(shop, now)
    assert (alert.kind, alert.severity) == ("impossible_stock", "critical")
    assert alert.title == "Mug: 1 on the shelf, but 3 promised"
    assert alert.facts == {"sku": "MUG-01", "stock_quantity": 1, "reserved_stock": 0, "held": 3}
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_stock SET stock_quantity = 100, reserved_stock = 3 WHERE product_id = %s", [mug.id]
        )
    assert alerts(shop, now) == []


def test_drift_is_told_once_for_what_is_off(shop, mug, now):
    for invariant in ("I3", "I4"):
        Discrepancy.objects.create(
            business=shop, invariant=invariant, subject=str(mug.id), found="stock 5", found_at=now, seen_at=now
        )
    alert = an_alert(shop, now)
    assert (alert.kind, alert.severity, alert.subject) == ("drift", "critical", str(mug.id))
    assert (alert.title, alert.facts) == ("The books don't agree: stock 5", {"invariants": ["I3", "I4"]})
    Discrepancy.objects.filter(business=shop).update(status="gone", closed_at=now)
    assert alerts(shop, now) == []


def test_drift_of_mere_figures_is_a_warning(shop, now):
    Discrepancy.objects.create(
        business=shop, invariant="I12b", subject="c", found="2 orders", found_at=now, seen_at=now
    )
    assert an_alert(shop, now).severity == "warning"


def refuse(shop, mug, orders, now):
    refusal = Refusal("website", {str(mug.id): 1})
    count_refusals(business_id=shop.id, refusals=[refusal] * orders, now=now)


@pytest.mark.parametrize("folded", [True, False])
def test_many_refusals_open_and_close_once_they_are_half(shop, mug, now, folded):
    def alerts_at(minutes):
        if folded:
            fold_minutes(now=now + timedelta(minutes=minutes))
        return [alert.kind for alert in alerts(shop, now + timedelta(minutes=minutes))]

    refuse(shop, mug, MANY_REFUSALS - 1, now)
    assert alerts_at(0) == []
    refuse(shop, mug, 1, now)
    for minute in range(5):
        assert alerts_at(minute) == ["refusals"]
    refuse(shop, mug, MANY_REFUSALS // 2, now + timedelta(minutes=6))
    assert alerts_at(6) == ["refusals"]
    assert alerts_at(12) == []
    alert = Alert.objects.get(business=shop)
    assert (alert.severity, alert.facts) == ("warning", {"placed": 0, "refused": 10, "share": 1.0})
    assert alert.title == "10 of 10 orders were refused in 5 minutes"


def test_refusals_among_many_sales_are_no_alert(shop, mug, now):
    for _ in range(9):
        place(shop, ("MUG-01", 1), now=now)
    refuse(shop, mug, 2, now)
    assert alerts(shop, now) == []


def test_holds_that_outlive_their_time_are_critical(shop, mug, now):
    place(shop, ("MUG-01", 2))
    ended = StockReservation.objects.get(business=shop).expires_at
    assert alerts(shop, ended + OVERDUE_AFTER - timedelta(seconds=1)) == []
    alert = an_alert(shop, ended + OVERDUE_AFTER)
    assert (alert.kind, alert.severity) == ("holds_overdue", "critical")
    assert alert.facts == {"holds": 1, "units": 2, "oldest": ended.isoformat()}
    expire_due(business_id=shop.id, now=ended + OVERDUE_AFTER)
    assert alerts(shop, ended + OVERDUE_AFTER) == []


def test_refund_is_due_until_it_is_paid_back(shop, mug, now):
    order = order_in(shop, "paid")
    verb("cancel", order, reason="broken")
    alert = an_alert(shop, now)
    assert (alert.kind, alert.severity, alert.subject) == ("refund_due", "warning", str(order.id))
    assert alert.title == f"Order {order.number} was cancelled: 19.80 GBP to be refunded"
    verb("record_refund", order, provider="bank", reference="R-1", amount=Decimal(5))
    assert an_alert(shop, now).title.endswith("14.80 GBP to be refunded")
    verb("record_refund", order, provider="bank", reference="R-2", amount=Decimal("14.80"))
    assert alerts(shop, now) == []


@pytest.fixture
def late(shop, mug, now):
    """An order that was given up for want of money."""
    order = place(shop, ("MUG-01", 100), now=now - timedelta(hours=1))
    expire_due(business_id=shop.id, now=now)
    return order


def test_money_that_came_too_late_is_to_be_refunded(shop, late, now):
    place(shop, ("MUG-01", 1))
    pay(late)
    refund_due = an_alert(shop, now)
    assert (refund_due.kind, refund_due.subject) == ("refund_due", str(late.id))
    assert refund_due.title == f"Order {late.number} was paid too late for its goods: 990.00 GBP to be refunded"


def test_money_that_came_late_for_its_order_is_told_until_it_is_packed(shop, late, now):
    pay(late)
    [alert] = [alert for alert in alerts(shop, now) if alert.kind == "late_payment"]
    assert (alert.severity, alert.subject) == ("notice", str(late.id))
    assert "late_payment" not in [alert.kind for alert in alerts(shop, now + LATE_PAYMENT_FOR + timedelta(1))]
    assert "late_payment" in [alert.kind for alert in alerts(shop, now)]
    verb("start_processing", late)
    assert "late_payment" not in [alert.kind for alert in alerts(shop, now)]


def late_jobs():
    return list(Alert.objects.filter(business=None).open().order_by("subject").values_list("subject", "severity"))


def test_job_that_has_not_run_is_told_of_holdfast_itself(now):
    """An hour without a worker: every job that should have run by then is late, until it runs."""
    Alert.objects.filter(business=None).delete()
    JobRun.objects.all().delete()
    for name in settings.SCHEDULE:
        JobRun.objects.create(job=name, started_at=now - timedelta(hours=1))
    watch_jobs(now=now)
    assert ("payment-timeout", "critical") in late_jobs()
    assert ("stock-reconciliation", "warning") in late_jobs()
    assert "clean-up" not in dict(late_jobs())
    alert = Alert.objects.get(business=None, subject="payment-timeout")
    assert alert.title == f"payment-timeout has not run since {now - timedelta(hours=1):%Y-%m-%d %H:%M} UTC"
    JobRun.objects.create(job="payment-timeout", started_at=now)
    watch_jobs(now=now)
    assert "payment-timeout" not in dict(late_jobs())


def test_job_that_never_ran_is_late_until_it_runs(now):
    Alert.objects.filter(business=None).delete()
    JobRun.objects.all().delete()
    watch_jobs(now=now + timedelta(hours=1))  # the database was migrated before the test
    assert "payment-timeout" in dict(late_jobs())
    JobRun.objects.create(job="payment-timeout", started_at=now + timedelta(hours=1))
    watch_jobs(now=now + timedelta(hours=1))
    assert "payment-timeout" not in dict(late_jobs())


def test_watch_asks_as_much_for_many_products_as_for_few(shop, mug, now):
    other = BusinessFactory()
    for number in range(50):
        product(other, f"SKU-{number}", stock=3)
    with CaptureQueriesContext(connection) as few:
        watch(business_id=shop.id, now=now)
    watch(business_id=other.id, now=now)
    with CaptureQueriesContext(connection) as many:
        watch(business_id=other.id, now=now)
    assert len(many) == len(few)


def test_watch_is_a_job(shop, now):
    product(shop, stock=1)
    assert watch_shops() >= 1
    assert Alert.objects.get(business=shop).kind == Kind.LOW_STOCK
    assert JobRun.objects.filter(job="stock-watch", outcome="done", started_at__gte=now).exists()


def test_watch_looks_at_each_shop_as_of_its_own_moment(shop):
    """Or it would close what others opened while it looked at the shops before."""
    shops = [shop, BusinessFactory()]
    for each in shops:
        product(each, stock=1)
    watch_shops()
    first, second = Alert.objects.filter(business__in=shops)
    assert first.opened_at != second.opened_at


def test_watch_goes_on_when_it_fails_for_one_shop(shop):
    shops = [shop, BusinessFactory(), BusinessFactory()]
    for each in shops:
        product(each, stock=1)
    locks._client().sadd(f"refused:{shops[1].id}", "not a minute")
    with pytest.raises(RuntimeError, match="1 of the businesses"):
        watch_shops()
    assert {alert.business_id for alert in Alert.objects.filter(business__in=shops)} == {shop.id, shops[2].id}
