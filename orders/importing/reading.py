"""From a CSV file to rows: what each line says, or why it can't be read. Knows nothing of orders yet."""

import csv
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
LONGEST = {"InvoiceNo": 50, "StockCode": 64, "Description": 200, "CustomerID": 100, "Country": 60}  # characters
ZONE = ZoneInfo("Europe/London")  # InvoiceDate names none

EARLIEST = 1970  # the year; before it no shop had such a file
LARGEST_QUANTITY = 100_000  # units in one row; more is a slip of the finger

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")
DECIMAL_NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?")


class NotReadable(Exception):
    """The file as a whole can't be read; the message is one line for the person at the terminal."""


class Reason(StrEnum):
    """Why a row doesn't become a part of an order. docs/import.md says more about each."""

    MALFORMED = "It is no line of CSV with as many cells as the header."
    CONTROL_CHARACTERS = "It has control characters."
    TOO_LONG = "A text is too long."
    NO_INVOICE = "The invoice number is missing."
    NO_SKU = "The stock code is missing."
    QUANTITY = "The quantity is not a whole number, or more than 100,000."
    DATE = "The date can't be read."
    PRICE = "The price can't be read."

    FUTURE = "It is dated in the future."
    NO_GOODS = "The stock code stands for no goods."
    NO_PRICE = "The price is 0 or less."
    NOT_EXACT = "The price can't be paid in this currency."
    NOTHING_SOLD = "The quantity is 0 or less, on an invoice that is no cancellation."
    NOTHING_RETURNED = "The quantity is not negative, on a cancellation."
    NO_DESCRIPTION = "No sale of this product has a description."
    OTHER_CUSTOMER = "The customer is not the one of the invoice's first row."
    POSTAGE_ONLY = "Postage, on an invoice without goods."
    NO_LONGER_SOLD = "A product of this invoice is no longer sold."

    NO_CUSTOMER = "A cancellation without a customer."
    NO_ORDER = "No earlier order of this customer has so many units at this price left to call off."


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that does not become a part of an order, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line that could be read. Price in the business's currency; without a customer, a walk-in."""

    line: int
    text: str
    invoice: str
    sku: str
    description: str
    quantity: int
    at: datetime
    price: Decimal
    customer: str
    country: str

    @property
    def amount(self) -> Decimal:
        """What the row comes to; negative on a cancellation."""
        return self.quantity * self.price

    @property
    def is_cancellation(self) -> bool:
        return self.invoice.startswith("C")

    def reject(self, reason: str) -> Reject:
        return Reject(self.line, self.text, reason)


def read(path: Path) -> tuple[list[Row], list[Reject]]:
    """The rows of the file, and the lines that are none. Raises NotReadable for what is no such file at all.

    One line is one row, so a quote that is never closed spoils its own line and not the rest of the file.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header, *lines = [line.removesuffix("\n") for line in file] or [""]
    except OSError as error:
        raise NotReadable(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise NotReadable(f"{path} is not text in UTF-8.") from error
    columns = _cells(header)
    if missing := [column for column in COLUMNS if column not in columns]:
        raise NotReadable(f"{path} is no CSV file of orders: its first line lacks {', '.join(missing)}.")
    rows: list[Row] = []
    rejects: list[Reject] = []
    for line, text in enumerate(lines, start=2):
        if text:
            try:
                rows.append(_row(line, text, columns))
            except _NotARow as wrong:
                rejects.append(Reject(line, text, wrong.reason))
    return rows, rejects


class _NotARow(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason = reason


def _cells(text: str) -> list[str]:
    """The cells of one line; none if it is not CSV."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []


def _instant(text: str) -> datetime:
    """Raises ValueError for what is none."""
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=ZONE)).astimezone(UTC)


def _is_instant(text: str) -> bool:
    with suppress(ValueError, OverflowError):
        return _instant(text).year >= EARLIEST
    return False


# What is wrong with a line of the right number of cells, asked in this order.
WRONG: dict[Reason, Callable[[dict[str, str]], object]] = {
    Reason.TOO_LONG: lambda cell: any(len(cell[column]) > longest for column, longest in LONGEST.items()),
    Reason.NO_INVOICE: lambda cell: not cell["InvoiceNo"],
    Reason.NO_SKU: lambda cell: not cell["StockCode"],
    Reason.QUANTITY: lambda cell: (
        not WHOLE_NUMBER.fullmatch(cell["Quantity"]) or abs(int(cell["Quantity"])) > LARGEST_QUANTITY
    ),
    Reason.DATE: lambda cell: not _is_instant(cell["InvoiceDate"]),
    Reason.PRICE: lambda cell: not DECIMAL_NUMBER.fullmatch(cell["UnitPrice"]),
}


def _row(line: int, text: str, columns: Sequence[str]) -> Row:
    cells = _cells(text)
    if CONTROL_CHARACTER.search(text):
        raise _NotARow(Reason.CONTROL_CHARACTERS)
    if len(cells) != len(columns):
        raise _NotARow(Reason.MALFORMED)
    cell = {column: " ".join(words.split()) for column, words in zip(columns, cells, strict=True)}
    cell |= {column: cell[column].upper() for column in ("InvoiceNo", "StockCode")}
    for reason, is_wrong in WRONG.items():
        if is_wrong(cell):
            raise _NotARow(reason)
    return Row(
        line=line,
        text=text,
        invoice=cell["InvoiceNo"],
        sku=cell["StockCode"],
        description=cell["Description"],
        quantity=int(cell["Quantity"]),
        at=_instant(cell["InvoiceDate"]),
        price=Decimal(cell["UnitPrice"]).normalize(),  # 2.5 and 2.50 are the same order, told twice
        customer=cell["CustomerID"],
        country=cell["Country"],
    )
