"""The first page: what needs a hand, how the shop does against before, and what stands beside every page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from catalog.alerts import Condition, Kind, Severity, settle
from catalog.authentication import Access
from catalog.models import Business, Membership
from catalog.rights import EVERYTHING
from factories import BusinessFactory, order_in, pay, place, product, verb
from orders.staff.home import Takings
from orders.tests.staff import read, signed_in

pytestmark = pytest.mark.usefixtures("db")

Role = Membership.Role
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def needs_of(client: Client) -> dict[str, Any]:
    return {need.title: need for need in client.get("/admin/").context["needs"]}


# --- What needs a hand ---------------------------------------------------------------------------


@pytest.fixture
def busy(shop: Business, now: datetime) -> Business:
    """A shop in which something of each kind waits for somebody."""
    product(shop, stock=50)
    product(shop, "CUP-01", stock=2)
    product(shop, "JAR-01", stock=0)
    place(shop, ("MUG-01", 1), now=now - timedelta(minutes=13))  # two minutes are left
    place(shop, ("MUG-01", 1))
    for _ in range(2):
        order_in(shop, "paid")
    order_in(shop, "processing", now=now - 4 * DAY)
    order_in(shop, "processing")
    verb("cancel", order_in(shop, "paid", now=now - HOUR), reason="they left")
    settle(
        business_id=shop.id,
        kinds=[Kind.REFUSALS],
        conditions=[Condition(Kind.REFUSALS, Severity.WARNING, "Many are refused")],
        now=now,
    )
    return shop


def test_home_counts_what_needs_a_hand(busy: Business) -> None:
    counts = {title: need.count for title, need in needs_of(signed_in(busy)).items()}
    alerts = counts.pop("Alerts")
    assert alerts >= 1  # and those about Holdfast itself
    assert counts == {
        "Expiring soon": 1,
        "To pack": 2,
        "No tracking": 1,
        "Refund due": 1,
        "Low or out": 2,
        "Out of stock": 1,
        "Findings": 0,
    }


@pytest.mark.slow
def test_each_figure_leads_to_the_rows_behind_it(busy: Business) -> None:
    client = signed_in(busy)
    for need in needs_of(client).values():
        page = client.get(need.link, follow=True)
        assert page.status_code == 200, need.link
        if "cl" in page.context:
            assert page.context["cl"].result_count == need.count, need.title


def test_shop_in_which_nothing_waits_shows_dashes(shop: Business) -> None:
    needs = needs_of(signed_in(shop))
    assert {need.shown for title, need in needs.items() if title != "Alerts"} == {"–"}


def test_home_of_another_business_is_missing(shop: Business) -> None:
    other = BusinessFactory()
    assert signed_in(shop).get("/admin/", {"business": other.slug}).status_code == 404


@pytest.mark.slow
def test_home_asks_as_many_questions_for_much_as_for_little(busy: Business) -> None:
    client = signed_in(busy)
    client.get("/admin/")
    with CaptureQueriesContext(connection) as few:
        client.get("/admin/")
    for _ in range(30):
        order_in(busy, "paid", ("MUG-01", 1))
    with CaptureQueriesContext(connection) as many:
        client.get("/admin/")
    assert len(few) == len(many)


# --- A shop that has only begun -------------------------------------------------------------------


def test_new_shop_is_told_what_to_do_first(shop: Business) -> None:
    steps = signed_in(shop).get("/admin/").context["steps"]
    assert [step.is_done for step in steps] == [False, False, False]
    client = signed_in(shop)
    assert all(client.get(step.link, follow=True).status_code == 200 for step in steps)
    product(shop)
    assert [step.is_done for step in client.get("/admin/").context["steps"]] == [True, False, False]
    place(shop, ("MUG-01", 1))
    assert client.get("/admin/").context["steps"] == []


def test_new_shop_tells_nobody_to_do_what_they_may_not(shop: Business) -> None:
    assert signed_in(shop, Role.PACKER).get("/admin/").context["steps"] == []
    assert len(signed_in(shop, Role.MANAGER).get("/admin/").context["steps"]) == 2


# --- How it does ----------------------------------------------------------------------------------


@pytest.fixture
def takings(shop: Business) -> Callable[[datetime], Takings]:
    def at(now: datetime) -> Takings:
        return Takings(Access(shop, "person:ada", EVERYTHING, None, now))

    return at


def said(figures: Any) -> dict[str, tuple[str, str]]:
    return {one.title: (one.value, one.note.replace("\N{NO-BREAK SPACE}", " ")) for one in figures}


def test_today_is_compared_with_yesterday_up_to_the_same_hour(shop: Business, takings: Any) -> None:
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)  # a Thursday
    product(shop, stock=50, price="10.00", now=noon - 9 * DAY)

    def sale(units: int, at: datetime) -> None:
        pay(place(shop, ("MUG-01", units), now=at), now=at)

    sale(1, noon - DAY - HOUR)
    sale(7, noon - DAY + HOUR)  # later in the day than it is now
    sale(2, noon - 2 * HOUR)
    place(shop, ("MUG-01", 1), now=noon - HOUR)  # not paid
    assert said(takings(noon).today_so_far()) == {
        "Net revenue": ("£20.00", "+100 % on £10.00"),
        "Orders paid": ("1", "the same by then"),
        "Average order": ("£20.00", "+100 % on £10.00"),
        "Conversion": ("50.0 %", "of 2 orders placed"),
    }


def test_week_is_compared_with_last_week_up_to_the_same_day_and_hour(shop: Business, takings: Any) -> None:
    noon = datetime(2026, 1, 15, 12, tzinfo=UTC)
    product(shop, stock=50, price="10.00", now=noon - 15 * DAY)
    for units, at in [
        (1, noon - 10 * DAY),  # Monday of last week
        (2, noon - 7 * DAY - HOUR),
        (9, noon - 7 * DAY + HOUR),  # later in the week than it is now
        (9, noon - 4 * DAY),  # its Sunday
        (6, noon - 3 * DAY),  # Monday
        (9, noon - 11 * DAY),  # the week before
    ]:
        pay(place(shop, ("MUG-01", units), now=at), now=at)
    week = said(takings(noon).week_so_far())
    assert week["Net revenue"] == ("£60.00", "+100 % on £30.00")
    assert week["Orders paid"] == ("1", "−50 % on 2")


def test_days_are_those_of_the_business(shop: Business, takings: Any) -> None:
    Business.objects.filter(id=shop.id).update(time_zone="Asia/Tokyo")
    shop.refresh_from_db()
    evening = datetime(2026, 1, 15, 16, tzinfo=UTC)  # the 16th in Tokyo, one in the night
    product(shop, price="10.00", now=evening - 2 * DAY)
    pay(place(shop, ("MUG-01", 1), now=evening - 2 * HOUR), now=evening - 2 * HOUR)
    found = takings(evening)
    assert said(found.today_so_far())["Net revenue"] == ("£0.00", "none by then")
    chart = found.chart()
    assert chart.series[0].values[-2:] == [10.0, 0.0]
    assert chart.range.starts[-1] == datetime(2026, 1, 16, tzinfo=ZoneInfo("Asia/Tokyo"))


def test_every_day_of_the_chart_begins_at_midnight_though_the_clock_is_changed(
    shop: Business, takings: Any
) -> None:
    shop.time_zone = "Europe/London"
    chart = takings(datetime(2026, 11, 10, 9, tzinfo=UTC)).chart()
    assert len(chart.range.starts) == len(chart.series[0].values) == 30
    assert {start.astimezone(ZoneInfo(shop.time_zone)).hour for start in chart.range.starts} == {0}


# --- What stands beside ---------------------------------------------------------------------------


def sidebar_of(client: Client, address: str = "/admin/") -> dict[str, list[dict[str, Any]]]:
    page = client.get(address, follow=True)
    return {group["title"]: group["items"] for group in page.context["sidebar_navigation"]}


@pytest.mark.slow
@pytest.mark.parametrize("role", Role.values)
def test_everything_in_the_sidebar_can_be_seen(shop: Business, role: str) -> None:
    client = signed_in(shop, role)
    groups = sidebar_of(client)
    assert "Platform" not in groups
    assert ("Set-up" in groups) == (role == Role.OWNER)
    for item in (item for items in groups.values() for item in items):
        assert client.get(item["link"], follow=True).status_code == 200, item["link"]


def test_who_runs_holdfast_sees_its_own_pages_too(shop: Business) -> None:
    platform = sidebar_of(signed_in(shop, None, is_superuser=True))["Platform"]
    assert {"Users", "Groups", "Periodic tasks"} <= {item["title"] for item in platform}


def test_page_that_is_looked_at_is_marked(shop: Business) -> None:
    mug = product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(shop)
    for address, title in {
        "/admin/": "Home",
        reverse("admin:orders_order_changelist"): "Orders",
        reverse("staff:order", args=[order.id]): "Orders",
        reverse("staff:new_order"): "New order",
        reverse("staff:product", args=[mug.id]): "Products",
        reverse("staff:holds"): "Holds",
        reverse("admin:catalog_stockmovement_changelist"): "Ledger",
    }.items():
        items = [item for items in sidebar_of(client, address).values() for item in items]
        assert [item["title"] for item in items if item["active"]] == [title], address


def test_person_of_no_business_can_change_their_password(shop: Business) -> None:
    assert read(signed_in(shop, None).get(reverse("admin:password_change")))


def test_sidebar_leads_to_the_business_that_is_looked_at(shop: Business) -> None:
    other = BusinessFactory()
    client = signed_in(shop)
    Membership.objects.create(business=other, user=User.objects.latest("id"), role=Role.VIEWER)
    groups = sidebar_of(client, f"/admin/?business={other.slug}")
    assert {urlsplit(item["link"]).query for items in groups.values() for item in items} == {
        f"business={other.slug}"
    }
