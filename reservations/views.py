"""Holds over the API."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.authentication import access_of
from catalog.schema import refusals
from orders_project.api.filters import check_parameters, utc
from orders_project.clock import is_reckoned
from orders_project.errors import InvalidParameter
from reservations.demand import lost_demand
from reservations.filters import ReservationFilter
from reservations.models import StockReservation
from reservations.serializers import LostDemandSerializer, ReservationSerializer

LONGEST_RANGE = timedelta(days=31)
MOST_LOST = 1000  # of the dearest


class LostDemandList(APIView):
    @extend_schema(
        tags=["Reservations"],
        summary="What buyers asked for and could not have",
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATETIME, description="A day ago by default."),
            OpenApiParameter("to", OpenApiTypes.DATETIME, description="Now by default."),
        ],
        responses={200: LostDemandSerializer(many=True), **refusals()},
    )
    def get(self, request: Request) -> Response:
        """Units and their value at the prices of then, by product and channel: the thousand dearest. Each order
        that was refused counts for what it asked for beyond what was available."""
        check_parameters(request, {"from", "to"})
        access = access_of(request)
        until = _instant(request, "to", access.now)
        since = _instant(request, "from", until - timedelta(days=1))
        if not since < until <= since + LONGEST_RANGE:
            raise InvalidParameter(
                f"from comes before to, by {LONGEST_RANGE.days} days at most.",
                parameter="from",
                most_days=LONGEST_RANGE.days,
            )
        lost = lost_demand(business_id=access.business.id, since=since, until=until)
        return Response(LostDemandSerializer(lost[:MOST_LOST], many=True).data)


def _instant(request: Request, name: str, default: datetime) -> datetime:
    text = request.query_params.get(name)
    if text is None:
        return default
    if (instant := utc(text)) is None or not is_reckoned(instant):
        raise InvalidParameter(f"{name} must be an instant such as 2026-11-23T10:15:00Z.", parameter=name)
    return instant


@extend_schema(tags=["Reservations"])
class ReservationList(ListAPIView[StockReservation]):
    """Holds, newest first: who holds what, and for how long."""

    serializer_class = ReservationSerializer
    filterset_class = ReservationFilter
    orderings = ("-created_at", "expires_at")
    queryset = StockReservation.objects.none()

    def get_queryset(self) -> QuerySet[StockReservation]:
        return StockReservation.objects.of(access_of(self.request).business.id).select_related("product")

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": access_of(self.request).now}

    @extend_schema(responses={200: ReservationSerializer(many=True), **refusals()})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)
