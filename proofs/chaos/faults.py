"""What is done to the stack: each fault is done on entering, and undone on leaving if there is something to undo.

What was killed is not started again here: that is for `make run` to do.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from orders_project.celery import app
from orders_project.local import servers
from proofs.chaos.stack import Stack, until, valkey


@dataclass(frozen=True)
class Fault:
    name: str
    harm: Callable[[Stack], AbstractContextManager[None]]
    seconds: float = 0  # for which it lasts
    kills: int = 0  # processes


def _send(number: signal.Signals, pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(pid, number)


def kill(name: str) -> Callable[[Stack], AbstractContextManager[None]]:
    """kill -9 of a program or server: of the process that started all its others."""

    @contextlib.contextmanager
    def harm(stack: Stack) -> Iterator[None]:
        _send(signal.SIGKILL, [stack.pid(name)])
        yield

    return harm


def kill_one_of(name: str) -> Callable[[Stack], AbstractContextManager[None]]:
    """kill -9 of one of the processes that a program has started."""

    @contextlib.contextmanager
    def harm(stack: Stack) -> Iterator[None]:
        children = until(lambda: stack.family(name)[1:], f"what {name} starts")
        _send(signal.SIGKILL, [random.choice(children)])
        yield

    return harm


@contextlib.contextmanager
def kill_a_session(stack: Stack) -> Iterator[None]:
    """kill -9 of one process of PostgreSQL that serves Holdfast: all of them end then, and it recovers."""
    _send(signal.SIGKILL, [random.choice(_sessions(stack))])
    yield


def stop(name: str) -> Callable[[Stack], AbstractContextManager[None]]:
    """SIGSTOP of all processes of a program or server, and SIGCONT."""

    @contextlib.contextmanager
    def harm(stack: Stack) -> Iterator[None]:
        with _stopped(stack.family(name)):
            yield

    return harm


@contextlib.contextmanager
def stop_a_session(stack: Stack) -> Iterator[None]:
    """One process of PostgreSQL stands still, with whatever it has locked."""
    with _stopped([random.choice(_sessions(stack))]):
        yield


@contextlib.contextmanager
def _stopped(pids: Sequence[int]) -> Iterator[None]:
    _send(signal.SIGSTOP, pids)
    try:
        yield
    finally:
        _send(signal.SIGCONT, pids)


def _sessions(stack: Stack) -> list[int]:
    """The processes of PostgreSQL that serve Holdfast."""

    def find() -> list[int]:
        with stack.connect() as database:
            found = database.execute(
                """
                SELECT pid FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND datname = 'holdfast' AND pid <> pg_backend_pid()
                """
            ).fetchall()
        return [pid for (pid,) in found]

    return until(find, "a session of PostgreSQL")


@contextlib.contextmanager
def cut(stack: Stack) -> Iterator[None]:
    """Every connection to the database breaks, in the middle of whatever is under way, three times."""
    for _ in range(3):
        stack.proxy.cut()
        time.sleep(0.3)
    yield


@contextlib.contextmanager
def stall(stack: Stack) -> Iterator[None]:
    """Nothing comes through to the database or back, and then all of it."""
    stack.proxy.stall()
    try:
        yield
    finally:
        stack.proxy.flow()


@contextlib.contextmanager
def slow(stack: Stack) -> Iterator[None]:
    """The database is far away."""
    stack.proxy.delay(0.15)
    try:
        yield
    finally:
        stack.proxy.delay(0)


@contextlib.contextmanager
def flush(stack: Stack) -> Iterator[None]:
    """Redis forgets all: locks, what was queued, what was to be told."""
    valkey().flushall()
    yield


@contextlib.contextmanager
def twice(stack: Stack) -> Iterator[None]:
    """Jobs are delivered twice, and the lock that would keep the second from running is gone."""
    for _ in range(20):
        for task in ("orders.tasks.expire_due_orders", "orders.tasks.send_webhooks"):
            app.send_task(task)
            app.send_task(task)
        valkey(1).flushdb()
        time.sleep(0.2)
    yield


@contextlib.contextmanager
def two_beats(stack: Stack) -> Iterator[None]:
    with stack.another("beat"):
        yield


def wrong_clock(seconds: float) -> Callable[[Stack], AbstractContextManager[None]]:
    """The worker stands still, and another does its work whose clock is wrong."""

    @contextlib.contextmanager
    def harm(stack: Stack) -> Iterator[None]:
        with _stopped(stack.family("worker")), stack.another("worker", clock=seconds):
            yield

    return harm


@contextlib.contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """The database takes no writes, as while another server takes its place."""
    _set_read_only(stack, "on")
    try:
        yield
    finally:
        _set_read_only(stack, "off")


def _set_read_only(stack: Stack, value: str) -> None:
    with stack.connect() as database:
        database.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        database.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def full_disk(stack: Stack) -> Iterator[None]:
    """Nothing fits on the disk of PostgreSQL any more. Only where it has a small one of its own."""
    ballast = servers.Postgres(servers.VAR).folder / "ballast"
    _fill(ballast)
    try:
        yield
    finally:
        ballast.unlink()


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for piece in (1 << 24, 1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(piece))


KILL_WEB = Fault("kill -9 of the web server", kill("web"), kills=1)
KILL_POSTGRES = Fault("kill -9 of PostgreSQL", kill("postgres"), kills=1)
KILL_VALKEY = Fault("kill -9 of Valkey", kill("valkey"), kills=1)
KILL_WORKER = Fault("kill -9 of the worker", kill("worker"), kills=1)
CUT = Fault("connections to the database cut", cut)
KILLS = [
    KILL_WEB,
    Fault("kill -9 of one web process", kill_one_of("web"), kills=1),
    KILL_POSTGRES,
    Fault("kill -9 of a session of PostgreSQL", kill_a_session, kills=1),
    KILL_VALKEY,
    KILL_WORKER,
    Fault("kill -9 of one worker process", kill_one_of("worker"), kills=1),
    Fault("kill -9 of beat", kill("beat"), kills=1),
]
STOPS = [
    Fault("the web server stands still for 20 s", stop("web"), 20),
    Fault("PostgreSQL stands still for 20 s", stop("postgres"), 20),
    Fault("a session of PostgreSQL stands still for 20 s", stop_a_session, 20),
    Fault("Valkey stands still for 20 s", stop("valkey"), 20),
    Fault("the worker stands still for 20 s", stop("worker"), 20),
]
BREAKS = [
    CUT,
    Fault("connections to the database stalled for 5 s", stall, 5),
    Fault("the database 150 ms away for 5 s", slow, 5),
    Fault("Valkey flushed", flush),
    Fault("jobs delivered twice", twice),
    Fault("two beats for 8 s", two_beats, 8),
    Fault("the database read-only for 5 s", read_only, 5),
]
CLOCKS = [
    Fault("a worker whose clock is an hour fast, for 12 s", wrong_clock(3600), 12),
    Fault("a worker whose clock is an hour slow, for 12 s", wrong_clock(-3600), 12),
]
FULL_DISK = Fault("the disk of PostgreSQL full for 5 s", full_disk, 5)
# What a test has time for: whatever holds something in its memory is killed once, and the wire is cut.
BRIEF = [KILL_WEB, KILL_POSTGRES, KILL_VALKEY]
