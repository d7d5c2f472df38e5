"""Holdfast on servers of its own, as `make run` starts it, with a proxy before its database; and hands on it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import psycopg
import redis

from benchmarks import stack
from orders_project.local import run, servers
from orders_project.local.processes import die_with_parent
from proofs.chaos.proxy import Proxy

PROGRAMS = {"web": b"granian", "beat": b"beat", "worker": b"worker"}  # and a word of their command lines
# kill -9 can't show that these are off: the kernel keeps what a killed process has written.
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
PATIENCE = 60  # seconds for something to be there again, before the run is given up
STARTS_WITHIN = 180  # seconds, for all of it, on a machine that has other things to do

T = TypeVar("T")


class Stuck(Exception):
    """The stack is not there, or does not come back; the message says what was waited for."""


class Stack:
    """What runs, and how to reach it past Holdfast. Made by `up`."""

    def __init__(self, runner: int, web: str, keepers: Sequence[int], proxy: Proxy, log: IO[bytes]) -> None:
        self.web = web
        self.proxy = proxy
        self.postgres_keeper, self.valkey_keeper = keepers
        self._runner = runner
        self._log = log

    def pid(self, name: str) -> int:
        """The process of a program or server; when it was killed, the one that comes after it."""
        return until(lambda: self._find(name), f"a process of {name}")

    def _find(self, name: str) -> int | None:
        if name in PROGRAMS:
            children = [pid for pid in _children(self._runner) if PROGRAMS[name] in _command(pid)]
        else:
            children = _children(self.postgres_keeper if name == "postgres" else self.valkey_keeper)
        return next((pid for pid in children if not _is_dead(pid)), None)

    def family(self, name: str) -> list[int]:
        """The process of a program or server, and all that it has started."""
        return stack.family_of(self.pid(name))

    def connect(self) -> psycopg.Connection[Any]:
        """A connection to the database that doesn't go through the proxy, as soon as it takes any."""
        return until(_connect, "a connection to PostgreSQL")

    @contextlib.contextmanager
    def another(self, name: str, *, clock: float = 0) -> Iterator[None]:
        """One more of a program, for a while; its clock goes so many seconds fast."""
        ours = os.getpid()
        port = self.web.rpartition(":")[2]
        (command,) = (command for program, _, command in run.programs(stack.HOST, port) if program == name)
        module = command[command.index("-m") + 1 :]
        process = subprocess.Popen(
            [sys.executable, "-m", "proofs.chaos.clock", str(clock), *module],
            env={**run.environment_of(stack.HOST, port), "DATABASE_URL": database_url(self.proxy)},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(ours),
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def up(log: IO[bytes]) -> Iterator[Stack]:
    """Start everything; raises Stuck if it doesn't come up, or would not be durable."""
    with servers.attach() as held:
        with stack.connect() as database:
            for setting in DURABLE:
                ((value,),) = database.execute(f"SHOW {setting}")
                if value != "on":
                    raise Stuck(f"PostgreSQL runs with {setting} {value}; nothing would be proved")
        proxy = Proxy(servers.Postgres(servers.VAR).socket)
        with stack.make_run({"DATABASE_URL": database_url(proxy)}, log) as (runner, web):
            until(lambda: _answers(web), "the web server", STARTS_WITHIN)
            yield Stack(runner, web, [keeper.pid for keeper in held.keepers], proxy, log)


def database_url(proxy: Proxy) -> str:
    """The database's address, by way of the proxy."""
    return f"postgresql://holdfast@127.0.0.1:{proxy.port}/holdfast?sslmode=disable&gssencmode=disable"


def valkey(database: int = 0) -> redis.Redis:
    """Database 0 is the broker's, 1 the cache's."""
    return redis.Redis.from_url(servers.redis_url(database=database))


def until(happened: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Look again and again until something is there. Raises Stuck."""
    deadline = time.monotonic() + seconds
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise Stuck(f"{what} did not come in {seconds:g} seconds")
        time.sleep(0.05)
    return found


def _connect() -> psycopg.Connection[Any] | None:
    with contextlib.suppress(psycopg.OperationalError):
        return stack.connect()
    return None


def _answers(web: str) -> bool:
    try:
        urllib.request.urlopen(f"{web}/healthz", timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def _children(parent: int) -> list[int]:
    return [pid for pid in stack.family_of(parent)[1:] if stack.parent_of(pid) == parent]


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):  # it has just ended
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _is_dead(pid: int) -> bool:
    return not _command(pid)  # gone, or a zombie
