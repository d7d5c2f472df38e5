"""What every test may use: a shop of its own, goods, orders, and a check that all is well afterwards.

Everything belongs to a business, so a test needs no empty database, only a business of its own. Tests
marked with the ordinary `db` fixture run in a transaction that is rolled back. Tests with threads or
processes use `committed` instead: their rows stay, and the next test doesn't see them.
"""

import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
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


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Run calls at the same moment, each in a thread with a connection of its own.

    Returns what each returned, or the exception that it raised, in the order of the calls.
    """

    def run(calls: list[Callable[[], Any]]) -> list[Any]:
        start = threading.Barrier(len(calls))
        answers: list[Any] = [None] * len(calls)

        def call(index: int) -> None:
            try:
                connection.ensure_connection()
                start.wait(timeout=60)
                answers[index] = calls[index]()
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                answers[index] = error
            finally:
                connection.close()

        threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert not any(thread.is_alive() for thread in threads), "a call never came back"
        return answers

    return run
