"""The migrations can be taken back: to nothing, and forward again to the very same database."""

from contextlib import contextmanager
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection, connections

APPS = ["orders", "reservations", "customers", "catalog"]  # from the top down

# Everything that a migration makes, as the server describes it.
SCHEMA = """
    SELECT 'column', concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default)
    FROM information_schema.columns WHERE table_name ~ '^(catalog|customers|reservations|orders)_'
    UNION ALL
    SELECT 'constraint', concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid::regclass::text ~ '^(catalog|customers|reservations|orders)_'
    UNION ALL
    SELECT 'index', indexdef FROM pg_indexes WHERE tablename ~ '^(catalog|customers|reservations|orders)_'
    UNION ALL
    SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'function', proname FROM pg_proc WHERE proname ~ '^(catalog|customers|reservations|orders)_'
    ORDER BY 1, 2
"""


@contextmanager
def scratch_database():
    """An empty database beside the tests' own, under the alias `scratch`."""
    name = f"scratch_{uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connections.databases["scratch"] = {**connections.databases["default"], "NAME": name}
    try:
        yield connections["scratch"]
    finally:
        connections["scratch"].close()
        del connections["scratch"], connections.databases["scratch"]
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")


def schema(scratch):
    with scratch.cursor() as cursor:
        cursor.execute(SCHEMA)
        return cursor.fetchall()


@pytest.mark.slow
def test_migrations_go_back_to_nothing_and_forward_again(committed):
    with scratch_database() as scratch:
        call_command("migrate", database="scratch", verbosity=0)
        before = schema(scratch)
        assert {kind for kind, _ in before} == {"column", "constraint", "index", "trigger", "function"}
        for app in APPS:
            call_command("migrate", app, "zero", database="scratch", verbosity=0)
        assert schema(scratch) == []
        call_command("migrate", database="scratch", verbosity=0)
        assert schema(scratch) == before
