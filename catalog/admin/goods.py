"""What is sold: the list of products, and the forms for their texts and prices."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now, NullIf
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from unfold.decorators import display
from unfold.views import ChangeList

from catalog import services
from catalog.admin.product_forms import EditProduct, NewProduct
from catalog.authentication import Access
from catalog.columns import page_link
from catalog.importing.pages import FileImport
from catalog.importing.products import ProductResource
from catalog.long_lists import LongList, LongListAdmin, Tabs
from catalog.models import Product, StockMovement
from catalog.querysets import ProductQuerySet, StockMovementQuerySet
from catalog.rights import Right
from catalog.staff import access_in
from catalog.wording import DASH, grouped, of, price
from orders_project.errors import DomainError

SALES_DAYS = timedelta(days=30)  # what sold lately tells how long the shelf lasts
LONGEST_COVER = 365  # days: beyond that nobody foretells it


class Shelves(Tabs):
    """?shelf=short"""

    title = "shelf"
    parameter_name = "shelf"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("short", "Low or out"), ("out", "Out"), ("held", "Held for orders")]

    def narrowed(self, queryset: ProductQuerySet, asked: str, request: HttpRequest) -> ProductQuerySet:
        return {"short": queryset.short, "out": queryset.out, "held": queryset.held}[asked]()


class ProductList(LongList):
    """A page of products, each with the units that it sold lately."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = with_sales(self.result_list, access_in(request))


def with_sales(products: Iterable[Product], access: Access) -> list[Product]:
    """These products of the business with the units `sold` lately, asked of the ledger at once."""
    found = list(products)
    ledger = StockMovement.objects.of(access.business.id)
    sold = ledger.units_sold([one.id for one in found], since=access.now - SALES_DAYS)
    for product in found:
        product.business = access.business
        product.sold = sold.get(product.id, 0)  # type: ignore[attr-defined]
    return found


@admin.register(Product)
class ProductAdmin(FileImport, LongListAdmin):
    """Texts and price; the counters are moved by the verbs alone."""

    right = Right.PRODUCTS
    adds = True
    import_right = Right.PRODUCTS
    resource = ProductResource
    question = "What is there, and how long will it last?"
    list_display = ("code", "title", "amount", "available", "held", "on_shelf", "sold", "lasts", "state")
    list_display_links = None
    list_filter = (Shelves, "is_active")
    list_select_related = ("stock",)
    search_fields = ("sku", "name")
    search_help_text = "Part of a name or an SKU"
    ordering = ("sku",)
    sortable_by = ("code", "title")
    # First what an import takes.
    exports = {
        "products": {
            **{name: name for name in ("sku", "name", "description", "price", "low_stock_threshold", "is_active")},
            "currency": "currency",
            "stock_quantity": "stock__stock_quantity",
            "reserved_stock": "stock__reserved_stock",
            "available": "available",
            "sold_30_days": "sold",
            "days_of_cover": "cover",
        }
    }

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ProductList

    def with_words(self, queryset: ProductQuerySet, words: str, request: HttpRequest) -> QuerySet[Product]:
        return queryset.matching(words)

    def in_order(self, file: str, rows: QuerySet[Any]) -> QuerySet[Any]:
        sales = StockMovement.objects.sales(since=Now() - SALES_DAYS).filter(product=OuterRef("pk"))
        sold = sales.values("product").values(units=StockMovementQuerySet.UNITS_SOLD)
        available = F("stock__stock_quantity") - F("stock__reserved_stock")
        return rows.order_by("sku").annotate(
            available=available,
            sold=Coalesce(Subquery(sold, output_field=IntegerField()), 0),
            cover=F("available") * SALES_DAYS.days / NullIf(F("sold"), 0),
        )

    @admin.display(description="SKU", ordering="sku")
    def code(self, product: Product) -> str:
        return page_link("product", product.pk, product.sku)

    @admin.display(description="name", ordering="name")
    def title(self, product: Product) -> str:
        return page_link("product", product.pk, product.name)

    @admin.display(description="price")
    def amount(self, product: Product) -> str:
        return price(product.price, product.currency)

    def available(self, product: Product) -> str:
        return grouped(product.stock.available)

    def held(self, product: Product) -> str:
        held = product.stock.reserved_stock
        return format_html('<span class="hf-held">{}</span>', grouped(held)) if held else DASH

    def on_shelf(self, product: Product) -> str:
        return grouped(product.stock.stock_quantity)

    @admin.display(description="sold in 30 days")
    def sold(self, product: Any) -> str:
        return grouped(product.sold or None)

    def lasts(self, product: Any) -> str:
        if not product.sold:
            return DASH
        days = product.stock.available * SALES_DAYS.days // product.sold
        return of(days, "day") if days <= LONGEST_COVER else "over a year"

    @display(label={"Out": "danger", "Low": "warning"})
    def state(self, product: Product) -> str:
        if not product.is_active:
            return "Not sold"
        if product.stock.available <= 0:
            return "Out"
        return "Low" if product.stock.available <= product.low_at else "In stock"

    # --- The forms ---------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, form=EditProduct if change else NewProduct, **kwargs)
        form.business = access_in(request).business
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("sku", "name", "description", "price", "opening_stock", "low_stock_threshold")
        if self.has_change_permission(request, obj):
            return ("sku", "shelf", *services.EDITABLE, "despite_holds")
        return ("sku", "shelf", *("amount" if name == "price" else name for name in services.EDITABLE))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("sku", "shelf", "amount")

    @admin.display(description="stock")
    def shelf(self, product: Product) -> str:
        stock = product.stock
        return format_html(
            '{} available, {} held, {} on the shelf. <a href="{}" class="hf-link">What moved them, and forms to '
            "receive and adjust</a>",
            *map(grouped, (stock.available, stock.reserved_stock, stock.stock_quantity)),
            reverse("staff:product", args=[product.pk]),
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The product; for one that is sent, locked, so that what changed since it was shown is known."""
        found = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        return Product.objects.of(found.business_id).select_related("stock").lock().get(pk=found.pk)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        try:
            return super().add_view(request, form_url, {"title": "Add a product", **(extra_context or {})})
        except DomainError as error:
            # The form again, with what was typed: it takes that from its address.
            messages.error(request, error.detail)
            typed = {name: request.POST.get(name, "") for name in self.get_fields(request)}
            return HttpResponseRedirect(f"{request.path}?{urlencode(typed)}")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        access = access_in(request)
        if change:
            edit = {name: form.cleaned_data[name] for name in form.changed_data if name in services.EDITABLE}
            services.edit_products(
                business=access.business, edits={obj.id: edit}, actor=access.actor, now=access.now
            )
        else:
            made = services.add_product(
                business=access.business, actor=access.actor, now=access.now, **form.cleaned_data
            )
            obj.pk = made.pk
