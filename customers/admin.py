from django.contrib import admin

from customers.models import Customer
from orders_project.read_only import ReadOnlyAdmin


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    list_display = ("name", "phone", "email", "total_orders", "total_spent", "engagement_score", "last_paid_at")
    list_filter = ("business",)
    search_fields = ("name", "phone", "email")
    ordering = ("-created_at",)
