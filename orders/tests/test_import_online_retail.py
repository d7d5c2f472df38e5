"""A year of a real shop's trade, as dirty as it came: what the import makes of it is what the rules say.

The figures are reckoned here once more, from the file and docs/import.md alone, with a dictionary and a loop.
"""

import csv
import re
from collections import defaultdict
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db.models import Sum

from catalog.models import Product, Stock, StockMovement
from customers.models import Customer
from factories import BusinessFactory
from orders.models import Order, OrderItem, Payment
from orders.stats import shop_stats

FILE = settings.BASE_DIR.parent / "shared" / "data" / "online_retail.csv"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILE.exists(), reason="the year of real orders is not kept beside this checkout"),
]

POSTAGE = {"POST", "DOT", "C2"}
NO_GOODS = re.compile("M|D|S|B|PADS|CRUK|AMAZONFEE|BANK CHARGES|GIFT_.*")


class Reckoning:
    """The file by the rules, reckoned by hand."""

    def __init__(self, path: Path) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            self.lines = list(csv.DictReader(file))
        self.rejected: set[int] = set()
        self.orders: dict[str, dict] = {}
        self.money_in: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.money_back: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.called_off: set[str] = set()
        self.paid_in: defaultdict[str, int] = defaultdict(int)
        self.latest: dict[str, tuple[str, Decimal]] = {}
        self.sell()
        self.give_back()

    def sell(self) -> None:
        named = {line["StockCode"].upper() for line in self.lines if line["Description"].strip() and good(line)}
        for number, line in enumerate(self.lines, start=2):
            code, invoice = line["StockCode"].upper(), line["InvoiceNo"]
            if invoice.startswith("C"):
                continue
            if not good(line) or (code not in POSTAGE and code not in named):
                self.rejected.add(number)
                continue
            order = self.orders.setdefault(
                invoice, {"at": line["InvoiceDate"], "buyer": line["CustomerID"], "parts": [], "numbers": []}
            )
            order["parts"].append(part(line))
            order["numbers"].append(number)
            if code not in POSTAGE:  # the file is in the order of time
                name = " ".join(line["Description"].split()) or self.latest[code][0]
                self.latest[code] = (name, Decimal(line["UnitPrice"]))
        for invoice, order in list(self.orders.items()):
            if all(code == "postage" for code, _, _ in order["parts"]):
                self.rejected |= set(self.orders.pop(invoice)["numbers"])
                continue
            order["total"] = sum(price * units for _, price, units in order["parts"])
            self.money_in[order["at"][:7]] += order["total"]
            self.paid_in[order["at"][:7]] += 1

    def give_back(self) -> None:
        of_buyer = defaultdict(list)
        for invoice, order in sorted(self.orders.items(), key=lambda one: one[1]["at"], reverse=True):
            of_buyer[order["buyer"]].append((invoice, order))
        taken: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for number, line in enumerate(self.lines, start=2):
            if not line["InvoiceNo"].startswith("C"):
                continue
            match = good(line) and line["CustomerID"] and self.take(line, of_buyer[line["CustomerID"]])
            if not match:
                self.rejected.add(number)
                continue
            amount = -int(line["Quantity"]) * Decimal(line["UnitPrice"])
            self.money_back[line["InvoiceDate"][:7]] += amount
            taken[line["InvoiceNo"], match] += amount
        self.refunds = len(taken)
        self.called_off = {
            invoice for (_, invoice), amount in taken.items() if amount == self.orders[invoice]["total"]
        }

    @staticmethod
    def take(line: dict[str, str], orders: list[tuple[str, dict]]) -> str | None:
        code, price, units = part(line)
        for invoice, order in orders:
            if order["at"] > line["InvoiceDate"]:
                continue
            fitting = [sold for sold in order["parts"] if sold[:2] == [code, price]]
            if sum(sold[2] for sold in fitting) >= units:
                for sold in fitting:
                    some = min(units, sold[2])
                    sold[2] -= some
                    units -= some
                return invoice
        return None


def good(line: dict[str, str]) -> bool:
    """Whether the row can be part of an order, for all that it says itself."""
    price, units = Decimal(line["UnitPrice"]), int(line["Quantity"])
    return (
        (units < 0) == line["InvoiceNo"].startswith("C")
        and units != 0
        and price > 0
        and price == round(price, 2)
        and not NO_GOODS.fullmatch(line["StockCode"].upper())
    )


def part(line: dict[str, str]) -> list:
    """What a row is about: code, price and units. Postage is counted in pence."""
    code, price, units = line["StockCode"].upper(), Decimal(line["UnitPrice"]), abs(int(line["Quantity"]))
    return ["postage", Decimal("0.01"), int(price * units * 100)] if code in POSTAGE else [code, price, units]


@pytest.fixture(scope="module")
def reckoned() -> Reckoning:
    return Reckoning(FILE)


@pytest.mark.usefixtures("committed", "all_is_well")
def test_import_a_year_of_a_real_shop(reckoned, tmp_path):
    shop = BusinessFactory(time_zone="Europe/London")
    rejects = tmp_path / "rejects.csv"
    call_command("import_orders", FILE, business=shop.slug, rejects=rejects, stdout=StringIO())

    with rejects.open(encoding="utf-8", newline="") as lines:
        assert {int(one["line"]) for one in csv.DictReader(lines)} == reckoned.rejected

    orders = Order.objects.filter(business=shop)
    assert orders.count() == len(reckoned.orders)
    assert set(orders.filter(status="cancelled").values_list("external_id", flat=True)) == reckoned.called_off
    assert set(orders.values_list("status", flat=True)) == {"paid", "cancelled"}
    assert dict(orders.values_list("external_id", "total")) == {
        invoice: order["total"] for invoice, order in reckoned.orders.items()
    }

    year = shop_stats(
        business=shop, first=date(2010, 12, 1), last=date(2011, 12, 31), tz="Europe/London", interval="month"
    )
    (pounds,) = year["currencies"]
    assert {
        str(month["start"])[:7]: (month["gross"], month["refunded"], month["net"], month["orders"])
        for month in pounds["by_interval"]
    } == {
        month: (
            f"{reckoned.money_in[month]:.2f}",
            f"{reckoned.money_back[month]:.2f}",
            f"{reckoned.money_in[month] - reckoned.money_back[month]:.2f}",
            reckoned.paid_in[month],
        )
        for month in reckoned.money_in
    }

    assert Payment.objects.filter(business=shop, kind="refund").count() == reckoned.refunds
    assert {
        sku: (name, price)
        for sku, name, price in Product.objects.filter(business=shop).values_list("sku", "name", "price")
    } == reckoned.latest

    # What came in is what was sold, and what came back is on the shelf again.
    came_in = StockMovement.objects.filter(business=shop, kind__in=["opening", "received"])
    sold = OrderItem.objects.filter(business=shop)
    assert (
        came_in.aggregate(Sum("stock_delta"))["stock_delta__sum"]
        == sold.aggregate(Sum("quantity"))["quantity__sum"]
    )
    came_back = sold.filter(order__status="cancelled").aggregate(Sum("quantity"))["quantity__sum"]
    shelves = Stock.objects.filter(business=shop).aggregate(Sum("stock_quantity"), Sum("reserved_stock"))
    assert (shelves["stock_quantity__sum"], shelves["reserved_stock__sum"]) == (came_back, 0)

    known = {order["buyer"] for order in reckoned.orders.values()} - {""}
    customers = Customer.objects.filter(business=shop)
    assert set(customers.exclude(external_id=None).values_list("external_id", flat=True)) == known
    walk_ins = sum(order["buyer"] == "" for order in reckoned.orders.values())
    assert customers.filter(external_id=None, name="Walk-in").count() == walk_ins

    before = orders.count(), StockMovement.objects.filter(business=shop).count()
    said = StringIO()
    call_command("import_orders", FILE, business=shop.slug, stdout=said)
    assert "Imported 0 orders, 0 products and 0 refunds" in said.getvalue()
    assert (orders.count(), StockMovement.objects.filter(business=shop).count()) == before
