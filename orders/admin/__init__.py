"""Orders in the back office."""

from orders.admin import books, orders

__all__ = ["books", "orders"]
