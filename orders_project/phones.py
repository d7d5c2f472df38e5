"""Telephone numbers, kept in one form: E.164, such as +447700900123."""

import phonenumbers


def complete_phone(number: str, *, country: str | None) -> str | None:
    """The number in E.164 form, read as of `country` (ISO 3166) if it has no country code; None if it is none."""
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
