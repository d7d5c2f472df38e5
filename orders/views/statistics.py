"""The shop's figures over the API."""

from datetime import date, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.authentication import access_of
from catalog.places import TIME_ZONES
from catalog.schema import refusals
from orders.serializers import StatsSerializer
from orders.stats import LONGEST_RANGE, shop_stats
from orders_project.api.filters import check_parameters
from orders_project.api.problem import NotFound
from orders_project.clock import is_reckoned
from orders_project.errors import InvalidParameter


class OrderStats(APIView):
    @extend_schema(
        tags=["Statistics"],
        summary="What the shop earned",
        parameters=[
            OpenApiParameter("from", OpenApiTypes.DATE, description="The first day; 30 days ago by default."),
            OpenApiParameter("to", OpenApiTypes.DATE, description="The last day, counted; today by default."),
            OpenApiParameter("tz", OpenApiTypes.STR, description="Where days begin; the business's by default."),
            OpenApiParameter("interval", OpenApiTypes.STR, enum=["day", "week", "month"], default="day"),
        ],
        responses={200: StatsSerializer, **refusals(NotFound)},
    )
    def get(self, request: Request, business_id: UUID) -> Response:
        """Revenue gross, refunded and net, orders, average order value, conversion and expiry rate: in all,
        by channel, status and interval, for each currency."""
        business = access_of(request).business
        if business.id != business_id:
            raise NotFound("There is no such business.")
        check_parameters(request, {"from", "to", "tz", "interval"})
        query = request.query_params
        tz = query.get("tz", business.time_zone)
        if tz not in dict(TIME_ZONES):
            raise InvalidParameter("There is no such time zone. One is named like Europe/London.", parameter="tz")
        today = access_of(request).now.astimezone(ZoneInfo(tz)).date()
        last = _day(query.get("to"), "to", today)
        first = _day(query.get("from"), "from", last - timedelta(days=30))
        interval = query.get("interval", "day")
        if interval not in ("day", "week", "month"):
            raise InvalidParameter(
                "An interval is a day, a week or a month.", parameter="interval", allowed=["day", "week", "month"]
            )
        if first > last or last - first > LONGEST_RANGE:
            raise InvalidParameter(
                f"from is the first day and to the last, {LONGEST_RANGE.days} days later at most.",
                parameter="from",
                most_days=LONGEST_RANGE.days,
            )
        stats = shop_stats(business=business, first=first, last=last, tz=tz, interval=interval)  # type: ignore[arg-type]
        return Response(stats)


def _day(text: str | None, parameter: str, default: date) -> date:
    if text is None:
        return default
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidParameter("A day looks like 2026-11-23.", parameter=parameter) from error
    if not is_reckoned(day):
        raise InvalidParameter("This day is out of range.", parameter=parameter)
    return day
