"""The staff pages of holds, alerts, findings and jobs: what their buttons do, and what they say."""

import json
from datetime import datetime, timedelta

import pytest
from django.test import Client

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.models import Alert, Business, JobRun, Membership, Stock
from customers.services import Buyer
from factories import BusinessFactory, pay, place, product, verb
from orders.reconciliation import ADVICE, reconcile
from orders.tests.staff import read, rows, signed_in
from orders_project.clock import database_now
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db")


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


@pytest.mark.slow
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


def test_alert_is_taken_back_and_woken(shop: Business, actions: dict[str, dict[str, str]]) -> None:
    client = signed_in(shop)
    alert = Alert.objects.get(business=shop)
    page = read(client.get("/staff/alerts/"))
    assert "Take back" not in page
    assert "Wake" not in page
    for button, sent in (("acknowledge", {}), ("snooze", {"hours": "8"})):
        press(client, f"/staff/alerts/{alert.id}/{button}/", **sent)
    page = read(client.get("/staff/alerts/"))
    assert "Take back" in page
    assert "Wake" in page
    for button in ("take-back", "wake"):
        press(client, f"/staff/alerts/{alert.id}/{button}/")
    assert list(Alert.objects.of(shop.id).unheard(database_now())) == [alert]


@pytest.mark.parametrize("button", ["acknowledge", "take-back", "snooze", "wake"])
def test_alert_that_is_over_is_answered_no_more(
    shop: Business, actions: dict[str, dict[str, str]], button: str, now: datetime
) -> None:
    alert = Alert.objects.get(business=shop)
    Alert.objects.filter(id=alert.id).update(closed_at=now)
    client = signed_in(shop)
    assert "over" in press(client, f"/staff/alerts/{alert.id}/{button}/", hours="8")
    page = read(client.get("/staff/alerts/?state=closed"))
    assert alert.title in page
    assert button not in page


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


def open_alerts(shop: Business, *conditions: Condition) -> None:
    settle(business_id=shop.id, kinds=list(Kind), conditions=conditions, now=database_now())


def test_alerts_lead_to_what_they_are_about(shop: Business) -> None:
    mug = product(shop)
    order = place(shop, ("MUG-01", 1))
    strange = product(BusinessFactory())
    open_alerts(
        shop,
        Condition(Kind.LOW_STOCK, Severity.NOTICE, "Mug: 3 left", str(mug.id)),
        Condition(Kind.REFUND_DUE, Severity.WARNING, "Refund", str(order.id)),
        Condition(Kind.DRIFT, Severity.WARNING, "Miscounted", str(order.customer_id)),
        Condition(Kind.DRIFT, Severity.CRITICAL, "Of another shop", str(strange.id)),
        Condition(Kind.JOB_LATE, Severity.CRITICAL, "Late", "stock-sweep"),
    )
    client = signed_in(shop, Membership.Role.VIEWER)
    page = read(client.get("/staff/alerts/"))
    for address, words in (
        (f"/staff/products/{mug.id}/", "Mug: 3 left"),
        (f"/staff/orders/{order.id}/", "Refund"),
        (f"/staff/customers/{order.customer_id}/", "Miscounted"),
    ):
        assert f'<a href="{address}?business={shop.slug}">{words}</a>' in page
        assert client.get(address).status_code == 200
    assert f'<a href="/staff/jobs/?business={shop.slug}" class="hf-quiet">See jobs</a>' in page
    assert str(strange.id) not in page
    health = read(client.get("/staff/stock-health/"))
    assert f'<a href="/staff/orders/{order.id}/?business={shop.slug}">Refund</a>' in health


@pytest.mark.parametrize("page", ["alerts", "findings"])
def test_empty_list_says_what_will_appear(shop: Business, page: str) -> None:
    client = signed_in(shop)
    for state in client.get(f"/staff/{page}/").context["states"]:
        assert "appears here" in read(client.get(f"/staff/{page}/?state={state}"))


def test_finding_says_what_each_book_says(shop: Business) -> None:
    mug = product(shop, stock=1200)
    Stock.objects.filter(product=mug).update(stock_quantity=1150)
    reconcile(business_id=shop.id, now=database_now())
    page = " ".join(read(signed_in(shop).get("/staff/findings/")).split())
    assert f'<a href="/staff/products/{mug.id}/?business={shop.slug}">MUG-01: 1,150 on the shelf' in page
    for said, units in (("On the shelf", "1,150"), ("By the ledger", "1,200"), ("Difference", "−50")):
        assert f"<dt>{said}</dt><dd>{units}</dd>" in page
    (row,) = rows(signed_in(shop).get("/staff/findings/", {"format": "csv"}))
    assert json.loads(row["evidence"]) == {"stock_quantity": 1150, "ledger": 1200, "difference": -50}
    assert row["subject"] == str(mug.id)


def test_finding_without_remedy_says_what_a_person_can_do(
    shop: Business, actions: dict[str, dict[str, str]]
) -> None:
    assert ADVICE["I6"] in read(signed_in(shop).get("/staff/findings/"))


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


@pytest.mark.parametrize("page", ["alerts", "findings", "jobs", "analytics"])
def test_csv_of_every_list_is_there(shop: Business, actions: dict[str, dict[str, str]], page: str) -> None:
    JobRun.objects.create(business=shop, job="clean-up", started_at=database_now())
    assert rows(signed_in(shop).get(f"/staff/{page}/", {"format": "csv"}))
