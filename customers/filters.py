"""What the list of customers can be narrowed by."""

import django_filters
from django.db.models import QuerySet

from customers.models import Customer


class CustomerFilter(django_filters.FilterSet):
    phone = django_filters.CharFilter(max_length=30, help_text="In E.164 form, such as +447700900123.")
    email = django_filters.CharFilter(method="with_email", max_length=254)
    external_id = django_filters.CharFilter(max_length=120)
    search = django_filters.CharFilter(
        method="with_words", min_length=2, max_length=100, help_text="Part of a name, an email or a phone."
    )

    class Meta:
        model = Customer
        fields: list[str] = []

    def with_email(self, customers: QuerySet[Customer], name: str, email: str) -> QuerySet[Customer]:
        return customers.filter(email=email.lower())  # as all are kept

    def with_words(self, customers: QuerySet[Customer], name: str, words: str) -> QuerySet[Customer]:
        return customers & Customer.objects.matching(words)
