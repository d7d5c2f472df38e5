"""Placing an order: who buys, what it costs, what it holds, and every reason to say no."""

from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from msgspec.structs import replace

from catalog.models import Product, StockMovement
from customers.errors import InvalidPhone, UnknownCustomer
from customers.models import Customer
from customers.services import Buyer
from factories import ACTOR, BusinessFactory, on_shelf, place, placement, product
from orders import services
from orders.errors import (
    CurrencyMismatch,
    DiscountTooLarge,
    InactiveProducts,
    InsufficientStock,
    UnknownProducts,
)
from orders.models import Order
from orders.services import Line
from orders_project.errors import InvalidRequest
from reservations.models import StockReservation

pytestmark = pytest.mark.usefixtures("db", "all_is_well")

MINUTE = timedelta(minutes=1)


def refuse(error, shop, *lines, **more):
    """The facts of the refusal; nothing may have been written."""
    before = on_shelf(shop) if Product.objects.filter(business=shop, sku="MUG-01").exists() else None
    with pytest.raises(error) as refused:
        place(shop, *lines, **more)
    assert not Order.objects.filter(business=shop).exists()
    assert not Customer.objects.filter(business=shop).exists()
    assert before is None or on_shelf(shop) == before
    return refused.value.facts


# --- what is held ----------------------------------------------------------------------------


def test_place_holds_stock_for_the_payment_window(shop, now):
    product(shop, stock=10)
    order = place(shop, ("MUG-01", 3), now=now)
    assert (order.status, order.payment_status) == ("pending", "pending")
    assert order.payment_due_at == order.placed_at + 15 * MINUTE == now + 15 * MINUTE
    assert on_shelf(shop) == (10, 3)
    hold = StockReservation.objects.get(order_id=order.id)
    assert (hold.quantity, hold.status, hold.expires_at) == (3, "active", order.payment_due_at)


def test_place_holds_for_as_long_as_the_shop_says(now):
    shop = BusinessFactory(payment_window_minutes=90)
    product(shop)
    assert place(shop, ("MUG-01", 1), now=now).payment_due_at == now + 90 * MINUTE


def test_place_writes_who_did_it(shop, now):
    product(shop)
    order = place(shop, ("MUG-01", 3), now=now)
    moved = StockMovement.objects.get(order_id=order.id)
    assert (moved.kind, moved.reserved_delta, moved.stock_delta) == ("reserved", 3, 0)
    assert (moved.actor, moved.at) == (ACTOR, now)
    event = order.events.get()
    assert (event.kind, event.version, event.actor, event.at) == ("placed", 1, ACTOR, now)
    assert event.facts == {"channel": "whatsapp", "total": "29.70"}


def test_place_last_units(shop):
    product(shop, stock=3)
    place(shop, ("MUG-01", 3))
    assert on_shelf(shop) == (3, 3)


def test_place_lines_of_one_sku_are_merged_before_they_reserve(shop):
    """Failure 2: the same SKU on two lines passes the check twice."""
    goods = product(shop, stock=3)
    facts = refuse(InsufficientStock, shop, ("MUG-01", 2), ("MUG-01", 2))
    assert facts["items"] == [{"sku": "MUG-01", "product": str(goods.id), "requested": 4, "available": 3}]
    asked = replace(placement(), lines=(Line("MUG-01", 1), Line(goods.id, 2)))  # once by SKU, once by id
    order = services.place(business=shop, placement=asked, actor=ACTOR, now=goods.created_at).order
    assert [(item.quantity, item.line_total) for item in order.items.all()] == [(3, Decimal("29.70"))]
    assert [hold.quantity for hold in StockReservation.objects.filter(order_id=order.id)] == [3]


def test_place_lists_every_short_sku(shop):
    mug = product(shop, "MUG-01", stock=1)
    product(shop, "TEA-01", stock=5)
    cup = product(shop, "CUP-01", stock=0)
    with pytest.raises(InsufficientStock) as refused:
        place(shop, ("MUG-01", 2), ("TEA-01", 5), ("CUP-01", 1))
    assert refused.value.facts["items"] == [
        {"sku": "MUG-01", "product": str(mug.id), "requested": 2, "available": 1},
        {"sku": "CUP-01", "product": str(cup.id), "requested": 1, "available": 0},
    ]
    assert refused.value.detail == (
        "Product MUG-01: only 1 left, you asked for 2; Product CUP-01: none left, you asked for 1."
    )
    assert on_shelf(shop, "TEA-01") == (5, 0)


def test_place_counts_what_others_hold_as_gone(shop):
    """Failure 5: "in stock" is shown while all units are held."""
    goods = product(shop, stock=10)
    place(shop, ("MUG-01", 8))
    with pytest.raises(InsufficientStock) as refused:
        place(shop, ("MUG-01", 3))
    assert refused.value.facts["items"][0]["available"] == 2
    goods.stock.refresh_from_db()
    assert goods.stock.available == 2


def test_place_draft_holds_nothing_and_needs_nothing(shop):
    product(shop, stock=0)
    order = place(shop, ("MUG-01", 2), draft=True)
    assert (order.status, order.placed_at, order.payment_due_at) == ("draft", None, None)
    assert order.events.get().kind == "created"
    assert on_shelf(shop) == (0, 0)
    assert not StockReservation.objects.filter(order_id=order.id).exists()


def test_place_many_answers_order_by_order(shop, now):
    """A bulk is no all-or-nothing: each is placed whole or refused, in the order of their arrival."""
    product(shop, stock=5)
    asked = [
        placement(("MUG-01", 3)),
        placement(("MUG-01", 3)),  # two are left
        placement(("NIX-99", 1)),
        placement(("MUG-01", 2)),
    ]
    first, second, third, fourth = services.place_many(business=shop, placements=asked, actor=ACTOR, now=now)
    assert second.facts["items"][0]["available"] == 2
    assert isinstance(third, UnknownProducts)
    assert [placed.order.items.get().quantity for placed in (first, fourth)] == [3, 2]
    assert on_shelf(shop) == (5, 5)


# --- what it costs ---------------------------------------------------------------------------


def test_place_takes_the_prices_of_the_catalog(shop):
    product(shop, "MUG-01", price="9.90")
    product(shop, "TEA-01", price="4.35")
    order = place(shop, ("MUG-01", 3), ("TEA-01", 2), shipping_fee=Decimal("3.50"), discount=Decimal("5"))
    order.refresh_from_db()
    assert order.subtotal == Decimal("38.40")
    assert (order.shipping_fee, order.discount) == (Decimal("3.50"), Decimal(5))
    assert order.total == Decimal("36.90")
    assert order.currency == "GBP"


def test_place_keeps_the_prices_and_names_of_its_day(shop):
    goods = product(shop, price="9.90", name="Mug, blue")
    order = place(shop, ("MUG-01", 2))
    Product.objects.filter(id=goods.id).update(price=Decimal("12.00"), name="Mug, sky", sku="MUG-1B")
    order = Order.objects.get(id=order.id)
    item = order.items.get()
    assert (item.sku, item.name, item.unit_price, item.line_total) == (
        "MUG-01",
        "Mug, blue",
        Decimal("9.90"),
        Decimal("19.80"),
    )
    assert order.total == Decimal("19.80")


def test_place_discount_of_the_whole(shop):
    product(shop, price="9.90")
    assert place(shop, ("MUG-01", 1), discount=Decimal("9.90")).total == 0


def test_place_discount_too_large(shop):
    product(shop, price="9.90")
    facts = refuse(DiscountTooLarge, shop, ("MUG-01", 1), discount=Decimal("9.91"), shipping_fee=Decimal(5))
    assert facts == {"discount": "9.91", "subtotal": "9.90", "currency": "GBP"}


@pytest.mark.parametrize("field", ["discount", "shipping_fee"])
def test_place_amount_that_nobody_can_pay(field):
    shop = BusinessFactory(currency="JPY", country="JP")
    product(shop, price="900")
    facts = refuse(InvalidRequest, shop, ("MUG-01", 1), **{field: Decimal("0.5")})
    assert facts["errors"][0]["field"] == field


def test_place_in_another_currency(shop):
    product(shop)
    facts = refuse(CurrencyMismatch, shop, ("MUG-01", 1), currency="USD")
    assert facts == {"currency": "USD", "expected": "GBP"}
    assert place(shop, ("MUG-01", 1), currency="GBP").currency == "GBP"


def test_place_number_is_of_the_shops_own_day(now):
    shop = BusinessFactory(time_zone="Pacific/Auckland")
    product(shop)
    late = now.replace(hour=23)  # already tomorrow there
    order = place(shop, ("MUG-01", 1), now=late, draft=True)
    assert order.number.startswith(f"{late + timedelta(days=1):%y%m%d}-")


# --- what can't be ordered -------------------------------------------------------------------


def test_place_unknown_products(shop):
    product(shop)
    product(BusinessFactory(), "MUG-02")  # another shop's
    nothing = uuid4()
    asked = replace(placement(("MUG-01", 1), ("MUG-02", 1), ("NIX-99", 1)), buyer=Buyer(name="Ada"))
    asked = replace(asked, lines=(*asked.lines, Line(nothing, 1)))
    with pytest.raises(UnknownProducts) as refused:
        services.place(business=shop, placement=asked, actor=ACTOR, now=shop.created_at)
    assert refused.value.facts["items"] == [{"sku": "MUG-02"}, {"sku": "NIX-99"}, {"product": str(nothing)}]
    assert on_shelf(shop) == (10, 0)


def test_place_inactive_product(shop):
    goods = product(shop)
    Product.objects.filter(id=goods.id).update(is_active=False)
    facts = refuse(InactiveProducts, shop, ("MUG-01", 1))
    assert facts["items"] == [{"sku": "MUG-01", "product": str(goods.id)}]


# --- who buys --------------------------------------------------------------------------------


def test_place_walk_ins_are_customers_of_their_own(shop):
    product(shop)
    first, second = (place(shop, ("MUG-01", 1), buyer=Buyer(name="Ada")) for _ in range(2))
    assert first.customer_id != second.customer_id


@pytest.mark.parametrize(
    "again",
    [
        {"external_id": "c-17"},
        {"phone": "+44 7700 900123"},
        {"phone": "07700 900123"},  # as it is dialled at home
        {"phone": "(07700) 900-123"},
        {"email": "ada@example.com"},
        {"email": "Ada@Example.COM"},
    ],
)
def test_place_recognises_the_customer(shop, again):
    product(shop)
    ada = Buyer(name="Ada", external_id="c-17", phone="+447700900123", email="ada@example.com")
    first = place(shop, ("MUG-01", 1), buyer=ada)
    second = place(shop, ("MUG-01", 2), buyer=Buyer(name="A. Lovelace", **again))
    assert second.customer_id == first.customer_id
    customer = Customer.objects.get(business=shop)
    assert (customer.name, customer.phone, customer.email) == ("Ada", "+447700900123", "ada@example.com")


def test_place_recognises_the_customer_by_id(shop):
    product(shop)
    ada = place(shop, ("MUG-01", 1)).customer
    assert place(shop, ("MUG-01", 2), buyer=Buyer(id=ada.id)).customer_id == ada.id


def test_place_recognises_by_the_strongest_name_first(shop):
    """External id before phone before email: a shared family email is not taken for the person."""
    product(shop, stock=20)

    def customer(**identity):
        return place(shop, ("MUG-01", 1), buyer=Buyer(name="Someone", **identity)).customer_id

    by_id, by_phone, by_email = (
        customer(external_id="c-1"),
        customer(phone="+447700900001"),
        customer(email="all@example.com"),
    )
    assert len({by_id, by_phone, by_email}) == 3
    whole = {"external_id": "c-1", "phone": "+447700900001", "email": "all@example.com"}

    def again(**identity):
        return place(shop, ("MUG-01", 2), buyer=Buyer(name="Someone", **identity), external_id=str(uuid4()))

    assert again(**whole).customer_id == by_id
    assert again(**whole | {"external_id": "c-2"}).customer_id == by_phone
    assert again(email="all@example.com").customer_id == by_email


def test_place_local_phone_is_read_as_of_the_shops_country(shop):
    kenyan = BusinessFactory(currency="KES", country="KE")
    for business in (shop, kenyan):
        product(business)
    assert (
        place(shop, ("MUG-01", 1), buyer=Buyer(name="A", phone="07700 900123")).customer.phone == "+447700900123"
    )
    assert (
        place(kenyan, ("MUG-01", 1), buyer=Buyer(name="B", phone="0712 345678")).customer.phone == "+254712345678"
    )


@pytest.mark.parametrize("phone", ["12", "not a phone", "+44", "0" * 30])
def test_place_invalid_phone(shop, phone):
    product(shop)
    facts = refuse(InvalidPhone, shop, ("MUG-01", 1), buyer=Buyer(name="Ada", phone=phone))
    assert facts == {"phone": phone, "country": "GB"}


def test_place_unknown_customer(shop):
    product(shop)
    other = BusinessFactory()
    product(other)
    strangers = [uuid4(), place(other, ("MUG-01", 1)).customer_id]
    for stranger in strangers:
        facts = refuse(UnknownCustomer, shop, ("MUG-01", 1), buyer=Buyer(id=stranger))
        assert facts == {"customer": str(stranger)}


def test_place_customers_of_two_shops_are_two_customers(shop):
    other = BusinessFactory()
    ada = Buyer(name="Ada", phone="+447700900123")
    for business in (shop, other):
        product(business)
        place(business, ("MUG-01", 1), buyer=ada)
    assert Customer.objects.filter(phone="+447700900123", business__in=[shop, other]).count() == 2


def test_place_many_one_new_customer_of_several_orders(shop, now):
    product(shop)
    asked = [
        placement(("MUG-01", quantity), buyer=Buyer(name="Ada", phone=phone))
        for quantity, phone in ((1, "07700 900123"), (2, "+447700900123"))
    ]
    first, second = services.place_many(business=shop, placements=asked, actor=ACTOR, now=now)
    assert first.order.customer_id == second.order.customer_id
