"""Holds over the API."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.authentication import access_of
from catalog.schema import refusals
from reservations.filters import ReservationFilter
from reservations.models import StockReservation
from reservations.serializers import ReservationSerializer


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
