"""The staff pages in a real browser, on a real server: they move by themselves, and everyone can use them."""

import json
import re
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from playwright.sync_api import Browser, Page, expect

from callers import an_order
from catalog.models import Business, JobRun
from conftest import Web
from factories import api_key, pay, place, product
from orders.models import Discrepancy
from orders.reconciliation import reconcile
from orders.tests.browser import faults, fits_a_phone, live, signed_in
from orders.watching import watch
from orders_project.clock import database_now

pytestmark = pytest.mark.slow

# A clock that is an hour ahead, as people's are.
WRONG_CLOCK = "{ const now = Date.now; Date.now = () => now() + 3600_000; }"


def change_stock(product_id: Any, units: int) -> None:
    """Change a counter past the ledger, as somebody with a database client would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE catalog_stock SET stock_quantity = stock_quantity + %s WHERE product_id = %s",
            [units, product_id],
        )


def test_health_turns_red_when_stock_is_broken_and_green_when_it_is_repaired(
    page: Page, shop: Business, jobs_ran: None, all_is_well: None
) -> None:
    mug = product(shop)
    live(page, "/staff/stock-health/")
    verdict = page.locator("#verdict")
    expect(verdict).to_contain_text("All is well")

    change_stock(mug.id, 3)
    reconcile(business_id=shop.id, now=database_now())
    watch(business_id=shop.id, now=database_now())
    expect(verdict).to_contain_text("Stock can’t be trusted")
    expect(verdict).to_contain_text("books that don’t agree")

    verdict.get_by_role("link").first.click()
    page.get_by_role("button", name="Set the shelf back to 10").click()
    expect(page.get_by_text("Set right: MUG-01")).to_be_visible()
    watch(business_id=shop.id, now=database_now())
    live(page, "/staff/stock-health/")
    expect(verdict).to_contain_text("All is well")

    # And back by itself, with the page left open.
    change_stock(mug.id, 3)
    reconcile(business_id=shop.id, now=database_now())
    watch(business_id=shop.id, now=database_now())
    expect(verdict).to_have_attribute("data-colour", "red")
    change_stock(mug.id, -3)
    reconcile(business_id=shop.id, now=database_now())
    watch(business_id=shop.id, now=database_now())
    expect(verdict).to_have_attribute("data-colour", "green")


def test_health_is_red_while_a_hold_is_overdue(page: Page, shop: Business, jobs_ran: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1), now=database_now() - timedelta(minutes=16))
    page.goto("/staff/stock-health/")
    expect(page.locator("#verdict")).to_contain_text("One hold is overdue")
    pay(order)
    expect(page.locator("#verdict")).to_contain_text("All is well")


def test_health_says_when_a_worker_is_dead(page: Page, shop: Business, jobs_ran: None) -> None:
    JobRun.objects.update(started_at=database_now() - timedelta(hours=1))
    page.goto("/staff/stock-health/")
    expect(page.locator("#verdict")).to_contain_text("the worker or beat may be dead")


def test_countdown_runs_by_the_servers_clock(chromium: Browser, server: str, owner: User, shop: Business) -> None:
    product(shop)
    place(shop, ("MUG-01", 1))
    with signed_in(chromium, server, owner) as context:
        context.add_init_script(WRONG_CLOCK)
        page = context.new_page()
        page.goto("/staff/holds/")
        left = page.locator("time[data-countdown]")
        expect(left).to_have_text(re.compile(r"in 14 min \d+ s"))
        before = left.inner_text()
        expect(left).not_to_have_text(before)
        expect(left).to_have_text(re.compile(r"in 14 min \d+ s"))


HELD = """Chart.getChart(document.querySelector('canvas[data-chart=chart-levels]'))
    .data.datasets.find((series) => series.label === "held").data.at(-1).y"""


def test_chart_moves_when_an_order_is_placed(page: Page, server: str, shop: Business) -> None:
    product(shop)
    live(page, "/staff/stock-health/")
    assert page.evaluate(HELD) == 0
    headers = {"Authorization": f"Api-Key {api_key(shop)}", "Content-Type": "application/json"}
    body = json.dumps(an_order(("MUG-01", 4))).encode()
    urllib.request.urlopen(urllib.request.Request(f"{server}/api/v1/orders", body, headers)).close()
    page.wait_for_function(f"{HELD} === 4")
    expect(page.locator("[data-part=figures]")).to_contain_text("1 hold")


def test_holds_are_extended_and_released_by_hand(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 3))
    due = order.payment_due_at
    page.goto("/staff/holds/")
    row = page.locator(f"#hold-{order.id}")
    row.get_by_text("More time", exact=True).click()
    row.get_by_label("Minutes more").fill("30")
    row.get_by_label("Why").first.fill("they asked for it")
    row.get_by_role("button", name="Give more time").click()
    expect(page.get_by_text(f"{order.number} has 30 more minutes")).to_be_visible()
    order.refresh_from_db()
    assert order.payment_due_at == due + timedelta(minutes=30)

    row.get_by_text("Release", exact=True).click()
    expect(row).to_contain_text("releases 3 × MUG-01")
    row.get_by_label("Why").last.fill("they changed their mind")
    row.get_by_role("button", name="Cancel the order").click()
    expect(page.get_by_text("No holds right now")).to_be_visible()
    order.refresh_from_db()
    assert (order.status, order.cancel_reason) == ("cancelled", "they changed their mind")


def test_form_that_is_filled_in_is_left_alone(page: Page, shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    live(page, "/staff/holds/")
    row = page.locator(f"#hold-{order.id}")
    row.get_by_text("More time", exact=True).click()
    row.get_by_label("Why").first.fill("they asked")
    with page.expect_response(lambda answer: "part=" in answer.url):
        place(shop, ("MUG-01", 2))
    page.evaluate("new Promise(requestAnimationFrame)")
    assert row.get_by_label("Why").first.input_value() == "they asked"
    row.get_by_text("More time", exact=True).click()
    expect(page.locator("tr[id^=hold-]")).to_have_count(2)


def test_page_says_when_it_is_not_live_and_comes_back(
    chromium: Browser, web: Web, owner: User, shop: Business
) -> None:
    product(shop)
    with signed_in(chromium, web.address, owner, may_miss="net::ERR_") as context:
        page = context.new_page()
        live(page, "/staff/stock-health/")
        web.kill()
        expect(page.locator("#live")).to_contain_text("Live updates lost")
        web.start()
        expect(page.locator("#live")).to_have_text("Live")


PAGES = ["stock-health/", "holds/", "alerts/?state=all", "findings/?state=all", "jobs/", "analytics/"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_used_by_everyone(
    chromium: Browser, server: str, owner: User, shop: Business, theme: str, jobs_ran: None
) -> None:
    """No fault that axe knows of, and nothing to scroll sideways for on a phone."""
    mug = product(shop)
    product(shop, "CUP-01", stock=2)
    place(shop, ("MUG-01", 1))
    pay(place(shop, ("MUG-01", 1)))
    change_stock(mug.id, 2)
    reconcile(business_id=shop.id, now=database_now())
    watch(business_id=shop.id, now=database_now())
    change_stock(mug.id, -2)
    found: dict[str, Any] = {}
    with signed_in(chromium, server, owner, color_scheme=theme) as context:
        page = context.new_page()
        for address in [*PAGES, f"products/{mug.id}/", f"products/{mug.id}/?at=2026-01-01T12:00"]:
            live(page, f"/staff/{address}")
            for table in page.locator("details").all():
                table.evaluate("details => details.open = true")
            if wrong := faults(page):
                found[address] = wrong
            fits_a_phone(page)
    assert found == {}
    Discrepancy.objects.filter(business=shop).delete()
