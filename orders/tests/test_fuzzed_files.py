"""Every file that is brought in, whatever is in it: a page says what is wrong with it, or it is done whole."""

import contextlib
import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook
from openpyxl.utils.exceptions import IllegalCharacterError

from callers import everything_of
from catalog.importing.pages import FileImport
from catalog.importing.reading import LARGEST_UNPACKED
from catalog.models import Business
from factories import product
from orders.importing.reading import COLUMNS
from orders.invariants import findings
from orders.tests.staff import read, signed_in
from orders.tests.test_fuzzed_forms import ANYTHING

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("db")]

OF_EACH = settings(max_examples=settings().max_examples // 4)

# What each column may hold that makes sense, so that some rows are taken.
SENSE = {
    "sku": ["MUG-01", "CUP-01", "TEA-01"],
    "price": ["9.90", "0", "12"],
    "opening_stock": ["", "5"],
    "low_stock_threshold": ["", "3"],
    "is_active": ["", "yes", "no"],
    "phone": ["", "+447700900123", "07700 900124"],
    "email": ["", "ada@example.com"],
    "InvoiceNo": ["536365", "536366", "C536367"],
    "StockCode": ["MUG-01", "POST", "85123A"],
    "Quantity": ["1", "6", "-1"],
    "InvoiceDate": ["2011-12-09T12:50:00", "2011-12-10T12:50:00"],
    "UnitPrice": ["2.55", "2.5"],
    "CustomerID": ["17850", ""],
}
ENCODINGS = ["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1", "utf-7"]


@st.composite
def tables(draw: st.DrawFn, columns: Sequence[str]) -> list[list[str]]:
    """A header and some rows: nearly all of it makes sense, or nothing does."""
    header = draw(st.just(list(columns)) | st.lists(st.sampled_from(columns) | ANYTHING, max_size=9))
    is_odd = st.sampled_from([False] * draw(st.sampled_from([1, 9, 99])) + [True])
    rows = [
        [draw(ANYTHING if draw(is_odd) else st.sampled_from(SENSE.get(name, ["Ada", "Mug"]))) for name in header]
        + draw(st.sampled_from([[], [], [], [""], ["more"]]))
        for _ in range(draw(st.integers(0, 4)))
    ]
    return [header, *rows]


@st.composite
def csv_files(draw: st.DrawFn, columns: Sequence[str]) -> bytes:
    table = draw(tables(columns))
    text = io.StringIO(newline="")
    style = draw(
        st.sampled_from([{}, {}, {"delimiter": ";"}, {"quoting": csv.QUOTE_ALL}, {"lineterminator": "\r"}])
    )
    if draw(st.integers(0, 4)):
        csv.writer(text, **style).writerows(table)
    else:  # as somebody writes it who doesn't know of quotes
        text.write("\n".join(",".join(row) for row in table))
    return text.getvalue().encode(draw(st.sampled_from(ENCODINGS)), "replace")


@st.composite
def xlsx_files(draw: st.DrawFn, columns: Sequence[str]) -> bytes:
    book = Workbook()
    odd: st.SearchStrategy[Any] = st.integers() | st.floats() | st.booleans() | st.datetimes() | st.just("=1+1")
    for row in draw(tables(columns)):
        with contextlib.suppress(IllegalCharacterError):
            book.active.append(
                [draw(st.just(cell) | odd) if draw(st.integers(0, 9)) == 9 else cell for cell in row]
            )
    file = io.BytesIO()
    book.save(file)
    content = bytearray(file.getvalue())
    for at in draw(st.lists(st.integers(4, len(content) - 1), max_size=3)):
        content[at] ^= 0x55
    return bytes(content)


def workbook_of(sheet: bytes) -> bytes:
    """A workbook whose sheet is these bytes."""
    whole, changed = io.BytesIO(), io.BytesIO()
    Workbook().save(whole)
    with zipfile.ZipFile(whole) as book, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as other:
        for part in book.namelist():
            other.writestr(part, sheet if part.endswith("sheet1.xml") else book.read(part))
    return changed.getvalue()


SHEET = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">%s</worksheet>'
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 12))
BOMBS: dict[str, Callable[[], bytes]] = {
    "unpacked it is a hundred times as large": lambda: workbook_of(SHEET % (b" " * (LARGEST_UNPACKED + 1))),
    "a billion laughs": lambda: workbook_of(
        b'<!DOCTYPE x [<!ENTITY l0 "ha">' + LAUGHS + b"]>" + SHEET % b"<sheetData>&l11;</sheetData>"
    ),
    "another file in it": lambda: workbook_of(
        b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        + SHEET % b'<sheetData><row r="1"><c t="inlineStr"><is><t>&f;</t></is></c></row></sheetData>'
    ),
    "a row far down": lambda: workbook_of(
        SHEET % b'<sheetData><row r="999999999"><c r="A999999999"><v>1</v></c></row></sheetData>'
    ),
    "a cell far to the right": lambda: workbook_of(
        SHEET % b'<sheetData><row r="1"><c r="ZZZZZZZ1"><v>1</v></c></row></sheetData>'
    ),
    "a million columns": lambda: b"," * 1_000_000,
    "a million columns with names": lambda: b",".join(b"c%d" % n for n in range(600_000)),
    "a million rows": lambda: b"sku,name,price\n" + b"\n" * 1_000_000,
    "a million quotes": lambda: b'"' * 1_000_001,
    "a quote that is never closed": lambda: b'sku,name\n"MUG-01,Mug\n' * 100_000,
    "one long cell": lambda: b"sku,name\nMUG-01," + b"x" * 4_000_000,
    "nothing": lambda: b"",
    "zeros": lambda: b"\0" * 1_000_000,
    "UTF-16": lambda: "sku,name,price\nMUG-01,Mug,9.90\n".encode("utf-16"),
    "half a ZIP": lambda: workbook_of(SHEET % b"")[:400],
    "a ZIP of nothing": lambda: b"PK\x05\x06" + b"\0" * 18,
}


def imports() -> dict[str, Sequence[str]]:
    """The pages on which files are brought in, with their columns."""
    return {
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_import"): page.resource.columns()
        for model, page in admin.site._registry.items()
        if isinstance(page, FileImport)
    }


def brought_in(client: Client, page: str, shop: Business, content: bytes) -> None:
    """Look at a file, and do what it says if it can be done."""
    before = everything_of(shop)
    looked = read(client.post(page, {"upload": SimpleUploadedFile("a.csv", content)}))
    assert everything_of(shop) == before
    if 'name="file" value="' in looked:
        kept = looked.split('name="file" value="')[1].split('"')[0]
        done = read(client.post(page, {"file": kept}, follow=True))
        assert 'role="alert"' in done or everything_of(shop) != before
    else:
        assert 'role="alert"' in looked or "can’t be taken" in looked or "as it stands here" in looked
        assert everything_of(shop) == before


def tried(files: st.SearchStrategy[bytes], act: Callable[[bytes], None]) -> None:
    """Do it with so many examples of a file, each as if it were the first."""

    @OF_EACH
    @given(files)
    def once(content: bytes) -> None:
        with transaction.atomic():
            act(content)
            connection.check_constraints()
            assert findings() == []
            transaction.set_rollback(True)

    once()


def test_files_are_done_whole_or_refused(shop: Business) -> None:
    product(shop)
    client = signed_in(shop)
    for page, columns in imports().items():
        files = csv_files(columns) | xlsx_files(columns) | st.binary(max_size=200)
        tried(files, lambda content, page=page: brought_in(client, page, shop, content))


@pytest.mark.parametrize("bomb", BOMBS)
def test_files_that_are_bombs_are_refused(shop: Business, bomb: str) -> None:
    client = signed_in(shop)
    content = BOMBS[bomb]()
    for page in imports():
        before = everything_of(shop)
        assert 'role="alert"' in read(client.post(page, {"upload": SimpleUploadedFile("a.xlsx", content)}))
        assert everything_of(shop) == before


def test_orders_of_another_system_are_done_whole_or_refused(shop: Business, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"

    def bring_in_orders(content: bytes) -> None:
        file.write_bytes(content)
        before = everything_of(shop)
        if (why := import_orders(file, shop)) is not None:
            assert len(why) > 10
            assert everything_of(shop) == before

    tried(csv_files(COLUMNS) | st.binary(max_size=200), bring_in_orders)


def import_orders(file: Path, shop: Business) -> str | None:
    """Why the file was refused as a whole, if it was."""
    try:
        call_command("import_orders", str(file), business=shop.slug, stdout=io.StringIO())
    except CommandError as refused:
        return str(refused)
    return None
