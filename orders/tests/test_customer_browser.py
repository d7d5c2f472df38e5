"""A customer's page in a real browser, on a real server: found in the list, put right, and merged with another."""

import pytest
from playwright.sync_api import Page, expect

from catalog.models import Business
from customers.models import Customer
from customers.services import Buyer
from factories import pay, place, product
from orders.models import Order
from orders.tests.browser import faults, fits_a_phone, live

pytestmark = pytest.mark.slow


def test_customer_is_found_put_right_and_merged(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop)
    ada = pay(place(shop, ("MUG-01", 2), buyer=Buyer(name="Ada Obi", phone="+447700900123"))).customer
    pay(place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada Obi", email="ada@example.com")))

    page.goto("/admin/customers/customer/?q=07700 900123")
    page.get_by_role("link", name="Ada Obi").click()
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("Phone").fill("12")
    page.get_by_label("Note").fill("Rings first.")
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_text("“12” is not a telephone number")).to_be_visible()
    expect(page.get_by_label("Note")).to_have_value("Rings first.")
    assert faults(page) == []
    page.get_by_label("Phone").fill("07700 900124")
    page.get_by_role("button", name="Save the changes").click()
    expect(page.get_by_text("Ada Obi is changed.")).to_be_visible()
    expect(page.locator("aside").last).to_contain_text("+447700900124")
    fits_a_phone(page)

    page.get_by_role("link", name="Merge with another").click()
    expect(page.get_by_text("ada@example.com")).to_be_visible()
    assert faults(page) == []
    fits_a_phone(page)
    page.get_by_role("link", name="Compare with Ada Obi").click()
    expect(page.get_by_role("heading", name="1 order of Ada Obi will be Ada Obi’s")).to_be_visible()
    assert faults(page) == []
    fits_a_phone(page)
    page.get_by_role("button", name="Merge the two").click()
    expect(page.get_by_text("Ada Obi is merged into Ada Obi.")).to_be_visible()
    expect(page.locator("[data-part=worth]")).to_contain_text("£29.70")
    (left,) = Customer.objects.filter(business=shop)
    assert (left, left.email) == (ada, "ada@example.com")
    assert Order.objects.filter(customer=ada).count() == 2


def test_page_shows_a_new_order_by_itself(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop)
    buyer = Buyer(name="Ada Obi", phone="+447700900123")
    first = place(shop, ("MUG-01", 2), buyer=buyer)
    live(page, f"/staff/customers/{first.customer_id}/")
    second = place(shop, ("MUG-01", 1), buyer=buyer)
    expect(page.locator("[data-part=orders]")).to_contain_text(second.number)
