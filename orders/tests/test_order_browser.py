"""An order's page in a real browser, on a real server: two people at once, by keyboard, on a phone."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, expect

from catalog.models import Business, Membership
from factories import on_shelf, order_in, pay, place, product, verb
from orders.lifecycle import Status
from orders.tests.browser import faults, fits_a_phone, live, signed_in

pytestmark = pytest.mark.slow


def test_order_is_paid_packed_shipped_and_delivered(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 2))
    live(page, f"/staff/orders/{order.id}/")
    verdict = page.locator("[data-part=next]")
    expect(verdict).to_contain_text("Waits for £19.80, and ends in 14 min")
    page.get_by_text("Confirm payment", exact=True).click()
    page.get_by_label("Reference").fill("TX-1")
    page.get_by_role("button", name="Confirm the payment").click()
    expect(page.get_by_text(f"{order.number} is paid.")).to_be_visible()
    page.get_by_role("button", name="Start processing").click()
    expect(verdict).to_contain_text("Being packed")
    page.get_by_text("Ship", exact=True).click()
    page.get_by_label("Carrier").fill("DHL")
    page.get_by_label("Tracking number").fill("JD01")
    page.get_by_label("Tracking page").fill("https://dhl.example/JD01")
    page.get_by_role("button", name="The parcel left").click()
    expect(page.get_by_role("link", name="JD01")).to_have_attribute("href", "https://dhl.example/JD01")
    page.get_by_role("button", name="Mark delivered").click()
    expect(verdict).to_contain_text("Delivered: nothing is left to do")
    expect(page.locator(".hf-story > li")).to_have_count(5)
    assert on_shelf(shop) == (8, 0)


def test_two_people_act_on_one_order(
    chromium: Browser, server: str, owner: User, shop: Business, all_is_well: None
) -> None:
    """What one does the other sees at once, but for the form that they fill in. That is not done, and says why."""
    product(shop)
    order = place(shop, ("MUG-01", 2))
    ben = User.objects.create_user(f"ben-{shop.slug}", is_staff=True)
    Membership.objects.create(business=shop, user=ben, role=Membership.Role.MANAGER)
    with signed_in(chromium, server, owner) as one, signed_in(chromium, server, ben) as other:
        mine, his = one.new_page(), other.new_page()
        for page in (mine, his):
            live(page, f"/staff/orders/{order.id}/")
        his.get_by_text("Confirm payment", exact=True).click()
        his.get_by_label("Reference").fill("TX-OF-BEN")
        mine.get_by_text("Cancel", exact=True).click()
        expect(mine.get_by_text("Releases 2 × MUG-01.")).to_be_visible()
        mine.get_by_label("Why").last.fill("they changed their mind")
        mine.get_by_role("button", name="Cancel the order").click()
        expect(mine.get_by_text(f"{order.number} is cancelled.")).to_be_visible()

        expect(his.locator("[data-part=next]")).to_contain_text("Cancelled: they changed their mind")
        his.get_by_role("button", name="Confirm the payment").click()
        alert = his.get_by_role("alert")
        expect(alert).to_contain_text("Nothing was done")
        expect(alert).to_contain_text(
            f"Cancelled (they changed their mind). Released: 2 × MUG-01, by {owner.username}"
        )
        expect(his.get_by_label("Reference")).to_have_value("TX-OF-BEN")
        expect(his.get_by_text("The money is recorded, and is to be refunded.")).to_be_visible()
    order.refresh_from_db()
    assert (order.status, order.version) == ("cancelled", 2)


def test_order_is_edited_by_keyboard(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop)
    product(shop, "CUP-01", price="4.00")
    product(shop, "PEN-01", price="1.50")
    order = place(shop, ("MUG-01", 2))
    live(page, f"/staff/orders/{order.id}/")
    page.get_by_text("Edit", exact=True).press("Enter")
    page.get_by_label("Units of MUG-01").fill("1")
    for sku in ("CUP-01", "PEN-01"):
        page.get_by_label("SKU").last.fill(sku)
        page.get_by_label("Units of").last.fill("3")
        page.get_by_role("button", name="Another line").press("Enter")
    page.get_by_role("button", name="Save the changes").press("Enter")
    expect(page.get_by_text(f"{order.number} is changed.")).to_be_visible()
    assert list(order.items.order_by("position").values_list("sku", "quantity")) == [
        ("MUG-01", 1),
        ("CUP-01", 3),
        ("PEN-01", 3),
    ]


def test_note_that_is_being_written_is_left_alone(page: Page, shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 2))
    live(page, f"/staff/orders/{order.id}/")
    page.get_by_label("A note for your own people").fill("They asked for")
    pay(order)
    expect(page.locator("[data-part=timeline]")).to_contain_text("Paid £19.80")
    page.get_by_label("A note for your own people").press_sequentially(" blue ones")
    page.get_by_role("button", name="Add the note").click()
    expect(page.locator("[data-part=timeline]")).to_contain_text("They asked for blue ones")


# A form that is open on the page of an order in each status.
ACT_OF = {
    Status.DRAFT: "edit",
    Status.PENDING: "cancel",
    Status.PAID: "ship",
    Status.PROCESSING: "refund",
    Status.SHIPPED: "correct",
    Status.DELIVERED: "refund",
    Status.CANCELLED: "pay",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_can_be_used_by_everyone(
    chromium: Browser, server: str, owner: User, shop: Business, theme: str
) -> None:
    """No fault that axe knows of, and nothing to scroll sideways for on a phone."""
    product(shop, stock=30)
    found: dict[str, Any] = {}
    with signed_in(chromium, server, owner, color_scheme=theme) as context:
        page = context.new_page()
        for status, act in ACT_OF.items():
            order = order_in(shop, status)
            verb("add_note", order, text="x" * 200)
            live(page, f"/staff/orders/{order.id}/{act}/")
            expect(page.locator("details.hf-act[open]")).to_have_count(1)
            found[status] = faults(page)
            fits_a_phone(page)
        page.get_by_label("Amount in").fill("lots")
        page.get_by_role("button", name="Confirm the payment").click()
        expect(page.get_by_role("alert")).to_contain_text("Amount: ")
        found["refused"] = faults(page)
        fits_a_phone(page)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
