"""The lists of the back office in a real browser, on a real server."""

import re

import pytest
from playwright.sync_api import Page, expect

from catalog.models import Business
from factories import order_in, place, product
from orders.models import BulkRun
from orders.tests.browser import faults, fits_a_phone

pytestmark = pytest.mark.slow

LISTS = {
    "/admin/orders/order/": "Download CSV: orders · order lines",
    "/admin/catalog/stockmovement/": "Download CSV: ledger",
    "/admin/reservations/stockreservation/": "Download CSV: reservations",
    "/admin/orders/orderevent/": "Download CSV: events",
    "/admin/orders/payment/": "Download CSV: payments",
}


def test_orders_are_narrowed_chosen_and_cancelled(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop)
    waiting = place(shop, ("MUG-01", 1))
    paid = order_in(shop, "paid", ("MUG-01", 2))
    page.goto("/admin/orders/order/")
    expect(page.get_by_role("row").filter(has_text=waiting.number)).to_contain_text(re.compile(r"in 14 min \d+ s"))
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Instagram").check()
    page.get_by_label("WhatsApp").check()
    page.get_by_role("button", name="Apply Filters").click()
    expect(page).to_have_url(re.compile("channel__exact=whatsapp.*channel__exact=instagram"))
    page.get_by_role("link", name="To pack").click()
    expect(page.get_by_role("link", name=waiting.number)).to_have_count(0)
    expect(page).to_have_url(re.compile("needs=to_pack"))
    page.get_by_role("row").filter(has_text=paid.number).get_by_role("checkbox").check()
    page.get_by_role("combobox").select_option("Cancel")
    page.get_by_role("button", name="Run").click()
    expect(page).to_have_url(re.compile("/staff/bulk/"))
    assert [row.order_id for row in BulkRun.objects.get(business=shop).rows.all()] == [paid.id]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lists_can_be_used_by_everyone(page: Page, shop: Business, scheme: str) -> None:
    product(shop)
    place(shop, ("MUG-01", 1))
    order_in(shop, "paid", ("MUG-01", 2))
    page.emulate_media(color_scheme=scheme)
    for address, exports in LISTS.items():
        page.goto(address)
        expect(page.get_by_text(exports)).to_be_visible()
        assert faults(page) == [], address
        fits_a_phone(page)
