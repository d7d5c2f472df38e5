"""What stands beside every page of the back office, in the order of a day's work."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.contrib.admin import site
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from catalog.rights import Right
from catalog.staff import access_in


class Item(NamedTuple):
    """A page by the name of its address. It is the active one on the pages below it, too, and on those below
    `also`."""

    title: str
    icon: str
    page: str
    right: Right | None = None
    also: str = ""


GROUPS: dict[str, Sequence[Item]] = {
    "Today": (
        Item("Home", "home", "admin:index"),
        Item("Orders", "receipt_long", "admin:orders_order_changelist", also="/staff/orders/"),
        Item("New order", "add_shopping_cart", "staff:new_order", right=Right.ORDERS),
        Item("Customers", "group", "admin:customers_customer_changelist", also="/staff/customers/"),
    ),
    "Stock": (
        Item("Products", "inventory_2", "admin:catalog_product_changelist", also="/staff/products/"),
        Item("Count", "inventory", "staff:count", right=Right.STOCK),
        Item("Stock health", "monitor_heart", "staff:stock_health"),
        Item("Holds", "timer", "staff:holds"),
        Item("Alerts", "notifications", "staff:alerts"),
        Item("Findings", "fact_check", "staff:findings"),
    ),
    "Books": (
        Item("Analytics", "bar_chart", "staff:analytics"),
        Item("Payments", "payments", "admin:orders_payment_changelist"),
        Item("Payment notices", "mark_email_read", "staff:payment_notices"),
        Item("Reservations", "hourglass_bottom", "admin:reservations_stockreservation_changelist"),
        Item("Ledger", "menu_book", "admin:catalog_stockmovement_changelist"),
        Item("Events", "history", "admin:orders_orderevent_changelist"),
        Item("Bulk runs", "checklist", "staff:bulk_runs"),
        Item("Jobs", "schedule", "staff:jobs"),
    ),
    "Set-up": (
        Item("Settings", "storefront", "staff:settings", right=Right.SETTINGS),
        Item("People", "badge", "staff:people", right=Right.SETTINGS),
        Item("API keys", "key", "staff:keys", right=Right.SETTINGS),
        Item("Payment sources", "account_balance", "staff:payment_sources", right=Right.SETTINGS),
        Item("Webhooks", "webhook", "staff:webhooks", right=Right.SETTINGS),
        Item("Audit", "policy", "admin:catalog_auditentry_changelist", right=Right.SETTINGS),
    ),
}
OURS = {item.page for items in GROUPS.values() for item in items}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Links to what somebody may see of the business that is looked at; to what is of no business below it."""
    try:
        access = access_in(request)
    except PermissionDenied:
        return []  # they work nowhere yet
    business = urlencode({"business": access.business.slug})
    shown = {
        title: [item for item in items if item.right is None or item.right in access.rights]
        for title, items in GROUPS.items()
    }
    active = max((item for items in shown.values() for item in items), key=lambda item: _nearness(item, request))
    groups = [
        {
            "title": title,
            "items": [
                {
                    "title": item.title,
                    "icon": item.icon,
                    "link": f"{reverse(item.page)}?{business}",
                    "active": item is active and _nearness(item, request) > 0,
                }
                for item in items
            ],
        }
        for title, items in shown.items()
        if items
    ]
    return [*groups, *_platform(request)]


def _nearness(item: Item, request: HttpRequest) -> int:
    """How much of a page's address an item covers: the one that covers the most of it is active."""
    path = reverse(item.page)
    if item.page == "admin:index":  # all of the admin is below it
        return len(path) if request.path == path else 0
    return max(len(one) if one and request.path.startswith(one) else 0 for one in (path, item.also))


def _platform(request: HttpRequest) -> list[dict[str, Any]]:
    """What who runs Holdfast sees besides: the models that are of no business, as their libraries name them."""
    models = [
        {"title": model["name"], "icon": "table_rows", "link": model["admin_url"]}
        for app in site.get_app_list(request)
        for model in app["models"]
        if f"admin:{app['app_label']}_{model['object_name'].lower()}_changelist" not in OURS
    ]
    return [{"title": "Platform", "items": models, "collapsible": True}] if models else []
