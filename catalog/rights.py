"""What people and API keys may do in a business, beyond looking: one table."""

from collections.abc import Mapping
from enum import StrEnum

from catalog.models import ApiKey, Membership


class Right(StrEnum):
    """Something that not everyone may do who may look."""

    ORDERS = "orders"
    PAYMENTS = "payments"
    PACKING = "packing"
    STOCK = "stock"
    PRODUCTS = "products"
    CUSTOMERS = "customers"
    ALERTS = "alerts"
    EXPORTS = "exports"
    SETTINGS = "settings"


# What each of them lets one do, as a refusal says it.
DOING: Mapping[Right, str] = {
    Right.ORDERS: "take, edit, hold and cancel orders",
    Right.PAYMENTS: "confirm payments and record refunds",
    Right.PACKING: "pack and ship orders",
    Right.STOCK: "receive, count and correct stock",
    Right.PRODUCTS: "add and edit products",
    Right.CUSTOMERS: "edit and merge customers",
    Right.ALERTS: "see to alerts",
    Right.EXPORTS: "take the books out",
    Right.SETTINGS: "change the business, its people and its API keys",
}

EVERYTHING = frozenset(Right)
DAILY_WORK = EVERYTHING - {Right.SETTINGS}

OF_ROLE: Mapping[str, frozenset[Right]] = {
    Membership.Role.OWNER: EVERYTHING,
    Membership.Role.MANAGER: DAILY_WORK,
    Membership.Role.PACKER: frozenset({Right.PACKING}),
    Membership.Role.VIEWER: frozenset(),
}

OF_SCOPE: Mapping[str, frozenset[Right]] = {
    ApiKey.Scope.WRITE: DAILY_WORK,
    ApiKey.Scope.READ: frozenset(),
}
