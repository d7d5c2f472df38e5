"""What the rows become: sales, and returns of earlier sales. docs/import.md tells a merchant these rules."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orders.importing.reading import Reason, Reject, Row
from orders_project import money

POSTAGE_CODES = {"POST", "DOT", "C2"}
NO_GOODS = {"M", "D", "S", "B", "PADS", "CRUK", "AMAZONFEE", "BANK CHARGES"}
VOUCHERS = "GIFT_"  # what their codes begin with

# What a sale is made of: units of a SKU at a price. Postage has no units, so its pence are counted.
Part = tuple[str, Decimal]
POSTAGE = ""


@dataclass(frozen=True, slots=True)
class Sale:
    """An invoice that becomes an order: the rows of its goods, and those of its postage."""

    invoice: str
    at: datetime
    customer: str
    country: str
    goods: list[Row]
    postage: list[Row]

    @property
    def rows(self) -> list[Row]:
        return self.goods + self.postage

    @property
    def skus(self) -> set[str]:
        return {row.sku for row in self.goods}

    @property
    def shipping_fee(self) -> Decimal:
        return sum((row.amount for row in self.postage), Decimal(0))

    @property
    def total(self) -> Decimal:
        return sum((row.amount for row in self.rows), Decimal(0))


@dataclass(slots=True)
class Returnable:
    """A sale that may still be called off: its total, and the parts and the money that are left of it."""

    invoice: str
    at: datetime
    customer: str
    total: Decimal
    left: Counter[Part]
    money: Decimal

    def give_back(self, part: Part, units: int) -> bool:
        """Take units of a part off what is left, and their money, if there is so much."""
        amount = units * part[1]
        if units > self.left[part] or amount > self.money:
            return False
        self.left[part] -= units
        self.money -= amount
        return True


@dataclass(frozen=True, slots=True)
class Return:
    """What a cancellation calls off of one sale, `whole` if that is all of it; the amount goes back."""

    cancellation: str
    sale: str
    at: datetime
    rows: list[Row]
    amount: Decimal
    whole: bool

    @property
    def reference(self) -> str:
        return refund_reference(self.cancellation, self.sale)


@dataclass(frozen=True, slots=True)
class Goods:
    """A product as its latest sale has it."""

    name: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: the sales, and the returns of each cancellation, both in the order of time; the
    goods by SKU."""

    sales: list[Sale]
    cancellations: list[list[Return]]
    goods: dict[str, Goods]
    rejects: list[Reject]


def refund_reference(cancellation: str, sale: str) -> str:
    """What a refund is called: a cancellation may call off parts of several sales."""
    return f"{cancellation} of {sale}"


def decide(
    rows: Iterable[Row],
    *,
    currency: str,
    now: datetime,
    known_skus: Collection[str],
    earlier: Iterable[Returnable],
    told: Collection[str],
) -> Plan:
    """Decide what each row becomes. Writes nothing, and decides the same rows the same way again.

    `known_skus` are in the catalog, so they need no description; `earlier` are sales of other files, which
    cancellations in this one may be meant for; `told` are the references of the refunds that were made.
    """
    rejects: list[Reject] = []
    sold: defaultdict[str, list[Row]] = defaultdict(list)
    called_off: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        invoice = (called_off if row.is_cancellation else sold)[row.invoice]
        if reason := _wrong(row, invoice, currency, now):
            rejects.append(row.reject(reason))
        else:
            invoice.append(row)
    goods = _goods(row for invoice in sold.values() for row in invoice)
    named = goods.keys() | known_skus
    sales = [sale for invoice in sold.values() if invoice and (sale := _sale(invoice, named, rejects))]
    sales.sort(key=lambda sale: sale.at)
    returnable = [*earlier, *(_returnable(sale, currency) for sale in sales)]
    cancellations = _match(filter(None, called_off.values()), returnable, currency, told, rejects)
    rejects.sort(key=lambda reject: reject.line)
    return Plan(sales, cancellations, goods, rejects)


def _wrong(row: Row, invoice: Sequence[Row], currency: str, now: datetime) -> Reason | None:
    """Why a row can be no part of the invoice, of which these rows are known, if so."""
    wrong = {
        Reason.FUTURE: row.at > now,
        Reason.NO_GOODS: row.sku in NO_GOODS or row.sku.startswith(VOUCHERS),
        Reason.NOTHING_SOLD: row.quantity <= 0 and not row.is_cancellation,
        Reason.NOTHING_RETURNED: row.quantity >= 0 and row.is_cancellation,
        Reason.NO_PRICE: row.price <= 0,
        Reason.NOT_EXACT: not money.is_exact(row.price, currency),
        Reason.NO_CUSTOMER: not row.customer and row.is_cancellation,
        Reason.OTHER_CUSTOMER: bool(invoice) and row.customer != invoice[0].customer,
    }
    return next((reason for reason, is_so in wrong.items() if is_so), None)


def _goods(sold: Iterable[Row]) -> dict[str, Goods]:
    """The products of these rows, those that have a description anywhere."""
    names: dict[str, str] = {}
    prices: dict[str, Decimal] = {}
    for row in sorted(sold, key=lambda row: (row.at, row.line)):
        if row.sku not in POSTAGE_CODES:
            prices[row.sku] = row.price
            if row.description:
                names[row.sku] = row.description
    return {sku: Goods(name, prices[sku]) for sku, name in names.items()}


def _sale(rows: list[Row], named: Collection[str], rejects: list[Reject]) -> Sale | None:
    """The sale of an invoice's rows, if there are goods among them."""
    first = rows[0]
    goods: list[Row] = []
    postage: list[Row] = []
    for row in rows:
        if row.sku in POSTAGE_CODES:
            postage.append(row)
        elif row.sku not in named:
            rejects.append(row.reject(Reason.NO_DESCRIPTION))
        else:
            goods.append(row)
    if not goods:
        rejects += [row.reject(Reason.POSTAGE_ONLY) for row in postage]
        return None
    return Sale(first.invoice, first.at, first.customer, first.country, goods, postage)


def _part(row: Row, currency: str) -> tuple[Part, int]:
    """What a row is about, and of how many units."""
    if row.sku in POSTAGE_CODES:
        return postage_part(row.amount, currency)
    return (row.sku, row.price), row.quantity


def postage_part(amount: Decimal, currency: str) -> tuple[Part, int]:
    """Postage as a part of a sale, in units of the currency's smallest coin."""
    coin = money.unit(currency)
    return (POSTAGE, coin), int(amount / coin)


def _returnable(sale: Sale, currency: str) -> Returnable:
    left: Counter[Part] = Counter()
    for row in sale.rows:
        part, units = _part(row, currency)
        left[part] += units
    return Returnable(sale.invoice, sale.at, sale.customer, sale.total, left, money=sale.total)


def _match(
    cancellations: Iterable[Sequence[Row]],
    returnable: Iterable[Returnable],
    currency: str,
    told: Collection[str],
    rejects: list[Reject],
) -> list[list[Return]]:
    """Find the sale of each row of the cancellations: the customer's latest that still has so much of it."""
    sales_of: defaultdict[str, list[Returnable]] = defaultdict(list)
    for sale in sorted(returnable, key=lambda sale: sale.at, reverse=True):
        sales_of[sale.customer].append(sale)
    matched = []
    for rows in sorted(cancellations, key=lambda rows: rows[0].at):
        first = rows[0]
        earlier = [sale for sale in sales_of[first.customer] if sale.at <= first.at]
        # What it gave back before it gives back of the same sale, whatever other files have brought since.
        earlier.sort(key=lambda sale: refund_reference(first.invoice, sale.invoice) not in told)
        found: dict[str, tuple[Returnable, list[Row]]] = {}
        for row in rows:
            part, units = _part(row, currency)
            match = next((sale for sale in earlier if sale.give_back(part, -units)), None)
            if match is None:
                rejects.append(row.reject(Reason.NO_ORDER))
            else:
                found.setdefault(match.invoice, (match, []))[1].append(row)
        matched.append([_return(sale, theirs, first.at) for sale, theirs in found.values()])
    return matched


def _return(sale: Returnable, rows: list[Row], at: datetime) -> Return:
    amount = -sum((row.amount for row in rows), Decimal(0))
    return Return(rows[0].invoice, sale.invoice, at, rows, amount, whole=amount == sale.total)
