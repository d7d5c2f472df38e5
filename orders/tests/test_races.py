"""Many at once. Each test was seen red with the guard that its docstring names taken out."""

from collections import Counter

import pytest

from catalog.models import Stock
from factories import pay, place, product
from orders.errors import InsufficientStock
from orders.models import Order

pytestmark = pytest.mark.usefixtures("committed", "all_is_well")


def outcomes(answers):
    return Counter(type(answer).__name__ for answer in answers)


def available(shop, sku="MUG-01"):
    return Stock.objects.get(business=shop, product__sku=sku).available


def test_place_hundred_buyers_for_one_unit(shop, at_once):
    """The guard: the WHERE of StockQuerySet.that_allows, and behind it the CHECK stock_never_oversold."""
    product(shop, stock=1)
    answers = at_once([lambda: place(shop, ("MUG-01", 1))] * 100)
    assert outcomes(answers) == {"Order": 1, "InsufficientStock": 99}
    refusal = next(answer for answer in answers if isinstance(answer, InsufficientStock))
    assert refusal.facts["items"][0]["requested"] == 1
    assert refusal.facts["items"][0]["available"] == 0
    assert available(shop) == 0


def test_place_ten_buyers_for_five_units_of_whom_three_pay(shop, at_once):
    """The guard: the WHERE of StockQuerySet.that_allows."""
    product(shop, stock=5)
    answers = at_once([lambda: place(shop, ("MUG-01", 1))] * 10)
    orders = [answer for answer in answers if isinstance(answer, Order)]
    assert outcomes(answers) == {"Order": 5, "InsufficientStock": 5}
    at_once([lambda order=order: pay(order) for order in orders[:3]])
    shelf = Stock.objects.get(business=shop)
    assert (shelf.stock_quantity, shelf.reserved_stock, shelf.available) == (2, 2, 0)
