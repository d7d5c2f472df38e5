"""From what is asked for to lines with a product and a price. Prices come from the catalog."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from uuid import UUID

import msgspec

from catalog.models import Business
from orders.errors import CurrencyMismatch, DiscountTooLarge, InactiveProducts, UnknownProducts
from orders.models import OrderItem
from orders_project import money
from orders_project.errors import InvalidRequest
from orders_project.ids import new_id_text
from orders_project.rows import Row, select


class Line(msgspec.Struct, frozen=True):
    """One product of an order, by SKU or by id. A price only where the sale was made elsewhere before."""

    product: str | UUID
    quantity: int
    unit_price: Decimal | None = None


class Offer(msgspec.Struct, frozen=True):
    """A product as the catalog offers it at this moment."""

    id: UUID
    sku: str
    name: str
    price: Decimal
    is_active: bool


class PricedLine(msgspec.Struct, frozen=True):
    """A line with its product and the price that the order will keep."""

    product: Offer
    quantity: int
    unit_price: Decimal

    @property
    def total(self) -> Decimal:
        return self.unit_price * self.quantity


OFFERS = """
    SELECT id, sku, name, price, is_active FROM catalog_product
    WHERE business_id = %s AND (sku = ANY(%s) OR id = ANY(%s))
"""


def find_offers(business: Business, names: Iterable[str | UUID]) -> dict[str | UUID, Offer]:
    """The business's products of these SKUs and ids, under both."""
    wanted = set(names)
    skus = [name for name in wanted if isinstance(name, str)]
    ids = [name for name in wanted if isinstance(name, UUID)]
    found: dict[str | UUID, Offer] = {}
    for values in select(OFFERS, business.id, skus, ids):
        offer = Offer(*values)
        found[offer.sku] = found[offer.id] = offer
    return found


def price(
    lines: Iterable[Line],
    offers: Mapping[str | UUID, Offer],
    agreed: Mapping[UUID, Decimal] | None = None,
) -> list[PricedLine]:
    """The lines at the catalog's price of this moment, or at the one that was `agreed` before; the same
    product at the same price is one line. Raises UnknownProducts, and InactiveProducts for new ones."""
    lines = list(lines)
    agreed = agreed or {}
    unknown = [line.product for line in lines if line.product not in offers]
    if unknown:
        raise UnknownProducts(
            f"Not sold here: {', '.join(map(str, unknown))}.",
            items=[{"sku" if isinstance(name, str) else "product": str(name)} for name in unknown],
        )
    quantities: defaultdict[tuple[UUID, Decimal], int] = defaultdict(int)
    by_id: dict[UUID, Offer] = {}
    for line in lines:
        product = offers[line.product]
        by_id[product.id] = product
        unit_price = agreed.get(product.id, product.price) if line.unit_price is None else line.unit_price
        quantities[product.id, unit_price] += line.quantity
    inactive = [product for product in by_id.values() if not product.is_active and product.id not in agreed]
    if inactive:
        raise InactiveProducts(
            f"No longer sold: {', '.join(product.sku for product in inactive)}.",
            items=[{"sku": product.sku, "product": str(product.id)} for product in inactive],
        )
    return [PricedLine(by_id[key], quantity, unit_price) for (key, unit_price), quantity in quantities.items()]


def add_up(
    business: Business, lines: Iterable[PricedLine], *, shipping_fee: Decimal, discount: Decimal
) -> dict[str, Decimal]:
    """What the order comes to, as the order's columns: subtotal, shipping_fee, discount and total.

    Raises DiscountTooLarge, and InvalidRequest for an amount that the currency can't express.
    """
    for field, amount in (("shipping_fee", shipping_fee), ("discount", discount)):
        if not money.is_exact(amount, business.currency):
            raise InvalidRequest.at(field, "not_money", f"This amount can't be paid in {business.currency}.")
    subtotal = sum((line.total for line in lines), Decimal(0))
    if discount > subtotal:
        raise DiscountTooLarge(
            "The discount is more than the goods cost.",
            discount=money.text(discount, business.currency),
            subtotal=money.text(subtotal, business.currency),
            currency=business.currency,
        )
    return {
        "subtotal": subtotal,
        "shipping_fee": shipping_fee,
        "discount": discount,
        "total": subtotal + shipping_fee - discount,
    }


def check_currency(currency: str | None, *, expected: str) -> None:
    """Raises CurrencyMismatch if a currency is named, and is another one than expected."""
    if currency not in (None, expected):
        raise CurrencyMismatch(
            f"Money is in {expected} here, not in {currency}.", currency=currency, expected=expected
        )


def units_of(lines: Iterable[PricedLine | OrderItem]) -> dict[UUID, int]:
    """How many units of each product the lines come to."""
    units: defaultdict[UUID, int] = defaultdict(int)
    for line in lines:
        units[line.product.id if isinstance(line, PricedLine) else line.product_id] += line.quantity
    return dict(units)


def items_of(*, business: Business, order_id: UUID, lines: Iterable[PricedLine]) -> list[Row]:
    """The rows of an order's items, with the SKU, name and price of this moment."""
    return [
        {
            "id": new_id_text(),
            "business_id": business.id,
            "order_id": order_id,
            "position": position,
            "product_id": line.product.id,
            "sku": line.product.sku,
            "name": line.product.name,
            "currency": business.currency,
            "unit_price": line.unit_price,
            "quantity": line.quantity,
            "line_total": line.total,
        }
        for position, line in enumerate(lines, start=1)
    ]
