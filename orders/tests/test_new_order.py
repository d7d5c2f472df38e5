"""An order taken by hand: whose it is, what is left, and that nothing that was typed is lost."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from catalog.channels import Channel
from catalog.models import Business, Membership, Product
from catalog.services import keep_back
from customers.models import Customer
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, on_shelf, place, product
from orders.models import Order
from orders.tests.staff import read, signed_in

Role = Membership.Role
ADDRESS = "/staff/orders/new/"


def form(*lines: tuple[str, str], **typed: Any) -> dict[str, Any]:
    """The form as it is sent: a mug for Ada on WhatsApp, unless it says otherwise."""
    skus, quantities = zip(*(lines or [("MUG-01", "1")]), strict=True)
    return {
        "key": str(uuid4()),
        "channel": "whatsapp",
        "name": "Ada",
        "sku": [*skus, ""],
        "quantity": [*quantities, "1"],
        **typed,
    }


def send(client: Client, shop: Business, typed: dict[str, Any]) -> Order:
    """Send the form; returns the order that it made."""
    response = client.post(f"{ADDRESS}?business={shop.slug}", typed)
    assert response.status_code == 302, response.context["said"] or response.context["wrong"]
    order = Order.objects.filter(business=shop).latest("created_at", "id")
    assert response.headers["Location"].startswith(f"/staff/orders/{order.id}/")
    return order


def refused(client: Client, shop: Business, typed: dict[str, Any]) -> Any:
    """Send the form, which makes no order; returns what it is shown with."""
    before = Order.objects.filter(business=shop).count()
    response = client.post(f"{ADDRESS}?business={shop.slug}", typed)
    read(response)
    assert Order.objects.filter(business=shop).count() == before
    return response.context


# --- What is taken -----------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_order_is_placed_with_all_that_was_typed(shop: Business) -> None:
    product(shop, stock=5, price="9.90")
    product(shop, "CUP-01", stock=5, price="4.00")
    typed = form(
        ("MUG-01", "2"),
        ("CUP-01", "1"),
        channel="instagram",
        phone="07700 900123",
        email="Ada@Example.com",
        address="12 High St\r\nLeeds",
        shipping_fee="3.50",
        discount="1",
        note="No milk,\r\nplease",
    )
    order = send(signed_in(shop), shop, typed)
    assert (order.status, order.channel, order.total) == ("pending", "instagram", Decimal("26.30"))
    assert (order.shipping_address, order.note) == ({"text": "12 High St\nLeeds"}, "No milk,\nplease")
    buyer = order.customer
    assert (buyer.name, buyer.phone, buyer.email) == ("Ada", "+447700900123", "ada@example.com")
    assert [on_shelf(shop), on_shelf(shop, "CUP-01")] == [(5, 2), (5, 1)]
    event = order.events.get()
    assert event.actor.startswith("person:user-")


@pytest.mark.usefixtures("db", "all_is_well")
def test_draft_holds_nothing(shop: Business) -> None:
    product(shop)
    order = send(signed_in(shop), shop, form(draft="1"))
    assert (order.status, on_shelf(shop)) == ("draft", (10, 0))


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", ["", "ada"])
def test_phone_that_is_known_takes_its_customer(shop: Business, name: str) -> None:
    product(shop)
    known = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada", phone="+447700900123")).customer
    order = send(signed_in(shop), shop, form(("MUG-01", "2"), name=name, phone="07700 900 123"))
    assert order.customer == known


@pytest.mark.usefixtures("db")
def test_phone_under_another_name_is_asked_about_first(shop: Business) -> None:
    product(shop)
    known = place(shop, ("MUG-01", 1), buyer=Buyer(name="Sean Jones", phone="+447700900123")).customer
    client, typed = signed_in(shop), form(("MUG-01", "2"), name="Ada", phone="07700 900123")
    shown = refused(client, shop, typed)
    assert shown["wrong"] == {"phone": "07700 900123 is Sean Jones. Take them, or mend the number?"}
    order = send(client, shop, typed | {"take": shown["said"].take["customer"]})
    assert order.customer == known
    assert f"{order.number} for Sean Jones is placed" in read(client.get(f"/staff/orders/{order.id}/"))


@pytest.mark.usefixtures("db")
def test_take_of_one_customer_takes_no_other(shop: Business) -> None:
    """The number was mended after all, and is somebody else's too."""
    product(shop)
    for name, phone in (("Sean", "+447700900123"), ("Bea", "+447700900124")):
        taken = place(shop, ("MUG-01", 1), buyer=Buyer(name=name, phone=phone)).customer
    shown = refused(signed_in(shop), shop, form(phone="07700 900123", take=str(taken.id)))
    assert shown["said"].take["name"] == "Sean"


@pytest.mark.usefixtures("db")
def test_sku_may_be_typed_in_any_capitals_that_mean_one(shop: Business) -> None:
    for sku in ("MUG-01", "Tea-1", "TEA-1"):
        product(shop, sku)
    client = signed_in(shop)
    assert send(client, shop, form(("mug-01", "2"))).items.get().sku == "MUG-01"
    assert send(client, shop, form(("TEA-1", "2"))).items.get().sku == "TEA-1"
    says = refused(client, shop, form(("tea-1", "2")))["lines"][0].says
    assert says == "No product has this SKU."


@pytest.mark.usefixtures("db")
def test_customer_who_was_chosen_is_taken(shop: Business) -> None:
    product(shop)
    known = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada")).customer
    assert send(signed_in(shop), shop, form(("MUG-01", "2"), customer=str(known.id))).customer == known


@pytest.mark.usefixtures("db")
def test_customer_of_another_business_is_unknown(shop: Business) -> None:
    other = BusinessFactory()
    product(other)
    foreign = place(other, ("MUG-01", 1), buyer=Buyer(name="Ada", phone="+447700900123")).customer
    product(shop)
    client = signed_in(shop)
    assert refused(client, shop, form(customer=str(foreign.id)))["said"].words == "There is no such customer."
    assert "Give a name" in refused(client, shop, form(name="", phone="07700 900123"))["wrong"]["name"]
    for words in ("Ada", "07700 900123"):
        assert client.get(f"{ADDRESS}customers/", {"q": words}).json() == {"found": []}
    assert "Ada" not in read(client.get(ADDRESS, {"customer": str(foreign.id)}))


# --- Sent twice --------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_form_sent_twice_makes_one_order(shop: Business) -> None:
    product(shop)
    client, typed = signed_in(shop), form(phone="07700 900123")
    assert send(client, shop, typed) == send(client, shop, typed)
    assert (Order.objects.filter(business=shop).count(), on_shelf(shop)) == (1, (10, 1))


@pytest.mark.usefixtures("committed", "all_is_well")
def test_form_sent_twice_at_once_makes_one_order(shop: Business, at_once: Any) -> None:
    product(shop)
    client, typed = signed_in(shop), form(phone="07700 900123")

    def once() -> Any:
        return client.post(f"{ADDRESS}?business={shop.slug}", typed)

    answers = at_once([once] * 4)
    order = Order.objects.get(business=shop)
    assert {answer.headers["Location"].partition("?")[0] for answer in answers} == {f"/staff/orders/{order.id}/"}
    assert Customer.objects.filter(business=shop).count() == 1


@pytest.mark.usefixtures("db", "all_is_well")
def test_form_that_was_sent_and_then_changed_asks_before_it_makes_another_order(shop: Business) -> None:
    product(shop)
    client, typed = signed_in(shop), form()
    order = send(client, shop, typed)
    typed |= {"quantity": ["3", "1"]}
    shown = refused(client, shop, typed)
    assert (shown["said"].number, shown["key"] == typed["key"]) == (order.number, False)
    assert send(client, shop, typed | {"key": shown["key"]}) != order


@pytest.mark.usefixtures("db", "all_is_well")
def test_same_order_of_a_moment_ago_is_named(shop: Business) -> None:
    product(shop)
    client = signed_in(shop)
    order = send(client, shop, form(phone="07700 900123"))
    said = refused(client, shop, form(phone="07700 900123"))["said"]
    assert (said.number, said.words.endswith(" s.")) == (order.number, True)


# --- Refused -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("db", "all_is_well")
def test_unit_that_is_gone_meanwhile_is_named_on_its_line_and_all_else_stays(shop: Business) -> None:
    product(shop, stock=5)
    product(shop, "CUP-01", stock=5, name="Cup")
    typed = form(
        ("MUG-01", "1"),
        ("CUP-01", "4"),
        phone="07700 900123",
        email="ada@example.com",
        address="12 High St\r\nLeeds & <York>",
        shipping_fee="3.50",
        discount="0.50",
        note="“No milk”",
    )
    place(shop, ("CUP-01", 3), buyer=Buyer(name="Faster"))
    client = signed_in(shop)
    response = client.post(f"{ADDRESS}?business={shop.slug}", typed)
    page = read(response)
    assert response.context["said"].words == "Cup: only 2 left, you asked for 4."
    mug, cup, blank = response.context["lines"]
    assert (mug.says, mug.is_wrong) == ("Product MUG-01, £9.90: only 5 left", False)
    assert (cup.says, cup.is_wrong) == ("Cup, £9.90: only 2 left, you asked for 4", True)
    assert blank.sku == ""
    for kept in (
        'value="07700 900123"',
        'value="Ada"',
        'value="ada@example.com"',
        "12 High St\r\nLeeds &amp; &lt;York&gt;</textarea>",
        'value="3.50"',
        'value="0.50"',
        "“No milk”</textarea>",
        f'name="key" value="{typed["key"]}"',
    ):
        assert kept in page, kept
    assert not Order.objects.filter(business=shop, customer__name="Ada").exists()
    # And with fewer it is taken, by the same form.
    assert send(client, shop, typed | {"quantity": ["1", "2", "1"]}).customer.name == "Ada"


@pytest.mark.usefixtures("db")
def test_two_lines_of_one_product_are_short_together(shop: Business) -> None:
    product(shop, stock=3)
    shown = refused(signed_in(shop), shop, form(("MUG-01", "2"), ("MUG-01", "2")))
    assert [line.is_wrong for line in shown["lines"]] == [True, True, False]


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"phone": "12"}, "phone"),
        ({"phone": "0800 FLOWERS"}, "phone"),
        ({"email": "ada"}, "email"),
        ({"channel": "fax"}, "channel"),
        ({"channel": ""}, "channel"),
        ({"shipping_fee": "3,50"}, "shipping_fee"),
        ({"shipping_fee": "3.505"}, "shipping_fee"),
        ({"discount": "-1"}, "discount"),
        ({"discount": "100"}, "discount"),
        ({"note": "x" * 2001}, "note"),
        ({"note": "a\0b"}, "note"),
        ({"address": "x" * 1001}, "address"),
    ],
)
def test_field_that_is_wrong_is_marked(shop: Business, typed: dict[str, str], field: str) -> None:
    product(shop)
    shown = refused(signed_in(shop), shop, form(**typed))
    assert list(shown["wrong"]) == [field]


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (("NO-SUCH", "1"), "No product has this SKU."),
        (("A\0B", "1"), "No product has this SKU."),
        (("OLD-01", "1"), "Old mug is no longer sold."),
        (("MUG-01", "0"), "How many? A whole number is needed."),
        (("MUG-01", "1.5"), "How many? A whole number is needed."),
        (("MUG-01", ""), "How many? A whole number is needed."),
        (("MUG-01", "99999999999"), "How many? A whole number is needed."),
        (("MUG-01", "100001"), "Product MUG-01, £9.90: 10 available, you asked for 100,001"),
    ],
)
def test_line_that_is_wrong_says_so(shop: Business, line: tuple[str, str], says: str) -> None:
    product(shop)
    product(shop, "OLD-01", name="Old mug")
    Product.objects.filter(business=shop, sku="OLD-01").update(is_active=False)
    shown = refused(signed_in(shop), shop, form(line))
    first, *_ = shown["lines"]
    assert (first.sku, first.quantity, first.says, first.is_wrong) == (*line, says, True)


@pytest.mark.usefixtures("db")
def test_order_of_nothing_is_refused(shop: Business) -> None:
    shown = refused(signed_in(shop), shop, form(("", "1")))
    assert shown["said"].words == "An order needs at least one item."


@pytest.mark.usefixtures("db")
def test_order_of_too_many_lines_is_refused(shop: Business) -> None:
    product(shop)
    shown = refused(signed_in(shop), shop, form(*[("MUG-01", "1")] * 150))
    assert shown["said"].words.startswith("An order has 100 lines at most")


# --- While it is typed -------------------------------------------------------------------------


@pytest.mark.usefixtures("db")
def test_lines_are_told_while_they_are_typed(shop: Business) -> None:
    product(shop, stock=50, price="9.90", name="Mug")
    product(shop, "CUP-01", stock=2, price="4.00", name="Cup")
    product(shop, "JUG-01", stock=0, name="Jug")
    query = {
        "sku": ["MUG-01", "", "CUP-01", "CUP-0", "JUG-01"],
        "quantity": ["2", "1", "1", "1", "1"],
        "shipping_fee": "3",
        "discount": "0.80",
    }
    told = signed_in(shop).get(f"{ADDRESS}lines/", query).json()
    assert [(line["says"], line["is_wrong"]) for line in told["lines"]] == [
        ("Mug, £9.90: 50 available", False),
        ("Cup, £4.00: only 2 left", False),
        ("No product has this SKU.", True),
        ("Jug, £9.90: none left, you asked for 1", True),
    ]
    assert told["total"] == "£35.90"


@pytest.mark.usefixtures("db")
def test_lines_tell_what_is_left_for_the_channel(shop: Business, now: datetime) -> None:
    """Of two cups one is kept back from Instagram."""
    cup = product(shop, "CUP-01", stock=2, price="4.00", name="Cup")
    units = {Channel.INSTAGRAM: 1}
    keep_back(business_id=shop.id, product_id=cup.id, units=units, actor=ACTOR, now=now)
    client, query = signed_in(shop), {"sku": "CUP-01", "quantity": "2"}

    def said(channel: str) -> str:
        told = client.get(f"{ADDRESS}lines/", {**query, "channel": channel}).json()
        words: str = told["lines"][0]["says"]
        return words

    assert said("instagram") == "Cup, £4.00: only 1 left, you asked for 2"
    assert said("website") == said("fax") == "Cup, £4.00: only 2 left"


@pytest.mark.usefixtures("db")
def test_products_are_found_by_their_words(shop: Business) -> None:
    product(shop, stock=50, name="Blue mug")
    product(shop, "CUP-01", name="Cup")
    product(BusinessFactory(), "MUG-02", name="Blue mug of theirs")
    client = signed_in(shop)
    for words in ("bl", "blue", "MUG-", "mug-01"):
        (found,) = client.get(f"{ADDRESS}products/", {"q": words}).json()["found"]
        assert found == {"sku": "MUG-01", "says": "Blue mug, £9.90, 50 available"}
    for words in ("", "m", "a\0b", "x" * 500):
        assert client.get(f"{ADDRESS}products/", {"q": words}).json() == {"found": []}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("words", ["lo", "lovel", "07700 900", "+44 7700", "ADA@", "(0) 7700-900123"])
def test_customers_are_found_by_their_words(shop: Business, words: str) -> None:
    product(shop)
    buyer = Buyer(name="Ada Lovelace", phone="+447700900123", email="ada@example.com")
    known = place(shop, ("MUG-01", 1), buyer=buyer).customer
    (found,) = signed_in(shop).get(f"{ADDRESS}customers/", {"q": words}).json()["found"]
    assert found == {
        "customer": str(known.id),
        "name": "Ada Lovelace",
        "phone": "+447700900123",
        "email": "ada@example.com",
    }


@pytest.mark.usefixtures("db")
def test_form_can_begin_with_a_customer(shop: Business) -> None:
    product(shop)
    known = place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada Lovelace")).customer
    page = read(signed_in(shop).get(ADDRESS, {"customer": str(known.id)}))
    assert f'name="customer" value="{known.id}"' in page
    assert 'value="Ada Lovelace"' in page
    assert "Ada" not in read(signed_in(shop).get(ADDRESS, {"customer": "no-such"}))


# --- Who may -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("manager", 200), ("packer", 403), ("viewer", 403)])
def test_orders_are_taken_by_owners_and_managers(shop: Business, role: str, status: int) -> None:
    product(shop)
    client = signed_in(shop, role)
    for address in ("", "lines/", "products/", "customers/"):
        assert client.get(f"{ADDRESS}{address}").status_code == status
    sent = client.post(ADDRESS, form())
    assert sent.status_code == (302 if status == 200 else 403)
    assert Order.objects.filter(business=shop).exists() is (status == 200)


@pytest.mark.usefixtures("db")
def test_order_for_another_business_is_not_taken(shop: Business) -> None:
    other = BusinessFactory()
    product(other)
    client = signed_in(shop)
    assert client.post(f"{ADDRESS}?business={other.slug}", form()).status_code == 404
    shown = refused(client, shop, form())
    assert shown["lines"][0].says == "No product has this SKU."
    assert Client().post(ADDRESS, form()).headers["Location"].startswith("/admin/login/")
