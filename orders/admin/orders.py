"""The list of orders: who bought what, what became of it, and what needs a hand. What it can be narrowed by stands
in `filters`; an order itself is shown by a page of ours."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.text import capfirst

from catalog.columns import page_link
from catalog.long_lists import AmountBetween, AnyOf, DaysBetween, LongListAdmin
from catalog.rights import Right
from catalog.staff import access_in
from catalog.wording import DASH, ago, countdown, price
from orders.admin.filters import NeedsFilter, SkuFilter
from orders.bulk import STEPS
from orders.lifecycle import Status
from orders.models import BulkRun, Order
from orders.staff import bulk
from orders.staff.documents import MOST_DOCUMENTS
from orders.staff.page import customer_in, link
from orders.templatetags.shown import payment_badge, status_badge

Action = Callable[["OrderAdmin", HttpRequest, QuerySet[Order]], HttpResponseBase]


def _step(step: BulkRun.Action) -> Action:
    """Ask for a step of all orders that are chosen: a page shows what it will do first."""

    def ask(model_admin: "OrderAdmin", request: HttpRequest, orders: QuerySet[Order]) -> HttpResponseBase:
        return bulk.prepare(request, access_in(request), step, orders)

    return ask


def _documents(kind: str) -> Action:
    """A file to print, with a page or more for each of the orders that are chosen."""

    def show(model_admin: "OrderAdmin", request: HttpRequest, orders: QuerySet[Order]) -> HttpResponseBase:
        chosen = list(orders.values_list("id", flat=True)[: MOST_DOCUMENTS + 1])
        if len(chosen) > MOST_DOCUMENTS:
            model_admin.message_user(
                request, f"Choose up to {MOST_DOCUMENTS} orders to print at once.", level="ERROR"
            )
            return HttpResponseRedirect(request.get_full_path())
        query = urlencode([("kind", kind), *(("order", str(order)) for order in chosen)])
        return HttpResponseRedirect(f"{link('documents', access_in(request))}&{query}")

    return show


def _file(name: str) -> Action:
    """The orders that are chosen, as a CSV file."""

    def take(model_admin: "OrderAdmin", request: HttpRequest, orders: QuerySet[Order]) -> StreamingHttpResponse:
        return model_admin.taken_out(request, name, orders)

    return take


# What can be done with the orders that are chosen: what it is called, and the right that it takes.
ACTIONS: Mapping[str, tuple[Action, str, Right | None]] = {
    **{step.value: (_step(step), capfirst(step.label), STEPS[step].right) for step in BulkRun.Action},
    "packing_slips": (_documents("packing_slip"), "Print packing slips", None),
    "invoices": (_documents("invoice"), "Print invoices", None),
    "export_orders": (_file("orders"), "Export orders (CSV)", Right.EXPORTS),
    "export_lines": (_file("order-lines"), "Export order lines (CSV)", Right.EXPORTS),
}


@admin.register(Order)
class OrderAdmin(LongListAdmin):
    question = "What was ordered, and what became of it?"
    empty = "No orders yet. They appear here when someone buys, or when you take one yourself."
    page = "staff:order"
    narrowed_by = frozenset({"customer"})
    list_display = ("order", "buyer", "through", "stands", "payment", "amount", "age", "hold")
    list_display_links = None
    list_filter = (
        NeedsFilter,
        ("status", AnyOf),
        ("payment_status", AnyOf),
        ("channel", AnyOf),
        ("created_at", DaysBetween),
        ("total", AmountBetween),
        SkuFilter,
    )
    list_select_related = ("customer",)
    search_fields = ("number",)
    search_help_text = "Number, name, phone, email, SKU, tracking"
    sortable_by = ("amount", "age")
    ordering = ("-created_at", "-id")
    actions: ClassVar[Any] = ()
    exports: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "orders": {
            "order": "number",
            "created_at": "created_at",
            "channel": "channel",
            "status": "status",
            "payment_status": "payment_status",
            "customer": "customer__name",
            "phone": "customer__phone",
            "email": "customer__email",
            "currency": "currency",
            "subtotal": "subtotal",
            "shipping_fee": "shipping_fee",
            "discount": "discount",
            "total": "total",
            "paid_at": "paid_at",
            "carrier": "shipments__carrier",
            "tracking_number": "shipments__tracking_number",
            "shipped_at": "shipments__shipped_at",
            "delivered_at": "shipments__delivered_at",
            "cancelled_at": "cancelled_at",
            "cancel_reason": "cancel_reason",
            "note": "note",
            "external_id": "external_id",
        },
        "order-lines": {
            "order": "number",
            "created_at": "created_at",
            "channel": "channel",
            "status": "status",
            "customer": "customer__name",
            "sku": "items__sku",
            "name": "items__name",
            "quantity": "items__quantity",
            "currency": "currency",
            "unit_price": "items__unit_price",
            "line_total": "items__line_total",
        },
    }

    # --- The columns ---

    @admin.display(description="order")
    def order(self, order: Order) -> str:
        return page_link("order", order.pk, order.number)

    @admin.display(description="customer")
    def buyer(self, order: Order) -> str:
        customer = order.customer
        address = reverse("staff:customer", args=[customer.pk])
        return format_html('<a href="{}">{}</a>', address, customer.name or customer.phone or "No name")

    @admin.display(description="channel")
    def through(self, order: Order) -> str:
        return order.get_channel_display()

    @admin.display(description="status")
    def stands(self, order: Order) -> str:
        return status_badge(order.status)

    @admin.display(description="payment")
    def payment(self, order: Order) -> str:
        return payment_badge(order.payment_status)

    @admin.display(description="total", ordering="total")
    def amount(self, order: Order) -> str:
        return price(order.total, order.currency)

    @admin.display(description="age", ordering="created_at")
    def age(self, order: Order) -> str:
        return ago(order.created_at)

    @admin.display(description="hold")
    def hold(self, order: Order) -> str:
        if order.status != Status.PENDING:
            return DASH
        return format_html('<span class="hf-held">{}</span>', countdown(order.payment_due_at))

    # --- What is asked, and what is done ---

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list; the page says so if it is of one customer."""
        access = access_in(request)
        context = {
            "customer": customer_in(request, access),
            "new_address": link("new_order", access) if Right.ORDERS in access.rights else "",
        }
        return super().changelist_view(request, context | (extra_context or {}))

    def with_words(self, queryset: Any, words: str, request: HttpRequest) -> QuerySet[Order]:
        return queryset.matching(access_in(request).business.id, words)

    def in_order(self, file: str, rows: QuerySet[Any]) -> QuerySet[Any]:
        rows = super().in_order(file, rows)
        return rows.order_by(*rows.query.order_by, "items__position") if file == "order-lines" else rows

    def get_actions(self, request: HttpRequest) -> dict[str, tuple[Any, str, str]]:
        """Those that one has the right to; Django asks again when one is run."""
        rights = access_in(request).rights
        return {
            name: (action, name, words)
            for name, (action, words, right) in ACTIONS.items()
            if right is None or right in rights
        }
