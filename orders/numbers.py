"""Order numbers: the day, and six letters and digits that can't be taken for one another when read aloud."""

import secrets
from datetime import datetime
from zoneinfo import ZoneInfo

READABLE = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O or U


def new_number(now: datetime, time_zone: str) -> str:
    """A number such as "261123-K7M2QX", of the business's day. 2^30 a day: two may meet, and the
    database's unique rule then has the order numbered again."""
    letters = "".join(secrets.choice(READABLE) for _ in range(6))
    return f"{now.astimezone(ZoneInfo(time_zone)):%y%m%d}-{letters}"
