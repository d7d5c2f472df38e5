"""Order numbers: the day, and six letters and digits that can't be taken for one another when read aloud."""

import secrets
from datetime import datetime
from zoneinfo import ZoneInfo

READABLE = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U
LETTERS = 6


def new_number(at: datetime, time_zone: str) -> str:
    """A number such as "261123-K7M2QX", of the business's day. 2^30 a day: two may meet, and the
    database's unique rule then has the order numbered again."""
    day = at.astimezone(ZoneInfo(time_zone))
    dice = secrets.randbits(5 * LETTERS)
    letters = "".join([READABLE[dice >> shift & 31] for shift in range(0, 5 * LETTERS, 5)])
    return f"{day.year % 100:02}{day.month:02}{day.day:02}-{letters}"
