"""A foreign key that includes the business, so that a row can't refer to another business's row."""

from typing import Any

from django.db.backends.ddl_references import Statement
from django.db.models import BaseConstraint


class SameBusiness(BaseConstraint):
    """FOREIGN KEY (business_id, <field>) REFERENCES <table> (business_id, id).

    It replaces the single-column key of a ForeignKey declared with `db_constraint=False`: the reference
    and its tenant are checked together, at once (not at commit), by one look-up. The parent needs
    UNIQUE (business_id, id).
    """

    def __init__(self, *, field: str, table: str, name: str, key: str = "id") -> None:
        super().__init__(name=name)
        self.field = field
        self.table = table
        self.key = key

    def constraint_sql(self, model: Any, schema_editor: Any) -> str:
        quote = schema_editor.quote_name
        column = model._meta.get_field(self.field).column
        return (
            f"CONSTRAINT {quote(self.name)} FOREIGN KEY ({quote('business_id')}, {quote(column)}) "
            f"REFERENCES {quote(self.table)} ({quote('business_id')}, {quote(self.key)})"
        )

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        return Statement(
            "ALTER TABLE %(table)s ADD %(definition)s",
            table=schema_editor.quote_name(model._meta.db_table),
            definition=self.constraint_sql(model, schema_editor),
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return Statement(
            "ALTER TABLE %(table)s DROP CONSTRAINT %(name)s",
            table=schema_editor.quote_name(model._meta.db_table),
            name=schema_editor.quote_name(self.name),
        )

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Left to the database: only it can check without a race."""

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        kwargs |= {"field": self.field, "table": self.table}
        if self.key != "id":
            kwargs["key"] = self.key
        return path, args, kwargs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SameBusiness) and self.deconstruct() == other.deconstruct()

    __hash__ = BaseConstraint.__hash__
