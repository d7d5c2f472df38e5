"""A merchant's day in a browser, from the door on: on a real server, with a real worker."""

import re
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django_otp.oath import totp
from django_otp.plugins.otp_totp.models import TOTPDevice
from playwright.sync_api import Browser, Page, expect

from catalog.models import Business
from factories import on_shelf, order_in, pay, place, product
from orders.models import Order
from orders.tests.browser import faults, fits_a_phone, live, signed_in, visiting

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery"


def sign_in(page: Page, user: User) -> None:
    """By keyboard: name and password, then the code that the app shows."""
    device = TOTPDevice.objects.create(user=user, name="app")
    user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")  # as the server does it
    user.save(update_fields=["password"])
    page.goto("/")
    page.get_by_label("Username").focus()
    page.keyboard.type(user.username)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_focused()
    page.keyboard.type(f"{totp(device.bin_key, t0=0, step=device.step):06d}")
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def figure(page: Page, title: str) -> Any:
    """A figure of the first page, by what stands above it; today's, of those that stand there twice."""
    return page.locator(".hf-figure", has=page.get_by_text(title, exact=True)).first.locator("dd")


def beside(page: Page, title: str) -> None:
    """Go to a page by the link in the sidebar."""
    page.locator("#nav-sidebar-apps").get_by_role("link", name=title).click()


def test_day_of_a_merchant(
    chromium: Browser, server: str, owner: User, shop: Business, worker: None, all_is_well: None
) -> None:
    product(shop, stock=20, name="Blue mug", price="10.00")
    with visiting(chromium, server) as context:
        page = context.new_page()
        sign_in(page, owner)
        expect(page.get_by_role("heading", name="Home")).to_be_visible()
        expect(figure(page, "To pack")).to_contain_text("–")

        # An order comes in a chat; it is taken, paid, packed, sent, and arrives.
        beside(page, "New order")
        page.get_by_label("SKU").first.fill("MUG-01")
        page.get_by_label("Quantity").first.fill("2")
        page.get_by_label("Name").fill("Ada Obi")
        page.get_by_label("Phone").fill("07700 900555")
        page.get_by_role("button", name="Place the order").click()
        expect(page.get_by_text("is placed, and holds its stock")).to_be_visible()
        assert on_shelf(shop) == (20, 2)
        form = page.locator("details.hf-act[open]")  # one is open at a time
        page.get_by_text("Confirm payment", exact=True).click()
        form.get_by_label("How").fill("bank")
        form.get_by_label("Reference").fill("TX-1")
        page.get_by_role("button", name="Confirm the payment").click()
        page.get_by_role("button", name="Start processing").click()
        page.get_by_text("Ship", exact=True).click()
        form.get_by_label("Carrier").fill("DHL")
        form.get_by_label("Tracking number").fill("JD0146")
        page.get_by_role("button", name="The parcel left").click()
        page.get_by_role("button", name="Mark delivered").click()
        expect(page.get_by_role("heading", name="Delivered: nothing is left to do")).to_be_visible()
        order = Order.objects.get(business=shop)
        assert (order.status, order.payment_status, on_shelf(shop)) == ("delivered", "paid", (18, 0))

        # Meanwhile the website sells, and the first page sees it by itself.
        beside(page, "Home")
        expect(figure(page, "Net revenue")).to_contain_text("£20.00")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        others = [pay(place(shop, ("MUG-01", 1))) for _ in range(3)]
        expect(figure(page, "To pack")).to_contain_text("3")
        expect(figure(page, "Net revenue")).to_contain_text("£50.00")

        # One buyer changed their mind.
        page.goto(f"/staff/orders/{others[0].id}/")
        page.get_by_text("Cancel", exact=True).click()
        expect(page.get_by_text("Puts 1 × MUG-01 back on the shelf")).to_be_visible()
        form.get_by_label("Why").fill("they changed their mind")
        page.get_by_role("button", name="Cancel the order").click()
        expect(page.get_by_role("heading", name="£10.00 must go back to the customer")).to_be_visible()
        assert on_shelf(shop) == (16, 0)

        # The others are packed together, found by their figure.
        beside(page, "Home")
        expect(figure(page, "Refund due")).to_contain_text("1")
        page.get_by_role("link", name="To pack").click()
        expect(page).to_have_url(re.compile(r"needs=to_pack"))
        boxes = page.locator("input.action-select")
        expect(boxes).to_have_count(2)
        for box in boxes.all():
            box.check()
        page.locator("select[name=action]").select_option("start_processing")
        page.get_by_role("button", name="Run").click()
        page.get_by_role("button", name="Start processing: 2 orders").click()
        expect(page.locator("[data-part=progress]")).to_contain_text("2 orders: 2 done, 0 refused.")
    assert set(Order.objects.filter(business=shop).values_list("status", flat=True)) == {
        "delivered",
        "cancelled",
        "processing",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_beside_can_be_used_by_everyone(
    chromium: Browser, server: str, owner: User, shop: Business, jobs_ran: None, theme: str
) -> None:
    """No fault that axe knows of, and nothing to scroll sideways for on a phone: what is added to the sidebar is
    looked at too."""
    product(shop, stock=30)
    product(shop, "CUP-01", stock=2)
    for status in ("pending", "paid", "shipped", "cancelled"):
        order_in(shop, status, ("MUG-01", 1))
    found: dict[str, Any] = {}
    with signed_in(chromium, server, owner, color_scheme=theme) as context:
        page = context.new_page()
        live(page, "/admin/")
        links = page.locator("#nav-sidebar-apps a").evaluate_all("links => links.map((link) => link.href)")
        assert len(links) > 20
        for link in [*links, "/staff/account/", "/admin/password_change/", "/admin/catalog/product/add/"]:
            page.goto(link)
            for table in page.locator("main details").all():
                table.evaluate("details => details.open = true")
            found[link] = faults(page)
            fits_a_phone(page)
    with visiting(chromium, server, color_scheme=theme) as context:
        page = context.new_page()
        page.goto("/admin/login/")
        found["the door"] = faults(page)
        fits_a_phone(page)
    assert {link: wrong for link, wrong in found.items() if wrong} == {}


def test_new_shop_begins_with_what_to_do_first(page: Page, shop: Business) -> None:
    live(page, "/admin/")
    assert faults(page) == []
    fits_a_phone(page)
    page.get_by_role("link", name="Add a product, with what there is of it").press("Enter")
    expect(page.get_by_label("SKU")).to_be_visible()


def test_chart_has_its_table(page: Page, shop: Business) -> None:
    product(shop, price="10.00")
    pay(place(shop, ("MUG-01", 2)))
    live(page, "/admin/")
    page.get_by_text("As a table").press("Enter")
    expect(page.locator("#table-revenue tbody tr").first).to_contain_text("£20.00")
    assert page.evaluate("Chart.getChart(document.querySelector('canvas')).data.datasets[0].data.length") == 30
