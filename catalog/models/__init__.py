"""Whose shop it is, what it sells, what is on the shelf, and what watches over it."""

from catalog.models.audit import AuditEntry
from catalog.models.shelf import LONGEST_SKU, Product, Stock, StockMovement
from catalog.models.shop import LONGEST_PAYMENT_WINDOW, MOST_OPEN_ORDERS, ApiKey, Business, Logo, Membership
from catalog.models.watch import Alert, JobRun

__all__ = [
    "LONGEST_PAYMENT_WINDOW",
    "LONGEST_SKU",
    "MOST_OPEN_ORDERS",
    "Alert",
    "ApiKey",
    "AuditEntry",
    "Business",
    "JobRun",
    "Logo",
    "Membership",
    "Product",
    "Stock",
    "StockMovement",
]
