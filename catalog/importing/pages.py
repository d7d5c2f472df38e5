"""The page on which a file is brought in: choose it, look at what it would do, do it."""

import logging
import re
from typing import Any, ClassVar
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from redis import RedisError
from unfold.widgets import UnfoldAdminFileFieldWidget

from catalog.back_office import ShopAdmin
from catalog.importing.reading import LARGEST_FILE, MOST_ROWS, read_table
from catalog.importing.resource import Outcome, ShopResource, bring_in
from catalog.rights import Right
from catalog.staff import access_in, access_with
from catalog.wording import grouped, of
from orders_project.csv_file import csv_file
from orders_project.errors import Busy, DomainError, InvalidRequest

logger = logging.getLogger(__name__)

KEY = re.compile("[0-9a-f]{32}")
KEPT_SECONDS = 30 * 60  # for so long somebody looks at what a file would do


class Upload(forms.Form):
    upload = forms.FileField(widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.xlsx,text/csv"}))


class FileImport(ShopAdmin):
    """A list into which rows can be brought from a file."""

    import_right: ClassVar[Right]
    resource: ClassVar[type[ShopResource]]

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path("import/", self.admin_site.admin_view(self.import_file), name=f"{name}_import"),
            path("import/template/", self.admin_site.admin_view(self.template_file), name=f"{name}_template"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may = self.import_right in access_in(request).rights
        context = {"import_address": self._address("import") if may else "", **(extra_context or {})}
        return super().changelist_view(request, context)

    def _address(self, page: str) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}")

    def template_file(self, request: HttpRequest) -> StreamingHttpResponse:
        """A file with the columns that are expected, and rows to write over."""
        access_with(request, self.import_right)
        return csv_file(str(self.opts.verbose_name_plural), self.resource.columns(), self.resource.examples)

    def import_file(self, request: HttpRequest) -> HttpResponse:
        """The form; with a file what it would do; and told to do so, that."""
        access = access_with(request, self.import_right)
        context: dict[str, Any] = {"file": "", "name": "", "outcome": None, "problem": ""}
        if request.method == "POST":
            really = "file" in request.POST
            try:
                context["file"], context["name"], content = self._sent(request)
                table = read_table(content, columns=self.resource.columns(), passed_over=self.resource.passed_over)
                outcome = context["outcome"] = bring_in(self.resource, access, table, really=really)
                if really and not outcome.refused:
                    messages.success(request, self._done(outcome))
                    return HttpResponseRedirect(self._address("changelist"))
            except DomainError as refused:
                context["problem"] = refused.detail
        context |= {
            **self.admin_site.each_context(request),
            "title": f"Bring in {self.opts.verbose_name_plural}",
            "opts": self.opts,
            "form": Upload(),
            "kind": capfirst(str(self.opts.verbose_name_plural)),
            "columns": self.resource.columns(),
            "rules": self.resource.rules,
            "row_title": self.resource.title,
            "list_address": self._address("changelist"),
            "template_address": self._address("template"),
            "largest": f"{LARGEST_FILE // 1_000_000} MB",
            "most": grouped(MOST_ROWS),
        }
        return TemplateResponse(request, "staff/import.html", context)

    def _sent(self, request: HttpRequest) -> tuple[str, str, bytes]:
        """The file that is sent, and kept for the next step under a name; or the one that was kept.

        It is kept for one person in one business: who looks at another one meanwhile brings nothing into that.
        Raises InvalidRequest without a file, Busy if there is no place to keep it.
        """
        try:
            return self._kept(request)
        except RedisError as error:
            logger.warning("A file for %s can't be kept: %s", self.opts.label, error)
            raise Busy("The file can’t be kept to look at just now, so nothing was done. Try again.") from error

    def _kept(self, request: HttpRequest) -> tuple[str, str, bytes]:
        place = f"import:{self.opts.label}:{access_in(request).business.id}:{request.user.pk}"
        if "file" in request.POST:
            key = request.POST["file"]
            kept = cache.get(f"{place}:{key}") if KEY.fullmatch(key) else None
            if kept is None:
                raise InvalidRequest.at("file", "gone", "The file isn’t here any more. Choose it again.")
            return (key, *kept)
        upload = request.FILES.get("upload")
        if upload is None:
            raise InvalidRequest.at("file", "required", "Choose a file first.")
        content = upload.read(LARGEST_FILE + 1)
        key = uuid4().hex
        if len(content) <= LARGEST_FILE:
            cache.set(f"{place}:{key}", (upload.name, content), KEPT_SECONDS)
        return key, str(upload.name), content

    def _done(self, outcome: Outcome) -> str:
        noun = str(self.opts.verbose_name)
        return (
            f"{of(outcome.new, f'new {noun}')}, {of(outcome.changed, f'changed {noun}')}, "
            f"{grouped(outcome.same)} as before."
        )
