"""Keys: UUIDv7, made in Python, so that a row has its key before it is written and new rows sit together."""

from uuid_utils.compat import uuid7 as new_id

__all__ = ["new_id"]
