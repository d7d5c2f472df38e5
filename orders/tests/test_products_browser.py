"""Stock and products in a real browser: shelves are counted, goods received, a file is brought in."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from catalog.models import Business, Product
from factories import on_shelf, place, product
from orders.tests.browser import faults, fits_a_phone

pytestmark = pytest.mark.slow


def file(*lines: str) -> Any:
    content = "\n".join(["sku,name,price,opening_stock", *lines]).encode()
    return {"name": "products.csv", "mimeType": "text/csv", "buffer": content}


def test_shelves_are_counted(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop, "CUP-01")
    product(shop, "MUG-01")
    product(shop, "TEA-01")
    place(shop, ("MUG-01", 4))
    page.goto("/staff/count/")
    page.get_by_label("Counted of CUP-01").fill("12")
    page.get_by_label("Counted of CUP-01").press("Enter")
    expect(page.get_by_label("Counted of MUG-01")).to_be_focused()
    page.get_by_label("Counted of MUG-01").fill("3")
    expect(page.locator("output").first).to_have_text("+2")
    expect(page.locator("#sum")).to_have_text("2 counted: 2 differ, by +2 and −7 units.")
    page.get_by_label("Why").fill("End of year")
    page.get_by_role("button", name="Set the books right").click()

    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed: look at MUG-01.")
    expect(page.get_by_text("4 are held for orders")).to_be_visible()
    expect(page.get_by_label("Counted of CUP-01")).to_have_value("12")
    expect(page.get_by_label("Why")).to_have_value("End of year")
    assert on_shelf(shop, "CUP-01") == (10, 0)
    page.get_by_label("Counted of MUG-01").fill("5")
    page.get_by_role("button", name="Set the books right").click()
    expect(page.get_by_text("Counted 2 products: 2 differed, by +2 and −5 units.")).to_be_visible()
    assert [on_shelf(shop, sku) for sku in ("CUP-01", "MUG-01", "TEA-01")] == [(12, 0), (5, 4), (10, 0)]


def test_goods_are_received_and_adjusted(page: Page, shop: Business, all_is_well: None) -> None:
    goods = product(shop)
    page.goto(f"/staff/products/{goods.id}/")
    page.locator("summary", has_text="Receive").click()
    page.get_by_label("Units that came in").fill("12")
    page.get_by_role("button", name="Receive").click()
    expect(page.get_by_text("Received 12 units of MUG-01: 22 on the shelf.")).to_be_visible()

    page.locator("summary", has_text="Adjust").click()
    page.get_by_label("Units more or fewer").fill("-30")
    page.get_by_label("Why", exact=True).fill("two were broken")
    page.get_by_role("button", name="Adjust").click()
    expect(page.get_by_role("alert")).to_contain_text("22 can be taken off at most.")
    expect(page.get_by_label("Why", exact=True)).to_have_value("two were broken")
    page.get_by_label("Units more or fewer").fill("-2")
    page.get_by_role("button", name="Adjust").click()
    expect(page.get_by_text("Adjusted MUG-01 by −2: 20 on the shelf.")).to_be_visible()
    assert on_shelf(shop) == (20, 0)


def test_file_with_bad_rows_is_mended_and_brought_in(page: Page, shop: Business, all_is_well: None) -> None:
    product(shop, "MUG-01", price="9.90")
    page.goto("/admin/catalog/product/")
    page.get_by_role("link", name="Bring in a file").click()
    page.get_by_label("File", exact=True).set_input_files(file("MUG-01,,11,", "CUP-01,Cup,cheap,", ",Plate,4,"))
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator(".hf-verdict[role=status]")).to_contain_text("2 rows can’t be taken")
    expect(page.get_by_text("“cheap” is not an amount, such as 9.90.")).to_be_visible()
    expect(page.get_by_text("A product needs an SKU.")).to_be_visible()
    assert Product.objects.filter(business=shop).count() == 1

    page.get_by_label("File", exact=True).set_input_files(
        file("MUG-01,,11,", "CUP-01,Cup,3.50,8", "PLT-01,Plate,4,")
    )
    page.get_by_role("button", name="Look at it").click()
    expect(page.locator(".hf-verdict[role=status]")).to_contain_text("2 new, 1 changed")
    page.get_by_role("button", name="Bring in 3 rows").click()
    expect(page.get_by_text("2 new products, 1 changed product, 0 as before.")).to_be_visible()
    assert on_shelf(shop, "CUP-01") == (8, 0)
    assert str(Product.objects.get(business=shop, sku="MUG-01").price) == "11.000"


def test_price_is_edited_and_a_product_with_holds_is_stopped_on_second_thought(page: Page, shop: Business) -> None:
    goods = product(shop, price="9.90")
    place(shop, ("MUG-01", 3))
    page.goto(f"/admin/catalog/product/{goods.pk}/change/")
    expect(page.get_by_label("Price")).to_have_value("9.90")
    page.get_by_label("Price").fill("12.50")
    page.get_by_label("Is active").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("3 units are held for orders that wait for their payment.")).to_be_visible()
    expect(page.get_by_label("Price")).to_have_value("12.50")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    goods.refresh_from_db()
    assert (str(goods.price), goods.is_active) == ("12.500", False)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_products_can_be_used_by_everyone(page: Page, shop: Business, theme: Any) -> None:
    """No fault that axe knows of, and nothing to scroll sideways for on a phone."""
    goods = product(shop)
    product(shop, "CUP-01", stock=0)
    place(shop, ("MUG-01", 1))
    page.emulate_media(color_scheme=theme)
    found: dict[str, Any] = {}

    def look(name: str) -> None:
        found[name] = faults(page)
        fits_a_phone(page)

    for address in (
        "/admin/catalog/product/",
        "/admin/catalog/product/add/",
        f"/admin/catalog/product/{goods.pk}/change/",
        "/staff/count/",
        f"/staff/products/{goods.pk}/receive/",
        f"/staff/products/{goods.pk}/adjust/",
        "/admin/catalog/product/import/",
        "/admin/customers/customer/import/",
    ):
        page.goto(address)
        look(address)
    page.goto("/staff/count/")
    page.get_by_label("Counted of MUG-01").fill("0")
    page.get_by_role("button", name="Set the books right").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("a refused count")
    page.goto("/admin/catalog/product/import/")
    for line in (",Bowl,4,", "PLT-01,Plate,4,"):
        page.get_by_label("File", exact=True).set_input_files(file("MUG-01,Mug,11,", line))
        page.get_by_role("button", name="Look at it").click()
        expect(page.locator(".hf-verdict[role=status]")).to_be_visible()
        look(f"a file with {line}")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
