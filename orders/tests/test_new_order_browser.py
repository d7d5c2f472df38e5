"""A new order, and a step for many orders, in a browser: on a real server, with a real worker."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from catalog.models import Business
from customers.services import Buyer
from factories import on_shelf, order_in, place, product
from orders import bulk
from orders.models import BulkRun, Order
from orders.tests.browser import faults, fits_a_phone, live, signed_in
from orders_project.clock import database_now

pytestmark = pytest.mark.slow


def test_order_is_taken_by_hand(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop, stock=3, name="Blue mug")
    known = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada Lovelace", phone="+447700900123")).customer
    live(page, "/staff/orders/new/")
    page.get_by_label("SKU").first.press_sequentially("mug")
    expect(page.locator("#products option")).to_have_attribute("value", "MUG-01")
    page.get_by_label("SKU").first.fill("MUG-01")
    says = page.locator(".hf-says").first
    expect(says).to_have_text("Blue mug, £9.90: only 2 left")
    page.get_by_label("Quantity").first.fill("2")
    page.get_by_label("Shipping fee").fill("3.50")
    expect(page.locator("#total")).to_have_text("£23.30")
    page.get_by_label("Phone").press_sequentially("07700 9001")
    page.get_by_role("button", name="Ada Lovelace").click()
    assert page.get_by_label("Name").input_value() == "Ada Lovelace"
    page.get_by_label("Channel").select_option("instagram")
    page.get_by_label("Address").fill("12 High St")

    # Meanwhile somebody is faster. The page says so by itself, and the form keeps what was typed.
    faster = place(shop, ("MUG-01", 1))
    expect(says).to_have_text("Blue mug, £9.90: only 1 left, you asked for 2")
    page.get_by_role("button", name="Place the order").click()
    expect(page.get_by_role("alert")).to_contain_text("Blue mug: only 1 left, you asked for 2")
    expect(says).to_have_text("Blue mug, £9.90: only 1 left, you asked for 2")
    assert page.get_by_label("Address").input_value() == "12 High St"
    assert page.get_by_label("Channel").input_value() == "instagram"

    page.get_by_label("Quantity").first.fill("1")
    expect(says).to_have_text("Blue mug, £9.90: only 1 left")
    page.get_by_role("button", name="Place the order").dblclick()
    expect(page.get_by_text("is placed, and holds its stock")).to_be_visible()
    order = Order.objects.filter(business=shop).exclude(id=faster.id).latest("created_at")
    assert f"/staff/orders/{order.id}/" in page.url
    assert (order.customer, str(order.total), on_shelf(shop)) == (known, "13.400", (3, 3))


def test_new_order_by_keyboard_and_lines_as_many_as_needed(page: Page, shop: Business, all_is_well: None) -> None:
    for number in range(5):
        product(shop, f"MUG-{number}")
    live(page, "/staff/orders/new/")
    page.get_by_label("SKU").first.focus()
    for number in range(3):
        page.keyboard.type(f"MUG-{number}")
        page.keyboard.press("Escape")  # of the suggestions
        page.keyboard.press("Tab")
        page.keyboard.type("2")
        page.keyboard.press("Tab")
    for number in (3, 4):
        page.get_by_role("button", name="Add a line").press("Enter")
        page.keyboard.type(f"MUG-{number}")
    page.get_by_label("Name").fill("Ada")
    page.get_by_label("Name").press("Enter")
    expect(page.get_by_text("is placed, and holds its stock")).to_be_visible()
    order = Order.objects.get(business=shop)
    assert list(order.items.order_by("position").values_list("sku", "quantity")) == [
        ("MUG-0", 2),
        ("MUG-1", 2),
        ("MUG-2", 2),
        ("MUG-3", 1),
        ("MUG-4", 1),
    ]


def run_of(shop: Business, action: str, orders: list[Order]) -> BulkRun:
    return bulk.prepare(
        business_id=shop.id,
        action=action,
        order_ids=[order.id for order in orders],
        actor="person:who-chose",
        now=database_now(),
    )


def test_many_orders_are_cancelled_by_a_worker(
    page: Page, shop: Business, worker: None, all_is_well: None
) -> None:
    product(shop, stock=60)
    orders = [place(shop, ("MUG-01", 1)) for _ in range(40)] + [order_in(shop, "shipped", ("MUG-01", 1))]
    run = run_of(shop, BulkRun.Action.CANCEL, orders)
    live(page, f"/staff/bulk/{run.id}/")
    expect(page.locator("[data-part=preview]")).to_contain_text("Releases 40 units: 40 × MUG-01")
    page.get_by_label("Why").fill("the supplier let us down")
    page.get_by_role("button", name="Cancel: 40 orders").click()
    expect(page.locator("[data-part=progress]")).to_contain_text("41 orders: 40 done, 1 refused.")
    assert on_shelf(shop) == (59, 0)
    page.get_by_role("link", name="Refused").click()
    expect(page.locator("[data-part=rows] tbody tr")).to_have_count(1)
    expect(page.locator("[data-part=rows]")).to_contain_text("The order is shipped")
    page.get_by_role("link", name="All bulk runs").click()
    expect(page.locator("[data-part=runs]")).to_contain_text("ended")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_can_be_used_by_everyone(
    chromium: Browser, server: str, owner: User, shop: Business, theme: str
) -> None:
    """No fault that axe knows of, and nothing to scroll sideways for on a phone."""
    product(shop, stock=30)
    orders = [order_in(shop, status, ("MUG-01", 1)) for status in ("pending", "paid", "shipped")]
    cancel, payment = (run_of(shop, action, orders) for action in ("cancel", "confirm_payment"))
    ended = run_of(shop, BulkRun.Action.DELIVER, orders)
    bulk.confirm(business_id=shop.id, run_id=ended.id, details={}, actor="person:ada", now=database_now())
    bulk.work()
    found: dict[str, Any] = {}
    with signed_in(chromium, server, owner, color_scheme=theme) as context:
        page = context.new_page()
        for run in (cancel, payment, ended):
            live(page, f"/staff/bulk/{run.id}/")
            found[run.action] = faults(page)
            fits_a_phone(page)
        live(page, "/staff/bulk/")
        found["runs"] = faults(page)
        fits_a_phone(page)
        live(page, "/staff/orders/new/")
        found["empty form"] = faults(page)
        page.get_by_label("SKU").first.fill("NO-SUCH")
        page.get_by_label("Phone").fill("12")
        page.get_by_label("Name").fill("Ada")
        expect(page.locator(".hf-says").first).to_have_text("No product has this SKU.")
        page.get_by_role("button", name="Place the order").click()
        expect(page.get_by_role("alert")).to_be_visible()
        found["refused form"] = faults(page)
        fits_a_phone(page)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
