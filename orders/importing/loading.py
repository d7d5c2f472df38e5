"""Doing what was planned, through the verbs, in batches that are each done whole or not at all.

What a file sold it also brings in: the units of a batch come on the shelf in the transaction that sells
them. So nobody can buy units that were sold long ago, a run that is killed leaves none behind, and what
the shop has today is not touched.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import connection

from catalog.channels import Channel
from catalog.models import Business, Product
from catalog.services import NewProduct, add_products, receive_many
from customers import services as customers
from customers.models import Customer
from customers.services import Buyer
from orders.errors import IllegalTransition
from orders.importing.planning import Goods, Plan, Return, Returnable, Sale, decide, postage_part, refund_reference
from orders.importing.reading import Reason, Reject, Row, read
from orders.lifecycle import Status
from orders.models import Order, Payment
from orders.querysets import OrderQuerySet
from orders.services import Line, Placement, Receipt, cancel, confirm_payments, place_many, record_refund
from orders_project.errors import Busy, DomainError
from orders_project.transactions import one_transaction

ACTOR = "job:import_orders"
PROVIDER = "import"
CHANNEL = Channel.WEBSITE
BATCH = 500  # orders in one transaction


@dataclass(slots=True)
class Loaded:
    """What an import did that was not done before, and which rows it could not use."""

    products: int = 0
    orders: int = 0
    refunds: int = 0
    cancelled: int = 0
    rejects: list[Reject] = field(default_factory=list)

    def add(self, more: "Loaded") -> None:
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(more, part.name))


def prepare(*, business: Business, path: Path, now: datetime) -> Plan:
    """What an import of the file will do. Writes nothing. Raises NotReadable for what is no such file."""
    rows, unreadable = read(path)
    plan = decide(
        rows,
        currency=business.currency,
        now=now,
        known_skus=_catalog(business),
        earlier=_earlier_sales(business, rows),
        told=_told(business),
    )
    return replace(plan, rejects=sorted(unreadable + plan.rejects, key=lambda reject: reject.line))


def foresee(*, business: Business, plan: Plan) -> Loaded:
    """What `load` would do, as far as it can be known without trying. Writes nothing."""
    known = _known_invoices(business, plan.sales)
    sales = [sale for sale in plan.sales if sale.invoice not in known]
    told = _told(business)
    returns = [back for of_one in plan.cancellations for back in of_one if back.reference not in told]
    return Loaded(
        products=len({sku for sale in sales for sku in sale.skus} - _catalog(business).keys()),
        orders=len(sales),
        refunds=len(returns),
        cancelled=sum(back.whole for back in returns),
        rejects=plan.rejects,
    )


def _catalog(business: Business) -> dict[str, str]:
    """The business's SKUs by their capitals: in files the letters' case comes and goes."""
    return {sku.upper(): sku for sku in Product.objects.of(business.id).values_list("sku", flat=True)}


def _known_invoices(business: Business, sales: Iterable[Sale]) -> set[str]:
    """Those of the sales that are orders already."""
    orders = Order.objects.of(business.id).filter(
        channel=CHANNEL, external_id__in=[sale.invoice for sale in sales]
    )
    return set(orders.values_list("external_id", flat=True))  # type: ignore[arg-type]  # asked for by it


def _earlier_sales(business: Business, rows: Sequence[Row]) -> list[Returnable]:
    """Sales that came with other files, of the customers who call something off in this one.

    What this file's own cancellations took back on an earlier run counts as still there: they are decided
    anew, and the same way.
    """
    customers = {row.customer for row in rows if row.is_cancellation}
    invoices = {row.invoice for row in rows}
    orders = _imported(business).filter(customer__external_id__in=customers).exclude(external_id__in=invoices)
    return [
        _returnable(order, invoices)
        for order in orders.select_related("customer").prefetch_related("items", "payments")
    ]


def _returnable(order: Order, invoices: Collection[str]) -> Returnable:
    invoice = order.external_id or ""
    part, coins = postage_part(order.shipping_fee, order.currency)
    left = Counter({part: coins})
    for item in order.items.all():
        left[item.sku.upper(), item.unit_price] += item.quantity
    of_this = refund_reference("", invoice)
    gone = sum(
        payment.amount
        for payment in order.payments.all()
        if payment.kind == Payment.Kind.REFUND and payment.reference.removesuffix(of_this) not in invoices
    )
    return Returnable(
        invoice=invoice,
        at=order.created_at,
        customer=order.customer.external_id or "",
        total=order.total,
        left=left,
        money=order.total - gone,
    )


def _told(business: Business) -> set[str]:
    """The references of the refunds that imports made."""
    refunds = Payment.objects.filter(business=business, provider=PROVIDER, kind=Payment.Kind.REFUND)
    return set(refunds.values_list("reference", flat=True))


def load(*, business: Business, plan: Plan, now: datetime, progress: Callable[[int], None]) -> Loaded:
    """Do what was planned, as far as it isn't done yet. `progress` is told of how many more sales and
    cancellations are done.

    Raises a DomainError when it can't go on; the batches before stay done, and another run goes on there.
    """
    loaded = Loaded(rejects=list(plan.rejects))
    skus = _catalog(business)
    for start in range(0, len(plan.sales), BATCH):
        sales = plan.sales[start : start + BATCH]
        loaded.add(_sell(business, sales, plan.goods, skus, now))
        if start == 0:
            _renew_statistics()
        progress(len(sales))
    for start in range(0, len(plan.cancellations), BATCH):
        cancellations = plan.cancellations[start : start + BATCH]
        loaded.add(_call_off(business, [back for of_one in cancellations for back in of_one]))
        progress(len(cancellations))
    loaded.rejects.sort(key=lambda reject: reject.line)
    customers.rescore(customer_ids=Customer.objects.of(business.id).values_list("id", flat=True), now=now)
    return loaded


def _renew_statistics() -> None:
    """Let PostgreSQL see that its tables aren't empty any more. It keeps the plan that it made for checking
    a foreign key, and what was right for an empty table is slow for a full one."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@one_transaction
def _sell(
    business: Business, sales: Sequence[Sale], goods: Mapping[str, Goods], skus: Mapping[str, str], now: datetime
) -> Loaded:
    """Place and pay orders in one transaction, so that no sweep ever sees them wait for their money."""
    # Imports of one business take turns, so what is new to this one stays new.
    list(Business.objects.filter(id=business.id).select_for_update(no_key=True))
    # The buyers before the shelves, as in every verb, so that no two wait for each other.
    buyers = Customer.objects.of(business.id).filter(external_id__in={sale.customer for sale in sales})
    customers.hold(customer_ids=list(buyers.values_list("id", flat=True)))
    asked_for = {skus.get(sku, sku) for sale in sales for sku in sale.skus}
    products = {product.sku.upper(): product for product in Product.objects.of(business.id).named(skus=asked_for)}
    retired = {sku for sku, product in products.items() if not product.is_active}
    known = _known_invoices(business, sales)
    refused = [sale for sale in sales if sale.invoice not in known and sale.skus & retired]
    rejects = [row.reject(Reason.NO_LONGER_SOLD) for sale in refused for row in sale.rows]
    sales = [sale for sale in sales if sale not in refused]
    new = [sale for sale in sales if sale.invoice not in known]
    added = _bring_in(business, new, products, goods)
    placements = [_placement(sale, skus) for sale in sales]
    outcomes = place_many(business=business, placements=placements, actor=ACTOR, now=now)
    placed: list[Order] = []
    for sale, outcome in zip(sales, outcomes, strict=True):
        if isinstance(outcome, DomainError):
            rejects += [row.reject(outcome.detail) for row in sale.rows]
        elif not outcome.replayed:
            placed.append(outcome.order)
    if len(placed) != len(new):  # so the goods that came in would stay
        raise Busy("Someone else changed the catalog or these orders. Run the import again.", retry_after=1)
    receipts = [
        Receipt(order.id, PROVIDER, order.external_id or "", order.total, at=order.created_at) for order in placed
    ]
    for payment in confirm_payments(business_id=business.id, receipts=receipts, actor=ACTOR, now=now):
        if isinstance(payment, DomainError):
            raise payment
    return Loaded(products=added, orders=len(placed), rejects=rejects)


def _bring_in(
    business: Business, new: Sequence[Sale], products: Mapping[str, Product], goods: Mapping[str, Goods]
) -> int:
    """Put what new sales take on the shelf, and in the catalog if it isn't there; returns how many weren't."""
    if not new:
        return 0
    units: Counter[str] = Counter()
    for sale in new:
        for row in sale.goods:
            units[row.sku] += row.quantity
    came: dict[str, Any] = {"actor": ACTOR, "now": new[0].at}
    added = [
        NewProduct(sku, goods[sku].name, goods[sku].price, opening_stock=quantity)
        for sku, quantity in units.items()
        if sku not in products
    ]
    add_products(business=business, new=added, **came)
    more = {products[sku].id: quantity for sku, quantity in units.items() if sku in products}
    receive_many(business_id=business.id, units=more, **came, reason="Sold before, says the import.")
    return len(added)


def _placement(sale: Sale, skus: Mapping[str, str]) -> Placement:
    return Placement(
        channel=CHANNEL,
        buyer=Buyer(name=f"Customer {sale.customer}", external_id=sale.customer)
        if sale.customer
        else Buyer(name="Walk-in"),
        lines=tuple(Line(skus.get(row.sku, row.sku), row.quantity, row.price) for row in sale.goods),
        shipping_fee=sale.shipping_fee,
        shipping_address={"country": sale.country} if sale.country else None,
        external_id=sale.invoice,
        at=sale.at,
    )


@one_transaction
def _call_off(business: Business, returns: Sequence[Return]) -> Loaded:
    told = _told(business)
    sold = _imported(business).filter(external_id__in=[back.sale for back in returns])
    orders = {order.external_id: order for order in sold}
    done = Loaded()
    for back in returns:
        order = orders.get(back.sale)
        if order is None:
            done.rejects += [row.reject(Reason.NO_ORDER) for row in back.rows]
            continue
        try:
            order = _give_back(order, back)
        except DomainError as refusal:
            done.rejects += [row.reject(refusal.detail) for row in back.rows]
            continue
        if back.reference not in told:
            done.refunds += 1
            done.cancelled += order.status == Status.CANCELLED
    return done


@one_transaction
def _give_back(order: Order, back: Return) -> Order:
    """The money of a return goes back; an order whose money goes back whole is cancelled, and restocked."""
    key: dict[str, Any] = {
        "business_id": order.business_id,
        "order_id": order.id,
        "actor": ACTOR,
        "now": back.at,
    }
    if back.whole:
        with suppress(IllegalTransition):  # it was sent meanwhile, so its goods don't come back by this
            cancel(**key, reason=f"called off by {back.cancellation}")
    return record_refund(**key, provider=PROVIDER, reference=back.reference, amount=back.amount)


def _imported(business: Business) -> OrderQuerySet:
    """The orders that came by an import."""
    paid_so = {"payments__provider": PROVIDER, "payments__kind": Payment.Kind.CAPTURE}
    return Order.objects.of(business.id).filter(channel=CHANNEL, **paid_so)
