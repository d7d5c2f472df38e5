"""What the admin's pages of a business's things have in common: whose they are, and who may do what."""

from typing import Any, ClassVar, NoReturn

from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin, TabularInline

from catalog import audit
from catalog.rights import Right
from catalog.staff import access_in

MOST_COUNTED = 10_000


class BoundedPaginator(Paginator):
    """Counts no further than MOST_COUNTED rows: a list of a million answers as fast as one of a thousand, and who
    wants what is beyond filters or searches. A page after the last one is the last one."""

    template_name = "staff/pagination.html"

    @cached_property
    def found(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin's lists are
        return rows.order_by()[: MOST_COUNTED + 1].count()

    @property
    def count(self) -> int:
        return min(self.found, MOST_COUNTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self.found > MOST_COUNTED

    def page(self, number: int | str) -> Page[Any]:
        return super().page(max(1, min(int(number), self.num_pages)))


class ShopAdmin(ModelAdmin):
    """The rows of the business that is looked at. Those of another aren't there (404)."""

    look: ClassVar[Right | None] = None  # the right to see them; None: everyone of the business
    right: ClassVar[Right | None] = None  # the right to change them; None: nobody, the verbs alone do
    adds: ClassVar[bool] = False
    empty: ClassVar[str] = "Nothing here yet."  # what a list says that has no row
    business_field: ClassVar[str] = "business"

    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    paginator = BoundedPaginator
    actions: ClassVar[Any] = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(**{self.business_field: access_in(request).business.pk})

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.look is None or self.look in access_in(request).rights

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.right is not None and self.right in access_in(request).rights

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.adds and self.has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """What can be chosen is the same business's."""
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        chosen = db_field.related_model
        if isinstance(field, ModelChoiceField) and any(other.name == "business" for other in chosen._meta.fields):
            field.queryset = chosen._default_manager.filter(business=access_in(request).business)
        return field

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        raise Http404(f"There is no such {opts.verbose_name}.")

    # Django calls these in the transaction of the change. Its own log knows no business and no values.

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        self.record(request, "added", obj)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        self.record(request, "changed", obj, getattr(obj, "changed", {}))

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.record(request, "deleted", obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Writes what was changed in the form, and nothing else: what moved meanwhile stays."""
        if change:
            obj.changed = {
                name: [str(form.initial.get(name, "")), str(form.cleaned_data.get(name, ""))]
                for name in form.changed_data
            }
            obj.save(update_fields=form.changed_data)
        else:
            super().save_model(request, obj, form, change)

    def record(self, request: HttpRequest, action: str, obj: Model, changes: Any = None) -> None:
        """Put down in the audit what somebody did to a thing of the business."""
        access = access_in(request)
        audit.record(
            business_id=access.business.id,
            actor=access.actor,
            now=access.now,
            action=action,
            subject=obj,
            changes=changes,
        )


class ReadOnlyInline(TabularInline):
    """Rows that belong to the one shown, as they are."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
