"""Products from a file. What is on the shelf of one that is on file already is not for a file to say."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model
from import_export.fields import Field
from import_export.widgets import Widget

from catalog import audit, services
from catalog.importing.resource import ShopResource
from catalog.models import Product, Stock
from catalog.services import LARGEST_ADJUSTMENT, NewProduct, check_price
from catalog.wording import of
from orders_project.errors import InvalidRequest


class WholeNumber(Widget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> int:
        if not (value.isascii() and value.isdigit() and len(value) <= 10):
            raise ValueError(f"“{value[:40]}” is not a whole number, such as 12.")
        return int(value)


class Amount(Widget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> Decimal:
        try:
            amount = Decimal(value) if value.isascii() and len(value) <= 20 else None
        except InvalidOperation:
            amount = None
        if amount is None or not amount.is_finite():
            raise ValueError(f"“{value[:40]}” is not an amount, such as 9.90.")
        return amount


class YesNo(Widget):
    def clean(self, value: str, row: Any = None, **kwargs: Any) -> bool:
        said = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(value.lower())
        if said is None:
            raise ValueError(f"“{value[:40]}” is neither yes nor no.")
        return said


class ProductResource(ShopResource):
    sku = Field("sku", "sku")
    name = Field("name", "name")
    description = Field("description", "description")
    price = Field("price", "price", widget=Amount())
    low_stock_threshold = Field("low_stock_threshold", "low_stock_threshold", widget=WholeNumber())
    is_active = Field("is_active", "is_active", widget=YesNo())
    opening_stock = Field("opening_stock", "opening_stock", widget=WholeNumber())

    title = "sku"
    passed_over = (
        *("currency", "stock_quantity", "reserved_stock", "available"),
        *("sold_30_days", "days_of_cover"),
    )
    examples = (
        ("MUG-01", "Blue mug", "Stoneware, 300 ml", "9.90", "5", "yes", "24"),
        ("TEA-01", "Green tea", "", "4.50", "", "", "100"),
    )
    rules = (
        "A product is known by its SKU. One that isn’t on file is added: it needs a name and a price.",
        "An empty cell leaves what is on file as it is, and so does a column that isn’t there.",
        "opening_stock is for new products; what is on file is received, counted or adjusted, and never set.",
        "is_active is yes or no. The other columns of the list’s own file are passed over.",
    )

    class Meta:
        model = Product
        fields = ("sku", *services.EDITABLE, "opening_stock")

    def learn(self, rows: Sequence[Mapping[str, str]]) -> None:
        skus = [row.get("sku", "") for row in rows]
        found = Product.objects.of(self.access.business.id).filter(sku__any_of=skus)
        self.on_file = {product.sku: product for product in (found.lock() if self.really else found)}
        self.sold = {product.id for product in self.on_file.values() if product.is_active}
        self.seen: set[str] = set()

    def known(self, row: Mapping[str, str]) -> Model | None:
        sku = row.get("sku", "")
        if sku and sku in self.seen:
            raise ValidationError({"sku": f"{sku} stands in the file already."})
        self.seen.add(sku)
        return self.on_file.get(sku)

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        if field.column_name != "opening_stock" or instance._state.adding:
            super().import_field(field, instance, row, is_m2m, **kwargs)

    def mistakes(self, instance: Any, row: Mapping[str, str]) -> dict[str, str]:
        if instance._state.adding and not row.get("sku"):
            return {"sku": "A product needs an SKU."}
        found = {}
        if not instance.name:
            found["name"] = f"{instance.sku} is not on file, and a new product needs a name."
        if instance.price is None:
            found["price"] = f"{instance.sku} is not on file, and a new product needs a price."
        else:
            try:
                check_price(instance.price, self.access.business.currency)
            except InvalidRequest as refused:
                found["price"] = refused.detail
        if getattr(instance, "opening_stock", 0) > LARGEST_ADJUSTMENT:
            found["opening_stock"] = f"A shelf opens with up to {LARGEST_ADJUSTMENT:,} units."
        return found

    def cautions(self, instances: Sequence[Any]) -> list[str]:
        stopped = [one.id for one in instances if one.id in self.sold and not one.is_active]
        held = Stock.objects.of(self.access.business.id).filter(product_id__any_of=stopped, reserved_stock__gt=0)
        if not (products := held.count()):
            return []
        return [
            f"{of(products, 'product')} of which units are held for orders can’t be ordered any more. "
            "Those orders keep their units."
        ]

    def add(self, instances: Sequence[Any]) -> None:
        access = self.access
        new = [
            NewProduct(
                sku=one.sku,
                name=one.name,
                price=one.price,
                opening_stock=getattr(one, "opening_stock", 0),
                description=one.description,
                low_stock_threshold=one.low_stock_threshold,
                is_active=one.is_active,
            )
            for one in instances
        ]
        added = services.add_products(business=access.business, new=new, actor=access.actor, now=access.now)
        audit.record_each(
            business_id=access.business.id,
            actor=access.actor,
            now=access.now,
            action="added",
            changed=[(product, {}) for product in added],
        )

    def edit(self, instances: Sequence[Any]) -> None:
        access = self.access
        edits = {one.id: {name: getattr(one, name) for name in services.EDITABLE} for one in instances}
        services.edit_products(business=access.business, edits=edits, actor=access.actor, now=access.now)
