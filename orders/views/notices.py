"""What payment providers tell, in messages that they sign."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, PolymorphicProxySerializer, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.channels import Channel
from catalog.signing_in import address_of
from catalog.throttling import left, seconds_to_wait
from orders import payment_notices
from orders.errors import InvalidSignature, MessageIdReused
from orders.models import PaymentNotice, PaymentSource
from orders.payment_notices import CAPTURED, FAILED, REFUNDED
from orders_project import signatures
from orders_project.api.fields import Choice, Money, Text, YesNo
from orders_project.api.filters import check_parameters
from orders_project.api.problem import NotFound
from orders_project.api.reading import raw_body, read, usable_key
from orders_project.api.schema import REPLAYED, refusals
from orders_project.clock import database_now
from orders_project.logs import also_about
from orders_project.signatures import NotSigned

LARGEST_NOTICE = 64 * 1024  # bytes


# --- What they tell ------------------------------------------------------------------------------


class OrderNamedSerializer(serializers.Serializer[Any]):
    """An order, by its id, by its number, or by the id that its channel knows it by."""

    id = serializers.UUIDField(required=False)
    number = Text(max_length=20, required=False)
    channel = Choice(Channel.choices, required=False)
    external_id = Text(max_length=120, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if set(attrs) not in ({"id"}, {"number"}, {"channel", "external_id"}):
            raise serializers.ValidationError("Name the order by id, by number, or by channel and external_id.")
        return attrs


class MoneyMovedSerializer(serializers.Serializer[Any]):
    order = OrderNamedSerializer()
    reference = Text(max_length=120, help_text="The provider's own id of this payment or refund.")
    amount = Money()
    currency = Text(max_length=3)


class AttemptFailedSerializer(serializers.Serializer[Any]):
    order = OrderNamedSerializer()
    reference = Text(max_length=120, required=False)
    reason = Text(max_length=200, required=False, help_text="What the buyer's bank said.")
    release = YesNo(required=False, help_text="No other attempt will come: free the hold at once.")


def _notice(name: str, kind: Any, data: Any) -> type[serializers.Serializer[Any]]:
    """What a message is made of. (Written as a class, its `data` would hide the serializer's own from mypy.)"""
    timestamp = serializers.DateTimeField(required=False, help_text="When it happened; it isn't used.")
    return type(
        f"{name}Serializer", (serializers.Serializer,), {"type": kind, "timestamp": timestamp, "data": data}
    )


NOTICES = {
    CAPTURED: _notice("PaymentCaptured", Choice([CAPTURED]), MoneyMovedSerializer()),
    FAILED: _notice("PaymentFailed", Choice([FAILED]), AttemptFailedSerializer()),
    REFUNDED: _notice("PaymentRefunded", Choice([REFUNDED]), MoneyMovedSerializer()),
}
OTHER_NOTICE = _notice("OtherNotice", Text(max_length=60), serializers.DictField())


class PaymentNoticeSerializer(serializers.ModelSerializer[PaymentNotice]):
    """A message, and what became of it."""

    class Meta:
        model = PaymentNotice
        fields = ("id", "message_id", "type", "outcome", "order", "code", "detail")
        read_only_fields = fields


# --- The doorway ---------------------------------------------------------------------------------


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(
        name, OpenApiTypes.STR, OpenApiParameter.HEADER, required=True, description=description
    )


class PaymentNotices(APIView):
    authentication_classes = []  # the signature says who it is
    permission_classes = []
    throttle_classes = []

    @extend_schema(
        tags=["Payment notices"],
        summary="Tell of a payment, as its provider",
        auth=[{"Signature": []}],  # type: ignore[list-item]  # it stands in the document as it is
        parameters=[
            _header("webhook-id", "1 to 255 characters: the message's own, the same whenever it is sent again."),
            _header("webhook-timestamp", "When it is sent, in seconds since 1970."),
            REPLAYED,
        ],
        request=PolymorphicProxySerializer("Notice", list(NOTICES.values()), resource_type_field_name=None),
        responses={
            200: PaymentNoticeSerializer,
            202: PaymentNoticeSerializer,
            **refusals(InvalidSignature, MessageIdReused, NotFound, body=True),
        },
    )
    def post(self, request: Request, source_id: UUID) -> Response:
        """A message of a payment provider, signed as Standard Webhooks say. It is kept, and done once however
        often it comes. One that comes before its order, or a refund before its payment, is answered with 202 and
        done later; one that can't be done is kept for the staff, and answered with 200 and `refused`, for sending
        it again wouldn't help. A type that isn't known is `ignored`."""
        source, message_id, now = _check_signature(request, source_id)
        check_parameters(request, set())
        told = _read(request.data)
        notice, replayed = payment_notices.receive(
            source=source,
            message_id=message_id,
            type=told["type"],
            facts=json.loads(json.dumps(told["data"], cls=DjangoJSONEncoder)),
            now=now,
        )
        return Response(
            PaymentNoticeSerializer(notice).data,
            status=202 if notice.outcome == PaymentNotice.Outcome.WAITING else 200,
            headers={"Idempotent-Replayed": "true"} if replayed else {},
        )


def _check_signature(request: Request, source_id: UUID) -> tuple[PaymentSource, str, datetime]:
    """The source that signed a message, the message's id, and the instant of its coming.

    Raises InvalidSignature, which doesn't tell whether there is such a source, Throttled, LengthRequired and
    BodyTooLarge.
    """
    body = raw_body(request, largest=LARGEST_NOTICE)
    now = database_now()
    source = PaymentSource.objects.open().filter(id=source_id).first()
    if source and not left(
        f"{source_id}:{address_of(request)}", calls=1, most=settings.PAYMENT_NOTICES_PER_MINUTE
    ):
        raise Throttled(wait=seconds_to_wait())
    message_id = request.headers.get("webhook-id", "")
    try:
        if not usable_key(message_id):
            raise NotSigned("webhook-id must have 1 to 255 visible ASCII characters.")
        signatures.check(
            source.secrets(now) if source else [signatures.secret(source_id, 0)],  # one that nobody was ever given
            message_id=message_id,
            timestamp=request.headers.get("webhook-timestamp", ""),
            signatures=request.headers.get("webhook-signature", ""),
            body=body,
            now=now,
        )
    except NotSigned as error:
        raise InvalidSignature(str(error), scheme="Webhook-Signature") from error
    assert source is not None  # or nobody could have signed it
    also_about(business=str(source.business_id))
    return source, message_id, now


def _read(body: Any) -> dict[str, Any]:
    """What a message tells. Raises InvalidRequest."""
    known = NOTICES.get(str(body.get("type"))) if isinstance(body, dict) else None
    return read(body, known or OTHER_NOTICE)
