"""Whose shop it is, who works there, and which clients have a key to it."""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from catalog.querysets import ApiKeyQuerySet, MembershipQuerySet
from orders_project import money
from orders_project.ids import new_id

LONGEST_PAYMENT_WINDOW = 24 * 60  # minutes
MOST_OPEN_ORDERS = 10_000  # of a customer; no business allows more, but for one that allows any number

# A name stands in subjects of mails and on papers.
ONE_LINE = RegexValidator(
    r"[\x00-\x1f\x7f]", "A name is one line, without control characters.", inverse_match=True
)


class Business(models.Model):
    """A merchant's shop. Everything else belongs to exactly one."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120, validators=[ONE_LINE])
    slug = models.SlugField(max_length=60, unique=True)
    currency = models.CharField(max_length=3, help_text="ISO 4217, such as GBP. Every price is in it.")
    country = models.CharField(
        max_length=2,
        help_text="ISO 3166, such as GB. Phone numbers without a country code are read as of here.",
    )
    time_zone = models.CharField(max_length=60, default="UTC", help_text="Where the business's day begins.")
    payment_window_minutes = models.PositiveSmallIntegerField(
        default=15, help_text="How long an order holds its stock while it waits for the payment."
    )
    duplicate_window_seconds = models.PositiveSmallIntegerField(
        default=10,
        help_text="A second order of the same goods by the same customer within this time is taken for "
        "a double click and refused. 0 turns it off.",
    )
    most_open_orders = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        default=50,
        help_text="How many orders of one customer may wait for their payment, and hold their stock, at a time. "
        "Empty: any number.",
    )
    low_stock_default = models.PositiveIntegerField(
        default=5,
        help_text="A product with no more than this available is low, unless it says otherwise.",
    )
    reconcile_up_to = models.PositiveIntegerField(
        default=0,
        help_text="Books of stock that differ by no more than so many units are set right without asking. "
        "0: a person decides every time.",
    )
    loyal_spend = models.DecimalField(
        max_digits=12,
        decimal_places=money.DECIMAL_PLACES,
        default=Decimal(200),
        help_text="What a good customer has spent with you in all; half of the engagement score's points "
        "for money are given at this sum.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "businesses"
        constraints = [
            models.CheckConstraint(name="business_currency_code", condition=Q(currency__regex=r"^[A-Z]{3}$")),
            models.CheckConstraint(name="business_country_code", condition=Q(country__regex=r"^[A-Z]{2}$")),
            models.CheckConstraint(
                name="business_payment_window",
                condition=Q(payment_window_minutes__range=(1, LONGEST_PAYMENT_WINDOW)),
            ),
            models.CheckConstraint(
                name="business_most_open_orders", condition=Q(most_open_orders__range=(1, MOST_OPEN_ORDERS))
            ),
            models.CheckConstraint(name="business_loyal_spend_positive", condition=Q(loyal_spend__gt=0)),
        ]

    def __str__(self) -> str:
        return self.name


class Logo(models.Model):
    """A business's sign, for its pages and papers. It stands apart, for the business is read with each request."""

    LARGEST = 200_000  # bytes

    business = models.OneToOneField(Business, models.CASCADE, primary_key=True, related_name="logo")
    image = models.BinaryField(max_length=LARGEST)
    media_type = models.CharField(max_length=20)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="logo_can_be_shown", condition=Q(media_type__in=["image/png", "image/jpeg"])
            ),
        ]

    def __str__(self) -> str:
        return f"Logo of {self.business}"


class Membership(models.Model):
    """A person's place in a business: somebody else's offer, which opens nothing, until they have accepted it."""

    class Role(models.TextChoices):
        OWNER = "owner"
        MANAGER = "manager"
        PACKER = "packer"
        VIEWER = "viewer"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    accepted_at = models.DateTimeField(null=True, db_default=Now(), editable=False)

    objects: ClassVar[MembershipQuerySet] = MembershipQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(name="membership_once", fields=["business", "user"]),
            models.CheckConstraint(
                name="membership_role_known",
                condition=Q(role__in=["owner", "manager", "packer", "viewer"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.business}"


class ApiKey(models.Model):
    """A client's key to one business. Only its hash is kept; the key is shown once, when it is made."""

    class Scope(models.TextChoices):
        READ = "read"
        WRITE = "write", "read and write"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    business = models.ForeignKey(Business, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=60, help_text="Who or what uses it, such as “Website checkout”.")
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scope = models.CharField(max_length=5, choices=Scope)
    throttled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ApiKeyQuerySet] = ApiKeyQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(name="api_key_scope_known", condition=Q(scope__in=["read", "write"])),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
