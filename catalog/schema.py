"""What the API's documentation says of every call: how it may be refused, its caller included."""

from drf_spectacular.utils import OpenApiResponse

from catalog.errors import BusinessNeeded, NotAllowed, NotAuthenticated
from orders_project.api import schema
from orders_project.api.problem import CsrfFailed
from orders_project.errors import DomainError


def refusals(*errors: type[DomainError], body: bool = False) -> dict[tuple[int, str], OpenApiResponse]:
    """Responses for `extend_schema`: these refusals, those of a caller who may not, and those of any call."""
    return schema.refusals(NotAuthenticated, NotAllowed, CsrfFailed, BusinessNeeded, *errors, body=body)
