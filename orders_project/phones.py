"""Telephone numbers, kept in one form: E.164, such as +447700900123."""

from functools import lru_cache

import phonenumbers

SHORTEST, LONGEST = 5, 16  # characters, the plus included


def complete_phone(number: str, *, country: str | None) -> str | None:
    """The number in E.164 form, read as of `country` (ISO 3166) if it has no country code; None if it is none."""
    return _complete(number, None if number.startswith("+") else country)


@lru_cache(maxsize=10_000)  # for a buyer comes again, and reading a number takes long
def _complete(number: str, country: str | None) -> str | None:
    if any(character.isalpha() for character in number):
        return None  # "0800 FLOWERS" could be read as one, but is a slip of the finger more often
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    complete = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    # Some countries' plans, Germany's for one, have room for more digits than E.164 does.
    return complete if SHORTEST <= len(complete) <= LONGEST else None
