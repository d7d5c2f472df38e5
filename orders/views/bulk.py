"""Many orders, or many payments, in one request: each row is answered as it would be alone."""

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.authentication import access_of
from catalog.rights import Right
from catalog.schema import refusals
from orders import doorway
from orders.serializers import (
    MOST_ROWS,
    BulkPlacementSerializer,
    ConfirmedResultsSerializer,
    PlacedResultsSerializer,
    ReceiptSerializer,
)
from orders.services import Placement, Receipt
from orders.views.orders import placement
from orders_project.api.filters import check_parameters
from orders_project.api.parsing import BulkJSONParser
from orders_project.api.reading import check_length, read
from orders_project.errors import DomainError, InvalidRequest

Read = TypeVar("Read")


def _body(name: str, row: str, example: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body with rows. A row may be anything: one that can't be read is refused by itself."""
    rows = {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_ROWS,
        "items": {"description": row},
        "example": [example],
    }
    schema = {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: rows}}
    return {"application/json": schema}


class OrderBulk(APIView):
    rights = {"POST": Right.ORDERS}
    parser_classes = [BulkJSONParser]

    @extend_schema(
        tags=["Orders"],
        summary="Place many orders",
        request=_body(
            "orders",
            "What POST /orders takes, and an idempotency_key where there is no external_id.",
            {
                "channel": "instagram",
                "customer": {"name": "Ada", "phone": "+447700900123"},
                "items": [{"sku": "MUG-01", "quantity": 1}],
                "idempotency_key": "7f1c2d",
            },
        ),
        responses={200: PlacedResultsSerializer, **refusals(body=True)},
    )
    def post(self, request: Request) -> Response:
        """Place up to 1,000 orders, in their order. Each is placed, replayed or refused by itself, and each
        needs an `idempotency_key` or an `external_id`: if the answer is lost, send the same again."""
        asked = _rows(request, "orders", BulkPlacementSerializer, _placement)
        return Response(doorway.place_in_bulk(access_of(request), asked))


class PaymentBulk(APIView):
    rights = {"PATCH": Right.PAYMENTS}
    parser_classes = [BulkJSONParser]

    @extend_schema(
        tags=["Orders"],
        summary="Tell of many payments",
        request=_body(
            "payments",
            "What PATCH /orders/{id}/payment takes of a payment, and the id of its order.",
            {
                "order": "01939f2e-6b7c-7cc3-98c4-dc0c0c07398f",
                "provider": "stripe",
                "reference": "pi_3Qx",
                "amount": "19.90",
            },
        ),
        responses={200: ConfirmedResultsSerializer, **refusals(body=True)},
    )
    def patch(self, request: Request) -> Response:
        """Confirm up to 1,000 payments, in their order. Each is recorded or refused by itself; the same
        reference told twice changes nothing more."""
        told = _rows(request, "payments", ReceiptSerializer, _receipt)
        return Response(doorway.confirm_in_bulk(access_of(request), told))


def _placement(row: dict[str, Any]) -> Placement:
    return placement(row, idempotency_key=row.get("idempotency_key"))


def _receipt(row: dict[str, Any]) -> Receipt:
    return Receipt(row["order"], row["provider"], row["reference"], row["amount"], row.get("currency"))


def _rows(
    request: Request,
    name: str,
    serializer: type[serializers.Serializer[Any]],
    make: Callable[[dict[str, Any]], Read],
) -> list[Read | DomainError]:
    """What each row asks for, or why it can't be read. Raises InvalidRequest for what is no list of rows."""
    check_parameters(request, set())
    check_length(request)
    body = request.data
    rows = body.get(name) if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(rows, list) or not 0 < len(rows) <= MOST_ROWS:
        raise InvalidRequest.at(
            name,
            "not_rows",
            f'The body must be {{"{name}": [...]}}, with 1 to {MOST_ROWS:,} rows.',
            most=MOST_ROWS,
        )

    def read_row(row: Any) -> Read | DomainError:
        try:
            return make(read(row, serializer))
        except DomainError as refusal:
            return refusal

    return [read_row(row) for row in rows]
