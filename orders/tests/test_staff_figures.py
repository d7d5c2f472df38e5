"""What the staff pages of figures say: stock health, a product, analytics."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.models import Alert, Business, JobRun, Stock, StockMovement
from catalog.services import adjust_stock, receive_stock
from catalog.wording import grouped, price, signed
from factories import ACTOR, order_in, pay, place, product, verb
from orders.models import Discrepancy
from orders.services import Edit, Line
from orders.staff.charts import RANGES
from orders.tests.staff import read, rows, signed_in
from orders.watching import watch
from orders_project.clock import database_now
from reservations.demand import Refusal, count_refusals, minute_of
from reservations.minutes import REACH, fold_minutes
from reservations.models import StockMinute

pytestmark = pytest.mark.usefixtures("db")


def test_product_is_rebuilt_at_any_past_instant(shop: Business, all_is_well: None) -> None:
    def at(hour: int) -> datetime:
        return datetime(2026, 1, 5, hour, 30, tzinfo=UTC)

    mug = product(shop, stock=10, now=at(8))
    key: dict[str, Any] = {"business_id": shop.id, "product_id": mug.id, "actor": ACTOR}
    receive_stock(**key, quantity=5, now=at(9))
    order = place(shop, ("MUG-01", 3), now=at(10))
    pay(order, now=at(11) - timedelta(minutes=50))
    adjust_stock(**key, delta=-2, reason="broken", now=at(12))
    client = signed_in(shop)

    def counted(hour: int | None) -> tuple[int, int, int]:
        query = {"at": f"2026-01-05T{hour}:35"} if hour else {}
        counters = client.get(f"/staff/products/{mug.id}/", query).context["counters"]
        return counters.stock, counters.reserved, counters.available

    assert [counted(hour) for hour in (10, 11, 12, None)] == [(15, 3, 12), (12, 0, 12), (10, 0, 10), (10, 0, 10)]
    then = client.get(f"/staff/products/{mug.id}/", {"at": "2026-01-05T10:35"})
    assert [(one.units, one.at, one.order) for one in then.context["holders"]] == [(3, at(10), order)]
    page = read(client.get(f"/staff/products/{mug.id}/"))
    assert "10 at the beginning, +5 received, −2 counted anew, −3 sold: 10 units on the shelf" in page


def test_who_held_a_product_is_told_as_it_was_then(shop: Business, all_is_well: None) -> None:
    def at(minute: int) -> datetime:
        return datetime(2026, 1, 5, 10, minute, tzinfo=UTC)

    mug = product(shop, stock=10, now=at(0))
    order = place(shop, ("MUG-01", 2), now=at(1))
    change = Edit((Line(mug.id, 5),))
    verb("edit", order, change=change, now=at(5))
    client = signed_in(shop)

    def held(minute: int) -> list[tuple[int, Any]]:
        said = client.get(f"/staff/products/{mug.id}/", {"at": f"2026-01-05T10:{minute:02}:30"}).context
        assert said["counters"].reserved == sum(one.units for one in said["holders"])
        return [(one.units, one.order.number) for one in said["holders"]]

    assert (held(0), held(1), held(5)) == ([], [(2, order.number)], [(5, order.number)])
    verb("cancel", order, reason="no more", now=at(6))
    assert (held(5), held(6)) == ([(5, order.number)], [])


def test_ledger_goes_on_where_a_page_ends(shop: Business, monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    mug = product(shop, stock=50, now=now - timedelta(hours=1))
    monkeypatch.setattr("orders.staff.page.PAGE", 2)
    for n in range(4):
        place(shop, ("MUG-01", 1 + n), now=now + n * timedelta(seconds=1))
    client = signed_in(shop)
    found, address = [], {}
    while address is not None:
        said = client.get(f"/staff/products/{mug.id}/", address).context
        found += [(line.movement.reserved_delta, line.available) for line in said["lines"]]
        address = said["older"] and {"before": said["older"]}
    assert found == [(4, 40), (3, 44), (2, 47), (1, 49), (0, 50)]


def test_chart_of_a_product_has_its_counters(shop: Business, now: datetime) -> None:
    mug = product(shop, stock=10, now=now - timedelta(days=30))
    place(shop, ("MUG-01", 3), now=now - timedelta(minutes=10))
    available, held = signed_in(shop).get(f"/staff/products/{mug.id}/").context["chart"].series
    assert [(series.values[0], series.values[-1]) for series in (available, held)] == [(10, 7), (0, 3)]


def test_chart_of_a_product_begins_with_its_ledger(shop: Business, now: datetime) -> None:
    mug = product(shop, stock=10, now=now - timedelta(hours=2))
    client = signed_in(shop)
    for stretch, first in (("1h", [10, 0]), ("6h", [None, None])):
        chart = client.get(f"/staff/products/{mug.id}/", {"range": stretch}).context["chart"]
        assert [series.values[0] for series in chart.series] == first
        assert [series.values[-1] for series in chart.series] == [10, 0]


@pytest.mark.parametrize("year", ["0001", "1969", "2201", "9999"])
def test_instant_beyond_all_reckoning_is_missing(shop: Business, year: str) -> None:
    page = f"/staff/products/{product(shop).id}/"
    client = signed_in(shop)
    for instant in (f"{year}-01-01T00:00", f"{year}-12-31T23:59"):
        for stretch in ("1h", "7d"):
            assert client.get(page, {"at": instant, "range": stretch}).status_code == 404


def test_product_in_the_future_is_as_it_is_now(shop: Business, now: datetime) -> None:
    mug = product(shop, stock=10)
    client = signed_in(shop)
    address = f"/staff/products/{mug.id}/"
    page = read(client.get(address, {"at": (now + timedelta(days=1)).isoformat()}))
    assert "Nobody knows yet what will be then" in page
    assert "Why is this 10?" in page
    assert "Nobody knows yet" not in read(client.get(address, {"at": now.isoformat()}))


def test_holds_that_are_too_many_to_show_are_counted(
    shop: Business, monkeypatch: pytest.MonkeyPatch, now: datetime
) -> None:
    mug = product(shop, stock=50, now=now - timedelta(hours=1))
    monkeypatch.setattr("orders.staff.product.PAGE", 2)
    for n in range(4):
        place(shop, ("MUG-01", 1 + n), now=now - timedelta(minutes=5))
    client = signed_in(shop)
    page = client.get(f"/staff/products/{mug.id}/")
    assert "And 2 holds more" in read(page)
    assert f"/staff/holds/?business={shop.slug}&amp;sku=MUG-01" in read(page)
    assert len(page.context["holders"]) == 2
    assert "And 2 holds more." in read(client.get(f"/staff/products/{mug.id}/", {"at": now.isoformat()}))


def test_product_says_when_its_ledger_does_not_agree(shop: Business) -> None:
    mug = product(shop)
    client = signed_in(shop)
    warning = "The counters don’t agree with this ledger"
    assert warning not in read(client.get(f"/staff/products/{mug.id}/"))
    Stock.objects.filter(product=mug).update(stock_quantity=11)
    assert warning in read(client.get(f"/staff/products/{mug.id}/"))


def test_what_did_not_move_the_shelf_is_no_part_of_it(shop: Business, now: datetime) -> None:
    mug = product(shop, stock=10)
    StockMovement.objects.create(
        business=shop,
        product=mug,
        kind=StockMovement.Kind.RECONCILED,
        stock_delta=0,
        reserved_delta=1,
        actor=ACTOR,
        reason="a hold without a line",
        at=now,
    )
    page = read(signed_in(shop).get(f"/staff/products/{mug.id}/"))
    assert "10 at the beginning: 10 units on the shelf" in page


def test_product_that_never_had_stock_has_a_page(shop: Business) -> None:
    mug = product(shop, stock=0)
    assert "Nothing came in yet" in read(signed_in(shop).get(f"/staff/products/{mug.id}/"))


def test_past_instant_is_of_the_business_time_zone(shop: Business) -> None:
    Business.objects.filter(id=shop.id).update(time_zone="Asia/Tokyo")
    mug = product(shop, stock=10, now=datetime(2026, 1, 5, 8, tzinfo=UTC))
    client = signed_in(shop)
    page = f"/staff/products/{mug.id}/"
    assert client.get(page, {"at": "2026-01-05T16:59"}).context["counters"].stock == 0
    assert client.get(page, {"at": "2026-01-05T17:01"}).context["counters"].stock == 10
    assert client.get(page, {"at": "once"}).status_code == 404


def test_health_counts_what_is_held_low_and_out(shop: Business) -> None:
    product(shop, stock=10, price="5.00")
    product(shop, "CUP-01", stock=2)
    product(shop, "JAR-01", stock=1, price="5.00")
    product(shop, "NEW-01", stock=0)
    place(shop, ("MUG-01", 4))
    place(shop, ("JAR-01", 1))
    said = signed_in(shop).get("/staff/stock-health/").context
    assert (said["shelf"]["held"], said["held_value"], said["holds"]["count"]) == (5, 25, 2)
    assert [one.sku for one in said["low"]["products"]] == ["CUP-01"]
    assert [one.sku for one in said["out"]["products"]] == ["JAR-01"]  # what never had stock is not out of it
    assert [(one.product.sku, one.held) for one in said["wanted"]] == [("MUG-01", 4), ("JAR-01", 1)]


def test_held_value_is_of_the_currency_of_today(shop: Business) -> None:
    product(shop, price="5.00")
    place(shop, ("MUG-01", 1))
    Business.objects.filter(id=shop.id).update(currency="JPY")
    client = signed_in(shop)
    assert client.get("/staff/stock-health/").context["held_value"] is None
    Business.objects.filter(id=shop.id).update(currency=shop.currency)
    assert client.get("/staff/stock-health/").context["held_value"] == 5


def test_health_tells_refusals_of_now_and_of_the_day(shop: Business, now: datetime) -> None:
    nothing = ("made", "converted", "expired", "released", "seconds_to_pay", "held_units", "available_units")
    counted = {1: (0, 0), 4: (3, 1), 20 * 60: (0, 4), 48 * 60: (9, 9)}
    for ago, (placed, refused) in counted.items():
        counts = {**dict.fromkeys(nothing, 0), "placed": placed, "refused": refused}
        StockMinute.objects.create(business=shop, minute=minute_of(now - timedelta(minutes=ago)), **counts)
    client = signed_in(shop)
    for stretch in ("1h", "7d"):
        said = client.get("/staff/stock-health/", {"range": stretch}).context
        assert (said["refused_now"].refused, said["refused_now"].placed) == (1, 3)
        assert (said["refused_today"].refused, said["refused_today"].placed) == (5, 3)


def charts(client: Client, stretch: str = "1h") -> dict[str, Any]:
    """What the charts of stock health draw, by their series."""
    said = client.get("/staff/stock-health/", {"range": stretch}).context["charts"]
    return {chart.id: {series.name: list(series.values) for series in chart.series} for chart in said}


@pytest.mark.parametrize("folded", [False, True])
def test_charts_draw_nothing_before_the_first_minute_that_is_known(
    shop: Business, now: datetime, folded: bool
) -> None:
    product(shop, stock=10, now=now - timedelta(hours=3))
    place(shop, ("MUG-01", 2), now=now - timedelta(minutes=1))
    if folded:
        fold_minutes(now=now)
    client = signed_in(shop)
    for stretch, known in (("1h", True), ("6h", False), ("7d", False)):
        drawn = charts(client, stretch)
        for one in ("levels", "holds", "lost"):
            assert all((values[0] is not None) == known for values in drawn[one].values()), (stretch, one)
        assert (drawn["levels"]["available"][-1], drawn["levels"]["held"][-1]) == (8, 2)
        assert sum(filter(None, drawn["holds"]["made"])) == 1


def test_no_chart_goes_further_back_than_the_minutes() -> None:
    assert all(length + step <= REACH for length, _, step, *_ in RANGES.values())


def test_lost_demand_is_drawn_over_time(shop: Business, now: datetime) -> None:
    mug = product(shop, stock=0)
    for minutes, units in ((20, 3), (5, 4)):
        refusal = Refusal("website", {str(mug.id): units})
        count_refusals(business_id=shop.id, refusals=[refusal], now=now - timedelta(minutes=minutes))
    client = signed_in(shop)
    for _ in range(2):
        (values,) = charts(client)["lost"].values()
        assert [units for units in values if units] == [3, 4]
        fold_minutes(now=now)


def test_chart_with_nothing_to_draw_says_what_will_appear(shop: Business, now: datetime) -> None:
    client = signed_in(shop)
    page = read(client.get("/staff/stock-health/"))
    words = (
        "Nothing on the shelf",
        "No holds in this time",
        "No hold was paid",
        "Units that could not be had",
    )
    assert all(word in page for word in words)
    product(shop)
    pay(place(shop, ("MUG-01", 1), now=now - timedelta(minutes=2)))
    page = read(client.get("/staff/stock-health/"))
    assert [word in page for word in words] == [False, False, False, True]


def test_health_says_when_the_books_are_compared_for_the_first_time(shop: Business, now: datetime) -> None:
    client = signed_in(shop)
    words = "for the first time within 15 min"
    assert words in read(client.get("/staff/stock-health/"))
    JobRun.objects.create(business=shop, job="stock-reconciliation", started_at=now)
    assert words not in read(client.get("/staff/stock-health/"))


def test_health_asks_nothing_twice(shop: Business) -> None:
    client = signed_in(shop)
    with CaptureQueriesContext(connection) as asked:
        read(client.get("/staff/stock-health/", {"part": "live"}))
    questions = [query["sql"] for query in asked]
    assert sorted(questions) == sorted(set(questions))


def verdict(client: Client) -> list[tuple[str, str]]:
    """What stands against the stock, and how bad it is; without the jobs, which don't run in tests."""
    reasons = client.get("/staff/stock-health/").context["verdict"].reasons
    return [(reason.text, reason.severity) for reason in reasons if "/jobs/" not in reason.link]


@pytest.mark.parametrize(("rules", "severity"), [(["I12b"], "warning"), (["I12b", "I2"], "critical")])
def test_books_that_do_not_agree_are_as_bad_as_their_alert(
    shop: Business, now: datetime, rules: list[str], severity: str
) -> None:
    for rule in rules:
        Discrepancy.objects.create(
            business=shop, invariant=rule, subject="one", found="Odd", found_at=now, seen_at=now
        )
    ((_, told),) = verdict(signed_in(shop))
    watch(business_id=shop.id, now=now)
    assert told == Alert.objects.get(business=shop, kind=Kind.DRIFT).severity == severity


def test_shelf_that_holds_less_than_was_promised_is_not_well(shop: Business, now: datetime) -> None:
    mug = product(shop, stock=5)
    place(shop, ("MUG-01", 5))
    client = signed_in(shop)
    assert verdict(client) == []
    Stock.objects.filter(product=mug).update(stock_quantity=1, reserved_stock=0)
    assert verdict(client) == [("Of one product more is promised than there is.", "critical")]
    watch(business_id=shop.id, now=now)
    assert Alert.objects.get(business=shop, kind=Kind.IMPOSSIBLE_STOCK).severity == "critical"


@pytest.mark.parametrize(("late", "told"), [(0, 0), (25, 0), (35, 1)])
def test_hold_is_overdue_when_its_alert_says_so(shop: Business, late: int, told: int) -> None:
    product(shop)
    now = database_now()
    place(shop, ("MUG-01", 1), now=now - timedelta(minutes=15, seconds=late))
    client = signed_in(shop)
    assert len(verdict(client)) == told
    watch(business_id=shop.id, now=now)
    assert Alert.objects.filter(business=shop, kind=Kind.HOLDS_OVERDUE).count() == told


def test_sold_out_is_no_fault_of_the_stock(shop: Business, now: datetime) -> None:
    settle(
        business_id=shop.id,
        kinds=[Kind.OUT_OF_STOCK],
        conditions=[Condition(Kind.OUT_OF_STOCK, Severity.WARNING, "Mug: none left")],
        now=now,
    )
    said = signed_in(shop).get("/staff/stock-health/").context
    assert "Mug: none left" not in [reason.text for reason in said["verdict"].reasons]
    assert "Mug: none left" in [alert.title for alert in said["alerts"]]


def test_warning_that_was_acknowledged_worries_no_more(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    Discrepancy.objects.filter(business=shop).delete()
    client = signed_in(shop)

    def reasons() -> list[str]:
        verdict = client.get("/staff/stock-health/").context["verdict"]
        return [reason.text for reason in verdict.reasons]

    assert "Many are refused" in reasons()
    (address,) = (one for one in actions if "acknowledge" in one)
    client.post(address)
    assert "Many are refused" not in reasons()


def test_analytics_follow_each_days_holds(shop: Business, now: datetime) -> None:
    product(shop, stock=50)
    for status in ("paid", "cancelled", "pending"):
        order_in(shop, status)
    (cohort,) = signed_in(shop).get("/staff/analytics/").context["cohorts"]
    assert (cohort.made, cohort.figures.converted, cohort.released, cohort.figures.pending) == (3, 1, 1, 1)


@pytest.mark.parametrize(("period", "days"), [("7d", 7), ("30d", 30), ("1y", 30)])
def test_analytics_say_of_how_many_days_the_holds_are(shop: Business, period: str, days: int) -> None:
    assert f"the last {days} days" in read(signed_in(shop).get("/staff/analytics/", {"range": period}))


def test_analytics_say_how_much_lost_demand_is_not_shown(
    shop: Business, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.staff.analytics.MOST_LOST", 2)
    for n in range(3):
        short = product(shop, f"CUP-0{n}", stock=0)
        count_refusals(business_id=shop.id, refusals=[Refusal("website", {str(short.id): 1})], now=now)
    assert "The dearest 2 of 3 rows" in read(signed_in(shop).get("/staff/analytics/"))


# --- How figures are written -------------------------------------------------------------------


def test_figures_below_zero_have_a_minus_sign() -> None:
    assert (grouped(-1234), signed(-3), price("-5", "GBP")) == ("−1,234", "−3", "−£5.00")


def test_csv_of_a_ledger_has_every_line(shop: Business) -> None:
    mug = product(shop, stock=90)
    for _ in range(60):
        place(shop, ("MUG-01", 1))
    found = rows(signed_in(shop).get(f"/staff/products/{mug.id}/", {"format": "csv"}))
    assert len(found) == StockMovement.objects.filter(product=mug).count() == 61
    assert sum(int(row["stock_delta"]) - int(row["reserved_delta"]) for row in found) == 30


@pytest.mark.parametrize(("sku", "name"), [('"; x=";', "ledger-_x.csv"), ("../A/B", "ledger-..AB.csv")])
def test_csv_is_named_safely(shop: Business, sku: str, name: str) -> None:
    mug = product(shop, sku)
    response = signed_in(shop).get(f"/staff/products/{mug.id}/", {"format": "csv"})
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'


def test_csv_of_lost_demand(shop: Business) -> None:
    assert rows(signed_in(shop).get("/staff/analytics/", {"format": "csv", "table": "lost"})) == []
