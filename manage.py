#!/usr/bin/env python
"""Django's command line; it holds the embedded servers for commands that may use them."""

import os
import sys
from contextlib import nullcontext

from orders_project.local import servers

# Every other command may ask the database (makemigrations too: it reads the applied history).
OFFLINE = {"check", "collectstatic", "compilemessages", "makemessages", "spectacular"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_project.settings")
    # A command is one thread, and may take longer than a request.
    os.environ.setdefault("DATABASE_POOL_SIZE", "0")
    os.environ.setdefault("DATABASE_STATEMENT_TIMEOUT", "0")

    from django.core.management import execute_from_command_line

    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "help")
    offline = command in OFFLINE | {"help"} or {"-h", "--help", "--version"} & set(sys.argv)
    try:
        with nullcontext() if offline else servers.attach():
            execute_from_command_line(sys.argv)
    except servers.ServerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
