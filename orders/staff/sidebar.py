"""What stands beside every page of the back office, the admin's own among them."""

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import site
from django.http import HttpRequest
from django.urls import reverse

# Address, title and icon of each page of ours.
PAGES = (
    ("stock_health", "Stock health", "monitor_heart"),
    ("holds", "Holds", "timer"),
    ("alerts", "Alerts", "notifications"),
    ("findings", "Findings", "fact_check"),
    ("jobs", "Jobs", "schedule"),
    ("analytics", "Analytics", "bar_chart"),
)

ICONS = {
    "order": "receipt_long",
    "customer": "group",
    "product": "inventory_2",
    "stockmovement": "menu_book",
    "stockreservation": "hourglass_bottom",
    "business": "storefront",
    "apikey": "key",
    "user": "person",
    "group": "groups",
}


# The apps that have no name of ours.
NAMES = {"auth": "People", "django_celery_beat": "Schedule"}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Links to the pages of ours, all to the business that is looked at, and to the admin's models."""
    business = request.GET.get("business")
    query = f"?{urlencode({'business': business})}" if business else ""
    pages = [
        {
            "title": title,
            "icon": icon,
            "link": reverse(f"staff:{name}") + query,
            "active": request.path == reverse(f"staff:{name}"),
        }
        for name, title, icon in PAGES
    ]
    return [{"title": "Stock", "items": pages}, *(_of_app(app) for app in site.get_app_list(request))]


def _of_app(app: dict[str, Any]) -> dict[str, Any]:
    models = [
        {
            "title": model["name"],
            "icon": ICONS.get(model["object_name"].lower(), "table_rows"),
            "link": model["admin_url"],
        }
        for model in app["models"]
    ]
    return {
        "title": NAMES.get(app["app_label"], app["name"]),
        "items": models,
        "collapsible": True,
        "separator": False,
    }
