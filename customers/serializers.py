"""How customers look over the API."""

from rest_framework import serializers

from customers.models import Customer
from orders_project.api.fields import Money


class CustomerSerializer(serializers.ModelSerializer[Customer]):
    total_spent = Money(read_only=True)
    currency = serializers.CharField()

    class Meta:
        model = Customer
        fields = [
            "id",
            "name",
            "phone",
            "email",
            "external_id",
            "total_orders",
            "total_spent",
            "currency",
            "last_paid_at",
            "engagement_score",
            "created_at",
        ]
        read_only_fields = fields


class BuyerSerializer(serializers.ModelSerializer[Customer]):
    """The customer as an order shows them."""

    class Meta:
        model = Customer
        fields = ["id", "name", "phone", "email", "external_id"]
        read_only_fields = fields
