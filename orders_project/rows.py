"""Rows as they are written and read in bulk: values by column, without a model object for each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import msgspec
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Field, ForeignObject, Lookup, Model

Row = Mapping[str, Any]

_json = msgspec.json.Encoder(decimal_format="string")


class Insert(NamedTuple):
    """Rows for one table, each with a value for every column; `on_conflict` is the statement's last clause."""

    model: type[Model]
    rows: Sequence[Row]
    on_conflict: str = ""


def insert(*inserts: Insert) -> None:
    """Insert rows into some tables by one statement, whose foreign keys are checked when all are written.

    They travel as one JSON text a table, which PostgreSQL takes apart. So the statement is the same for any
    number of rows, and is planned once. Raises ValueError for rows that lack a column or have another.
    """
    inserts = tuple(each for each in inserts if each.rows)
    if not inserts:
        return
    for model, rows, _ in inserts:
        columns = _columns(model)
        if rows[0].keys() != columns.keys():  # PostgreSQL would write NULL, or pass over it
            raise ValueError(f"{model.__name__}: {sorted(rows[0].keys() ^ columns.keys())}")
    with prepared() as cursor:
        cursor.execute(
            _statement(tuple((model, on_conflict) for model, _, on_conflict in inserts)),
            [_json.encode(rows).decode() for _, rows, _ in inserts],
        )


def select(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows that a query returns. For the questions that are asked of each batch, where what Django takes to
    write the SQL is more than what PostgreSQL takes to answer."""
    with prepared() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


@contextmanager
def prepared() -> Iterator[CursorWrapper]:
    """A cursor for statements that PostgreSQL shall plan once and keep, for they ask the same of any values.

    What Django writes is planned each time, with its values: a filter that few rows pass and one that most
    rows pass need different plans.
    """
    with connection.cursor() as cursor:
        session = connection.connection
        before, session.prepare_threshold = session.prepare_threshold, 0
        try:
            yield cursor
        finally:
            session.prepare_threshold = before


def find(model: type[Model], column: str, values: Iterable[Any], *, order_by: tuple[str, ...] = ()) -> list[Row]:
    """The rows of a table that have one of the values in a column. JSON comes as PostgreSQL writes it."""
    columns = tuple(_columns(model))
    found = select(_look_up(model, column, order_by), list(values))
    return [dict(zip(columns, row, strict=True)) for row in found]


def row_of(instance: Model) -> Row:
    """The row of a model object."""
    return {name: value for name, value in vars(instance).items() if name != "_state"}


@cache
def _columns(model: type[Model]) -> dict[str, str]:
    columns = [str(field.column) for field in model._meta.concrete_fields]
    return {column: connection.ops.quote_name(column) for column in columns}


@cache
def _look_up(model: type[Model], column: str, order_by: tuple[str, ...]) -> str:
    columns, table = ", ".join(_columns(model).values()), connection.ops.quote_name(model._meta.db_table)
    order = f" ORDER BY {', '.join(order_by)}" if order_by else ""
    return f"SELECT {columns} FROM {table} WHERE {column} = ANY(%s){order}"  # noqa: S608  # our own


@cache
def _statement(tables: tuple[tuple[type[Model], str], ...]) -> str:
    *first, last = [_insert(model, on_conflict) for model, on_conflict in tables]
    named = ", ".join(f"w{number} AS ({insert})" for number, insert in enumerate(first))
    return f"WITH {named} {last}" if first else last


def _insert(model: type[Model], on_conflict: str) -> str:
    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(_columns(model).values())
    source = f"json_populate_recordset(NULL::{table}, %s::json)"
    return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {source} {on_conflict}"  # noqa: S608  # our own


@ForeignObject.register_lookup
@Field.register_lookup
class AnyOf(Lookup):
    """`name__any_of=[...]`: like `in`, with all the values in one parameter, so that a look-up of three
    SKUs is the same statement as one of three hundred."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", (*parameters, list(self.rhs))
