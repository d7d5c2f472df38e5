import os
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction
from psycopg.sql import SQL, Composable, Identifier, Literal

# What no grant takes away.
MAY_MORE = """
    SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
        OR pg_has_role(%(role)s, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'MEMBER')
    FROM pg_roles WHERE rolname = %(role)s
"""

# What is append-only has a trigger that refuses the rest, to the owner too.
APPEND_ONLY = """
    SELECT DISTINCT relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE tgname ~ '_never_changed$' AND relnamespace = 'public'::regnamespace ORDER BY relname
"""

GRANTS = (
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "REVOKE UPDATE, DELETE ON {append_only} FROM {role}",
    "REVOKE INSERT, UPDATE, DELETE ON django_migrations FROM {role}",
)


class Command(BaseCommand):
    help = (
        "Let a role of the database do what Holdfast does and no more: it changes no table, and to what is "
        "append-only it can but add. It is made if it isn't there; ROLE_PASSWORD in the environment becomes its "
        "password. To be run by the owner of the tables, after each migrate."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", help="Its name, such as holdfast_app.")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        role = options["role"]
        with connection.cursor() as cursor:
            cursor.execute(MAY_MORE, {"role": role})
            found = cursor.fetchone()
            if found and found[0]:
                raise CommandError(f"{role} owns the database, or may make roles or more. Choose another role.")
            cursor.execute(APPEND_ONLY)
            append_only = [table for (table,) in cursor.fetchall()]
            names: dict[str, Composable] = {
                "role": Identifier(role),
                "database": Identifier(connection.settings_dict["NAME"]),
                "append_only": SQL(", ").join(map(Identifier, append_only)),
            }
            if not found:
                cursor.execute(SQL("CREATE ROLE {role} LOGIN").format(**names))
            if password := os.environ.get("ROLE_PASSWORD"):
                # Hashed here, so that no log of the server has it.
                hashed = connection.connection.pgconn.encrypt_password(password.encode(), role.encode())
                cursor.execute(
                    SQL("ALTER ROLE {role} PASSWORD {hashed}").format(**names, hashed=Literal(hashed.decode()))
                )
            for grant in GRANTS:
                cursor.execute(SQL(grant).format(**names))
        self.stdout.write(
            self.style.SUCCESS(
                f"{role} can work with everything, and only read and add to {', '.join(append_only)}."
            )
        )
