"""What every test may use: a shop of its own, goods, orders, and a check that all is well afterwards.

Everything belongs to a business, so a test needs no empty database, only a business of its own. Tests
marked with the ordinary `db` fixture run in a transaction that is rolled back. Tests with threads or
processes use `committed` instead: their rows stay, and the next test doesn't see them.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import hypothesis
import psycopg
import pytest
from django.conf import settings
from django.db import connection, models, transaction
from django.test.utils import setup_databases, teardown_databases

from callers import Caller
from catalog.models import Business
from factories import BusinessFactory
from orders.invariants import findings
from orders_project import locks
from orders_project.clock import database_now
from orders_project.local.processes import die_with_parent
from orders_project.local.servers import Valkey

# hypothesis tries so many examples of each test, and the long programs of `proofs` many more.
hypothesis.settings.register_profile("short", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=3000)
hypothesis.settings.load_profile("long" if os.environ.get("HOLDFAST_LONG") else "short")


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_keepdb: bool,
    django_db_modify_db_settings: None,
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
def api(shop: Business) -> Caller:
    """The shop's API, called with a key that may write."""
    return Caller(shop)


METRICS_TOKEN = "token-of-the-tests"


class Web:
    """The web server of `make run`, two processes of it, on the test database."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        runner = os.getpid()
        with self.log.open("ab") as lines:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "granian", "orders_project.asgi:application", "--interface", "asgi"),
                    *("--host", "127.0.0.1", "--port", self.port, "--log-level", "warning"),
                    *("--workers", "2"),
                ],
                env={
                    **os.environ,
                    "DJANGO_SETTINGS_MODULE": "orders_project.settings",
                    "DATABASE_URL": database_url(connection.settings_dict),
                    "DATABASE_POOL_SIZE": "8",
                    "REDIS_URL": settings.REDIS_URL,
                    "CACHE_URL": settings.CACHE_URL,
                    "METRICS_DIR": str(self.log.with_name("metrics")),
                    "METRICS_TOKEN": METRICS_TOKEN,
                },
                stdout=lines,
                stderr=lines,
                start_new_session=True,  # a group of its own, so that all of it can be killed
                preexec_fn=lambda: die_with_parent(runner),
            )
        until(lambda: self.process.poll() is not None or answers(f"{self.address}/healthz"))
        assert self.process.poll() is None, self.log.read_text()

    def kill(self) -> None:
        """End all of its processes in the middle of what they do."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=PATIENCE)

    def stop(self) -> None:
        """Have it finish what it does, and end."""
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


@pytest.fixture(scope="session")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server, for all tests that only call it."""
    web = Web(tmp_path_factory.mktemp("server") / "log")
    web.start()
    yield web.address
    web.stop()
    assert "Internal Server Error" not in web.log.read_text(), web.log.read_text()


@pytest.fixture
def web(committed: None, tmp_path: Path) -> Iterator[Web]:
    """A web server of this test's own, to be stopped, killed and started again."""
    web = Web(tmp_path / "log")
    web.start()
    yield web
    if web.process.poll() is None:
        web.kill()


def database_url(database: Mapping[str, Any]) -> str:
    """The address of a database that Django has the settings of."""
    host, port, password = (quote(str(database[name]), safe="") for name in ("HOST", "PORT", "PASSWORD"))
    return f"postgresql://{database['USER']}@/{database['NAME']}?host={host}&port={port}&password={password}"


def answers(url: str) -> bool:
    """Whether a web server answers with a success."""
    try:
        urllib.request.urlopen(url, timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def listens(address: tuple[str, int]) -> bool:
    """Whether a server takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


@pytest.fixture
def redis_away(settings: Any) -> Iterator[None]:
    """The cache and the locks ask a socket that nobody listens to."""
    settings.CACHE_URL = "redis://127.0.0.1:1"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.CACHE_URL}}
    locks._client.cache_clear()
    yield
    locks._client.cache_clear()
    locks._back_at = 0


@pytest.fixture
def own_redis(settings: Any, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis server of this test's own for the cache and the locks, to be stopped in the middle."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = ("127.0.0.1", probe.getsockname()[1])
    runner = os.getpid()
    program = Valkey(tmp_path).binary("valkey-server")
    server = subprocess.Popen(
        [program, "--bind", address[0], "--port", str(address[1]), "--save", ""],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: die_with_parent(runner),
    )
    settings.CACHE_URL = f"redis://{address[0]}:{address[1]}"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.CACHE_URL}}
    locks._client.cache_clear()
    until(lambda: listens(address))
    yield server
    server.kill()
    server.wait(timeout=PATIENCE)
    locks._client.cache_clear()
    locks._back_at = 0


@pytest.fixture
def all_is_well() -> Iterator[None]:
    """Closes a test: every invariant holds over the whole database."""
    yield
    assert findings() == []


PATIENCE = 60  # seconds that a test waits for what must come; none of them is awaited when all is well


@pytest.fixture
def at_once() -> Callable[..., list[Any]]:
    """Run calls at the same moment, each in a thread with a connection of its own.

    With `behind`, a row that the calls need, they meet for certain: it is locked until each call waits
    somewhere (or has come back without), so all of them have asked before any has changed anything. With
    `in_turn` each of them starts when the one before it waits; so the first one comes first.
    Returns what each returned, or the exception that it raised, in the order of the calls.
    """

    def run(
        calls: Sequence[Callable[[], Any]], *, behind: models.Model | None = None, in_turn: bool = False
    ) -> list[Any]:
        start = threading.Barrier(1 if in_turn else len(calls))
        answers: list[Any] = [None] * len(calls)
        sessions: list[int] = []  # the server's process of each call
        back: list[int] = []

        def call(index: int) -> None:
            try:
                connection.ensure_connection()
                with connection.cursor() as cursor:  # on a slow machine no lock may time out by bad luck
                    cursor.execute(f"SET lock_timeout = '{PATIENCE}s'; SET statement_timeout = 0")
                start.wait(timeout=PATIENCE)
                sessions.append(connection.connection.info.backend_pid)
                answers[index] = calls[index]()
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))
                answers[index] = error
            finally:
                connection.close()
                back.append(index)

        def all_wait(started: int) -> bool:
            return len(sessions) == started and waiting(sessions) + len(back) >= started

        threads = [threading.Thread(target=call, args=(index,)) for index in range(len(calls))]
        with ExitStack() as gate:
            if behind is not None:
                gate.enter_context(transaction.atomic())
                type(behind)._default_manager.select_for_update().get(pk=behind.pk)
            for started, thread in enumerate(threads, start=1):
                thread.start()
                if in_turn:
                    until(lambda started=started: all_wait(started))
            if behind is not None:
                until(lambda: all_wait(len(calls)))
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
