"""Keys: UUIDv7, made in Python, so that a row has its key before it is written and new rows sit together."""

from uuid_utils import uuid7
from uuid_utils.compat import uuid7 as new_id

__all__ = ["new_id", "new_id_text"]


def new_id_text() -> str:
    """A key as text, for rows in bulk: that is made ten times as fast."""
    return str(uuid7())
