"""Why a customer can't be found."""

from orders_project.errors import DomainError


class CustomerNotFound(DomainError):
    code = "customer_not_found"
    status = 404
    title = "There is no such customer"
    example = {"customer": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class UnknownCustomer(DomainError):
    code = "unknown_customer"
    status = 422
    title = "The order names a customer who doesn't exist"
    example = {"customer": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class InvalidPhone(DomainError):
    code = "invalid_phone"
    status = 422
    title = "This is not a telephone number"
    example = {"phone": "12", "country": "GB"}


class IdentityTaken(DomainError):
    """`field` is phone or external_id, and `customer` the one who has it."""

    code = "customer_identity_taken"
    title = "Another customer has this"
    example = {"field": "phone", "value": "+447700900123", "customer": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class SameCustomer(DomainError):
    code = "same_customer"
    status = 422
    title = "These are not two customers"
    example = {"customer": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f"}


class NotesTooLong(DomainError):
    code = "notes_too_long"
    status = 422
    title = "The notes of both don't fit in one"
    example = {"longest": 5000}
