"""The one clock: the database's. Doorways pass its time down as `now`; tests pass an instant."""

from datetime import date, datetime

from django.db import connection


def database_now() -> datetime:
    """The database's present instant, in UTC."""
    now: datetime
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now


def is_reckoned(day: date) -> bool:
    """Whether a day or an instant may be asked for: near the ends of the calendar no sum of times holds."""
    return 1970 <= day.year <= 2200
