"""Customers over the API."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.authentication import access_of
from catalog.schema import refusals
from customers.errors import CustomerNotFound
from customers.filters import CustomerFilter
from customers.models import Customer
from customers.serializers import CustomerSerializer
from customers.services import find_customer
from orders_project.api.filters import check_parameters


@extend_schema(tags=["Customers"])
class CustomerList(ListAPIView[Customer]):
    """Customers with their counters, newest first."""

    serializer_class = CustomerSerializer
    filterset_class = CustomerFilter
    orderings = ("-created_at", "total_spent", "engagement_score")
    queryset = Customer.objects.none()

    def get_queryset(self) -> QuerySet[Customer]:
        return Customer.objects.of(access_of(self.request).business.id).select_related("business")

    @extend_schema(responses={200: CustomerSerializer(many=True), **refusals()})
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class CustomerDetail(APIView):
    """One customer."""

    @extend_schema(tags=["Customers"], responses={200: CustomerSerializer, **refusals(CustomerNotFound)})
    def get(self, request: Request, customer_id: Any) -> Response:
        check_parameters(request, set())
        customer = find_customer(business_id=access_of(request).business.id, customer_id=customer_id)
        return Response(CustomerSerializer(customer).data)
