"""Fields that take exactly what they say, where DRF's would guess."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orders_project import money
from orders_project.phones import complete_phone


class WholeNumber(serializers.IntegerField):
    """A JSON integer. Not true, "3", 3.0 or "1_000", all of which DRF's IntegerField takes."""

    default_error_messages = {"not_an_integer": "A whole number is needed."}

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("not_an_integer")
        return data


@extend_schema_field(
    {
        "type": "string",
        "pattern": r"^\d{1,17}(\.\d{1,3})?$",
        "example": "19.90",
        "description": "An amount with the currency's own number of decimals.",
    }
)
class Money(serializers.Field[Decimal, Any, str, Any]):
    """An amount in the currency of the object it belongs to: read and written as "19.90".

    In: a string of digits, or a plain JSON number. Not "1e5", "-0" or " 7".
    """

    default_error_messages = {"not_money": 'An amount such as "19.90" is needed: digits, and a point if need be.'}
    PLAIN = re.compile(r"\d{1,15}(\.\d{1,3})?", re.ASCII)

    def get_attribute(self, instance: Any) -> Any:
        amount = super().get_attribute(instance)
        return None if amount is None else (amount, instance.currency)

    def to_internal_value(self, data: Any) -> Decimal:
        amount = self.read(data)
        return self.fail("not_money") if amount is None else amount

    @classmethod
    def read(cls, data: Any) -> Decimal | None:
        """The amount that a JSON value tells, or None."""
        if type(data) not in (str, int, Decimal) or not cls.PLAIN.fullmatch(str(data)):
            return None
        return Decimal(str(data))

    def to_representation(self, value: Any) -> str:
        return money.text(*value)


class Choice(serializers.ChoiceField):
    """One of a few words; the refusal lists them."""

    def __init__(self, choices: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        words = ", ".join(map(str, self.choices))
        self.error_messages["invalid_choice"] = f"Must be one of: {words}."

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A JSON string. Not 5 or 1.50, which DRF's CharField takes and turns into text."""

    default_error_messages = {"not_text": "Text is needed, in quotes."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        return super().to_internal_value(data)


class YesNo(serializers.BooleanField):
    """true or false. Not "no", 1 or "off", all of which DRF's BooleanField takes."""

    default_error_messages = {"not_true_or_false": "This is true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("not_true_or_false")
        return data


class Email(serializers.EmailField):
    """An email address, in small letters: two spellings of one address are one person's."""

    default_error_messages = {"invalid": "This is not an email address. Write it like ada@example.com."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data).lower()


class Phone(Text):
    """A telephone number. With a country code it is checked here and becomes E.164 ("+447700900123");
    without one it is left for the business's country to complete (`complete_phone`)."""

    default_error_messages = {"invalid_phone": "This is not a telephone number. Write it like +447700900123."}

    def to_internal_value(self, data: Any) -> str:
        number = super().to_internal_value(data)
        if number.startswith("+") and complete_phone(number, country=None) is None:
            self.fail("invalid_phone")
        return number
