"""What every test may use: a shop of its own, goods, orders, and a check that all is well afterwards.

Everything belongs to a business, so a test needs no empty database, only a business of its own. Tests
marked with the ordinary `db` fixture run in a transaction that is rolled back. Tests with threads or
processes use `committed` instead: their rows stay, and the next test doesn't see them.
"""

import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import psycopg
import pytest
from django.db import connection, models, transaction
from django.test.utils import setup_databases, teardown_databases

from catalog.models import Business
from factories import BusinessFactory
from orders.invariants import findings
from orders_project.clock import database_now


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: Any, django_db_keepdb: bool
) -> Iterator[None]:
    """The test database, for every test that asks for it (pytest-django's own makes it for its marker only)."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, keepdb=django_db_keepdb)
    yield
    with django_db_blocker.unblock():
        if not django_db_keepdb:
            teardown_databases(made, verbosity=0)


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The database, with real commits, for tests in which several connections meet."""
    with django_db_blocker.unblock():
        yield
        connection.close()


@pytest.fixture
def now() -> datetime:
    """The database's instant at the start of the test."""
    return database_now()


@pytest.fixture
def shop() -> Business:
    """A business of this test's own. Ask for `db` or `committed` before it."""
    return BusinessFactory()


@pytest.fixture
def all_is_well() -> Iterator[None]:
    """Closes a test: every invariant holds over the whole database."""
    yield
    assert findings() == []


PATIENCE = 60  # seconds that a test waits for what must come; none of them is awaited when all is well


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Run calls at the same moment, each in a thread with a connection of its own.

    With `behind`, a row that the calls need, they meet for certain: the row is locked until each call waits
    for it (or has come back without), so all of them have asked before any has changed anything.
    Returns what each returned, or the exception that it raised, in the order of the calls.
    """

    def run(calls: Sequence[Callable[[], Any]], *, behind: models.Model | None = None) -> list[Any]:
        start = threading.Barrier(len(calls))
        answers: list[Any] = [None] * len(calls)
        sessions: list[int] = []  # the server's process of each call
        back: list[int] = []

        def call(index: int) -> None:
            try:
                connection.ensure_connection()
                sessions.append(connection.connection.info.backend_pid)
                if behind is not None:
                    with connection.cursor() as cursor:
                        cursor.execute(f"SET lock_timeout = '{PATIENCE}s'")
                start.wait(timeout=PATIENCE)
                answers[index] = calls[index]()
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                answers[index] = error
            finally:
                connection.close()
                back.append(index)

        threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
        with ExitStack() as gate:
            if behind is not None:
                gate.enter_context(transaction.atomic())
                type(behind)._default_manager.select_for_update(no_key=True).get(pk=behind.pk)
            for thread in threads:
                thread.start()
            if behind is not None:
                until(lambda: len(sessions) == len(calls) and waiting(sessions) + len(back) >= len(calls))
        for thread in threads:
            thread.join(timeout=2 * PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "a call never came back"
        return answers

    return run


@pytest.fixture
def another_session() -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Makes sessions of somebody else's in the same database, to hold locks with: plain psycopg."""
    with ExitStack() as opened:

        def connect() -> psycopg.Connection[Any]:
            given = {key: value for key, value in connection.get_connection_params().items() if key in KEYS}
            return opened.enter_context(psycopg.connect(**given))

        yield connect


KEYS = ("dbname", "user", "password", "host", "port")


def waiting(sessions: Sequence[int]) -> int:
    """How many of the server's processes wait for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid = ANY(%s)", [list(sessions)]
        )
        return int(cursor.fetchone()[0])


def until(happened: Callable[[], bool]) -> None:
    """Look again and again until something has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)
