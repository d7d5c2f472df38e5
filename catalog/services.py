"""What a merchant does with the catalog: add and edit products, receive goods, count the shelves, keep some units
back, make a key."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from catalog import audit, stock
from catalog.channels import Channel
from catalog.errors import CountRefused, KeyReused, ProductNotFound, SkuTaken, StockBelowReserved
from catalog.live import feed
from catalog.models import ApiKey, Business, Product, Stock, StockMovement
from catalog.stock import Kind, Move, ShelfShort
from orders_project import money
from orders_project.api.parsing import check_readable
from orders_project.errors import InvalidRequest, PreconditionFailed
from orders_project.transactions import one_transaction, violated_constraint

LARGEST_ADJUSTMENT = 1_000_000  # units at once; more is a slip of the finger
LARGEST_COUNT = 1_000_000_000  # units on one shelf


def find_product(*, business_id: UUID, product_id: UUID) -> Product:
    """One product with its stock. Raises ProductNotFound, for another business's product too."""
    product = Product.objects.of(business_id).filter(id=product_id).select_related("stock").first()
    if product is None:
        raise _no_product(product_id)
    return product


def _no_product(product_id: UUID) -> ProductNotFound:
    return ProductNotFound("There is no such product.", product=str(product_id))


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product to put in the catalog, with its shelf. Price in the business's currency."""

    sku: str
    name: str
    price: Decimal
    opening_stock: int
    description: str = ""
    low_stock_threshold: int | None = None
    is_active: bool = True


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

    Raises SkuTaken, and InvalidRequest for a price that the currency can't express or a text that can't be read.
    """
    new = NewProduct(sku, name, price, opening_stock, description, low_stock_threshold)
    (product,) = add_products(business=business, new=[new], actor=actor, now=now)
    return product


@one_transaction
def add_products(*, business: Business, new: Sequence[NewProduct], actor: str, now: datetime) -> list[Product]:
    """Put products in the catalog, each with a SKU of its own, all or none. Raises what `add_product` does."""
    for one in new:
        check_price(one.price, business.currency)
        for field in TEXTS:
            check_readable(field, getattr(one, field))
    products = [
        Product(
            business=business,
            sku=one.sku,
            name=one.name,
            description=one.description,
            price=one.price,
            currency=business.currency,
            low_stock_threshold=one.low_stock_threshold,
            is_active=one.is_active,
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


def check_price(price: Decimal, currency: str) -> None:
    """Raises InvalidRequest for what can't be a price in this currency."""
    words = ""
    if price < 0:
        words = "A price is not negative."
    elif price > money.LARGEST_PRICE:
        words = f"A price is {money.LARGEST_PRICE:,} at most."
    elif not money.is_exact(price, currency):
        words = f"A price in {currency} has no smaller part than {money.unit(currency)}."
    if words:
        raise InvalidRequest.at("price", "not_a_price", words)


# What of a product somebody writes in their own words.
TEXTS = {"sku", "name", "description"}

# What of a product is edited; what is on its shelf is moved.
EDITABLE = ("name", "description", "price", "low_stock_threshold", "is_active")


@one_transaction
def edit_products(
    *, business: Business, edits: Mapping[UUID, Mapping[str, Any]], actor: str, now: datetime
) -> None:
    """Give EDITABLE fields of products new values, and put down in the audit what they were. Orders that were
    placed keep their prices.

    Raises ProductNotFound, and InvalidRequest for a price that the currency can't express or a text that can't be
    read.
    """
    products = Product.objects.of(business.id).filter(id__any_of=edits).lock().in_bulk()
    edited: list[tuple[Product, Mapping[str, Any]]] = []
    for product_id, edit in edits.items():
        product = products.get(product_id)
        if product is None:
            raise _no_product(product_id)
        if "price" in edit:
            check_price(edit["price"], business.currency)
        for field in edit.keys() & TEXTS:
            check_readable(field, edit[field])
        new = {field: value for field, value in edit.items() if getattr(product, field) != value}
        changes = {field: [told(product, getattr(product, field)), told(product, new[field])] for field in new}
        edited.append((product, changes))
        for field, value in new.items():
            setattr(product, field, value)
    edited = [(product, changes) for product, changes in edited if changes]
    if not edited:
        return
    fields = {field for _, changes in edited for field in changes}
    Product.objects.bulk_update([product for product, _ in edited], fields, batch_size=500)
    audit.record_each(business_id=business.id, actor=actor, now=now, action="changed", changed=edited)
    feed.touch_products(business.id, [product.id for product, _ in edited])


def told(product: Product, value: Any) -> str:
    """A value of a product's field, as people are told of it."""
    if isinstance(value, Decimal):
        return money.text(value, product.currency)
    return "" if value is None else str(value)


@one_transaction
def receive_stock(
    *,
    business_id: UUID,
    product_id: UUID,
    quantity: int,
    actor: str,
    now: datetime,
    reason: str = "",
    idempotency_key: str | None = None,
) -> Stock:
    """Goods came in: `quantity` more units on the shelf. Returns the shelf as it stands then.

    A repeated `idempotency_key` changes nothing more. Raises ProductNotFound, KeyReused, InvalidRequest.
    """
    if not 0 < quantity <= LARGEST_ADJUSTMENT:
        raise InvalidRequest.at(
            "quantity",
            "out_of_range",
            f"Between 1 and {LARGEST_ADJUSTMENT:,} units can be received at once.",
        )
    received = Move(product_id, Kind.RECEIVED, now, stock_delta=quantity)
    return _move_by_hand(business_id, received, actor=actor, reason=reason, idempotency_key=idempotency_key)


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
    adjusted = Move(product_id, Kind.ADJUSTED, now, stock_delta=delta)
    return _move_by_hand(
        business_id,
        adjusted,
        actor=actor,
        reason=reason,
        idempotency_key=idempotency_key,
        expected_version=expected_version,
    )


def _move_by_hand(
    business_id: UUID,
    move: Move,
    *,
    actor: str,
    reason: str,
    idempotency_key: str | None,
    expected_version: int | None = None,
) -> Stock:
    """Do what a person says of a shelf, and return it as it stands then; what its key says was done is not done
    again. Raises what `adjust_stock` does."""
    find_product(business_id=business_id, product_id=move.product_id)
    shelf = Stock.objects.of(business_id).filter(product_id=move.product_id).lock().get()
    if idempotency_key is not None:
        before = StockMovement.objects.of(business_id).filter(idempotency_key=idempotency_key).first()
        if before is not None:
            done = (before.product_id, before.kind, before.stock_delta, before.reason)
            if done != (move.product_id, move.kind, move.stock_delta, reason):
                raise _key_reused(idempotency_key)
            return shelf
    if expected_version not in (None, shelf.version):
        raise PreconditionFailed(
            "The stock changed since you looked. Look again, then decide.",
            version=shelf.version,
            expected=expected_version,
        )
    try:
        stock.move(
            business_id=business_id,
            moves=[move],
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
            delta=move.stock_delta,
        ) from error
    except IntegrityError as error:
        # The key was used at the same moment, for another product: this one's shelf is ours.
        if violated_constraint(error) != "movement_key_once":
            raise
        raise _key_reused(idempotency_key) from error
    shelf.refresh_from_db()
    return shelf


@one_transaction
def keep_back(
    *, business_id: UUID, product_id: UUID, units: Mapping[Channel, int], actor: str, now: datetime
) -> Stock:
    """Keep so many units of a product back from these channels: orders of such a channel leave them on the shelf.
    What is held and sold already stays so. Returns the shelf as it is then.

    Raises ProductNotFound, InvalidRequest.
    """
    if not all(0 <= kept <= LARGEST_ADJUSTMENT for kept in units.values()):
        raise InvalidRequest.at(
            "units", "out_of_range", f"Between 0 and {LARGEST_ADJUSTMENT:,} units can be kept back."
        )
    product = find_product(business_id=business_id, product_id=product_id)
    shelf = Stock.objects.of(business_id).filter(product_id=product_id).lock().get()
    new = {channel.kept_from: kept for channel, kept in units.items() if kept != shelf.kept_back[channel]}
    if not new:
        return shelf
    changes = {name: [str(getattr(shelf, name)), str(kept)] for name, kept in new.items()}
    for name, kept in new.items():
        setattr(shelf, name, kept)
    shelf.version += 1
    shelf.save(update_fields=[*new, "version"])
    audit.record(business_id=business_id, actor=actor, now=now, action="changed", subject=product, changes=changes)
    feed.touch_products(business_id, [product_id])
    return shelf


@dataclass(frozen=True, slots=True)
class Count:
    """What somebody counted of a product, and what its shelf was said to have when they did."""

    counted: int
    on_shelf: int


MOST_COUNTS = 500  # shelves that are counted at once


@one_transaction
def count_stock(
    *, business_id: UUID, counts: Mapping[UUID, Count], reason: str, actor: str, now: datetime
) -> dict[UUID, int]:
    """Shelves were counted, each under its product's id: adjust them to what is there by the difference, all or
    none. Returns the differences.

    What is compared is what the shelf was said to have, and not its version: that counts holds as well, which
    leave the units where they are, so a much-wanted product could never be counted.
    Raises ProductNotFound, InvalidRequest, and CountRefused, which tells of every product whose shelf changed
    meanwhile or would not have what is held of it.
    """
    if not 0 < len(counts) <= MOST_COUNTS:
        raise InvalidRequest.at("counts", "out_of_range", f"Count between 1 and {MOST_COUNTS} products at once.")
    if not all(0 <= one.counted <= LARGEST_COUNT for one in counts.values()):
        raise InvalidRequest.at("counted", "out_of_range", f"A shelf has between 0 and {LARGEST_COUNT:,} units.")
    if not reason.strip():
        raise InvalidRequest.at("reason", "required", "Say why the counts change.")
    shelves = Stock.objects.of(business_id).filter(product_id__any_of=counts).select_related("product").lock()
    found = {shelf.product_id: shelf for shelf in shelves}
    for missing in counts.keys() - found.keys():
        raise _no_product(missing)
    refused = [
        {
            "product": str(key),
            "sku": shelf.product.sku,
            "counted": counts[key].counted,
            "stock_quantity": shelf.stock_quantity,
            "reserved_stock": shelf.reserved_stock,
        }
        for key, shelf in found.items()
        if shelf.stock_quantity != counts[key].on_shelf or counts[key].counted < shelf.reserved_stock
    ]
    if refused:
        skus = ", ".join(str(row["sku"]) for row in refused[:5])
        more = f" and {len(refused) - 5} more" if len(refused) > 5 else ""
        raise CountRefused(f"Nothing was changed: look at {skus}{more}.", rows=refused)
    deltas = {key: one.counted - one.on_shelf for key, one in counts.items() if one.counted != one.on_shelf}
    moves = [Move(key, Kind.ADJUSTED, now, stock_delta=delta) for key, delta in deltas.items()]
    stock.move(business_id=business_id, moves=moves, actor=actor, reason=reason)
    return deltas


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
