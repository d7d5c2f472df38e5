"""What the races have in common: who runs, and how it is told what came of it."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from catalog.models import Stock
from customers.services import Buyer
from factories import verb
from orders import services
from orders.models import Order, OrderEvent
from orders.services import Edit, Line

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "all_is_well")]
MINUTE = timedelta(minutes=1)
ADA = Buyer(name="Ada", phone="+447700900123")
BOTH_WAYS = pytest.mark.parametrize("turned", [False, True], ids=["first", "second"])


def outcomes(answers):
    return Counter(type(answer).__name__ for answer in answers)


def available(shop, sku="MUG-01"):
    return Stock.objects.get(business=shop, product__sku=sku).available


def shelf(shop, sku="MUG-01"):
    """The row for others to wait behind."""
    return Stock.objects.get(business=shop, product__sku=sku)


def sweep(shop, now):
    return services.expire_due(business_id=shop.id, now=now)


def edit(order, *lines, **more):
    change = Edit(lines=tuple(Line(sku, quantity) for sku, quantity in lines))
    return verb("edit", order, change=change, **more)


def cancel(order, **more):
    return verb("cancel", order, reason="changed their mind", **more)


def refund(order, amount, reference):
    return verb("record_refund", order, provider="bank", reference=reference, amount=Decimal(amount))


def timeline(order):
    return list(OrderEvent.objects.filter(order_id=order.id).order_by("version").values_list("kind", flat=True))


def state(order):
    return Order.objects.values_list("status", "payment_status").get(id=order.id)
