"""The catalog over the API: products, what is available of them, and why."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog import alerts, services
from catalog.authentication import access_of
from catalog.channels import Channel
from catalog.errors import AlertClosed, AlertNotFound, KeyReused, ProductNotFound, StockBelowReserved
from catalog.filters import AlertFilter, ProductFilter, StockMovementFilter
from catalog.models import Alert, Product, Stock, StockMovement
from catalog.rights import Right
from catalog.schema import refusals
from catalog.serializers import (
    AlertSerializer,
    AnswerSerializer,
    AvailabilitySerializer,
    ProductSerializer,
    StockAdjustmentSerializer,
    StockMovementSerializer,
)
from orders_project.api.filters import check_parameters
from orders_project.api.reading import etag, read_body, read_idempotency_key, read_if_match
from orders_project.api.schema import ETAG, IDEMPOTENCY_KEY, IF_MATCH
from orders_project.errors import InvalidParameter, PreconditionFailed

MOST_SKUS = 100
CHANNEL = OpenApiParameter(
    "channel",
    OpenApiTypes.STR,
    enum=Channel.values,
    description="What orders of this channel may have: units that are kept back from it are not among them.",
)


@extend_schema(tags=["Products"])
class ProductList(ListAPIView[Product]):
    """Products, newest first."""

    serializer_class = ProductSerializer
    filterset_class = ProductFilter
    orderings = ("-created_at", "sku", "price")
    queryset = Product.objects.none()

    def get_queryset(self) -> QuerySet[Product]:
        return Product.objects.of(access_of(self.request).business.id).select_related("stock")

    @extend_schema(responses={200: ProductSerializer(many=True), **refusals()})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class ProductAvailability(APIView):
    """What can be promised of one product right now: its counters, in one indexed read."""

    @extend_schema(
        tags=["Availability"],
        parameters=[CHANNEL, ETAG],
        responses={200: AvailabilitySerializer, **refusals(ProductNotFound)},
    )
    def get(self, request: Request, product_id: Any) -> Response:
        check_parameters(request, {"channel"})
        channel = _channel_in(request)
        shelves = Stock.objects.of(access_of(request).business.id).select_related("product")
        shelf = shelves.filter(product_id=product_id).first()
        if shelf is None:
            raise ProductNotFound("There is no such product.", product=str(product_id))
        shown = AvailabilitySerializer(shelf, context={"channel": channel})
        return Response(shown.data, headers=etag(shelf.version))


class AvailabilityList(APIView):
    """What can be promised of several products right now, by SKU. An SKU that isn't sold is left out."""

    @extend_schema(
        tags=["Availability"],
        parameters=[
            OpenApiParameter(
                "sku",
                OpenApiTypes.STR,
                required=True,
                description=f"Up to {MOST_SKUS} SKUs, separated by commas.",
            ),
            CHANNEL,
        ],
        responses={200: AvailabilitySerializer(many=True), **refusals()},
    )
    def get(self, request: Request) -> Response:
        check_parameters(request, {"sku", "channel"})
        channel = _channel_in(request)
        skus = [sku.strip() for sku in request.query_params.get("sku", "").split(",") if sku.strip()]
        if not 0 < len(skus) <= MOST_SKUS:
            raise InvalidParameter(
                f"Name 1 to {MOST_SKUS} SKUs, separated by commas.", parameter="sku", most=MOST_SKUS
            )
        shelves = Stock.objects.of(access_of(request).business.id).select_related("product")
        found = shelves.filter(product__sku__in=skus).order_by("product__sku")
        shown = AvailabilitySerializer(found, many=True, context={"channel": channel})
        return Response(shown.data)


def _channel_in(request: Request) -> Channel | None:
    """The channel that somebody asks for; none is any. Raises InvalidParameter."""
    channel = request.query_params.get("channel")
    if channel is None:
        return None
    if channel not in Channel.values:
        raise InvalidParameter(
            f"A channel is one of {', '.join(Channel.values)}.", parameter="channel", one_of=Channel.values
        )
    return Channel(channel)


class StockAdjustments(APIView):
    """Correct the count of a product."""

    rights = {"POST": Right.STOCK}

    @extend_schema(
        tags=["Stock"],
        parameters=[IF_MATCH, IDEMPOTENCY_KEY, ETAG],
        request=StockAdjustmentSerializer,
        responses={
            201: AvailabilitySerializer,
            **refusals(ProductNotFound, StockBelowReserved, PreconditionFailed, KeyReused, body=True),
        },
    )
    def post(self, request: Request, product_id: Any) -> Response:
        check_parameters(request, set())
        access = access_of(request)
        body = read_body(request, StockAdjustmentSerializer)
        shelf = services.adjust_stock(
            business_id=access.business.id,
            product_id=product_id,
            delta=body["delta"],
            reason=body["reason"],
            expected_version=read_if_match(request),
            idempotency_key=read_idempotency_key(request),
            actor=access.actor,
            now=access.now,
        )
        return Response(AvailabilitySerializer(shelf).data, status=201, headers=etag(shelf.version))


@extend_schema(tags=["Alerts"])
class AlertList(ListAPIView[Alert]):
    """Alerts of the business, and those about Holdfast itself, newest first."""

    serializer_class = AlertSerializer
    filterset_class = AlertFilter
    orderings = ("-opened_at",)
    queryset = Alert.objects.none()

    def get_queryset(self) -> QuerySet[Alert]:
        return Alert.objects.of(access_of(self.request).business.id)

    @extend_schema(responses={200: AlertSerializer(many=True), **refusals()})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


@extend_schema(tags=["Alerts"])
class AlertDetail(APIView):
    """One alert, and what somebody does about it."""

    rights = {"PATCH": Right.ALERTS}

    @extend_schema(responses={200: AlertSerializer, **refusals(AlertNotFound)})
    def get(self, request: Request, alert_id: Any) -> Response:
        """An alert of the business, or one about Holdfast itself, open or closed."""
        check_parameters(request, set())
        alert = alerts.find_alert(business_id=access_of(request).business.id, alert_id=alert_id)
        return Response(AlertSerializer(alert).data)

    @extend_schema(
        request=AnswerSerializer,
        responses={200: AlertSerializer, **refusals(AlertNotFound, AlertClosed, body=True)},
    )
    def patch(self, request: Request, alert_id: Any) -> Response:
        """Say that somebody sees to an open alert, or put it to sleep."""
        check_parameters(request, set())
        access = access_of(request)
        alert = alerts.answer(
            business_id=access.business.id,
            alert_id=alert_id,
            said=read_body(request, AnswerSerializer),
            actor=access.actor,
            now=access.now,
        )
        return Response(AlertSerializer(alert).data)


@extend_schema(tags=["Stock"])
class StockMovementList(ListAPIView[StockMovement]):
    """The ledger: everything that moved a counter, newest first."""

    serializer_class = StockMovementSerializer
    filterset_class = StockMovementFilter
    orderings = ("-at",)
    queryset = StockMovement.objects.none()

    def get_queryset(self) -> QuerySet[StockMovement]:
        return StockMovement.objects.of(access_of(self.request).business.id).select_related("product")

    @extend_schema(responses={200: StockMovementSerializer(many=True), **refusals()})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
