"""The embedded servers: real ones, in folders of their own, killed for real."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from orders_project.local import servers
from orders_project.local.servers import Postgres, ServerError, Valkey, attach
from orders_project.tests.processes import running, wait_until

pytestmark = pytest.mark.slow

USER = """
import sys
from pathlib import Path
import psycopg
from orders_project.local import servers
var = Path(sys.argv[1])
held = servers.attach(var, durable=False)
with psycopg.connect(servers.database_url(var)) as connection:
    print(*connection.execute("SELECT pg_postmaster_start_time()").fetchone(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    yield tmp_path / "var"
    wait_until(lambda: not running(tmp_path))  # and no test leaves a server behind


def start_user(var: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(var)],
        cwd=servers.PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def query(var: Path, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(servers.database_url(var), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_last_one_out_stops_the_servers(var):
    with attach(var, durable=False):
        with attach(var, durable=False):
            assert query(var, "SELECT 1") == [(1,)]
        assert query(var, "SELECT 1") == [(1,)]
        with redis.Redis.from_url(servers.redis_url(var)) as client:
            assert client.ping()
    assert not running(var)


def test_attach_flushes_to_disk_unless_told_otherwise(var):
    with attach(var):
        [settings] = query(
            var,
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('full_page_writes'), current_setting('timezone')",
        )
        assert settings == ("on", "on", "on", "UTC")
        with redis.Redis.from_url(servers.redis_url(var)) as client:
            assert client.config_get("append*")["appendonly"] == "yes"


def test_attach_by_eight_at_once_starts_one_server(var):
    users = [start_user(var) for _ in range(8)]
    started = {user.stdout.readline() for user in users}
    for user in users:
        user.communicate(timeout=30)
    assert len(started) == 1
    assert "" not in started


def test_servers_stop_when_their_only_user_is_killed(var):
    user = start_user(var)
    assert user.stdout.readline()
    user.kill()
    user.communicate()
    wait_until(lambda: not running(var))


def test_killed_servers_come_back_with_their_data(var):
    with attach(var):
        query(var, "CREATE TABLE kept AS SELECT 7 AS units")
        for pid in running(var / "postgres" / "data") | running(var / "valkey" / "socket"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Postgres(var).answers())
        wait_until(lambda: Postgres(var).answers() and Valkey(var).answers())
        assert query(var, "SELECT units FROM kept") == [(7,)]


def test_attach_after_everything_was_killed_finds_the_data(var):
    held = attach(var)
    query(var, "CREATE TABLE kept AS SELECT 7 AS units")
    for pid in running(var) - {os.getpid()}:
        os.kill(pid, signal.SIGKILL)
    held.close()
    with attach(var):
        assert query(var, "SELECT units FROM kept") == [(7,)]


def test_attach_finishes_what_a_killed_initdb_began(var):
    user = start_user(var)
    wait_until(lambda: (var / "postgres" / "data.new" / "base").exists())
    user.kill()
    for pid in running(var):
        os.kill(pid, signal.SIGKILL)
    user.communicate()
    assert not (var / "postgres" / "data").exists()
    with attach(var, durable=False):
        assert query(var, "SELECT 1") == [(1,)]


def test_attach_takes_over_lock_files_that_name_another_program(var):
    with attach(var, durable=False):
        lock_file = (var / "postgres" / "data" / "postmaster.pid").read_text()
    after_reboot = lock_file.replace(lock_file.split("\n")[0], str(os.getpid()), 1)
    for stale in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):
        (var / "postgres" / stale).write_text(after_reboot)
    with attach(var, durable=False):
        assert query(var, "SELECT 1") == [(1,)]


def test_attach_in_a_deep_folder_uses_a_short_socket(var):
    deep = var / ("d" * 60) / ("e" * 60)
    assert len(os.fsencode(Postgres(deep).socket)) <= servers.LONGEST_SOCKET
    with attach(deep, durable=False):
        assert query(deep, "SELECT 1") == [(1,)]
        assert Postgres(deep).socket_folder.stat().st_mode & 0o777 == 0o700
    for server in (Postgres(deep), Valkey(deep)):
        assert not server.socket.exists()
        server.socket_folder.rmdir()


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_attach_refuses_a_folder_that_others_can_open(var, name):
    (var / name).mkdir(parents=True, mode=0o755)
    with pytest.raises(ServerError, match="mode 0700"):
        attach(var)


def test_attach_without_a_binary_says_so_in_one_line(var, monkeypatch):
    monkeypatch.setattr(Postgres, "_in_wheel", lambda *_: None)
    monkeypatch.setattr(Postgres, "_on_system", lambda *_: None)
    with pytest.raises(ServerError, match=r"^postgres: no postgres for this machine.*DATABASE_URL"):
        attach(var)


@pytest.mark.slow  # it is tried again and again first
def test_attach_says_why_a_server_does_not_start(var):
    with attach(var, durable=False):
        pass
    (var / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match=r"^postgres did not start: .*FATAL"):
        attach(var, durable=False)


def test_attach_starts_no_server_whose_address_is_given(var, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql:///elsewhere")
    with attach(var, durable=False) as held:
        assert [server.name for server, _ in held.held] == ["valkey"]
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    with attach(var, durable=False) as held:
        assert held.held == []


def test_addresses_start_nothing(var):
    assert servers.database_url(var)
    assert servers.redis_url(var)
    assert not var.exists()
