"""Packing slips and invoices: what stands on the paper."""

import re
import zlib
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from PIL import Image

from catalog.models import Business, Logo, Membership
from customers.services import Buyer
from factories import BusinessFactory, order_in, pay, place, product, verb
from orders.lifecycle import Status
from orders.models import Order
from orders.tests.staff import signed_in

pytestmark = pytest.mark.usefixtures("db")


def printed(client: Client, kind: str, *orders: Order) -> bytes:
    """The file of the papers of some orders."""
    response = client.get("/staff/documents/", {"kind": kind, "order": [order.id for order in orders]})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/pdf"
    pdf: bytes = response.content
    assert pdf.startswith(b"%PDF-")
    return pdf


def pages_of(pdf: bytes) -> list[str]:
    """What each page of a file says, line by line. The fonts in it are cut down to the glyphs in use, which the
    text names by their numbers; a table of each font says what character each number is."""
    objects = {int(found[1]): found[2] for found in re.finditer(rb"(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL)}

    def stream(number: int) -> bytes:
        found = re.search(rb"stream\r?\n(.*)\r?\nendstream", objects[number], re.DOTALL)
        assert found is not None
        return zlib.decompress(found[1]) if b"FlateDecode" in objects[number] else found[1]

    def refers(number: int, name: bytes) -> int:
        found = re.search(rb"/%s (\d+) 0 R" % name, objects[number])
        assert found is not None
        return int(found[1])

    fonts = {}
    resources = next(text for text in objects.values() if b"/Font" in text and b"/ProcSet" in text)
    for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", resources):
        table = stream(refers(int(number), b"ToUnicode")).decode()
        pairs = re.findall(r"<([0-9A-F]{4})> <([0-9A-F]+)>", table)
        fonts[name] = {int(glyph, 16): bytes.fromhex(text).decode("utf-16-be") for glyph, text in pairs}

    def said(content: bytes) -> str:
        lines, font = [], b""
        for found in re.finditer(rb"/(F\d+) [\d.]+ Tf|\((.*?[^\\])\) Tj", content, re.DOTALL):
            if found[1]:
                font = found[1]
            else:
                glyphs = re.sub(rb"\\([nrtbf()\\])", _unescaped, found[2])
                numbers = (int.from_bytes(glyphs[at : at + 2]) for at in range(0, len(glyphs), 2))
                lines.append("".join(fonts[font].get(number, "?") for number in numbers))
        return "\n".join(lines)

    pages = [number for number, text in objects.items() if re.search(rb"/Type /Page\b", text)]
    return [said(stream(refers(number, b"Contents"))) for number in pages]


def _unescaped(found: re.Match[bytes]) -> bytes:
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}.get(found[1], found[1])


def test_invoice_says_what_was_bought_and_paid(shop: Business) -> None:
    product(shop, name="Mug, blue")
    address = {"line1": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA"}
    order = place(
        shop,
        ("MUG-01", 3),
        buyer=Buyer(name="Ada Lovelace"),
        shipping_fee=Decimal("3.50"),
        discount=Decimal(2),
        shipping_address=address,
    )
    client = signed_in(shop)
    (before,) = pages_of(printed(client, "invoice", order))
    assert "To pay\n£31.20" in before
    assert "Not paid yet." in before
    pay(order, reference="TX-77")
    verb("record_refund", order, provider="bank", reference="BACK-1", amount=Decimal("1.20"))
    verb("cancel", order, reason="broken")
    (page,) = pages_of(printed(client, "invoice", order))
    for line in (
        f"Invoice\n{shop.name}",
        "Ada Lovelace\n1 High Street\nLeeds LS1 1AA",
        "MUG-01\nMug, blue\n3\n£9.90\n£29.70",
        "Goods\n£29.70\nShipping\n£3.50\nDiscount\n−£2.00\nTotal\n£31.20",
        "Paid\n£31.20\nRefunded\n−£1.20\nTo be refunded\n£30.00",
        "by bank, TX-77",
        f"invoice {order.number}\nPage 1",
    ):
        assert line in page


def test_packing_slip_says_what_to_pack_and_no_price(shop: Business) -> None:
    product(shop)
    product(shop, "CUP-01", name="Cup")
    order = place(shop, ("MUG-01", 2), ("CUP-01", 1), note="A gift:\nno bill, please")
    (page,) = pages_of(printed(signed_in(shop), "packing_slip", order))
    assert "2\nMUG-01\nProduct MUG-01\n☐\n1\nCUP-01\nCup\n☐\n3 units in all" in page
    assert "A gift:\nno bill, please" in page
    assert "£" not in page


def test_money_is_printed_as_the_currency_has_it(db: None) -> None:
    shop = BusinessFactory(currency="JPY", country="JP", time_zone="Asia/Tokyo")
    product(shop, price="1200")
    (page,) = pages_of(printed(signed_in(shop), "invoice", order_in(shop, Status.PAID)))
    assert "Total\n¥2,400" in page


@pytest.mark.slow
def test_long_order_goes_on_with_its_headings(shop: Business) -> None:
    for n in range(70):
        product(shop, f"MUG-{n:02}")
    order = place(shop, *((f"MUG-{n:02}", 1) for n in range(70)))
    pages = pages_of(printed(signed_in(shop), "invoice", order))
    assert len(pages) > 1
    for number, page in enumerate(pages, start=1):
        assert "SKU\nProduct\nUnits\nPrice\nAmount" in page
        assert f"{order.number}\nPage {number}" in page
    assert "Total\n£693.00" in pages[-1]
    assert sum(page.count("Product MUG-") for page in pages) == 70


def test_papers_of_many_orders_stand_in_one_file(shop: Business) -> None:
    product(shop, stock=50)
    orders = [place(shop, ("MUG-01", n)) for n in (3, 1, 2)]
    pages = pages_of(printed(signed_in(shop), "packing_slip", *orders, orders[0]))
    assert len(pages) == 3
    for order, page in zip(orders, pages, strict=True):
        assert page.endswith(f"packing slip {order.number}\nPage 1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("Ελλάδα, Київ, Łódź, ₦5", "Ελλάδα, Київ, Łódź, ₦5"),
        ("茶 tea", "□ tea"),
        ("עברית العربية", None),
        ("👩🏽‍🚀 \u200d\u0301", None),
        ("(a\\b) **bold** <b>", "(a\\b) **bold** <b>"),
        ("tab\tand\nline", None),
        ("W" * 200, None),
        ("{nb}", "{nb}"),
    ],
)
def test_any_name_can_be_printed(shop: Business, name: str, seen: str | None) -> None:
    shop.name = name[:120]
    shop.save(update_fields=["name"])
    product(shop, name=name)
    order = place(shop, ("MUG-01", 1), buyer=Buyer(name=name), note=name, shipping_address={"text": name})
    for kind in ("invoice", "packing_slip"):
        (page,) = pages_of(printed(signed_in(shop), kind, order))
        assert order.number in page.replace("\n", "")  # letters from the right come one by one
        if seen:
            assert page.count(seen) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("size", [(400, 80), (80, 400)])
def test_papers_carry_the_logo(shop: Business, size: tuple[int, int]) -> None:
    image = BytesIO()
    Image.new("RGB", size, "teal").save(image, "PNG")
    product(shop)
    order = place(shop, ("MUG-01", 1))
    assert b"/Subtype /Image" not in printed(signed_in(shop), "invoice", order)
    logo = Logo.objects.create(business=shop, image=image.getvalue(), media_type="image/png")
    assert b"/Subtype /Image" in printed(signed_in(shop), "invoice", order)
    for damaged in (logo.image[:100], b"", b"no picture"):
        Logo.objects.filter(business=shop).update(image=damaged)
        assert b"/Subtype /Image" not in printed(signed_in(shop), "invoice", order)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["invoice", "packing_slip"])
def test_papers_of_orders_in_any_status_can_be_printed(shop: Business, kind: str) -> None:
    product(shop, stock=50)
    orders = [order_in(shop, status) for status in Status.values]
    assert len(pages_of(printed(signed_in(shop), kind, *orders))) == len(orders)


@pytest.mark.slow
@pytest.mark.parametrize("role", Membership.Role.values)
def test_papers_are_for_everyone_who_works_there(shop: Business, role: str) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    client = signed_in(shop, role)
    for kind in ("invoice", "packing_slip"):
        assert printed(client, kind, order)


def test_papers_of_what_is_not_there_are_missing(shop: Business) -> None:
    product(shop)
    order = place(shop, ("MUG-01", 1))
    other = BusinessFactory()
    product(other)
    foreign = place(other, ("MUG-01", 1))
    asked: list[dict[str, Any]] = [
        {"kind": "invoice"},
        {"kind": "poster", "order": order.id},
        {"kind": "invoice", "order": "none"},
        {"kind": "invoice", "order": [order.id, foreign.id]},
        {"kind": "invoice", "order": [order.id, *(uuid4() for _ in range(200))]},
        {"kind": "invoice", "order": foreign.id, "business": other.slug},
    ]
    client = signed_in(shop)
    for query in asked:
        assert client.get("/staff/documents/", query).status_code == 404, query
    assert Client().get("/staff/documents/").status_code == 302
