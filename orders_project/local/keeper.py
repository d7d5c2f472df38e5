"""Runs one embedded server for as long as a process uses it: `python -m ... NAME VAR durable|fast`.

It ends when the lock on `users.lock` is free or on SIGTERM, starts a server that ended again, for as long
as it takes, and if it is killed itself, the kernel tells the server to stop.
"""

import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from orders_project.local.processes import die_with_parent
from orders_project.local.servers import Postgres, Server, Valkey

STOP_SECONDS = 20
# A server that ends at once is tried again for some seconds: after kill -9 its own last processes
# may still be there, and it refuses to start beside them. One that did run is tried for ever: a disk
# that is full today has room tomorrow.
QUICK_DEATHS = 20
QUICK_SECONDS = 2

_CLONE_NEWUSER = 0x10000000

type_of = {server.name: server for server in (Postgres, Valkey)}


def keep(server: Server) -> None:
    """Run the server until nobody uses it; ends the process with status 1 if it never starts."""
    users = os.open(server.folder / "users.lock", os.O_RDWR)
    quick_deaths, ran = 0, False
    while ran or quick_deaths < QUICK_DEATHS:
        process = _start(server)
        started = time.monotonic()
        try:
            while process.poll() is None:
                if _is_free(users):
                    return
                time.sleep(0.1)
        finally:
            _stop(process, server.stop_signal)
        ran |= time.monotonic() - started > QUICK_SECONDS
        quick_deaths += 1
        print(f"{server.name} ended with status {process.returncode}", flush=True)
        time.sleep(0.2)
    sys.exit(1)


def _start(server: Server) -> subprocess.Popen[bytes]:
    if isinstance(server, Postgres):
        return _start_postgres(server)
    return _spawn(_valkey_command(server), server.stop_signal)


def _stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _spawn(
    command: list[str], death_signal: signal.Signals, become: Callable[[], None] | None = None
) -> subprocess.Popen[bytes]:
    keeper = os.getpid()

    def in_child() -> None:
        if become:
            become()
        die_with_parent(keeper, death_signal)

    return subprocess.Popen(command, env=_environment(), preexec_fn=in_child)


def _environment() -> dict[str, str]:
    """Nothing of the caller's: PGDATA, LC_ALL and their like would change what the server does."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _valkey_command(server: Server) -> list[str]:
    appendonly = "yes" if server.durable else "no"
    return [
        *(str(server.binary("valkey-server")), "--port", "0"),
        *("--unixsocket", str(server.socket), "--unixsocketperm", "700"),
        *("--dir", str(server.folder), "--save", ""),
        *("--appendonly", appendonly, "--appendfsync", "everysec"),
    ]


def _start_postgres(server: Postgres) -> subprocess.Popen[bytes]:
    become: Callable[[], None] | None = None
    data = server.folder / "data"
    if os.getuid() == 0:  # which postgres refuses
        owner, become = "root", _enter_user_namespace
        if not _user_namespaces_work():
            owner, become, data = "nobody", _become_nobody, server.folder / "data-of-nobody"
        for folder in (server.folder, server.socket_folder):
            shutil.chown(folder, owner)
    if not data.exists():
        _make_cluster(server, data, become)
    _disown(data / "postmaster.pid")
    _disown(server.socket.with_name(server.socket.name + ".lock"))
    flush = "on" if server.durable else "off"
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(server.socket_folder),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "fsync": flush,
        "synchronous_commit": flush,
        "full_page_writes": flush,
    }
    command = [str(server.binary("postgres")), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return _spawn(command, server.stop_signal, become)


def _make_cluster(server: Postgres, data: Path, become: Callable[[], None] | None) -> None:
    """initdb beside the final folder, then rename: what is there is whole, even after kill -9."""
    unfinished = data.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for command, given in (
        (
            [
                *(str(server.binary("initdb")), "-D", str(unfinished), "-U", "holdfast"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"),
                *(() if server.durable else ("--no-sync",)),
            ],
            b"",
        ),
        (
            [str(server.binary("postgres")), "--single", "-D", str(unfinished), "postgres"],
            b"CREATE DATABASE holdfast\n",
        ),
    ):
        subprocess.run(command, env=_environment(), input=given, preexec_fn=become, check=True)
    unfinished.rename(data)


def _disown(lock_file: Path) -> None:
    """Tell postgres that a lock file of its is stale, as ours are: one keeper, one postgres.

    It believes any pid that exists, even a zombie's or another program's that got the number after
    a restart, but knows its parent not to be a postgres: so the keeper's pid is put there. Its
    check that no old process uses the shared memory, named in the same file, stays in force.
    """
    try:
        pid, rest = lock_file.read_text().split("\n", 1)
    except FileNotFoundError:
        return
    deadline = time.monotonic() + STOP_SECONDS
    while _is_postgres(pid) and time.monotonic() < deadline:  # of a keeper that was killed
        time.sleep(0.05)
    if not _is_postgres(pid):
        lock_file.write_text(f"{os.getpid()}\n{rest}")


def _is_postgres(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").readlink().name.startswith("postgres")
    except OSError:  # gone, a zombie, or somebody else's
        return False


def _user_namespaces_work() -> bool:
    child = os.fork()
    if child == 0:
        try:
            _enter_user_namespace()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def _enter_user_namespace() -> None:
    """Be nobody to ourselves and still root to the file system: all files stay the user's own."""
    nobody, uid, gid = pwd.getpwnam("nobody"), os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{nobody.pw_uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{nobody.pw_gid} {gid} 1")


def _become_nobody() -> None:
    """Where namespaces are refused, as in many containers; the data then belongs to nobody."""
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def main() -> None:
    name, var, durability = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        keep(type_of[name](Path(var), durability == "durable"))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # initdb has said why


if __name__ == "__main__":
    main()
