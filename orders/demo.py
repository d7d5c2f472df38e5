"""A believable shop to look at and to try things on: two months of a gift and homeware shop's trade.

It comes about by the same verbs as any shop's, each at its time in the past, and in one transaction: the
shop is there whole or not at all, and no sweep sees it half-made. The same every time, but for the clock.
"""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from django.db import transaction

from catalog.channels import Channel
from catalog.models import Business, Product
from catalog.services import add_product, adjust_stock, receive_stock
from customers import services as customers
from customers.services import Buyer, Person
from orders import services
from orders.demo_names import EMAIL_HOSTS, FIRST_NAMES, LAST_NAMES, PLACES, PRODUCTS
from orders.models import Order
from orders.services import Line, Placed, Placement, Receipt
from orders_project.rows import insert

SLUG = "demo"
ACTOR = "person:demo"
DAYS = 60
CUSTOMERS = 200

MINUTE = timedelta(minutes=1)


class Fate(Enum):
    """What becomes of an order."""

    DELIVERED = auto()
    SHIPPED = auto()
    PROCESSING = auto()
    PAID = auto()
    PAID_LATE = auto()
    PARTLY_REFUNDED = auto()
    WAITING = auto()
    PAYMENT_FAILED = auto()
    DRAFT = auto()
    EXPIRED = auto()
    CALLED_OFF = auto()
    CALLED_OFF_PAID = auto()
    REFUNDED = auto()
    PAID_TOO_LATE = auto()


# How many orders of each fate, and how many days ago the youngest and the oldest of them was placed.
TRADE = {
    Fate.DELIVERED: (195, 6, DAYS),
    Fate.SHIPPED: (36, 2, 6),
    Fate.PROCESSING: (18, 1, 3),
    Fate.PAID: (22, 0.1, 2),
    Fate.PAID_LATE: (6, 1, 40),
    Fate.PARTLY_REFUNDED: (9, 6, 50),
    Fate.DRAFT: (8, 0.1, 5),
    Fate.EXPIRED: (58, 0.1, DAYS),
    Fate.CALLED_OFF: (16, 0.2, DAYS),
    Fate.CALLED_OFF_PAID: (5, 0.2, 6),
    Fate.REFUNDED: (11, 1, 50),
    Fate.PAID_TOO_LATE: (4, 0.3, 9),
}
MINUTES_WAITED = {Fate.WAITING: (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13), Fate.PAYMENT_FAILED: (3, 6, 10)}

PAID_IN_TIME = {
    Fate.DELIVERED,
    Fate.SHIPPED,
    Fate.PROCESSING,
    Fate.PAID,
    Fate.PARTLY_REFUNDED,
    Fate.CALLED_OFF_PAID,
    Fate.REFUNDED,
}

# What is left of some products, so that there is something to restock.
LEFT = {"CAN-03": 0, "SCA-02": 0, "TOT-04": 0, "BWL-02": 1, "CAN-01": 2, "PRT-03": 2, "VAS-01": 3, "SOA-02": 4}


def demo_shop(*, now: datetime) -> Business:
    """The demo shop, made if it isn't there yet."""
    with transaction.atomic():
        shop, is_new = Business.objects.get_or_create(
            slug=SLUG,
            defaults={
                "name": "Harbour & Hearth",
                "currency": "GBP",
                "country": "GB",
                "time_zone": "Europe/London",
            },
        )
        if is_new:
            _Trade(shop, now).run()
    return shop


class _Trade:
    """The making of the shop, step by step."""

    def __init__(self, shop: Business, now: datetime) -> None:
        self.shop = shop
        self.now = now
        self.dice = random.Random(SLUG)
        self.key: dict[str, Any] = {"business_id": shop.id, "actor": ACTOR}

    def run(self) -> None:
        products = self.fill_shelves()
        buyers = self.meet_customers()
        fates, placements = self.imagine_orders(products, buyers)
        outcomes = services.place_many(business=self.shop, placements=placements, actor=ACTOR, now=self.now)
        orders: dict[Fate, list[Order]] = {fate: [] for fate in Fate}
        for fate, outcome in zip(fates, outcomes, strict=True):
            if isinstance(outcome, Placed):
                orders[fate].append(outcome.order)
        self.pay(order for fate in PAID_IN_TIME for order in orders[fate])
        self.call_off(orders)
        self.let_expire([*orders[Fate.EXPIRED], *orders[Fate.PAID_LATE]])
        self.pay_late(orders)
        self.send(orders)
        self.refund(orders)
        self.count_shelves(products)
        customers.rescore_everyone(now=self.now)

    def ago(self, days: float) -> datetime:
        return self.now - timedelta(days=days)

    def some_minutes(self, least: int, most: int) -> timedelta:
        return self.dice.randint(least * 60, most * 60) * timedelta(seconds=1)

    def fill_shelves(self) -> list[Product]:
        """The assortment, with its opening stock and a delivery a month later."""
        products = []
        for sku, name, price in PRODUCTS:
            product = add_product(
                business=self.shop,
                sku=sku,
                name=name,
                price=Decimal(price),
                opening_stock=self.dice.randint(25, 60),
                actor=ACTOR,
                now=self.ago(DAYS + 2),
            )
            if self.dice.random() < 0.4:
                receive_stock(
                    **self.key,
                    product_id=product.id,
                    quantity=self.dice.choice((12, 24, 36)),
                    reason="Monthly delivery",
                    now=self.ago(DAYS / 2),
                )
            products.append(product)
        return products

    def meet_customers(self) -> list[Buyer]:
        people = []
        for number in range(CUSTOMERS):
            first, last = self.dice.choice(FIRST_NAMES), self.dice.choice(LAST_NAMES)
            people.append(
                Buyer(
                    name=f"{first} {last}",
                    phone=f"+4477009{number:05d}" if number % 10 else None,
                    email=f"{first}.{last}{number}@{self.dice.choice(EMAIL_HOSTS)}".lower()
                    if number % 3
                    else None,
                    external_id=f"ig-{number}" if number % 10 == 0 else None,
                )
            )
        known = customers.recognise(business=self.shop, buyers=people, since=[self.ago(DAYS + 1)] * CUSTOMERS)
        met = [person for person in known if isinstance(person, Person)]
        insert(customers.new_rows(business_id=self.shop.id, people=met))
        return people

    def imagine_orders(
        self, products: Sequence[Product], buyers: Sequence[Buyer]
    ) -> tuple[list[Fate], list[Placement]]:
        """What everyone asks for, in the order of time, and what will become of it."""
        moments = [
            (self.ago(self.dice.uniform(youngest, oldest)), fate)
            for fate, (count, youngest, oldest) in TRADE.items()
            for _ in range(count)
        ]
        moments += [
            (self.now - waited * MINUTE, fate) for fate, waits in MINUTES_WAITED.items() for waited in waits
        ]
        moments.sort(key=lambda moment: moment[0])
        # Some people come again and again, some things sell better than others.
        loyal = buyers[: CUSTOMERS // 4]
        placements = [
            Placement(
                channel=self.dice.choices(list(Channel), weights=(5, 3, 4))[0],
                buyer=self.dice.choice(loyal if self.dice.random() < 0.5 else buyers),
                lines=tuple(
                    Line(product.sku, self.dice.choices((1, 2, 3, 4), weights=(12, 5, 2, 1))[0])
                    for product in self.dice.choices(
                        products, weights=range(len(products), 0, -1), k=self.dice.choice((1, 1, 2, 2, 3))
                    )
                ),
                shipping_fee=self.dice.choice((Decimal(0), Decimal("3.50"), Decimal("4.95"))),
                shipping_address={"text": self.dice.choice(PLACES)},
                draft=fate == Fate.DRAFT,
                at=at,
            )
            for at, fate in moments
        ]
        return [fate for _, fate in moments], placements

    def pay(self, orders: Iterable[Order]) -> None:
        receipts = [
            self.receipt(order, at=order.created_at + self.some_minutes(1, 12))
            for order in sorted(orders, key=lambda order: order.created_at)
        ]
        services.confirm_payments(**self.key, receipts=receipts, now=self.now)

    def receipt(self, order: Order, *, at: datetime) -> Receipt:
        provider = self.dice.choice(("bank transfer", "stripe", "paypal"))
        return Receipt(order.id, provider, reference=f"TX-{order.number}", amount=order.total, at=at)

    def call_off(self, orders: dict[Fate, list[Order]]) -> None:
        for order in [*orders[Fate.CALLED_OFF], *orders[Fate.PAID_TOO_LATE]]:
            at = order.created_at + self.some_minutes(1, 13)
            services.cancel(**self.key, order_id=order.id, reason="The customer changed their mind", now=at)
        for order in [*orders[Fate.CALLED_OFF_PAID], *orders[Fate.REFUNDED]]:
            at = order.created_at + self.some_minutes(30, 180)
            services.cancel(**self.key, order_id=order.id, reason="Can't be sent in time", now=at)
        for order in orders[Fate.PAYMENT_FAILED]:
            services.record_failed_payment(
                **self.key, order_id=order.id, release=False, reason="Card declined", now=self.now - MINUTE
            )

    def let_expire(self, orders: list[Order]) -> None:
        for order in sorted(orders, key=lambda order: order.created_at):
            assert order.payment_due_at is not None
            services.expire_due(business_id=self.shop.id, now=order.payment_due_at + timedelta(seconds=3))

    def pay_late(self, orders: dict[Fate, list[Order]]) -> None:
        late = [*orders[Fate.PAID_LATE], *orders[Fate.PAID_TOO_LATE]]
        receipts = [self.receipt(order, at=order.created_at + self.some_minutes(20, 90)) for order in late]
        services.confirm_payments(**self.key, receipts=receipts, now=self.now)

    def send(self, orders: dict[Fate, list[Order]]) -> None:
        arrived = [*orders[Fate.DELIVERED], *orders[Fate.PARTLY_REFUNDED], *orders[Fate.PAID_LATE]]
        left = [*arrived, *orders[Fate.SHIPPED]]
        for order in [*left, *orders[Fate.PROCESSING]]:
            at = order.created_at + self.some_minutes(120, 600)
            services.start_processing(**self.key, order_id=order.id, now=at)
        for number, order in enumerate(left):
            services.ship(
                **self.key,
                order_id=order.id,
                carrier=self.dice.choice(("Royal Mail", "DHL", "DPD")),
                tracking_number=f"HH{number:07d}GB",
                now=order.created_at + self.some_minutes(660, 1400),
            )
        for order in arrived:
            at = min(order.created_at + self.some_minutes(2 * 1440, 5 * 1440), self.now)
            services.deliver(**self.key, order_id=order.id, now=at)

    def refund(self, orders: dict[Fate, list[Order]]) -> None:
        for order in orders[Fate.REFUNDED]:
            self.give_back(order, order.total, at=order.created_at + self.some_minutes(200, 900))
        for order in orders[Fate.PARTLY_REFUNDED]:
            self.give_back(order, Decimal(1), at=order.created_at + self.some_minutes(5 * 1440, 6 * 1440 - 1))

    def give_back(self, order: Order, amount: Decimal, *, at: datetime) -> None:
        services.record_refund(
            **self.key,
            order_id=order.id,
            provider="bank transfer",
            reference=f"RF-{order.number}",
            amount=amount,
            now=at,
        )

    def count_shelves(self, products: Sequence[Product]) -> None:
        """A stock count finds less than the books say of some products."""
        for product in products:
            product.stock.refresh_from_db()
            if product.sku in LEFT and product.stock.available != LEFT[product.sku]:
                adjust_stock(
                    **self.key,
                    product_id=product.id,
                    delta=LEFT[product.sku] - product.stock.available,
                    reason="Stock count",
                    now=self.now - MINUTE,
                )
