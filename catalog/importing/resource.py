"""What is common to all that is brought in: rows are recognised, checked one by one, and done by verbs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import Model
from import_export.resources import ModelResource
from import_export.results import Result

from catalog.authentication import Access
from catalog.importing.reading import Table
from orders_project.transactions import one_transaction

SHOWN = 100  # rows of a preview, and refused ones


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that can't be taken, and why: field by field, or (under "") as a whole."""

    line: int
    title: str
    reasons: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is taken: what it makes or changes, field by field what was and what will be."""

    line: int
    title: str
    is_new: bool
    changes: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a file does, or did: how many rows are new, changed, as they were, refused, and the first of them."""

    new: int
    changed: int
    same: int
    refused: int
    lines: Sequence[Line]
    refusals: Sequence[Refusal]
    warnings: Sequence[str]


class ShopResource(ModelResource):
    """Rows of a business's things. An empty cell leaves what is on file as it is.

    A subclass says what is on file already (`learn`, `known`), what is wrong with a row beyond its single fields
    (`mistakes`), and by which verbs rows are added and changed (`add`, `edit`). These are called only `really`:
    until then nothing is written, and nothing is locked.
    """

    title: ClassVar[str]  # the column by which people know a row
    passed_over: ClassVar[Sequence[str]] = ()  # columns of the list's own file that can't be brought in
    examples: ClassVar[Sequence[Sequence[str]]]  # rows of the template
    rules: ClassVar[Sequence[str]]  # what becomes of a row, for people

    class Meta:
        use_bulk = True  # the verbs are called once, for all rows together
        batch_size = None
        skip_unchanged = True
        skip_html_diff = True
        store_instance = True
        store_row_values = True

    def __init__(self, access: Access, *, really: bool) -> None:
        super().__init__()
        self.access = access
        self.really = really
        self.warnings: list[str] = []

    @classmethod
    def columns(cls) -> list[str]:
        return list(cls._meta.fields)

    # --- What a subclass says -----------------------------------------------------------------

    def learn(self, rows: Sequence[Mapping[str, str]]) -> None:
        """Look up what is on file of all these rows, and lock it if they are `really` brought in."""
        raise NotImplementedError

    def known(self, row: Mapping[str, str]) -> Model | None:
        """What is on file of a row. Raises ValidationError for a row that can't be told apart from another."""
        raise NotImplementedError

    def mistakes(self, instance: Any, row: Mapping[str, str]) -> dict[str, str]:
        """What is wrong with a row beyond its single fields."""
        raise NotImplementedError

    def cautions(self, instances: Sequence[Any]) -> list[str]:
        """What somebody should know before these are changed."""
        return []

    def add(self, instances: Sequence[Any]) -> None:
        raise NotImplementedError

    def edit(self, instances: Sequence[Any]) -> None:
        raise NotImplementedError

    # --- How the library does it --------------------------------------------------------------

    def before_import(self, dataset: Any, **kwargs: Any) -> None:
        self.learn(dataset.dict)

    def get_instance(self, instance_loader: Any, row: Any) -> Any:
        return self.known(row)

    def init_instance(self, row: Any = None) -> Any:
        return self._meta.model(business=self.access.business)

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        if row.get(field.column_name):
            super().import_field(field, instance, row, is_m2m, **kwargs)

    def import_instance(self, instance: Any, row: Any, **kwargs: Any) -> None:
        errors: dict[str, Any] = {}
        try:
            super().import_instance(instance, row, **kwargs)
        except ValidationError as refused:
            errors = refused.update_error_dict(errors)
        for field, words in self.mistakes(instance, row).items():
            errors.setdefault(field, ValidationError(words))
        if errors:
            raise ValidationError(errors)

    def skip_row(self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        return not instance._state.adding and super().skip_row(instance, original, row, import_validation_errors)

    def validate_instance(
        self, instance: Any, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        """As its forms would: but asking the database nothing, for there may be thousands of rows."""
        errors: dict[str, Any] = dict(import_validation_errors or {})
        ours = {field.attribute for field in self.fields.values()}
        others = {field.name for field in instance._meta.fields} - ours
        try:
            instance.clean_fields(exclude=others | errors.keys())
        except ValidationError as refused:
            errors = refused.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def bulk_create(self, *args: Any, **kwargs: Any) -> None:
        if self.really and self.create_instances:
            self.add(self.create_instances)

    def bulk_update(self, *args: Any, **kwargs: Any) -> None:
        self.warnings = self.cautions(self.update_instances)
        if self.really and self.update_instances:
            self.edit(self.update_instances)

    def handle_import_error(self, result: Any, error: Exception, raise_errors: bool = False) -> None:
        raise error


def bring_in(resource_class: type[ShopResource], access: Access, table: Table, *, really: bool) -> Outcome:
    """Do what a file says, or only look at what that would be. With a row that is refused nothing is done.

    Raises what the verbs do.
    """

    def once() -> Outcome:
        resource = resource_class(access, really=really)
        result = resource.import_data(table.dataset, dry_run=not really, rollback_on_validation_errors=True)
        for _, errors in result.row_errors():
            raise errors[0].error  # a fault of ours: what is wrong with a row is a ValidationError
        return _outcome(resource, result, table.lines)

    return one_transaction(once)()


def _outcome(resource: ShopResource, result: Result, lines: Sequence[int]) -> Outcome:
    refusals = [
        Refusal(lines[row.number - 1], row.values[result.diff_headers.index(resource.title)], list(_reasons(row)))
        for row in result.invalid_rows[:SHOWN]
    ]
    return Outcome(
        new=result.totals["new"],
        changed=result.totals["update"],
        same=result.totals["skip"],
        refused=len(result.invalid_rows),
        lines=list(_lines(resource, result, lines)),
        refusals=refusals,
        warnings=resource.warnings,
    )


def _reasons(row: Any) -> Iterator[tuple[str, str]]:
    for field, words in row.error_dict.items():
        for word in words:
            yield ("" if field == "__all__" else field), word


def _lines(resource: ShopResource, result: Result, lines: Sequence[int]) -> Iterator[Line]:
    """The first lines that make or change something."""
    shown = 0
    for line, row in zip(lines, result.rows, strict=True):
        if row.import_type not in ("new", "update") or shown == SHOWN:
            continue
        shown += 1
        changes = []
        for field in resource.fields.values():
            was = "" if row.is_new() else _shown(field.get_value(row.original))
            will = _shown(field.get_value(row.instance))
            if was != will:
                changes.append((str(field.column_name), was, will))
        yield Line(line, row.row_values.get(resource.title, ""), row.is_new(), changes)


def _shown(value: Any) -> str:
    """A value as a file has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
