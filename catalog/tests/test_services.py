"""What a merchant does with the catalog. Whatever moves a counter says who did it and why."""

from decimal import Decimal
from uuid import uuid4

import pytest

from catalog.errors import KeyReused, ProductNotFound, SkuTaken, StockBelowReserved
from catalog.models import Product, Stock, StockMovement
from catalog.services import (
    NewProduct,
    add_products,
    adjust_stock,
    find_product,
    receive_many,
    receive_stock,
)
from factories import ACTOR, BusinessFactory, on_shelf, place, product
from orders_project.errors import InvalidRequest, PreconditionFailed

pytestmark = pytest.mark.usefixtures("db", "all_is_well")


def adjust(goods, delta, reason="counted again", **more):
    given = {"business_id": goods.business_id, "actor": ACTOR, "now": goods.created_at, **more}
    return adjust_stock(product_id=goods.id, delta=delta, reason=reason, **given)


def receive(goods, quantity, **more):
    given = {"business_id": goods.business_id, "actor": ACTOR, "now": goods.created_at, **more}
    return receive_stock(product_id=goods.id, quantity=quantity, **given)


def ledger(goods):
    moved = StockMovement.objects.filter(product=goods).order_by("id")
    return [(line.kind, line.stock_delta, line.actor, line.reason) for line in moved]


# --- add_product -----------------------------------------------------------------------------


def test_add_product_opens_its_ledger(shop, now):
    goods = product(shop, stock=10, price="9.90", now=now)
    assert (goods.currency, goods.price, goods.is_active) == ("GBP", Decimal("9.90"), True)
    assert on_shelf(shop) == (10, 0)
    assert ledger(goods) == [("opening", 10, ACTOR, "")]


def test_add_product_with_an_empty_shelf(shop):
    goods = product(shop, stock=0)
    assert on_shelf(shop) == (0, 0)
    assert ledger(goods) == []


def test_add_product_sku_taken(shop):
    product(shop, "MUG-01", stock=3)
    with pytest.raises(SkuTaken) as refused:
        product(shop, "MUG-01", stock=5)
    assert refused.value.facts == {"sku": "MUG-01"}
    assert on_shelf(shop) == (3, 0)
    product(BusinessFactory(), "MUG-01")  # another shop's SKU is another's


@pytest.mark.parametrize(
    ("currency", "price"), [("GBP", "-0.01"), ("GBP", "9.999"), ("JPY", "0.5"), ("GBP", "1000000000")]
)
def test_add_product_price_that_is_none(currency, price):
    shop = BusinessFactory(currency=currency)
    with pytest.raises(InvalidRequest) as refused:
        product(shop, price=price)
    assert refused.value.facts["errors"][0]["field"] == "price"
    assert not Product.objects.filter(business=shop).exists()


def test_add_product_price_in_thousandths_where_there_are_any():
    shop = BusinessFactory(currency="KWD", country="KW")
    assert product(shop, price="1.005").price == Decimal("1.005")


def test_add_products_all_or_none(shop, now):
    product(shop, "MUG-02", stock=3)
    new = [NewProduct(f"MUG-0{n}", "A mug", Decimal("9.90"), opening_stock=n) for n in (0, 1, 2)]
    with pytest.raises(SkuTaken) as refused:
        add_products(business=shop, new=new, actor=ACTOR, now=now)
    assert refused.value.facts == {"sku": "MUG-02"}
    assert Product.objects.filter(business=shop).count() == 1
    add_products(business=shop, new=new[:2], actor=ACTOR, now=now)
    assert [on_shelf(shop, f"MUG-0{n}") for n in (0, 1)] == [(0, 0), (1, 0)]


def test_find_product_of_another_shop(shop):
    goods = product(BusinessFactory())
    for product_id in (goods.id, uuid4()):
        with pytest.raises(ProductNotFound) as refused:
            find_product(business_id=shop.id, product_id=product_id)
        assert refused.value.facts == {"product": str(product_id)}


# --- receive_stock ---------------------------------------------------------------------------


def test_receive_stock_adds_to_the_shelf(shop):
    goods = product(shop, stock=10)
    place(shop, ("MUG-01", 4))
    shelf = receive(goods, 5, reason="delivery 17")
    assert (shelf.stock_quantity, shelf.reserved_stock, shelf.available) == (15, 4, 11)
    assert ledger(goods)[-1] == ("received", 5, ACTOR, "delivery 17")


@pytest.mark.parametrize("quantity", [0, -1, 1_000_001])
def test_receive_stock_out_of_range(shop, quantity):
    goods = product(shop)
    with pytest.raises(InvalidRequest):
        receive(goods, quantity)
    assert on_shelf(shop) == (10, 0)


def test_receive_stock_of_another_shop(shop):
    goods = product(BusinessFactory())
    with pytest.raises(ProductNotFound):
        receive(goods, 5, business_id=shop.id)


def test_receive_many_goods_at_once(shop, now):
    goods = [product(shop, f"MUG-0{n}", stock=1) for n in range(3)]
    units = {goods[0].id: 5, goods[2].id: 7}
    receive_many(business_id=shop.id, units=units, actor=ACTOR, now=now, reason="Monday's van")
    assert [on_shelf(shop, one.sku) for one in goods] == [(6, 0), (1, 0), (8, 0)]
    assert ledger(goods[2])[-1] == ("received", 7, ACTOR, "Monday's van")


# --- adjust_stock ----------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [+3, -3, -10])
def test_adjust_stock_by_a_delta_with_a_reason(shop, delta):
    """Failure 17: nobody can say who changed the stock."""
    goods = product(shop, stock=10)
    shelf = adjust(goods, delta, "three were chipped")
    assert (shelf.stock_quantity, shelf.version) == (10 + delta, 3)
    assert ledger(goods)[-1] == ("adjusted", delta, ACTOR, "three were chipped")


@pytest.mark.parametrize("reason", ["", "  "])
def test_adjust_stock_without_a_reason(shop, reason):
    """Failure 17: nobody can say who changed the stock."""
    goods = product(shop)
    with pytest.raises(InvalidRequest) as refused:
        adjust(goods, -1, reason)
    assert refused.value.facts["errors"][0]["field"] == "reason"
    assert on_shelf(shop) == (10, 0)


@pytest.mark.parametrize("delta", [0, 1_000_001, -1_000_001])
def test_adjust_stock_out_of_range(shop, delta):
    with pytest.raises(InvalidRequest) as refused:
        adjust(product(shop), delta)
    assert refused.value.facts["errors"][0]["field"] == "delta"


def test_adjust_stock_below_what_is_held(shop):
    goods = product(shop, stock=10)
    place(shop, ("MUG-01", 8))
    with pytest.raises(StockBelowReserved) as refused:
        adjust(goods, -3)
    assert refused.value.facts == {"stock_quantity": 10, "reserved_stock": 8, "delta": -3}
    assert adjust(goods, -2).available == 0


def test_adjust_stock_of_another_shop(shop):
    goods = product(BusinessFactory())
    with pytest.raises(ProductNotFound):
        adjust(goods, -1, business_id=shop.id)


def test_adjust_stock_at_the_expected_version(shop):
    """Failure 20: an absolute stock write loses sales made meanwhile."""
    goods = product(shop, stock=10)
    seen = Stock.objects.get(product=goods).version
    place(shop, ("MUG-01", 1))  # a sale meanwhile
    with pytest.raises(PreconditionFailed) as refused:
        adjust(goods, -1, expected_version=seen)
    assert refused.value.facts == {"version": seen + 1, "expected": seen}
    shelf = adjust(goods, -1, expected_version=seen + 1)
    assert (shelf.stock_quantity, shelf.reserved_stock, shelf.version) == (9, 1, seen + 2)


def test_adjust_stock_with_the_same_key(shop):
    goods = product(shop, stock=10)
    first, again = (adjust(goods, -3, idempotency_key="k-1") for _ in range(2))
    assert first.stock_quantity == again.stock_quantity == 7
    assert adjust(goods, -3, idempotency_key="k-2").stock_quantity == 4
    assert adjust(goods, -3).stock_quantity == 1


def test_adjust_stock_with_the_same_key_and_an_old_version(shop):
    """The repeat of a change that was made is a success, though the version has moved on, by it."""
    goods = product(shop, stock=10)
    version = Stock.objects.get(product=goods).version
    for _ in range(2):
        shelf = adjust(goods, -3, idempotency_key="k-1", expected_version=version)
    assert shelf.stock_quantity == 7


def test_adjust_stock_with_the_same_key_for_another_change(shop):
    goods, other = product(shop, stock=10), product(shop, "TEA-01", stock=10)
    adjust(goods, -3, "chipped", idempotency_key="k-1")
    for attempt in (
        lambda: adjust(goods, -4, "chipped", idempotency_key="k-1"),
        lambda: adjust(goods, -3, "stolen", idempotency_key="k-1"),
        lambda: adjust(other, -3, "chipped", idempotency_key="k-1"),
    ):
        with pytest.raises(KeyReused) as refused:
            attempt()
        assert refused.value.facts == {"idempotency_key": "k-1"}
    assert [on_shelf(shop), on_shelf(shop, "TEA-01")] == [(7, 0), (10, 0)]
    elsewhere = product(BusinessFactory(), stock=10)
    assert adjust(elsewhere, -3, "chipped", idempotency_key="k-1").stock_quantity == 7
