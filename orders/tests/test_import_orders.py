"""Orders of another system come in by the rules of docs/import.md, once, and whole."""

import csv
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from catalog.models import Product, Stock, StockMovement
from conftest import database_url, until
from customers.models import Customer
from customers.services import rescore_everyone
from factories import BusinessFactory, on_shelf, product, verb
from orders.importing import Reason, loading
from orders.lifecycle import PaymentStatus
from orders.models import Order, OrderEvent, OrderItem, Payment
from orders.services import expire_due
from orders_project.clock import database_now

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
LATER = "2011-07-01T10:00:00"

pytestmark = pytest.mark.slow  # each brings a file in, with statistics renewed on the way
in_one_transaction = pytest.mark.usefixtures("db", "all_is_well")


def row(
    invoice="1001", sku="MUG-01", name="A blue mug", units=1, at="2011-06-01T10:00:00", price="2.50", buyer="17850"
):
    return f"{invoice},{sku},{name},{units},{at},{price},{buyer},France"


@pytest.fixture
def bring_in(shop, tmp_path):
    """Import a file of these rows; returns what was rejected as (line, reason), and what was said."""

    def bring_in(*rows, header=HEADER, **options):
        file, rejects = tmp_path / "orders.csv", tmp_path / "rejects.csv"
        file.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        said = StringIO()
        call_command("import_orders", file, business=shop.slug, rejects=rejects, stdout=said, **options)
        with rejects.open(encoding="utf-8", newline="") as lines:
            return [(int(one["line"]), one["reason"]) for one in csv.DictReader(lines)], said.getvalue()

    return bring_in


def everything():
    """How many rows there are of all that an import may write."""
    models = (Product, Stock, StockMovement, Customer, Order, OrderItem, OrderEvent, Payment)
    return {model.__name__: model.objects.count() for model in models}


def the_order(shop, invoice="1001"):
    return Order.objects.get(business=shop, external_id=invoice)


def parts(order):
    return [(item.sku, item.quantity, item.unit_price) for item in order.items.order_by("position")]


def money_back(order):
    """What went back of an order, as (reference, amount)."""
    return [(p.reference, p.amount) for p in order.payments.filter(kind=Payment.Kind.REFUND).order_by("at", "id")]


# --- What an invoice becomes -----------------------------------------------------------------


@in_one_transaction
def test_import_an_invoice_is_a_paid_order_of_its_day(shop, bring_in):
    assert bring_in(row(units=3))[0] == []
    order = the_order(shop)
    day = datetime(2011, 6, 1, 9, tzinfo=UTC)  # ten o'clock in London's summer
    assert (order.status, order.payment_status, order.channel) == ("paid", "paid", "website")
    assert (order.created_at, order.placed_at, order.paid_at) == (day, day, day)
    assert order.number.startswith("110601-")
    assert order.shipping_address == {"country": "France"}
    assert parts(order) == [("MUG-01", 3, Decimal("2.50"))]
    payment = order.payments.get()
    assert (payment.provider, payment.reference, payment.amount, payment.at) == ("import", "1001", 7.5, day)
    customer = order.customer
    assert (customer.name, customer.external_id, customer.created_at) == ("Customer 17850", "17850", day)
    assert [(event.kind, event.at, event.actor) for event in order.events.order_by("version")] == [
        ("placed", day, "job:import_orders"),
        ("paid", day, "job:import_orders"),
    ]
    moved = StockMovement.objects.filter(business=shop).order_by("id")
    assert [(line.kind, line.stock_delta, line.reserved_delta, line.at) for line in moved] == [
        ("opening", 3, 0, day),
        ("reserved", 0, 3, day),
        ("sold", -3, -3, day),
    ]
    assert on_shelf(shop) == (0, 0)


@in_one_transaction
def test_import_a_product_twice_in_an_invoice(shop, bring_in):
    bring_in(row(units=1), row(units=2, price="2.25"), row(units=4))
    assert parts(the_order(shop)) == [("MUG-01", 5, Decimal("2.50")), ("MUG-01", 2, Decimal("2.25"))]
    assert the_order(shop).total == Decimal("17.00")


@in_one_transaction
def test_import_an_invoice_that_took_two_minutes_has_its_first_rows_date(shop, bring_in):
    bring_in(row(at="2011-06-01T10:00:00"), row(sku="BOWL", at="2011-06-01T10:01:00"))
    assert the_order(shop).placed_at == datetime(2011, 6, 1, 9, tzinfo=UTC)


@in_one_transaction
def test_import_products_have_the_name_and_price_of_their_latest_sale(shop, bring_in):
    bring_in(
        row("3", name="", price="3.00", at="2011-06-03T10:00:00"),
        row("2", name="A  bluer mug ", price="2.75", at="2011-06-02T10:00:00"),
        row("1", name="A blue mug", at="2011-06-01T10:00:00"),
    )
    mug = Product.objects.get(business=shop)
    assert (mug.name, mug.price) == ("A bluer mug", Decimal("3.00"))
    assert [parts(the_order(shop, n))[0][2] for n in "123"] == [Decimal("2.50"), Decimal("2.75"), Decimal("3.00")]


@in_one_transaction
def test_import_capitals_of_a_sku_do_not_matter(shop, bring_in):
    product(shop, "cup-9a", stock=0)
    bring_in(row("1", sku="mug-1b"), row("2", sku="MUG-1B"), row("3", sku="CUP-9a"))
    assert set(Product.objects.filter(business=shop).values_list("sku", flat=True)) == {"cup-9a", "MUG-1B"}


@in_one_transaction
def test_import_leaves_products_and_shelves_that_are_there_as_they_are(shop, bring_in):
    mug = product(shop, stock=10, name="The mug", price="9.90")
    bring_in(row(units=30))
    mug.refresh_from_db()
    assert (mug.name, mug.price) == ("The mug", Decimal("9.90"))
    assert on_shelf(shop) == (10, 0)
    assert parts(the_order(shop)) == [("MUG-01", 30, Decimal("2.50"))]


@in_one_transaction
def test_import_postage_is_the_shipping_fee(shop, bring_in):
    bring_in(row(units=2), row(sku="POST", units=2, price="4.00"), row(sku="C2", price="1.50"))
    order = the_order(shop)
    assert (order.subtotal, order.shipping_fee, order.total) == (5, Decimal("9.50"), Decimal("14.50"))
    assert not Product.objects.filter(business=shop, sku__in=["POST", "C2"]).exists()


@in_one_transaction
def test_import_a_customer_of_two_invoices_is_one_and_each_walk_in_another(shop, bring_in):
    bring_in(row("1"), row("2", units=3), row("3", buyer=""), row("4", buyer=""))
    customers = Customer.objects.filter(business=shop)
    assert sorted(customers.values_list("name", "total_orders", "total_spent")) == [
        ("Customer 17850", 2, Decimal("10.00")),
        ("Walk-in", 1, Decimal("2.50")),
        ("Walk-in", 1, Decimal("2.50")),
    ]


@in_one_transaction
def test_import_brings_the_scores_up_to_today(shop, bring_in):
    bring_in(row("1"), row("2", at="2011-01-01T10:00:00"), row("3", buyer=""), row("C4", units=-1, at=LATER))
    assert rescore_everyone(now=database_now()) == 0


@in_one_transaction
@pytest.mark.parametrize("shape", ["byte order mark", "DOS line ends", "other columns", "blank lines"])
def test_import_reads_other_shapes_of_the_file(shop, tmp_path, shape):
    header, mugs = HEADER, row(units=3)
    if shape == "other columns":
        header, mugs = f"Basket,{HEADER[10:]},InvoiceNo", f"7,{mugs[5:]},1001"
    ends = {"DOS line ends": "\r\n", "blank lines": "\n\n"}.get(shape, "\n")
    start = "\N{ZERO WIDTH NO-BREAK SPACE}" if shape == "byte order mark" else ""
    file = tmp_path / "orders.csv"
    file.write_bytes(f"{start}{header}{ends}{mugs}{ends}".encode())
    call_command("import_orders", file, business=shop.slug, stdout=StringIO())
    assert parts(the_order(shop)) == [("MUG-01", 3, Decimal("2.50"))]


# --- What is not taken -----------------------------------------------------------------------

REJECTED = {
    Reason.MALFORMED: ["1001,MUG-01", row() + ",", '1001,"MUG-01', "just words"],
    Reason.CONTROL_CHARACTERS: [row(name="A\x00mug"), row(name="A\tmug")],
    Reason.TOO_LONG: [row(sku="x" * 65), row(name="x" * 201), row(invoice="1" * 51), row(buyer="1" * 101)],
    Reason.NO_INVOICE: [row(invoice=" ")],
    Reason.NO_SKU: [row(sku="")],
    Reason.QUANTITY: [row(units=units) for units in ("", "x", "1.5", "1e3", "1_0", "٣", "100001", "9" * 30)],
    Reason.DATE: [row(at=at) for at in ("", "yesterday", "2011-13-01T10:00:00", "0001-01-01T00:00:00+14:00")],
    Reason.PRICE: [row(price=price) for price in ("", "x", "1e5", "NaN", '"2,5"', "£2", "9" * 30)],
    Reason.FUTURE: [row(at="2999-01-01T00:00:00")],
    Reason.NO_GOODS: [row(sku=sku) for sku in ("M", "m", "D", "S", "B", "PADS", "CRUK", "AMAZONFEE")]
    + [row(sku="BANK CHARGES"), row(sku="gift_0001_40"), row("C1", sku="M", units=-1)],
    Reason.NO_PRICE: [row(price="0"), row(price="0.0"), row(price="-1.00"), row(price="0", name="")],
    Reason.NOT_EXACT: [row(price="0.001"), row(price="2.505")],
    Reason.NOTHING_SOLD: [row(units=0), row(units=-3)],
    Reason.NOTHING_RETURNED: [row("C1", units=0), row("C1", units=3)],
    Reason.NO_DESCRIPTION: [row(name=""), row(name="  ")],
    Reason.OTHER_CUSTOMER: [],  # seen below: it takes two rows
    Reason.NO_LONGER_SOLD: [],  # seen below: it takes a product
    Reason.POSTAGE_ONLY: [row(sku="POST"), row(sku="DOT"), row(sku="c2")],
    Reason.NO_CUSTOMER: [row("C1", units=-1, buyer="")],
    Reason.NO_ORDER: [row("C1", units=-1), row("C1", sku="POST", units=-1)],
}


@in_one_transaction
@pytest.mark.parametrize(
    ("reason", "line"), [(reason, line) for reason, lines in REJECTED.items() for line in lines]
)
def test_import_rejects(shop, bring_in, reason, line):
    good = row("2002", sku="BOWL")
    rejects, said = bring_in(line, good)
    assert rejects == [(2, reason)]
    assert f"      1  {reason}" in said
    assert [order.external_id for order in Order.objects.filter(business=shop)] == ["2002"]


@in_one_transaction
def test_import_rejects_a_row_of_another_customer(shop, bring_in):
    rejects, _ = bring_in(row(), row(sku="BOWL", buyer="99"), row("C1", units=-1), row("C1", units=-1, buyer="99"))
    assert rejects == [(3, Reason.OTHER_CUSTOMER), (5, Reason.OTHER_CUSTOMER)]
    assert the_order(shop).status == "cancelled"


@in_one_transaction
def test_import_takes_what_is_good_of_an_invoice(shop, bring_in):
    rejects, _ = bring_in(row(units=2), row(sku="M", price="99"), row(sku="BOWL", price="0"))
    assert rejects == [(3, Reason.NO_GOODS), (4, Reason.NO_PRICE)]
    assert the_order(shop).total == Decimal("5.00")


def test_import_reasons_are_explained_to_merchants():
    page = (settings.BASE_DIR / "docs" / "import.md").read_text(encoding="utf-8")
    table = page.partition("| reason |")[2].partition("\n\n")[0]
    told = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")][1:]
    assert told == list(Reason)
    assert set(REJECTED) == set(Reason)


@in_one_transaction
def test_import_rejects_thousandths_only_where_there_are_none(tmp_path):
    shop = BusinessFactory(currency="KWD", country="KW")
    file = tmp_path / "orders.csv"
    file.write_text(f"{HEADER}\n{row(price='2.505')}\n")
    call_command("import_orders", file, business=shop.slug, stdout=StringIO())
    assert the_order(shop).total == Decimal("2.505")


# --- Cancellations ---------------------------------------------------------------------------


@in_one_transaction
def test_import_cancellation_of_a_part_gives_back_money_only(shop, bring_in):
    rejects, _ = bring_in(row(units=5), row("C7", units=-2, at=LATER))
    order = the_order(shop)
    assert rejects == []
    assert (order.status, order.payment_status) == ("paid", "partially_refunded")
    assert money_back(order) == [("C7 of 1001", Decimal("5.00"))]
    assert order.payments.get(kind="refund").at == datetime(2011, 7, 1, 9, tzinfo=UTC)
    assert on_shelf(shop) == (0, 0)
    assert order.customer.total_spent == Decimal("7.50")


@in_one_transaction
def test_import_cancellation_of_the_whole_calls_the_order_off(shop, bring_in):
    goods = [row(units=5), row(sku="BOWL", units=1, price="8.00"), row(sku="POST", units=2, price="4.00")]
    back = [
        row("C7", sku="BOWL", units=-1, price="8.00", at=LATER),
        row("C7", units=-5, at=LATER),
        row("C7", sku="POST", units=-1, price="8.00", at=LATER),
    ]
    assert bring_in(*goods, *back)[0] == []
    order = the_order(shop)
    assert (order.status, order.payment_status, order.cancel_reason) == (
        "cancelled",
        "refunded",
        "called off by C7",
    )
    assert order.cancelled_at == datetime(2011, 7, 1, 9, tzinfo=UTC)
    assert money_back(order) == [("C7 of 1001", Decimal("28.50"))]
    assert (on_shelf(shop), on_shelf(shop, "BOWL")) == ((5, 0), (1, 0))
    assert order.customer.total_orders == 0


@in_one_transaction
def test_import_cancellation_of_all_goods_but_not_the_postage_is_of_a_part(shop, bring_in):
    bring_in(row(units=5), row(sku="POST", price="4.00"), row("C7", units=-5, at=LATER))
    assert (the_order(shop).status, the_order(shop).payment_status) == ("paid", "partially_refunded")
    assert on_shelf(shop) == (0, 0)


@in_one_transaction
def test_import_two_cancellations_of_the_halves_give_back_all_the_money(shop, bring_in):
    bring_in(row(units=4), row("C7", units=-3, at=LATER), row("C8", units=-1, at=LATER))
    assert (the_order(shop).status, the_order(shop).payment_status) == ("paid", "refunded")
    assert money_back(the_order(shop)) == [("C7 of 1001", Decimal("7.50")), ("C8 of 1001", Decimal("2.50"))]


@in_one_transaction
def test_import_cancellation_is_of_the_latest_order_that_fits(shop, bring_in):
    rejects, _ = bring_in(
        row("1", units=9, at="2011-01-01T10:00:00"),
        row("2", units=5, at="2011-02-01T10:00:00"),
        row("3", units=1, at="2011-03-01T10:00:00"),  # too few
        row("4", units=9, at="2011-04-01T10:00:00", price="2.40"),  # at another price
        row("5", units=9, at="2011-05-01T10:00:00", sku="BOWL"),
        row("6", units=9, at="2011-06-01T10:00:00", buyer="99"),
        row("7", units=9, at="2011-08-01T10:00:00"),  # later
        row("C8", units=-3, at=LATER),
        row("C9", units=-3, at=LATER),  # the second has only two left by now
    )
    assert rejects == []
    refunds = Payment.objects.filter(business=shop, kind="refund")
    assert set(refunds.values_list("reference", flat=True)) == {"C8 of 2", "C9 of 1"}


@in_one_transaction
def test_import_cancellation_of_two_orders_is_two_refunds(shop, bring_in):
    bring_in(
        row("1", units=2),
        row("2", sku="BOWL"),
        row("C7", units=-1, at=LATER),
        row("C7", "BOWL", units=-1, at=LATER),
    )
    assert money_back(the_order(shop, "1")) == [("C7 of 1", Decimal("2.50"))]
    assert money_back(the_order(shop, "2")) == [("C7 of 2", Decimal("2.50"))]
    assert the_order(shop, "2").status == "cancelled"


@in_one_transaction
def test_import_cancellation_never_gives_back_more_than_was_sold(shop, bring_in):
    rejects, _ = bring_in(row(units=3), row("C7", units=-2, at=LATER), row("C8", units=-2, at=LATER))
    assert rejects == [(4, Reason.NO_ORDER)]


@in_one_transaction
def test_import_cancellation_of_an_order_that_was_sent_gives_back_the_money_only(shop, bring_in):
    bring_in(row(units=3))
    verb("start_processing", the_order(shop))
    verb("ship", the_order(shop), carrier="Royal Mail", tracking_number="RM1GB")
    rejects, _ = bring_in(row(units=3), row("C7", units=-3, at=LATER))
    assert rejects == []
    assert (the_order(shop).status, the_order(shop).payment_status) == ("shipped", "refunded")
    assert on_shelf(shop) == (0, 0)


@in_one_transaction
def test_import_cancellation_of_an_order_that_someone_refunded_is_refused(shop, bring_in):
    bring_in(row(units=3))
    verb("record_refund", the_order(shop), provider="bank", reference="RF-1", amount=Decimal("7.50"))
    rejects, _ = bring_in(row(units=3), row("C7", units=-3, at=LATER))
    assert rejects == [(3, "0.00 GBP can be refunded.")]
    assert the_order(shop).status == "paid"  # nor is it cancelled


@in_one_transaction
def test_import_cancellation_finds_the_orders_of_earlier_files(shop, bring_in):
    bring_in(row(units=3), row(sku="POST", price="4.00"))
    back = [row("C7", units=-3, at=LATER), row("C7", sku="POST", units=-1, price="4.00", at=LATER)]
    for _ in range(2):
        assert bring_in(*back)[0] == []
        assert the_order(shop).status == "cancelled"
        assert money_back(the_order(shop)) == [("C7 of 1001", Decimal("11.50"))]
    rejects, _ = bring_in(row("C8", units=-1, at=LATER))
    assert rejects == [(2, Reason.NO_ORDER)]


@in_one_transaction
def test_import_cancellation_told_again_is_of_the_same_order(shop, bring_in):
    """Though by now another file has brought an order that would fit better."""
    first = [row("1", units=3), row("C7", units=-1, at=LATER)]
    bring_in(*first)
    bring_in(row("2", units=3, at="2011-06-15T10:00:00"))
    assert bring_in(*first)[0] == []
    assert Payment.objects.filter(business=shop, kind="refund").count() == 1
    assert money_back(the_order(shop, "1")) == [("C7 of 1", Decimal("2.50"))]


# --- Again, and more -------------------------------------------------------------------------


@in_one_transaction
def test_import_twice_adds_nothing(shop, bring_in):
    rows = [row("1", units=3), row("2", buyer=""), row("2", sku="BOWL", buyer=""), row("C7", units=-3, at=LATER)]
    first = bring_in(*rows, row("3", price="0"))
    before = everything()
    again = bring_in(*rows, row("3", price="0"))
    assert everything() == before
    assert first[0] == again[0] == [(6, Reason.NO_PRICE)]
    assert "Imported 0 orders, 0 products and 0 refunds, which cancelled 0 orders." in again[1]


@in_one_transaction
def test_import_twice_with_numbers_written_otherwise_adds_nothing(shop, bring_in):
    bring_in(row(units=3, price="2.5", at="2011-06-01T10:00:00"))
    before = everything()
    assert bring_in(row(units="03", price="2.500", at="2011-06-01T09:00:00Z"))[0] == []
    assert everything() == before


@in_one_transaction
def test_import_a_longer_file_adds_what_is_new_and_its_goods(shop, bring_in):
    bring_in(row("1", units=3))
    _, said = bring_in(row("1", units=3), row("2", units=40, name="A cup"), row("3", sku="BOWL"))
    assert "Imported 2 orders, 1 products" in said
    assert Product.objects.get(business=shop, sku="MUG-01").name == "A blue mug"
    moved = StockMovement.objects.filter(business=shop, product__sku="MUG-01", stock_delta__gt=0).order_by("id")
    assert [(line.kind, line.stock_delta) for line in moved] == [("opening", 3), ("received", 40)]
    assert on_shelf(shop) == (0, 0)


@in_one_transaction
def test_import_refuses_an_invoice_that_reads_differently_now(shop, bring_in):
    bring_in(row(units=3))
    number, before = the_order(shop).number, everything()
    rejects, _ = bring_in(row(units=4), row(sku="BOWL"))
    why = f"Order {number} has the external_id 1001, and is another order."
    assert rejects == [(2, why), (3, why)]
    assert everything() == before


@in_one_transaction
def test_import_refuses_what_is_no_longer_sold_and_brings_no_goods_for_it(shop, bring_in):
    mug = product(shop, stock=2)
    Product.objects.filter(id=mug.id).update(is_active=False)
    rejects, _ = bring_in(row("1"), row("1", sku="BOWL"), row("2", sku="CUP"))
    assert rejects == [(2, Reason.NO_LONGER_SOLD), (3, Reason.NO_LONGER_SOLD)]
    assert on_shelf(shop) == (2, 0)
    assert set(Product.objects.filter(business=shop).values_list("sku", flat=True)) == {"MUG-01", "CUP"}


@in_one_transaction
def test_import_of_a_retired_product_twice_adds_nothing(shop, bring_in):
    bring_in(row(units=3))
    Product.objects.filter(business=shop).update(is_active=False)
    before = everything()
    assert bring_in(row(units=3))[0] == []
    assert everything() == before


@in_one_transaction
def test_import_in_several_batches(shop, bring_in, monkeypatch):
    monkeypatch.setattr(loading, "BATCH", 2)
    rows = [row(str(n), f"SKU-{n}", at=f"2011-06-{n:02}T10:00:00") for n in range(1, 8)]
    bring_in(*rows, *(row(f"C{n}", f"SKU-{n}", units=-1, at=LATER) for n in range(1, 4)))
    assert Counter(Order.objects.filter(business=shop).values_list("status", flat=True)) == {
        "paid": 4,
        "cancelled": 3,
    }
    assert [on_shelf(shop, f"SKU-{n}") for n in range(1, 8)] == [(1, 0)] * 3 + [(0, 0)] * 4


# --- A dry run, and files that are none ------------------------------------------------------


@in_one_transaction
def test_import_dry_run_writes_nothing_and_says_what_would_be(shop, bring_in):
    rows = [row("1", units=3), row("2", sku="BOWL"), row("C7", units=-3, at=LATER), row("3", price="0")]
    before = everything()
    foreseen = bring_in(*rows, dry_run=True)
    assert everything() == before
    assert foreseen[1].startswith("Would import 2 orders, 2 products and 1 refunds, which cancelled 1 orders.")
    assert bring_in(*rows) == (foreseen[0], foreseen[1].replace("Would import", "Imported"))
    assert "Would import 0 orders, 0 products and 0 refunds" in bring_in(*rows, dry_run=True)[1]


@in_one_transaction
def test_import_says_nothing_on_stderr_without_a_terminal(shop, bring_in, capsys):
    bring_in(row())
    assert capsys.readouterr().err == ""


@in_one_transaction
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't be read: No such file or directory."),
        (b"", "its first line lacks InvoiceNo, StockCode, Description"),
        (b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,Country\n", "lacks CustomerID."),
        (HEADER.replace(",", ";").encode(), "its first line lacks InvoiceNo"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not text in UTF-8."),
        (f"{HEADER}\n{row(name='café')}\n".encode("latin-1"), "is not text in UTF-8."),
    ],
)
def test_import_of_no_such_file_is_one_clear_line(shop, tmp_path, content, says):
    file = tmp_path / "orders.csv"
    if content is not None:
        file.write_bytes(content)
    before = everything()
    with pytest.raises(CommandError) as refused:
        call_command("import_orders", file, business=shop.slug)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert everything() == before


@in_one_transaction
def test_import_of_a_folder_for_another_shop_or_with_rejects_nowhere(shop, tmp_path, bring_in):
    file = tmp_path / "good.csv"
    file.write_text(f"{HEADER}\n{row()}\n")
    for arguments, says in (
        ({"business": shop.slug, "rejects": tmp_path / "nowhere" / "rejects.csv"}, "can't be written: No such"),
        ({"business": shop.slug, "rejects": file}, "The rejects would overwrite the file itself."),
        ({"business": "nobody"}, "There is no business “nobody”."),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("import_orders", file, **arguments)
    with pytest.raises(CommandError, match="can't be read: Is a directory"):
        call_command("import_orders", tmp_path, business=shop.slug)
    assert not Order.objects.filter(business=shop).exists()
    assert file.read_text().startswith(HEADER)


# --- Interrupted, and with others ------------------------------------------------------------


def many(invoices, *, each=3):
    """So many invoices, a few rows each, of some twenty products and customers; one in twenty is called off."""
    begin = datetime(2011, 1, 1)  # noqa: DTZ001  (as in the file)
    for n in range(invoices):
        at = (begin + timedelta(minutes=7 * n)).isoformat()
        yield from (row(str(n), f"SKU-{(n + k) % 20}", units=k + 1, at=at, buyer=n % 20) for k in range(each))
    for n in range(0, invoices, 20):
        yield from (row(f"C{n}", f"SKU-{(n + k) % 20}", units=-k - 1, at=LATER, buyer=n % 20) for k in range(each))


def write(file, rows):
    file.write_text("\n".join([HEADER, *rows]) + "\n")
    return file


def start(file, shop):
    """The command, in a process of its own, on the test database."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "import_orders", str(file), "--business", shop.slug],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "orders_project.settings",
            "DATABASE_URL": database_url(connection.settings_dict),
            "REDIS_URL": settings.REDIS_URL,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def story(shop):
    """All that an import tells of a shop, but for keys and numbers."""
    orders = Order.objects.filter(business=shop).order_by("external_id")
    return {
        "orders": list(
            orders.values_list("external_id", "status", "payment_status", "total", "placed_at", "paid_at")
        ),
        "money": sorted(Payment.objects.filter(business=shop).values_list("kind", "reference", "amount", "at")),
        "shelves": sorted(Stock.objects.filter(business=shop).values_list("product__sku", "stock_quantity")),
        "customers": sorted(
            Customer.objects.filter(business=shop).values_list("external_id", "total_orders", "total_spent")
        ),
    }


@pytest.mark.usefixtures("committed", "all_is_well")
def test_import_killed_half_way_goes_on_where_it_stopped(shop, tmp_path):
    file = write(tmp_path / "orders.csv", many(1500))
    placed = Order.objects.filter(business=shop)
    killed = start(file, shop)
    until(lambda: placed.count() > 0 or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    half = placed.count()
    assert 0 < half < 1500
    assert half % loading.BATCH == 0
    assert set(placed.values_list("status", flat=True)) == {"paid"}

    second = start(file, shop)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert f"Imported {1500 - half:,} orders" in said
    untouched = BusinessFactory()
    call_command("import_orders", file, business=untouched.slug, stdout=StringIO())
    assert story(shop) == story(untouched)
    assert placed.filter(status="cancelled", payment_status=PaymentStatus.REFUNDED).count() == 75


@pytest.mark.usefixtures("committed", "all_is_well")
def test_import_while_the_sweep_runs(shop, tmp_path):
    """The guard: orders are placed and paid in one transaction, in loading._sell."""
    file = write(tmp_path / "orders.csv", many(300, each=1))
    expired, done = [], threading.Event()

    def sweep():
        try:
            while not done.is_set():
                expired.append(expire_due(business_id=shop.id, now=database_now()))
        finally:
            connection.close()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        call_command("import_orders", file, business=shop.slug, stdout=StringIO())
    finally:
        done.set()
        sweeper.join()
    assert len(expired) > 3
    assert sum(expired) == 0
    assert not OrderEvent.objects.filter(business=shop, kind__in=["expired", "paid_late", "refund_due"]).exists()


@pytest.mark.usefixtures("committed", "all_is_well")
def test_import_of_one_file_twice_at_once(shop, tmp_path, at_once):
    """The guard: the lock on the business in loading._sell."""
    file = write(tmp_path / "orders.csv", many(300, each=1))
    call = lambda: call_command("import_orders", file, business=shop.slug, stdout=StringIO())  # noqa: E731
    answers = at_once([call, call], behind=shop)
    assert answers == [None, None]
    assert Order.objects.filter(business=shop).count() == 300
    assert set(Stock.objects.filter(business=shop).values_list("reserved_stock", flat=True)) == {0}
    came_back = Order.objects.filter(business=shop, status="cancelled")
    left = sum(Stock.objects.filter(business=shop).values_list("stock_quantity", flat=True))
    assert left == came_back.count() == 15
