"""The pages of platform staff: people, groups, the schedule, businesses. The site lets nobody else see what is of
no business; the people of one stand on a page of ours."""

from typing import Any

from celery.schedules import ParseException
from django import forms
from django.contrib import admin
from django.contrib.auth import admin as auth
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_celery_beat.admin import CrontabScheduleAdmin, PeriodicTaskAdmin
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from catalog.models import Business
from catalog.places import COUNTRIES, CURRENCIES, TIME_ZONES

# The libraries' own pages, in the look of the others.
admin.site.unregister([User, Group, PeriodicTask, CrontabSchedule])


@admin.register(User)
class UserAdmin(auth.UserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(auth.GroupAdmin, ModelAdmin):
    pass


@admin.register(PeriodicTask)
class ScheduleAdmin(PeriodicTaskAdmin):
    change_form_template = None  # theirs has a script in the page, which browsers refuse to run here


class CrontabForm(forms.ModelForm):
    def clean(self) -> dict[str, Any]:
        """What celery can't read as a schedule is refused here: saving it would fail."""
        cleaned = super().clean() or {}
        try:
            CrontabSchedule(**{name: value for name, value in cleaned.items() if name in TIMES}).schedule  # noqa: B018
        except (ParseException, ValueError) as error:
            raise forms.ValidationError(f"This is no schedule: {error}.") from error
        return cleaned


TIMES = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


@admin.register(CrontabSchedule)
class CrontabAdmin(CrontabScheduleAdmin):
    form = CrontabForm
    fields = (*TIMES, "timezone")  # theirs also says it in words, and fails where it is none
    readonly_fields = ()


CHOICES = {"country": COUNTRIES, "currency": CURRENCIES, "time_zone": TIME_ZONES}


@admin.register(Business)
class BusinessAdmin(ModelAdmin):
    """New businesses are made here. Looked at by its address (`?business=<slug>`), one gets its first owner on the
    page of its people."""

    list_display = ("name", "slug", "currency", "country", "time_zone", "created_at")
    search_fields = ("name", "slug")
    ordering = ("name", "id")
    fields = ("name", "slug", "currency", "country", "time_zone")
    prepopulated_fields = {"slug": ["name"]}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if choices := CHOICES.get(db_field.name):
            return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its own page of settings does that, with what else has to be minded

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
