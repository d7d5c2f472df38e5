"""What a business can choose of the world: countries, currencies and time zones, each with its name."""

from zoneinfo import available_timezones

import phonenumbers
from babel import Locale
from babel.numbers import get_territory_currencies

_ENGLISH = Locale("en")

# Those whose phone numbers can be read.
COUNTRIES = sorted(
    ((code, str(_ENGLISH.territories.get(code, code))) for code in phonenumbers.SUPPORTED_REGIONS),
    key=lambda country: country[1],
)
# Those that are paid with somewhere today.
CURRENCIES = [
    (code, f"{code}, {_ENGLISH.currencies.get(code, code)}")
    for code in sorted({code for region, _ in COUNTRIES for code in get_territory_currencies(region)})
]
# Those that both Python and PostgreSQL know by name; `localtime` is Python's alone.
TIME_ZONES = [(zone, zone.replace("_", " ")) for zone in sorted(available_timezones() - {"localtime"})]
