from typing import Any

from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from catalog.models import ApiKey, Business, Membership, Product, StockMovement
from orders_project.read_only import ReadOnlyAdmin

# Django's own pages of people, in the look of the others.
admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(auth.UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(auth.GroupAdmin, ModelAdmin):
    pass


class MembershipInline(TabularInline):
    model = Membership
    extra = 0


@admin.register(Business)
class BusinessAdmin(ModelAdmin):
    list_display = ("name", "slug", "currency", "time_zone", "payment_window_minutes")
    inlines = (MembershipInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Business | None = None) -> tuple[str, ...]:
        return ("currency",) if obj else ()  # prices on file are in it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("name", "prefix", "business", "scope", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("business",)
    exclude = ("secret_hash",)


@admin.register(Product)
class ProductAdmin(ModelAdmin):
    """Texts and price; the counters are moved by the verbs alone."""

    list_display = ("sku", "name", "price", "currency", "in_stock", "reserved", "available", "is_active")
    list_filter = ("business", "is_active")
    list_select_related = ("stock",)
    search_fields = ("sku", "name")
    show_full_result_count = False
    fields = ("sku", "name", "description", "price", "is_active", "low_stock_threshold")
    readonly_fields = ("sku",)

    @admin.display(description="in stock", ordering="stock__stock_quantity")
    def in_stock(self, product: Product) -> int:
        return product.stock.stock_quantity

    @admin.display(ordering="stock__reserved_stock")
    def reserved(self, product: Product) -> int:
        return product.stock.reserved_stock

    def available(self, product: Product) -> int:
        return product.stock.available

    def save_model(self, request: HttpRequest, obj: Product, form: Any, change: bool) -> None:
        obj.save(update_fields=form.changed_data)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StockMovement)
class StockMovementAdmin(ReadOnlyAdmin):
    list_display = ("at", "product", "kind", "stock_delta", "reserved_delta", "actor", "reason")
    list_filter = ("business", "kind")
    list_select_related = ("product",)
    search_fields = ("product__sku",)
    ordering = ("-at",)
