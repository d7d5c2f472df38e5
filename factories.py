"""Rows for tests, made through the same verbs as anyone's."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import factory

from catalog.channels import Channel
from catalog.models import ApiKey, Business, Product, Stock
from catalog.services import add_product, make_api_key
from customers.services import Buyer
from orders import services
from orders.lifecycle import Status
from orders.models import Order
from orders.services import Line, Placement, Receipt
from orders_project.clock import database_now

ACTOR = "person:test"


class BusinessFactory(factory.django.DjangoModelFactory[Business]):
    class Meta:
        model = Business

    name = factory.Sequence(lambda n: f"Shop {n}")
    slug = factory.LazyFunction(lambda: f"shop-{factory.Faker._get_faker().uuid4()}")
    currency = "GBP"
    country = "GB"


def product(shop: Business, sku: str = "MUG-01", *, stock: int = 10, price: str = "9.90", **more: Any) -> Product:
    """A product with some units on its shelf."""
    more.setdefault("name", f"Product {sku}")
    return add_product(
        business=shop,
        sku=sku,
        price=Decimal(price),
        opening_stock=stock,
        actor=ACTOR,
        now=more.pop("now", None) or database_now(),
        **more,
    )


def placement(*lines: tuple[str, int], **more: Any) -> Placement:
    """What a buyer asks for, as (SKU, quantity); a walk-in on WhatsApp unless it says otherwise."""
    more.setdefault("channel", Channel.WHATSAPP)
    more.setdefault("buyer", Buyer(name="Ada"))
    return Placement(lines=tuple(Line(sku, quantity) for sku, quantity in lines), **more)


def place(shop: Business, *lines: tuple[str, int], now: datetime | None = None, **more: Any) -> Order:
    """An order that was placed, or the refusal."""
    return services.place(
        business=shop, placement=placement(*lines, **more), actor=ACTOR, now=now or database_now()
    ).order


def pay(order: Order, *, reference: str = "", now: datetime | None = None, amount: Decimal | None = None) -> Order:
    """The order, paid whole unless it says otherwise."""
    receipt = Receipt(
        order.id, "bank", reference or f"TX-{order.number}", order.total if amount is None else amount
    )
    return services.confirm_payment(
        business_id=order.business_id, receipt=receipt, actor=ACTOR, now=now or database_now()
    )


def verb(name: str, order: Order, *, now: datetime | None = None, **arguments: Any) -> Order:
    """Any other verb of orders.services, on an order."""
    act: Callable[..., Order] = getattr(services, name)
    return act(
        business_id=order.business_id, order_id=order.id, actor=ACTOR, now=now or database_now(), **arguments
    )


def order_in(shop: Business, status: str, *lines: tuple[str, int], now: datetime | None = None) -> Order:
    """An order brought to a status by the verbs that lead there: two mugs, unless it says otherwise."""
    order = place(shop, *(lines or [("MUG-01", 2)]), now=now, draft=status == Status.DRAFT)
    if status == Status.CANCELLED:
        return verb("cancel", order, reason="changed their mind", now=now)
    steps: list[tuple[Status, Callable[[], Order]]] = [
        (Status.PAID, lambda: pay(order, now=now)),
        (Status.PROCESSING, lambda: verb("start_processing", order, now=now)),
        (Status.SHIPPED, lambda: verb("ship", order, carrier="Royal Mail", tracking_number="RM1GB", now=now)),
        (Status.DELIVERED, lambda: verb("deliver", order, now=now)),
    ]
    for reached, step in steps:
        if order.status == status or status == Status.DRAFT:
            break
        order = step()
        assert order.status == reached
    return order


def on_shelf(shop: Business, sku: str = "MUG-01") -> tuple[int, int]:
    """The counters of a product: units on the shelf, and how many of them are held."""
    return Stock.objects.values_list("stock_quantity", "reserved_stock").get(business=shop, product__sku=sku)


def api_key(shop: Business, scope: ApiKey.Scope = ApiKey.Scope.WRITE, **more: Any) -> str:
    """The text of a new key of the shop."""
    return make_api_key(business=shop, name="Test", scope=scope, throttled=False, **more)[1]
