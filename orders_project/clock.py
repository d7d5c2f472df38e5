"""The one clock: the database's. Doorways pass its time down as `now`; tests pass an instant."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """The database's present instant, in UTC."""
    now: datetime
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now
