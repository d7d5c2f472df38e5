"""What a merchant does with the catalog: add a product, receive goods, correct a count, make a key."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction

from catalog import stock
from catalog.errors import KeyReused, ProductNotFound, SkuTaken, StockBelowReserved
from catalog.models import ApiKey, Business, Product, Stock, StockMovement
from catalog.stock import Kind, Move, ShelfShort
from orders_project import money
from orders_project.errors import InvalidRequest, PreconditionFailed
from orders_project.transactions import one_transaction, violated_constraint

LARGEST_ADJUSTMENT = 1_000_000  # units at once; more is a slip of the finger


def find_product(*, business_id: UUID, product_id: UUID) -> Product:
    """One product with its stock. Raises ProductNotFound, for another business's product too."""
    product = Product.objects.of(business_id).filter(id=product_id).select_related("stock").first()
    if product is None:
        raise ProductNotFound("There is no such product.", product=str(product_id))
    return product


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product to put in the catalog, with its shelf. Price in the business's currency."""

    sku: str
    name: str
    price: Decimal
    opening_stock: int
    description: str = ""
    low_stock_threshold: int | None = None


def add_product(
    *,
    business: Business,
    sku: str,
    name: str,
    price: Decimal,
    opening_stock: int,
    actor: str,
    now: datetime,
    description: str = "",
    low_stock_threshold: int | None = None,
) -> Product:
    """Put a product in the catalog, with its shelf. Price in the business's currency.

    Raises SkuTaken, and InvalidRequest for a price that the currency can't express.
    """
    new = NewProduct(sku, name, price, opening_stock, description, low_stock_threshold)
    (product,) = add_products(business=business, new=[new], actor=actor, now=now)
    return product


@one_transaction
def add_products(*, business: Business, new: Sequence[NewProduct], actor: str, now: datetime) -> list[Product]:
    """Put products in the catalog, each with a SKU of its own, all or none. Raises what `add_product` does."""
    for one in new:
        if not 0 <= one.price <= money.LARGEST_PRICE or not money.is_exact(one.price, business.currency):
            raise InvalidRequest.at("price", "not_a_price", f"This is not a price in {business.currency}.")
    products = [
        Product(
            business=business,
            sku=one.sku,
            name=one.name,
            description=one.description,
            price=one.price,
            currency=business.currency,
            low_stock_threshold=one.low_stock_threshold,
            created_at=now,
        )
        for one in new
    ]
    try:
        with transaction.atomic():  # so that the database can still be asked which SKU it was
            Product.objects.bulk_create(products)
    except IntegrityError as error:
        if violated_constraint(error) != "product_sku_once":
            raise
        taken = Product.objects.of(business.id).named(skus=[one.sku for one in new])[0].sku
        raise SkuTaken(f"Another product has the SKU {taken}.", sku=taken) from error
    Stock.objects.bulk_create(Stock(product=product, business=business) for product in products)
    openings = [
        Move(product.id, Kind.OPENING, now, stock_delta=one.opening_stock)
        for product, one in zip(products, new, strict=True)
        if one.opening_stock
    ]
    stock.move(business_id=business.id, moves=openings, actor=actor)
    return products


@one_transaction
def receive_stock(
    *,
    business_id: UUID,
    product_id: UUID,
    quantity: int,
    actor: str,
    now: datetime,
    reason: str = "",
) -> Stock:
    """Goods came in: `quantity` more units on the shelf. Returns the shelf as it stands then."""
    if not 0 < quantity <= LARGEST_ADJUSTMENT:
        raise InvalidRequest.at(
            "quantity",
            "out_of_range",
            f"Between 1 and {LARGEST_ADJUSTMENT:,} units can be received at once.",
        )
    find_product(business_id=business_id, product_id=product_id)
    receive_many(business_id=business_id, units={product_id: quantity}, actor=actor, now=now, reason=reason)
    return Stock.objects.of(business_id).get(product_id=product_id)


@one_transaction
def receive_many(
    *, business_id: UUID, units: Mapping[UUID, int], actor: str, now: datetime, reason: str = ""
) -> None:
    """Goods of several products of the business came in: so many more units of each on its shelf."""
    received = [
        Move(product_id, Kind.RECEIVED, now, stock_delta=quantity) for product_id, quantity in units.items()
    ]
    stock.move(business_id=business_id, moves=received, actor=actor, reason=reason)


@one_transaction
def adjust_stock(
    *,
    business_id: UUID,
    product_id: UUID,
    delta: int,
    reason: str,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
    idempotency_key: str | None = None,
) -> Stock:
    """Correct the count of a product by `delta` units, up or down, and say why.

    Returns the shelf as it stands then. A repeated `idempotency_key` changes nothing more.
    Raises ProductNotFound; StockBelowReserved when held units would no longer be there;
    PreconditionFailed when the shelf is not at `expected_version`; KeyReused; InvalidRequest.
    """
    if delta == 0 or abs(delta) > LARGEST_ADJUSTMENT:
        raise InvalidRequest.at(
            "delta",
            "out_of_range",
            f"The change must be between 1 and {LARGEST_ADJUSTMENT:,} units, up or down.",
        )
    if not reason.strip():
        raise InvalidRequest.at("reason", "required", "Say why the count changes.")
    find_product(business_id=business_id, product_id=product_id)
    shelf = Stock.objects.of(business_id).filter(product_id=product_id).lock().get()
    if idempotency_key is not None:
        before = StockMovement.objects.of(business_id).filter(idempotency_key=idempotency_key).first()
        if before is not None:
            if (before.product_id, before.stock_delta, before.reason) != (
                product_id,
                delta,
                reason,
            ):
                raise _key_reused(idempotency_key)
            return shelf
    if expected_version not in (None, shelf.version):
        raise PreconditionFailed(
            "The stock changed since you looked. Look again, then decide.",
            version=shelf.version,
            expected=expected_version,
        )
    adjusted = Move(product_id, Kind.ADJUSTED, now, stock_delta=delta)
    try:
        stock.move(
            business_id=business_id,
            moves=[adjusted],
            actor=actor,
            reason=reason,
            idempotency_key=idempotency_key,
        )
    except ShelfShort as error:
        raise StockBelowReserved(
            f"{shelf.reserved_stock} of {shelf.stock_quantity} units are held for orders; "
            f"{shelf.available} can be taken off at most.",
            stock_quantity=shelf.stock_quantity,
            reserved_stock=shelf.reserved_stock,
            delta=delta,
        ) from error
    except IntegrityError as error:
        # The key was used at the same moment, for another product: this one's shelf is ours.
        if violated_constraint(error) != "movement_key_once":
            raise
        raise _key_reused(idempotency_key) from error
    shelf.refresh_from_db()
    return shelf


def _key_reused(key: str | None) -> KeyReused:
    return KeyReused("This Idempotency-Key was used for another change.", idempotency_key=key)


def hash_secret(key: str) -> str:
    """The form in which a key is kept. Keys are 256 random bits, so a plain SHA-256 can't be reversed."""
    return hashlib.sha256(key.encode()).hexdigest()


def make_api_key(
    *,
    business: Business,
    name: str,
    scope: ApiKey.Scope,
    throttled: bool = True,
    key: str | None = None,
) -> tuple[ApiKey, str]:
    """A new key of a business, and the text to give to its user; that text can't be had again."""
    key = key or f"hf_{secrets.token_urlsafe(32)}"
    api_key = ApiKey.objects.create(
        business=business,
        name=name,
        prefix=key[:9],
        secret_hash=hash_secret(key),
        scope=scope,
        throttled=throttled,
    )
    return api_key, key
