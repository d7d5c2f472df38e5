"""Products in the back office: the list of them, and the forms for their texts and prices."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import strip_tags

from catalog.models import AuditEntry, Membership, Product
from factories import BusinessFactory, on_shelf, pay, place, product, verb
from orders.tests.staff import read, rows, signed_in

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

Role = Membership.Role
LIST = "/admin/catalog/product/"


def skus(page: str) -> list[str]:
    """The SKUs of a list, in its order."""
    return re.findall(r'class="field-code.*?>([^<>]+)</a>', page, re.DOTALL)


def row(page: str, sku: str) -> str:
    """What a list says of one product."""
    (found,) = (line for line in page.split("<tr")[1:] if f">{sku}</a>" in line)
    return " ".join(strip_tags(f"<tr{found}".split("</tr>")[0]).split())


def changed(goods: Product) -> list[tuple[str, dict[str, Any]]]:
    """What the audit tells of a product, in its order."""
    entries = AuditEntry.objects.filter(business=goods.business_id, subject=str(goods.pk))
    return list(entries.order_by("at", "id").values_list("action", "changes"))


# --- The list ----------------------------------------------------------------------------------


def test_list_tells_what_is_there_and_how_long_it_lasts(shop, now):
    product(shop, "MUG-01", stock=40, price="9.90", name="Blue mug")
    pay(place(shop, ("MUG-01", 10)))
    pay(place(shop, ("MUG-01", 5), now=now - timedelta(days=31)), now=now - timedelta(days=31))
    place(shop, ("MUG-01", 2))
    told = row(read(signed_in(shop).get(LIST)), "MUG-01")
    # 25 on the shelf, 2 of them held; 10 sold in 30 days, so 23 last 69 days.
    assert told == "MUG-01 Blue mug £9.90 23 2 25 10 69 days In stock"


def test_what_came_back_is_not_sold(shop, now):
    """In the list and in its file; and what was sold before the 30 days, and came back in them, is not missing."""
    mug, tea = product(shop, "MUG-01", stock=40), product(shop, "TEA-01", stock=40)
    pay(place(shop, ("MUG-01", 10)))
    verb("cancel", pay(place(shop, ("MUG-01", 5))), reason="broken")
    long_ago = now - timedelta(days=31)
    verb("cancel", pay(place(shop, ("TEA-01", 5), now=long_ago), now=long_ago), reason="broken", now=now)
    client = signed_in(shop)
    page = read(client.get(LIST))
    assert row(page, mug.sku).endswith("30 – 30 10 90 days In stock")
    assert row(page, tea.sku).endswith("40 – 40 – – In stock")
    file = rows(client.get(f"{LIST}export/products/"))
    assert [(one["sold_30_days"], one["days_of_cover"]) for one in file] == [("10", "90"), ("0", "")]


def test_list_tells_what_is_low_out_and_not_sold(shop):
    product(shop, "ENOUGH", stock=6)
    product(shop, "LOW", stock=5)
    product(shop, "LOW-FOR-IT", stock=20, low_stock_threshold=20)
    product(shop, "OUT", stock=0)
    product(shop, "OLD", stock=3)
    Product.objects.filter(business=shop, sku="OLD").update(is_active=False)
    page = read(signed_in(shop).get(LIST))
    states = {"ENOUGH": "In stock", "LOW": "Low", "LOW-FOR-IT": "Low", "OUT": "Out", "OLD": "Not sold"}
    for sku, state in states.items():
        assert row(page, sku).endswith(state), row(page, sku)
        assert "– – " in row(page, sku).replace("0 – 0", ""), "nothing sold, so nobody knows how long it lasts"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["CUP-01", "MUG-01", "TEA-01"]),
        ({"shelf": "short"}, ["CUP-01", "TEA-01"]),
        ({"shelf": "out"}, ["TEA-01"]),
        ({"shelf": "held"}, ["MUG-01"]),
        ({"is_active__exact": "0"}, ["CUP-01"]),
        ({"q": "mug"}, ["MUG-01"]),
        ({"q": "green"}, ["TEA-01"]),
        ({"q": "%"}, []),
        ({"o": "-0"}, ["TEA-01", "MUG-01", "CUP-01"]),
    ],
)
def test_list_is_narrowed(shop, query, found):
    product(shop, "TEA-01", stock=0, name="Green tea")
    product(shop, "MUG-01", stock=10, name="Blue mug")
    product(shop, "CUP-01", stock=1, name="Cup")
    product(BusinessFactory(), "MUG-09", name="Blue mug")
    Product.objects.filter(business=shop, sku="CUP-01").update(is_active=False)
    place(shop, ("MUG-01", 1))
    client = signed_in(shop)
    assert skus(read(client.get(LIST, query))) == found
    exported = rows(client.get(f"{LIST}export/products/", query))
    assert sorted(line["sku"] for line in exported) == sorted(found)


@pytest.mark.parametrize("query", [{"shelf": "lost"}, {"q": "a\0b"}])
def test_list_that_does_not_exist_is_missing(shop, query):
    assert signed_in(shop).get(LIST, query).status_code == 404


@pytest.mark.slow
def test_list_asks_as_much_for_thirty_products_as_for_one(shop):
    client = signed_in(shop)

    def asked() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            read(client.get(LIST))
        return len(queries)

    product(shop, "P-00")
    pay(place(shop, ("P-00", 1)))
    asked()
    one = asked()
    for n in range(1, 31):
        product(shop, f"P-{n:02}")
        pay(place(shop, (f"P-{n:02}", 1)))
    assert asked() == one


def test_list_as_a_file(shop, now):
    product(shop, "MUG-01", stock=40, price="9.90", name="=1+1", description="Blue")
    product(shop, "TEA-01", stock=0)
    pay(place(shop, ("MUG-01", 10)))
    place(shop, ("MUG-01", 2))
    mug, tea = rows(signed_in(shop).get(f"{LIST}export/products/"))
    assert (mug["sku"], mug["name"], mug["price"], mug["currency"]) == ("MUG-01", "'=1+1", "9.90", "GBP")
    counters = ("stock_quantity", "reserved_stock", "available", "sold_30_days", "days_of_cover")
    assert [mug[name] for name in counters] == ["30", "2", "28", "10", "84"]
    assert [tea[name] for name in counters] == ["0", "0", "0", "0", ""]


def test_list_as_a_file_needs_the_right_to_take_it(shop):
    product(shop)
    for role, status in {Role.MANAGER: 200, Role.PACKER: 403, Role.VIEWER: 403}.items():
        client = signed_in(shop, role)
        assert client.get(f"{LIST}export/products/").status_code == status
        assert ("Download CSV" in read(client.get(LIST))) == (status == 200)


# --- A new product -----------------------------------------------------------------------------

NEW = {
    "sku": "MUG-01",
    "name": "Blue mug",
    "description": "",
    "price": "9.90",
    "opening_stock": "12",
    "low_stock_threshold": "",
}


def test_new_product_comes_with_its_shelf(shop):
    response = signed_in(shop).post(f"{LIST}add/", NEW)
    assert response.status_code == 302
    goods = Product.objects.get(business=shop)
    assert (goods.sku, goods.price, goods.currency, goods.is_active) == ("MUG-01", Decimal("9.90"), "GBP", True)
    assert on_shelf(shop) == (12, 0)
    assert [action for action, _ in changed(goods)] == ["added"]


def of_business(page: str) -> str:
    """The business that a form says it is of."""
    (slug,) = re.findall(r'name="business" value="([^"]*)"', page)
    return str(slug)


def test_form_is_of_the_business_in_which_it_was_opened(shop):
    """Whatever another tab looks at by the time that it is sent. Red if the session says whose it is."""
    client = signed_in(shop)
    goods, other = product(shop, "TEA-01"), BusinessFactory()
    person = Membership.objects.get(business=shop).user
    Membership.objects.create(business=other, user=person, role=Role.OWNER)
    client.get(f"{LIST}?business={shop.slug}")
    pages = (f"{LIST}add/", f"{LIST}{goods.pk}/change/", f"{LIST}import/", LIST)
    assert {of_business(read(client.get(page))) for page in pages} == {shop.slug}
    client.get(f"{LIST}?business={other.slug}")
    assert client.post(f"{LIST}add/", {**NEW, "business": shop.slug}, follow=True).status_code == 200
    assert Product.objects.filter(business=shop, sku="MUG-01").exists()
    assert not Product.objects.filter(business=other).exists()
    client.get(f"{LIST}?business={other.slug}")
    sent = {**form(goods, name="Green tea"), "business": shop.slug}
    assert "Green tea" in read(client.post(f"{LIST}{goods.pk}/change/", sent, follow=True))


def test_form_of_a_business_that_is_not_theirs_is_missing(shop):
    other = BusinessFactory()
    assert signed_in(shop).post(f"{LIST}add/", {**NEW, "business": other.slug}).status_code == 404
    assert not Product.objects.filter(business=other).exists()


def test_history_is_in_the_audit_alone(shop):
    assert signed_in(shop).get(f"{LIST}{product(shop).pk}/history/").status_code == 404


def test_new_product_whose_sku_is_taken_keeps_what_was_typed(shop):
    product(shop, "MUG-01")
    client = signed_in(shop)
    page = read(client.post(f"{LIST}add/", {**NEW, "name": "<b>Bowl"}, follow=True))
    assert "Another product has the SKU MUG-01." in page
    assert 'value="&lt;b&gt;Bowl"' in page
    assert 'value="12"' in page
    assert Product.objects.filter(business=shop).count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("price", "9.999", "A price in GBP has no smaller part than 0.01."),
        ("price", "-1", "A price is not negative."),
        ("price", "dear", "Enter a number."),
        ("opening_stock", "-1", "greater than or equal to 0"),
        ("opening_stock", "1000001", "less than or equal to 1000000"),
        ("sku", "", "This field is required."),
        ("name", "x" * 201, "at most 200 characters"),
        ("low_stock_threshold", "-1", "greater than or equal to 0"),
        ("low_stock_threshold", "9" * 12, "less than or equal to 2147483647"),
    ],
)
def test_new_product_that_is_none(shop, field, typed, says):
    page = read(signed_in(shop).post(f"{LIST}add/", {**NEW, field: typed}))
    assert says in page
    assert not Product.objects.filter(business=shop).exists()


# --- A product's texts and price ---------------------------------------------------------------


def form(goods: Product, **typed: str) -> dict[str, str]:
    """What a browser sends of the product's form: what was shown, and what was typed instead."""
    shown = {
        "name": goods.name,
        "description": goods.description,
        "price": str(goods.price),
        "low_stock_threshold": "" if goods.low_stock_threshold is None else str(goods.low_stock_threshold),
        "is_active": "on" if goods.is_active else "",
    }
    initial = {f"initial-{name}": value for name, value in shown.items()}
    initial["initial-is_active"] = str(goods.is_active)
    return {name: value for name, value in {**initial, **shown, **typed}.items() if value}


def edit(client: Client, goods: Product, **typed: str) -> Any:
    return client.post(f"{LIST}{goods.pk}/change/", form(goods, **typed))


def test_edit_changes_what_was_changed_and_tells_the_audit(shop):
    goods = product(shop, price="9.90")
    order = place(shop, ("MUG-01", 2))
    assert edit(signed_in(shop), goods, price="12.50", name="Mug, blue").status_code == 302
    goods.refresh_from_db()
    assert (goods.name, goods.price, goods.description) == ("Mug, blue", Decimal("12.50"), "")
    told = {"name": ["Product MUG-01", "Mug, blue"], "price": ["9.90", "12.50"]}
    assert changed(goods) == [("changed", told)]
    order.refresh_from_db()
    assert order.total == Decimal("19.80"), "an order keeps the prices of its day"
    assert on_shelf(shop) == (10, 2)


def test_edit_leaves_alone_what_somebody_else_changed_meanwhile(shop):
    goods = product(shop, price="9.90")
    seen = Product.objects.get(pk=goods.pk)
    edit(signed_in(shop), goods, price="12.50")
    assert edit(signed_in(shop), seen, name="Mug, blue").status_code == 302
    goods.refresh_from_db()
    assert (goods.name, goods.price) == ("Mug, blue", Decimal("12.50"))


def test_edit_of_what_somebody_else_changed_says_who(shop):
    goods = product(shop, price="9.90")
    seen = Product.objects.get(pk=goods.pk)
    first, second = signed_in(shop), signed_in(shop)
    edit(first, goods, price="12.50")
    page = read(edit(second, seen, price="11"))
    assert "changed it to “12.50” meanwhile. Save again to have yours." in page
    assert Product.objects.get(pk=goods.pk).price == Decimal("12.50")
    # The form that came back knows: the same once more is meant.
    again = {**form(seen, price="11"), "initial-price": "12.500"}
    assert second.post(f"{LIST}{goods.pk}/change/", again).status_code == 302
    assert Product.objects.get(pk=goods.pk).price == Decimal("11")


def test_edit_can_not_touch_the_counters(shop):
    goods = product(shop, stock=10)
    typed = {"stock_quantity": "99", "reserved_stock": "0", "opening_stock": "99", "sku": "OTHER", "name": "Mug"}
    assert edit(signed_in(shop), goods, **typed).status_code == 302
    goods.refresh_from_db()
    assert (goods.sku, goods.name) == ("MUG-01", "Mug")
    assert on_shelf(shop) == (10, 0)


def test_deactivating_a_product_with_holds_asks_once_more(shop):
    goods = product(shop)
    order = place(shop, ("MUG-01", 3))
    client = signed_in(shop)
    page = read(edit(client, goods, is_active=""))
    assert "3 units are held for orders that wait for their payment." in page
    assert 'name="despite_holds" value="yes"' in page
    goods.refresh_from_db()
    assert goods.is_active
    assert edit(client, goods, is_active="", despite_holds="yes").status_code == 302
    goods.refresh_from_db()
    assert not goods.is_active
    pay(order)  # it keeps its hold
    assert on_shelf(shop) == (7, 0)


def test_deactivating_a_product_without_holds_asks_nothing(shop):
    goods = product(shop)
    assert edit(signed_in(shop), goods, is_active="").status_code == 302
    goods.refresh_from_db()
    assert not goods.is_active


def test_product_of_another_business_is_missing(shop):
    foreign = product(BusinessFactory())
    client = signed_in(shop)
    assert client.get(f"{LIST}{foreign.pk}/change/").status_code == 404
    assert edit(client, foreign, name="Mine now").status_code == 404
    assert skus(read(client.get(LIST))) == []


@pytest.mark.slow
def test_products_are_changed_by_owners_and_managers(shop):
    goods = product(shop)
    for role, may in {Role.OWNER: True, Role.MANAGER: True, Role.PACKER: False, Role.VIEWER: False}.items():
        client = signed_in(shop, role)
        assert client.get(f"{LIST}add/").status_code == (200 if may else 403)
        assert client.post(f"{LIST}add/", {**NEW, "sku": role}).status_code == (302 if may else 403)
        assert edit(client, goods, description=role).status_code == (302 if may else 403)
        page = read(client.get(f"{LIST}{goods.pk}/change/"))
        assert "Product MUG-01" in page
        assert "History" not in page
        assert ("£9.90" in page) == (not may)  # who changes it has it in a field
        goods.refresh_from_db()
    assert goods.description == Role.MANAGER
