"""What the admin's pages of a business's things have in common: whose they are, and who may do what."""

from typing import Any, ClassVar, NoReturn

from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

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

    def validate_number(self, number: int | float | str) -> int:
        return max(1, min(int(number), self.num_pages))


class ShopAdmin(ModelAdmin):
    """The rows of the business that is looked at. Those of another aren't there (404)."""

    look: ClassVar[Right | None] = None  # the right to see them; None: everyone of the business
    right: ClassVar[Right | None] = None  # the right to change them; None: nobody, the verbs alone do
    adds: ClassVar[bool] = False
    empty: ClassVar[str] = "Nothing here yet."  # what a list says that has no row

    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    paginator = BoundedPaginator
    change_form_before_template = "staff/of_business.html"
    actions: ClassVar[Any] = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.filter(business=access_in(request).business.pk)

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

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> NoReturn:
        raise Http404(f"There is no such {opts.verbose_name}.")

    # Django calls these in the transaction of the change. Its own log knows no business and no values.

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> None:
        access = access_in(request)
        audit.record(
            business_id=access.business.id, actor=access.actor, now=access.now, action="added", subject=obj
        )

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> None:
        """The verb put it down, with what it was before."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> NoReturn:
        raise Http404("What was changed stands in the audit.")
