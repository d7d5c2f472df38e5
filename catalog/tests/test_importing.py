"""Products from a file: looked at, and brought in all or none, by the verbs that anybody uses."""

import io
import zipfile
from decimal import Decimal
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from openpyxl import Workbook

from catalog.importing import reading
from catalog.models import AuditEntry, Business, Membership, Product, StockMovement
from factories import BusinessFactory, on_shelf, place, product
from orders.tests.staff import read, rows, signed_in

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

PAGE = "/admin/catalog/product/import/"
HEADER = "sku,name,price,low_stock_threshold,is_active,opening_stock"


def csv(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines]).encode()


def xlsx(*lines: list[Any]) -> bytes:
    book = Workbook()
    for line in lines:
        book.active.append(line)
    for cell in (cell for row in book.active for cell in row if cell.data_type == "f"):
        cell.data_type = "s"  # a text that begins with =, and no formula
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def look(client: Client, content: bytes, name: str = "products.csv") -> str:
    """Send a file, and read what it would do."""
    return read(client.post(PAGE, {"upload": SimpleUploadedFile(name, content)}))


def bring_in(client: Client, page: str) -> Any:
    """Press the button of the page that says what a file would do."""
    kept = page.split('name="file" value="')[1].split('"')[0]
    return client.post(PAGE, {"file": kept}, follow=True)


def products(shop: Business) -> list[tuple[Any, ...]]:
    found = Product.objects.filter(business=shop).order_by("sku")
    return list(found.values_list("sku", "name", "price", "low_stock_threshold", "is_active"))


def test_file_is_looked_at_first_and_then_brought_in(shop):
    product(shop, "MUG-01", name="Mug", price="9.90")
    product(shop, "TEA-01", name="Tea", price="4.00")
    client = signed_in(shop)
    actor = f"person:{Membership.objects.get(business=shop).user.username}"
    file = csv("MUG-01,Mug,12.50,3,,", "TEA-01,Tea,4,,,99", "CUP-01,Cup,5,,no,7", 'SET-01,"Set, of two",20,,yes,')
    page = look(client, file)
    assert "products.csv: 2 new, 1 changed, 1 as they are, 0 refused." in page
    assert Product.objects.filter(business=shop).count() == 2
    assert Product.objects.get(business=shop, sku="MUG-01").price == Decimal("9.90")

    done = read(bring_in(client, page))
    assert "2 new products, 1 changed product, 1 as before." in done
    assert products(shop) == [
        ("CUP-01", "Cup", Decimal(5), None, False),
        ("MUG-01", "Mug", Decimal("12.50"), 3, True),
        ("SET-01", "Set, of two", Decimal(20), None, True),
        ("TEA-01", "Tea", Decimal(4), None, True),
    ]
    assert [on_shelf(shop, sku) for sku in ("CUP-01", "SET-01", "TEA-01")] == [(7, 0), (0, 0), (10, 0)]
    opening = StockMovement.objects.get(business=shop, product__sku="CUP-01")
    assert (opening.kind, opening.actor) == ("opening", actor)
    audit = AuditEntry.objects.filter(business=shop, actor=actor).order_by("title")
    assert [(one.action, one.title.split()[0], one.changes) for one in audit] == [
        ("added", "CUP-01", {}),
        ("changed", "MUG-01", {"price": ["9.90", "12.50"], "low_stock_threshold": ["", "3"]}),
        ("added", "SET-01", {}),
    ]


def test_file_once_more_changes_nothing(shop):
    client = signed_in(shop)
    file = csv("MUG-01,Mug,12.50,3,,24")
    bring_in(client, look(client, file))
    assert "Everything is on file as it stands here" in look(client, file)
    assert on_shelf(shop) == (24, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (",Mug,9.90,,,", "A product needs an SKU."),
        ("MUG-02,,9.90,,,", "a new product needs a name"),
        ("MUG-02,Mug,,,,", "a new product needs a price"),
        ("MUG-02,Mug,9.999,,,", "A price in GBP has no smaller part than 0.01."),
        ("MUG-02,Mug,-1,,,", "A price is not negative."),
        ("MUG-02,Mug,NaN,,,", "“NaN” is not an amount"),
        ("MUG-02,Mug,1e9,,,", "A price is 999,999,999.999 at most."),
        ("MUG-02,Mug,=1+1,,,", "“=1+1” is not an amount"),
        ("MUG-02,Mug,9.90,many,,", "“many” is not a whole number"),
        ("MUG-02,Mug,9.90,9999999999,,", "less than or equal to 2147483647"),
        ("MUG-02,Mug,9.90,,maybe,", "“maybe” is neither yes nor no"),
        ("MUG-02,Mug,9.90,,,-1", "“-1” is not a whole number"),
        ("MUG-02,Mug,9.90,,,1000001", "A shelf opens with up to 1,000,000 units."),
        (f"{'M' * 65},Mug,9.90,,,", "at most 64 characters"),
        ("MUG-01,Mug again,9.90,,,", "MUG-01 stands in the file already."),
    ],
)
def test_file_with_a_bad_row_is_refused_as_a_whole(shop, line, says):
    client = signed_in(shop)
    page = look(client, csv("MUG-01,Mug,9.90,,,5", "", line))
    assert "1 row can’t be taken" in page
    assert '<td class="hf-number">4</td>' in page
    assert says in page
    assert 'name="file"' not in page
    assert products(shop) == []


def test_file_that_turned_bad_since_it_was_looked_at(shop):
    """Between the look and the button somebody added the product, at another price: it is theirs that is changed,
    and a name that is wanted of new ones only isn't asked for."""
    client = signed_in(shop)
    page = look(client, csv("MUG-01,Mug,9.90,,,5", "TEA-01,Tea,4,,,"))
    product(shop, "MUG-01", name="Other mug", stock=3)
    done = read(bring_in(client, page))
    assert "1 new product, 1 changed product, 0 as before." in done
    assert on_shelf(shop) == (3, 0)


def test_file_names_every_bad_row(shop):
    page = look(signed_in(shop), csv(*(f"P-{n},,1,,," for n in range(150)), "MUG-01,Mug,9.90,,,5"))
    assert "150 rows can’t be taken" in page
    assert "The first 100 of them." in page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "The file is empty."),
        (b"\n\n", "The file is empty."),
        (csv(), "The file has no rows"),
        (csv("1", header="colour"), "It has “colour”."),
        (csv("1,2", header="sku,sku"), "It has sku twice"),
        (csv("1,2", header="currency,available"), "It has none of them"),
        (csv("1,2,3", header="sku,name"), "Line 2 has more cells than there are columns"),
        (csv('MUG-01,"Mug', header="sku,name"), "is a quote not closed?"),
        (csv("MUG-01,M\x00ug", header="sku,name"), "Line 2 has a cell that can’t be read"),
        (csv(f"MUG-01,{'x' * 5001}", header="sku,name"), "Line 2 has a cell that can’t be read"),
        ("sku,name\nMUG-01,Tasse bleuâtre".encode("latin-1"), "neither XLSX nor CSV in UTF-8"),
        (b"PK\x03\x04 and then nothing", "not a readable XLSX workbook"),
        (b"x" * (reading.LARGEST_FILE + 1), "larger than 5 MB"),
    ],
)
def test_file_that_is_no_table(shop, content, says):
    assert says in look(signed_in(shop), content).replace("&#x27;", "'")
    assert products(shop) == []


def test_file_with_too_many_rows(shop, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ROWS", 2)
    assert "more than 2 rows" in look(signed_in(shop), csv(*(f"P-{n},P,1,,," for n in range(3))))


@pytest.mark.slow
def test_workbook_that_unpacks_to_too_much(shop):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/sharedStrings.xml", b"0" * (reading.LARGEST_UNPACKED + 1))
    assert "too large when it is unpacked" in look(signed_in(shop), file.getvalue(), "bomb.xlsx")


def test_workbook(shop):
    client = signed_in(shop)
    file = xlsx(
        ["SKU", "Name", "Price", "Low stock threshold", "Is active", "Opening stock"],
        [1001, "=HYPERLINK(“x”)", 9.9, 3.0, True, 12],
        [None] * 6,
        ["MUG-02", "Mug", "4.50", None, False, None],
    )
    page = look(client, file, "products.xlsx")
    bring_in(client, page)
    assert [row[0] for row in products(shop)] == ["1001", "MUG-02"]
    goods = Product.objects.get(business=shop, sku="1001")
    assert (goods.price, goods.low_stock_threshold, goods.is_active) == (Decimal("9.9"), 3, True)
    assert on_shelf(shop, "1001") == (12, 0)


def test_formula_without_its_value_is_refused(shop):
    book = Workbook()
    for line in (["sku", "name", "price"], ["MUG-02", "Mug", "=4.50*2"]):
        book.active.append(line)
    file = io.BytesIO()
    book.save(file)
    assert "Line 2 has a formula without its value" in look(signed_in(shop), file.getvalue(), "products.xlsx")


def test_cell_like_a_formula_is_text_there_and_back(shop):
    client = signed_in(shop)
    bring_in(client, look(client, csv("MUG-01,=1+1,9.90,,,5")))
    assert Product.objects.get(business=shop).name == "=1+1"
    response = client.get("/admin/catalog/product/export/products/")
    exported = b"".join(response.streaming_content)
    assert b"'=1+1" in exported
    assert "Everything is on file as it stands here" in look(client, exported)


def test_semicolons_and_a_byte_order_mark(shop):
    client = signed_in(shop)
    page = look(client, "\ufeffsku;name;price\r\nMUG-01;Mug, blue;9.90\r\n".encode())
    bring_in(client, page)
    assert products(shop) == [("MUG-01", "Mug, blue", Decimal("9.90"), None, True)]


def test_names_in_a_file_can_not_become_part_of_the_page(shop):
    page = look(signed_in(shop), csv("MUG-01,<script>alert(1)</script>,9.90,,,", "<b>,,,,,"), name="<i>.csv")
    assert "<script>alert" not in page
    assert "<b>" not in page
    assert "<i>.csv" not in page


def test_file_says_when_units_are_held_of_what_is_no_longer_sold(shop):
    product(shop)
    place(shop, ("MUG-01", 2))
    page = look(signed_in(shop), csv("MUG-01,,,,no,"))
    assert "1 product of which units are held for orders can’t be ordered any more." in page


def test_file_of_one_business_does_not_come_into_another(shop):
    client = signed_in(shop)
    page = look(client, csv("MUG-01,Mug,9.90,,,5"))
    other = BusinessFactory()
    person = Membership.objects.get(business=shop).user
    Membership.objects.create(business=other, user=person, role="owner")
    client.get("/admin/", {"business": other.slug})
    assert "The file isn’t here any more." in read(bring_in(client, page))
    assert products(other) == []
    client.get("/admin/", {"business": shop.slug})
    bring_in(client, page)
    assert len(products(shop)) == 1


def test_file_of_somebody_else_is_theirs(shop):
    page = look(signed_in(shop), csv("MUG-01,Mug,9.90,,,5"))
    assert "The file isn’t here any more." in read(bring_in(signed_in(shop), page))


def test_same_sku_in_two_businesses(shop):
    other = BusinessFactory()
    product(other, "MUG-01", name="Theirs")
    client = signed_in(shop)
    bring_in(client, look(client, csv("MUG-01,Ours,9.90,,,5")))
    assert (products(shop)[0][1], products(other)[0][1]) == ("Ours", "Theirs")


@pytest.mark.slow
def test_files_are_brought_in_by_owners_and_managers(shop):
    for role, status in {"owner": 200, "manager": 200, "packer": 403, "viewer": 403}.items():
        client = signed_in(shop, role)
        assert client.get(PAGE).status_code == status
        assert client.get(f"{PAGE}template/").status_code == status
        sent = client.post(PAGE, {"upload": SimpleUploadedFile("a.csv", csv("MUG-01,Mug,9.90,,,5"))})
        assert sent.status_code == status
        assert (PAGE in read(client.get("/admin/catalog/product/"))) == (status == 200)


def test_template_can_be_brought_in(shop):
    client = signed_in(shop)
    template = client.get(f"{PAGE}template/")
    assert rows(template)[0]["sku"] == "MUG-01"
    content = b"".join(client.get(f"{PAGE}template/").streaming_content)
    assert "2 new, 0 changed" in look(client, content)


def test_nothing_was_chosen(shop):
    assert "Choose a file first." in read(signed_in(shop).post(PAGE, {}))


def test_file_that_can_not_be_kept_is_refused_in_words(shop, redis_away):
    client = signed_in(shop)
    assert "The file can’t be kept to look at just now" in look(client, csv("MUG-01,Mug,9.90,,,5"))
    assert "The file can’t be kept" in read(client.post(PAGE, {"file": "0" * 32}))
    assert products(shop) == []
