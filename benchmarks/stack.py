"""What is measured: PostgreSQL and Valkey in a folder of their own, durable, and the programs of `make run`."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psycopg
from django.db import connection as holdfast

from orders_project.local import run, servers
from orders_project.local.processes import die_with_parent
from orders_project.local.supervisor import Supervisor

HOST = "127.0.0.1"
EVERYTHING = ("web", "beat", "worker")
TEMPLATE = "holdfast_empty"  # a database with the schema and no row: each benchmark begins with a copy of it


class Failed(Exception):
    """A figure can't be had, or must not be believed; the message says why."""


@contextlib.contextmanager
def servers_up() -> Iterator[None]:
    """PostgreSQL and Valkey, with the schema and no row."""
    with servers.attach():
        _let_go()
        with connect("postgres") as postgres:
            if postgres.execute("SELECT FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone() is None:
                run.manage(run.environment_of(HOST, ""), "migrate", "--no-input", "--verbosity", "0")
                postgres.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE holdfast")
            postgres.execute("DROP DATABASE holdfast WITH (FORCE)")
            postgres.execute(f"CREATE DATABASE holdfast TEMPLATE {TEMPLATE}")
        try:
            yield
        finally:
            _let_go()


def _let_go() -> None:
    """Close this process's connections: others can drop the database then, or stop the server."""
    holdfast.close()
    holdfast.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's wrapper has it


def connect(database: str = "holdfast") -> psycopg.Connection[Any]:
    """A connection past Holdfast: none of its timeouts, several statements at once, every statement committed."""
    return psycopg.connect(
        servers.database_url(), dbname=database, autocommit=True, cursor_factory=psycopg.ClientCursor
    )


def analyze() -> None:
    """Tell the planner what the tables hold."""
    with connect() as database:
        database.execute("ANALYZE")


@contextlib.contextmanager
def running(*names: str) -> Iterator[str]:
    """Some of the programs of `make run`; yields the address of the web server."""
    port = free_port()
    with supervised([program for program in run.programs(HOST, port) if program[0] in names], port):
        yield f"http://{HOST}:{port}"


@contextlib.contextmanager
def bare_handler() -> Iterator[str]:
    """The web server with nothing behind it: what the load generator can ask for and be answered."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "granian", "benchmarks.bare:answer", "--interface", "rsgi"),
        *("--host", HOST, "--port", port, "--no-ws", "--log-level", "warning"),
    ]
    with supervised([("web", 10, command)], port):
        yield f"http://{HOST}:{port}"


@contextlib.contextmanager
def supervised(programs: Sequence[tuple[str, float, list[str]]], port: str) -> Iterator[None]:
    """Run programs, as `make run` does, and wait for the web server if it is one of them."""
    supervisor, over = Supervisor(), threading.Event()

    def listen() -> None:
        while not over.is_set():
            supervisor.watch(0.2)

    listener = threading.Thread(target=listen)
    try:
        for name, grace, command in programs:
            supervisor.start(name, command, grace=grace, environment=run.environment_of(HOST, port))
        if any(child.name == "web" for child in supervisor.children):
            run.wait_for_web(supervisor, HOST, port)
        listener.start()
        yield
    finally:
        over.set()
        if listener.is_alive():
            listener.join()
        supervisor.stop()


@contextlib.contextmanager
def make_run(
    environment: Mapping[str, str] | None = None, log: IO[bytes] | None = None
) -> Iterator[tuple[int, str]]:
    """`make run` itself, servers and all, just started; yields its process and the web server's address.

    With a `log` all that it says goes there.
    """
    port, ours = free_port(), os.getpid()
    process = subprocess.Popen(
        [sys.executable, "-m", "orders_project.local.run"],
        env={**os.environ, "HOST": HOST, "PORT": port, **(environment or {})},
        stdout=log or subprocess.DEVNULL,
        stderr=log,
        preexec_fn=lambda: die_with_parent(ours),
    )
    try:
        yield process.pid, f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


def verify() -> None:
    """Raises Failed unless every invariant holds over the whole database."""
    try:
        run.manage(run.environment_of(HOST, ""), "verify_stock")
    except run.CannotRun as broken:
        raise Failed("verify_stock found a broken invariant") from broken


def free_port() -> str:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return str(probe.getsockname()[1])


def memory_of(ancestor: int) -> float:
    """Megabytes of a process and all that it has started: each shared page is counted once in all (PSS)."""
    return sum(map(_proportional_set_size, family_of(ancestor))) / 1024


def family_of(ancestor: int) -> list[int]:
    """A process and all that it has started, parents before their children."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    parents = {process: parent_of(process) for process in processes}
    family = [ancestor]
    for member in family:  # it grows while we walk along it
        family += [process for process, parent in parents.items() if parent == member]
    return family


def parent_of(process: int) -> int | None:
    """Who started a process; None if it has just ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return None


def _proportional_set_size(process: int) -> int:
    """Kilobytes."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0
