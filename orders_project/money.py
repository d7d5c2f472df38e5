"""Amounts of money: Decimal, with the currency's own number of decimals (ISO 4217, from CLDR)."""

from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache

from babel.numbers import format_currency, get_currency_precision

# Room for the dearest order there may be: 100 lines of 100,000 units at 999,999,999.999 each.
MAX_DIGITS = 20
DECIMAL_PLACES = 3  # the most that any currency has
LARGEST_PRICE = Decimal("999999999.999")


@cache
def unit(currency: str) -> Decimal:
    """The smallest amount of a currency: 0.01 for GBP, 1 for JPY, 0.001 for KWD."""
    return Decimal(1).scaleb(-get_currency_precision(currency))


def is_exact(amount: Decimal, currency: str) -> bool:
    """Whether the amount can be paid in this currency, without parts of its smallest unit."""
    return amount % unit(currency) == 0


def text(amount: Decimal, currency: str) -> str:
    """The amount as clients read it: "19.90" of GBP, "1990" of JPY; in full where there is no such coin."""
    exact = amount.quantize(unit(currency))
    return f"{exact if exact == amount else amount:f}"


def shown(amount: Decimal, currency: str) -> str:
    """The amount as people read it: £1,234.50, −£3.00"""
    return format_currency(amount, currency, locale="en").replace("-", "−")


def rounded(amount: Decimal, currency: str) -> Decimal:
    """The amount to the currency's smallest unit, halves to even, as banks do."""
    return amount.quantize(unit(currency), ROUND_HALF_EVEN)
