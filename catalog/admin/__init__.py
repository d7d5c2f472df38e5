"""The catalog in the back office."""

from catalog.admin import audit, books, goods, people

__all__ = ["audit", "books", "goods", "people"]
