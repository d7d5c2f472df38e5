"""What the admin's pages have in common that are of no business: they are for platform staff alone."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from catalog import audit
from catalog.wording import person
from orders_project.clock import database_now


class PlatformAdmin(ModelAdmin):
    """For superusers, whatever permissions somebody was given; and what they change is in the audit."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_platform_staff(request) and super().has_module_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_platform_staff(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_platform_staff(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_platform_staff(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_platform_staff(request) and super().has_delete_permission(request, obj)

    # Django calls these in the transaction of the change.

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        _record(request, "added", obj, {})

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        _record(request, "changed", obj, {"fields": _fields_in(message)})

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            _record(request, "deleted", obj, {})


def is_platform_staff(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_active and request.user.is_superuser


def _record(request: HttpRequest, action: str, obj: Model, changes: dict[str, Any]) -> None:
    actor = person(request.user.get_username())
    audit.record(business_id=None, actor=actor, now=database_now(), action=action, subject=obj, changes=changes)


def _fields_in(message: Any) -> str:
    """The names of the fields that were changed, and no values: a password may be among them."""
    if not isinstance(message, list):
        return str(message)
    return ", ".join(str(name) for part in message for name in part.get("changed", {}).get("fields", []))
