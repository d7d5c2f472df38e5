"""Orders over the API. Each doorway reads the request, calls one verb, and shows the order."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.authentication import Access, access_of
from catalog.errors import KeyReused
from catalog.rights import Right
from catalog.schema import refusals
from customers.errors import InvalidPhone, UnknownCustomer
from customers.services import Buyer
from orders import doorway, errors, services
from orders.filters import OrderFilter
from orders.lifecycle import CancelReason, PaymentStatus, Status
from orders.models import Order, OrderEvent
from orders.serializers import (
    EditSerializer,
    OrderEventSerializer,
    OrderSerializer,
    PaymentChangeSerializer,
    PlacementSerializer,
    ShippingSerializer,
    StatusSerializer,
)
from orders.services import Edit, Line, Placement, Receipt
from orders.shown import show_orders
from orders_project.api.filters import check_parameters
from orders_project.api.reading import etag, read_body, read_idempotency_key, read_if_match
from orders_project.api.schema import ETAG, IDEMPOTENCY_KEY, IF_MATCH, LOCATION, REPLAYED
from orders_project.errors import DomainError, InvalidParameter, PreconditionFailed
from orders_project.rows import row_of

CANCELLED_BY_REQUEST = "cancelled by request"

REFUSED_PLACEMENTS = (
    errors.InsufficientStock,
    errors.DuplicateOrder,
    errors.TooManyOpenOrders,
    errors.KeyInFlight,
    errors.ExternalIdTaken,
    errors.UnknownProducts,
    errors.InactiveProducts,
    errors.CurrencyMismatch,
    errors.DiscountTooLarge,
    UnknownCustomer,
    InvalidPhone,
    KeyReused,
)


def answer(access: Access, order_id: UUID) -> Response:
    """The order as it stands, with its version as ETag. Raises OrderNotFound."""
    orders = Order.objects.of(access.business.id).filter(id=order_id)
    for body in show_orders(orders, now=access.now):
        return Response(body, headers=etag(body["version"]))
    raise errors.OrderNotFound("There is no such order.", order=str(order_id))


class OrderList(ListAPIView[Order]):
    rights = {"POST": Right.ORDERS}
    filterset_class = OrderFilter
    orderings = ("-created_at", "total")
    queryset = Order.objects.none()

    def get_queryset(self) -> QuerySet[Order]:
        return Order.objects.of(access_of(self.request).business.id)

    @extend_schema(
        tags=["Orders"], summary="List orders", responses={200: OrderSerializer(many=True), **refusals()}
    )
    def get(self, request: Request) -> Response:
        """Orders, newest first."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        rows = [row_of(order) for order in page or []]
        return self.get_paginated_response(show_orders(rows, now=access_of(request).now))

    @extend_schema(
        tags=["Orders"],
        summary="Place an order",
        parameters=[IDEMPOTENCY_KEY, ETAG, LOCATION, REPLAYED],
        request=PlacementSerializer,
        responses={201: OrderSerializer, 200: OrderSerializer, **refusals(*REFUSED_PLACEMENTS, body=True)},
    )
    def post(self, request: Request) -> Response:
        """Place an order; it holds its stock until `payment_due_at`. The same request with the same
        Idempotency-Key or external_id is answered with the first order (200, `Idempotent-Replayed: true`)."""
        check_parameters(request, set())
        access = access_of(request)
        outcomes = doorway.place(access, [_placement(request)])
        (outcome,), (shown,) = outcomes, doorway.show_placed(outcomes, now=access.now)
        if isinstance(outcome, DomainError):
            raise outcome
        if isinstance(shown, DomainError):
            raise shown
        status, headers = doorway.answered(outcome)
        return Response(shown, status=status, headers=headers)


def _placement(request: Request) -> Placement:
    return placement(read_body(request, PlacementSerializer), idempotency_key=read_idempotency_key(request))


def placement(body: dict[str, Any], *, idempotency_key: str | None) -> Placement:
    """What a valid body asks for."""
    return Placement(
        channel=body["channel"],
        buyer=Buyer(**body["customer"]),
        draft=body.get("draft", False),
        currency=body.get("currency"),
        external_id=body.get("external_id"),
        idempotency_key=idempotency_key,
        **editable(body),
    )


def editable(body: dict[str, Any]) -> dict[str, Any]:
    """The part of an order that PUT can replace, as Placement and Edit have it."""
    return {
        "lines": tuple(Line(item.get("sku") or item["product"], item["quantity"]) for item in body["items"]),
        "shipping_fee": body.get("shipping_fee", Decimal(0)),
        "discount": body.get("discount", Decimal(0)),
        "shipping_address": body.get("shipping_address"),
        "note": body.get("note", ""),
    }


class OrderDetail(APIView):
    rights = {"PUT": Right.ORDERS, "DELETE": Right.ORDERS}

    @extend_schema(
        tags=["Orders"],
        summary="Read an order",
        parameters=[ETAG],
        responses={200: OrderSerializer, **refusals(errors.OrderNotFound)},
    )
    def get(self, request: Request, order_id: UUID) -> Response:
        """An order with its items, holds and their seconds left, payments and shipments."""
        check_parameters(request, set())
        return answer(access_of(request), order_id)

    @extend_schema(
        tags=["Orders"],
        summary="Edit an order",
        parameters=[IF_MATCH, ETAG],
        request=EditSerializer,
        responses={
            200: OrderSerializer,
            **refusals(
                errors.OrderNotFound,
                errors.NotEditable,
                errors.PaymentWindowOver,
                errors.InsufficientStock,
                errors.UnknownProducts,
                errors.InactiveProducts,
                errors.DiscountTooLarge,
                PreconditionFailed,
                body=True,
            ),
        },
    )
    def put(self, request: Request, order_id: UUID) -> Response:
        """Replace what can be edited of a draft or pending order. Its holds move by the difference, all or
        nothing; what it had keeps its price."""
        check_parameters(request, set())
        access = access_of(request)
        change = Edit(**editable(read_body(request, EditSerializer)))
        services.edit(
            business_id=access.business.id,
            order_id=order_id,
            change=change,
            expected_version=read_if_match(request),
            actor=access.actor,
            now=access.now,
        )
        return answer(access, order_id)

    @extend_schema(
        tags=["Orders"],
        summary="Cancel an order",
        parameters=[
            OpenApiParameter("reason", OpenApiTypes.STR, description="Why; it stays in the timeline."),
            ETAG,
        ],
        responses={200: OrderSerializer, **refusals(errors.OrderNotFound, errors.IllegalTransition)},
    )
    def delete(self, request: Request, order_id: UUID) -> Response:
        """Cancel: what is held is freed, what was sold goes back on the shelf and its money is due for a
        refund. An order that is cancelled already stays as it is."""
        check_parameters(request, {"reason"})
        reason = request.query_params.get("reason", "").strip() or CANCELLED_BY_REQUEST
        if len(reason) > 200:
            raise InvalidParameter("A reason has 200 characters at most.", parameter="reason", longest=200)
        if reason in CancelReason.values:
            raise InvalidParameter("This reason is given by Holdfast itself; use other words.", parameter="reason")
        access = access_of(request)
        services.cancel(
            business_id=access.business.id,
            order_id=order_id,
            reason=reason,
            actor=access.actor,
            now=access.now,
        )
        return answer(access, order_id)


# What brings an order to each status, the right that it needs, and what the step takes from the request. Nothing
# leads to draft.
STEPS: dict[Status, tuple[Right, Callable[..., Order], Callable[[dict[str, Any]], dict[str, Any]]]] = {
    Status.PENDING: (Right.ORDERS, services.submit, lambda body: {}),
    Status.PAID: (Right.PAYMENTS, services.mark_paid, lambda body: {}),
    Status.PROCESSING: (Right.PACKING, services.start_processing, lambda body: {}),
    Status.SHIPPED: (
        Right.PACKING,
        services.ship,
        lambda body: {name: body[name] for name in ("carrier", "tracking_number", "tracking_url") if name in body},
    ),
    Status.DELIVERED: (Right.PACKING, services.deliver, lambda body: {}),
    Status.CANCELLED: (
        Right.ORDERS,
        services.cancel,
        lambda body: {"reason": body.get("reason", CANCELLED_BY_REQUEST)},
    ),
}
NO_STEP = (Right.ORDERS, services.refuse, lambda body: {"status": body["status"]})


class OrderStatus(APIView):
    rights = {"PATCH": Right.PACKING}  # the least; the step may need another

    @extend_schema(
        tags=["Orders"],
        summary="Move an order to another status",
        parameters=[ETAG],
        request=StatusSerializer,
        responses={
            200: OrderSerializer,
            **refusals(
                errors.OrderNotFound,
                errors.IllegalTransition,
                errors.InsufficientStock,
                errors.TooManyOpenOrders,
                errors.ShippingDetailsRequired,
                body=True,
            ),
        },
    )
    def patch(self, request: Request, order_id: UUID) -> Response:
        """Any legal move of the table of statuses. To `paid` it is a payment confirmed by hand, of the
        whole amount; to `shipped` it needs a carrier and a tracking number. A move that was made already
        is a success; an illegal one is refused with the legal ones."""
        check_parameters(request, set())
        access = access_of(request)
        body = read_body(request, StatusSerializer)
        right, step, details = STEPS.get(body["status"], NO_STEP)
        access.check(right)
        step(
            business_id=access.business.id,
            order_id=order_id,
            actor=access.actor,
            now=access.now,
            **details(body),
        )
        return answer(access, order_id)


class OrderPayment(APIView):
    rights = {"PATCH": Right.PAYMENTS}

    @extend_schema(
        tags=["Orders"],
        summary="Tell of a payment",
        parameters=[ETAG],
        request=PaymentChangeSerializer,
        responses={
            200: OrderSerializer,
            **refusals(
                errors.OrderNotFound,
                errors.PaymentMismatch,
                errors.AlreadyPaid,
                errors.PaymentReferenceTaken,
                errors.RefundTooLarge,
                errors.CurrencyMismatch,
                errors.IllegalTransition,
                body=True,
            ),
        },
    )
    def patch(self, request: Request, order_id: UUID) -> Response:
        """Confirm a payment, note a failed one, or record a refund. The same reference told twice changes
        nothing more. Money that comes after the order's time takes the goods again if they are still
        there; if not, it is kept as `refund_due` (200: look at `status` and `payment_status`)."""
        check_parameters(request, set())
        access = access_of(request)
        body = read_body(request, PaymentChangeSerializer)
        key: dict[str, Any] = {"business_id": access.business.id, "actor": access.actor, "now": access.now}
        money: dict[str, Any] = {name: body.get(name) for name in ("provider", "reference", "amount", "currency")}
        match body.get("status", PaymentStatus.PAID):
            case PaymentStatus.FAILED:
                told = {name: body[name] for name in ("provider", "reference", "reason") if name in body}
                services.record_failed_payment(
                    order_id=order_id, release=body.get("release", False), **told, **key
                )
            case PaymentStatus.REFUNDED:
                services.record_refund(order_id=order_id, **money, **key)
            case _:
                services.confirm_payment(receipt=Receipt(order_id, **money), **key)
        return answer(access, order_id)


class OrderShipping(APIView):
    rights = {"PATCH": Right.PACKING}

    @extend_schema(
        tags=["Orders"],
        summary="Tell of the parcel",
        parameters=[ETAG],
        request=ShippingSerializer,
        responses={
            200: OrderSerializer,
            **refusals(errors.OrderNotFound, errors.ShippingDetailsRequired, errors.IllegalTransition, body=True),
        },
    )
    def patch(self, request: Request, order_id: UUID) -> Response:
        """The parcel left (`carrier`, `tracking_number`), which also starts the processing of an order that
        is only paid; its details are set right; or it arrived (`delivered_at`)."""
        check_parameters(request, set())
        access = access_of(request)
        body = read_body(request, ShippingSerializer)
        services.record_shipping(
            business_id=access.business.id, order_id=order_id, actor=access.actor, now=access.now, **body
        )
        return answer(access, order_id)


class OrderEventList(ListAPIView[OrderEvent]):
    serializer_class = OrderEventSerializer
    filterset_class = None
    orderings = ("version",)
    queryset = OrderEvent.objects.none()

    def get_queryset(self) -> QuerySet[OrderEvent]:
        order_id = self.kwargs["order_id"]
        order = services.find_order(business_id=access_of(self.request).business.id, order_id=order_id)
        return order.events.all()

    @extend_schema(
        tags=["Orders"],
        summary="An order's timeline",
        responses={200: OrderEventSerializer(many=True), **refusals(errors.OrderNotFound)},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Everything that happened to the order, in its order: what, who, when."""
        return super().get(request, *args, **kwargs)
