"""The staff pages: who sees them, who may act, and what they say."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.models import Alert, Business, JobRun, Membership, Stock, StockMovement
from catalog.services import adjust_stock, receive_stock
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, order_in, pay, place, product, verb
from orders.models import Discrepancy, Order
from orders.services import Edit, Line
from orders.watching import watch
from orders_project.clock import database_now
from reservations.demand import minute_of
from reservations.models import StockMinute, StockReservation

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role

PAGES = ("stock-health", "holds", "alerts", "findings", "jobs", "analytics")


def signed_in(shop: Business, role: str | None = Role.OWNER, **user: Any) -> Client:
    """The browser of somebody of staff, with a role in the shop."""
    person = User.objects.create_user(f"user-{User.objects.count()}", is_staff=True, **user)
    if role:
        Membership.objects.create(business=shop, user=person, role=role)
    client = Client()
    client.force_login(person)
    return client


def read(response: Any) -> str:
    """The page, which came without a fault."""
    assert response.status_code == 200, response.status_code
    return str(response.content.decode())


def rows(response: Any) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))


# --- Who sees what -----------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/", "/staff/"])
def test_front_door_leads_to_stock_health(shop: Business, address: str) -> None:
    response = signed_in(shop).get(address)
    assert (response.status_code, response.headers["Location"]) == (302, "/staff/stock-health/")


@pytest.mark.parametrize("role", Role.values)
@pytest.mark.parametrize("page", PAGES)
def test_page_is_shown_to_everyone_who_works_there(shop: Business, page: str, role: str) -> None:
    assert shop.name in read(signed_in(shop, role).get(f"/staff/{page}/"))


@pytest.mark.parametrize("page", PAGES)
def test_page_asks_strangers_to_sign_in(shop: Business, page: str) -> None:
    response = Client().get(f"/staff/{page}/?range=7d")
    assert response.status_code == 302
    assert response.headers["Location"] == f"/admin/login/?next=/staff/{page}/%3Frange%3D7d"


@pytest.mark.parametrize("page", PAGES)
def test_page_of_another_business_is_missing(shop: Business, page: str) -> None:
    other = BusinessFactory()
    client = signed_in(shop)
    assert client.get(f"/staff/{page}/", {"business": other.slug}).status_code == 404
    assert client.get(f"/staff/{page}/", {"business": "no\0such"}).status_code == 404
    superuser = signed_in(shop, None, is_superuser=True)
    assert other.name in read(superuser.get(f"/staff/{page}/", {"business": other.slug}))


def test_product_of_another_business_is_missing(shop: Business) -> None:
    foreign = product(BusinessFactory())
    assert signed_in(shop).get(f"/staff/products/{foreign.id}/").status_code == 404


def test_person_of_no_business_is_told_so(shop: Business) -> None:
    assert signed_in(shop, None).get("/staff/stock-health/").status_code == 403


def test_person_of_two_businesses_chooses(shop: Business) -> None:
    other = BusinessFactory()
    client = signed_in(shop)
    Membership.objects.create(business=other, user=User.objects.latest("id"), role=Role.VIEWER)
    page = read(client.get("/staff/holds/", {"business": other.slug}))
    assert f'<option value="{other.slug}" selected>' in page
    assert f'<option value="{shop.slug}">' in page


@pytest.mark.parametrize(
    "address",
    [
        "/staff/stock-health/?range=1000y",
        "/staff/alerts/?state=lost",
        "/staff/jobs/?job=sleep",
        "/staff/jobs/?before=yesterday",
        "/staff/holds/?after=2026-11-23",
        "/staff/analytics/?range=1s",
    ],
)
def test_page_that_does_not_exist_is_missing(shop: Business, address: str) -> None:
    assert signed_in(shop).get(address).status_code == 404


# --- Who may act -------------------------------------------------------------------------------


@pytest.fixture
def actions(shop: Business, now: datetime) -> dict[str, dict[str, str]]:
    """Every button of the pages, by its address, with what it sends."""
    product(shop)
    order = place(shop, ("MUG-01", 2))
    settle(
        business_id=shop.id,
        kinds=[Kind.REFUSALS],
        conditions=[Condition(Kind.REFUSALS, Severity.WARNING, "Many are refused")],
        now=now,
    )
    alert = Alert.objects.get(business=shop)
    finding = Discrepancy.objects.create(
        business=shop, invariant="I6", subject=str(order.id), found="Odd", found_at=now, seen_at=now
    )
    return {
        f"/staff/holds/{order.id}/extend/": {"minutes": "5", "reason": "they asked"},
        f"/staff/holds/{order.id}/release/": {"reason": "they left"},
        f"/staff/alerts/{alert.id}/acknowledge/": {},
        f"/staff/alerts/{alert.id}/snooze/": {"hours": "8"},
        f"/staff/findings/{finding.id}/remedy/": {"remedy": "none"},
    }


@pytest.mark.parametrize(("role", "status"), [("owner", 302), ("manager", 302), ("packer", 403), ("viewer", 403)])
def test_buttons_are_for_owners_and_managers(
    shop: Business, actions: dict[str, dict[str, str]], role: str, status: int
) -> None:
    client = signed_in(shop, role)
    for address, sent in actions.items():
        assert client.post(address, sent).status_code == status, address
        assert client.get(address).status_code == 405, address


def test_buttons_are_not_shown_to_who_may_not_press_them(shop: Business) -> None:
    product(shop)
    place(shop, ("MUG-01", 1))
    assert "Give more time" in read(signed_in(shop, Role.MANAGER).get("/staff/holds/"))
    assert "Give more time" not in read(signed_in(shop, Role.PACKER).get("/staff/holds/"))


def test_buttons_need_a_token(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    client = signed_in(shop)
    client.handler.enforce_csrf_checks = True
    for address, sent in actions.items():
        assert client.post(address, sent).status_code == 403, address


def test_buttons_of_another_business_do_nothing(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    order = Order.objects.get(business=shop)
    client = signed_in(BusinessFactory())
    for address, sent in actions.items():
        client.post(address, sent)
        assert client.post(f"{address}?business={shop.slug}", sent).status_code == 404
    order.refresh_from_db()
    assert (order.status, order.version) == ("pending", 1)
    assert Alert.objects.get(business=shop).acknowledged_at is None


def test_button_leads_back_to_pages_of_ours_only(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    client = signed_in(shop)
    (address,) = (one for one in actions if "acknowledge" in one)
    for wanted, leads in {
        "/staff/alerts/?state=all": "/staff/alerts/?state=all",
        "//evil.example/": "/staff/stock-health/",
        "https://evil.example/": "/staff/stock-health/",
        "": "/staff/stock-health/",
    }.items():
        assert client.post(address, {"back": wanted}).headers["Location"] == leads


def test_button_of_who_is_signed_out_leads_back_to_the_page(
    shop: Business, actions: dict[str, dict[str, str]]
) -> None:
    for address, sent in actions.items():
        response = Client().post(address, {**sent, "back": "/staff/holds/?sku=MUG-01"})
        assert response.headers["Location"] == "/admin/login/?next=/staff/holds/%3Fsku%3DMUG-01"
        stranger = Client().post(address, {**sent, "back": "https://evil.example/"})
        assert stranger.headers["Location"] == "/admin/login/?next=/staff/stock-health/"


# --- What the buttons do -----------------------------------------------------------------------


def press(client: Client, address: str, **sent: str) -> str:
    """Press a button; returns what is said of it afterwards."""
    response = client.post(address, {"back": "/staff/holds/", **sent}, follow=True)
    (said,) = response.context["messages"]
    return str(said)


def test_extend_gives_a_hold_more_time(shop: Business, all_is_well: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    said = press(signed_in(shop), f"/staff/holds/{order.id}/extend/", minutes="20", reason="they asked")
    assert said == f"{order.number} has 20 more minutes to be paid."
    assert order.payment_due_at is not None
    until = order.payment_due_at + timedelta(minutes=20)
    assert StockReservation.objects.get(order_id=order.id).expires_at == until
    event = order.events.latest("version")
    assert (event.kind, event.facts["reason"]) == ("hold_extended", "they asked")
    assert event.actor.startswith("person:user-")


@pytest.mark.parametrize(
    "minutes", ["", "0", "-5", "1.5", "1441", "99999999999999999999", "00000100000000000000000000", "٣", "soon"]
)
def test_extend_by_what_is_no_time_is_refused(shop: Business, minutes: str) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    said = press(signed_in(shop), f"/staff/holds/{order.id}/extend/", minutes=minutes, reason="they asked")
    assert said == "Give a hold between 1 and 1,440 more minutes."


def test_extend_never_revives_a_hold(shop: Business, now: datetime, all_is_well: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1), now=now - timedelta(minutes=16))
    said = press(signed_in(shop), f"/staff/holds/{order.id}/extend/", minutes="60", reason="they asked")
    assert "The time to pay this order is over" in said
    verb("cancel", order, reason="tidied up")


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "two\nlines", "payment_timeout"])
def test_release_needs_a_reason_of_ones_own(shop: Business, reason: str) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    press(signed_in(shop), f"/staff/holds/{order.id}/release/", reason=reason)
    order.refresh_from_db()
    assert order.status == "pending"


def test_release_of_an_order_that_was_paid_meanwhile_is_refused(shop: Business, all_is_well: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    pay(order)
    said = press(signed_in(shop), f"/staff/holds/{order.id}/release/", reason="they left")
    assert said.startswith("The order is paid")
    order.refresh_from_db()
    assert order.status == "paid"


def test_alert_is_acknowledged_and_kept_quiet(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    client = signed_in(shop)
    alert = Alert.objects.get(business=shop)
    press(client, f"/staff/alerts/{alert.id}/acknowledge/")
    press(client, f"/staff/alerts/{alert.id}/snooze/", hours="8")
    alert.refresh_from_db()
    assert alert.acknowledged_by.startswith("person:user-")
    assert alert.snoozed_until is not None
    assert press(client, f"/staff/alerts/{alert.id}/snooze/", hours="9999").startswith("Choose for how long")


# --- What the pages say ------------------------------------------------------------------------


def test_release_says_what_it_does(shop: Business) -> None:
    product(shop)
    place(shop, ("MUG-01", 3), buyer=Buyer(name="Ben <b>"))
    page = read(signed_in(shop).get("/staff/holds/"))
    assert "releases 3 × MUG-01" in page
    assert "Ben &lt;b&gt;" in page


def test_holds_go_on_where_a_page_ends(shop: Business, monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    product(shop, stock=50)
    monkeypatch.setattr("orders.staff.page.PAGE", 2)
    placed = [place(shop, ("MUG-01", 1), now=now + n // 2 * timedelta(seconds=1)).number for n in range(5)]
    client = signed_in(shop)
    found, address = [], {}
    while address is not None:
        response = client.get("/staff/holds/", address)
        found += [one.order.number for one in response.context["held"]]
        address = response.context["later"] and {"after": response.context["later"]}
    assert sorted(found) == sorted(placed)


def test_holds_of_a_sku_are_found(shop: Business) -> None:
    product(shop)
    product(shop, "CUP-01")
    mug, cup = place(shop, ("MUG-01", 1)), place(shop, ("CUP-01", 1))
    page = read(signed_in(shop).get("/staff/holds/", {"sku": "CUP-01"}))
    assert cup.number in page
    assert mug.number not in page


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


@pytest.mark.parametrize("year", ["0001", "1969", "2201", "9999"])
def test_instant_beyond_all_reckoning_is_missing(shop: Business, year: str) -> None:
    page = f"/staff/products/{product(shop).id}/"
    client = signed_in(shop)
    for instant in (f"{year}-01-01T00:00", f"{year}-12-31T23:59"):
        for stretch in ("1h", "7d"):
            assert client.get(page, {"at": instant, "range": stretch}).status_code == 404


def test_product_says_when_its_ledger_does_not_agree(shop: Business) -> None:
    mug = product(shop)
    client = signed_in(shop)
    warning = "The counters don’t agree with this ledger"
    assert warning not in read(client.get(f"/staff/products/{mug.id}/"))
    Stock.objects.filter(product=mug).update(stock_quantity=11)
    assert warning in read(client.get(f"/staff/products/{mug.id}/"))


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


def test_orders_are_linked_only_for_those_who_may_open_them(shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    address = f"/admin/orders/order/{order.id}/change/"
    page = read(signed_in(shop).get("/staff/holds/"))
    assert order.number in page
    assert address not in page
    assert address in read(signed_in(shop, is_superuser=True).get(f"/staff/holds/?business={shop.slug}"))


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


# --- Files -------------------------------------------------------------------------------------


def test_csv_has_what_the_page_is_filtered_by(shop: Business) -> None:
    product(shop)
    product(shop, "CUP-01")
    place(shop, ("MUG-01", 1))
    cup = place(shop, ("CUP-01", 2))
    (row,) = rows(signed_in(shop).get("/staff/holds/", {"format": "csv", "sku": "CUP-01"}))
    assert (row["order"], row["sku"], row["quantity"]) == (cup.number, "CUP-01", "2")
    assert datetime.fromisoformat(row["held_until"]) == cup.payment_due_at


@pytest.mark.parametrize("name", ["=1+1", "+44", "-1", "@sum", "\tx", "\rx"])
def test_csv_takes_no_text_for_a_formula(shop: Business, name: str) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    order.customer.name = name
    order.customer.save(update_fields=["name"])
    (row,) = rows(signed_in(shop).get("/staff/holds/", {"format": "csv"}))
    assert row["customer"] == f"'{name}"


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


def test_errors_met_for_all_businesses_are_for_who_runs_holdfast(shop: Business) -> None:
    now = database_now()
    for business, error in ((None, "Of another shop"), (shop, "Of this shop")):
        JobRun.objects.create(
            business=business, job="clean-up", started_at=now, ended_at=now, outcome="failed", error=error
        )

    def told(client: Client) -> list[str]:
        page = read(client.get("/staff/jobs/"))
        in_file = [row["error"] for row in rows(client.get("/staff/jobs/", {"format": "csv"}))]
        assert all((error in page) == (error in in_file) for error in ("Of another shop", "Of this shop"))
        return sorted(filter(None, in_file))

    assert told(signed_in(shop)) == ["Of this shop"]
    assert told(signed_in(shop, None, is_superuser=True)) == ["Of another shop", "Of this shop"]


@pytest.mark.parametrize("page", ["alerts", "findings", "jobs", "analytics"])
def test_csv_of_every_list_is_there(shop: Business, actions: dict[str, dict[str, str]], page: str) -> None:
    JobRun.objects.create(business=shop, job="clean-up", started_at=database_now())
    assert rows(signed_in(shop).get(f"/staff/{page}/", {"format": "csv"}))


def test_csv_of_lost_demand(shop: Business) -> None:
    assert rows(signed_in(shop).get("/staff/analytics/", {"format": "csv", "table": "lost"})) == []
