"""A careless hand in the database, to break on purpose what the verbs would never break."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import connection


def do(statements: Iterable[str], values: Mapping[str, Any]) -> None:
    """Execute SQL with foreign keys and triggers asleep; CHECKs are awake."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement, values)
        cursor.execute("SET session_replication_role = origin")
