"""What the environment makes of the settings, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orders_project.local import servers
from orders_project.local.secret_key import secret_key

pytestmark = pytest.mark.slow

PRODUCTION = {
    "DATABASE_URL": "postgresql://holdfast:pass@db.example:5433/shop?sslmode=require",
    "REDIS_URL": "rediss://:pass@redis.example/2",
    "SECRET_KEY": "long-and-random-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "ALLOWED_HOSTS": "shop.example,api.shop.example",
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=servers.PROJECT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def show(expression: str, **environment: str) -> str:
    done = python("-c", f"from orders_project import settings; print({expression}, sep=' ')", **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["REDIS_URL", "SECRET_KEY", "ALLOWED_HOSTS"])
def test_production_without_a_setting_it_needs_says_so_in_one_line(name):
    environment = {key: value for key, value in PRODUCTION.items() if key != name}
    done = python("manage.py", "check", **environment)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{name} is not set: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "days"), [("KEEP_WEBHOOKS_DAYS", "3"), ("KEEP_ALERTS_DAYS", "-1")])
def test_what_is_needed_can_not_be_set_to_be_deleted(name, days):
    done = python("manage.py", "check", **{**PRODUCTION, name: days})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name} is {days}: the least is ")
    assert done.stderr.count("\n") == 1


def test_production_passes_every_deployment_check():
    done = python("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_production_has_cookies_that_no_other_host_can_set():
    names = "settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.KNOWN_BROWSER_COOKIE_NAME"
    assert show(names, **PRODUCTION) == "__Host-sessionid __Host-csrftoken __Host-known"
    flags = "settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS"
    assert show(flags, **PRODUCTION) == "True True 31536000"


def test_production_takes_the_database_apart_and_bounds_its_sessions():
    shown = show("settings.DATABASES['default']", **PRODUCTION)
    for part in ("'shop'", "'holdfast'", "'pass'", "'db.example'", "'5433'", "'require'"):
        assert part in shown
    assert "lock_timeout=2s" in shown
    assert "statement_timeout=15s" in shown


def test_production_may_sit_behind_a_proxy_that_speaks_tls():
    expression = "settings.SECURE_SSL_REDIRECT, hasattr(settings, 'SECURE_PROXY_SSL_HEADER')"
    assert show(expression, **PRODUCTION) == "True False"
    behind = {"SECURE_SSL_REDIRECT": "0", "BEHIND_PROXY": "1"}
    assert show(expression, **PRODUCTION, **behind) == "False True"


def test_the_log_is_for_programs_in_production_and_for_people_elsewhere():
    expression = "settings.LOGGING['handlers']['stderr']['formatter']"
    assert show(expression, **PRODUCTION) == "json"
    assert show(expression, **PRODUCTION, LOG_FORMAT="plain") == "plain"
    assert show(expression, HOLDFAST_LOCAL="1") == "plain"


def test_local_needs_no_environment_and_starts_nothing(tmp_path):
    shown = show(
        "settings.LOCAL, settings.DEBUG, settings.ALLOWED_HOSTS, settings.SESSION_COOKIE_SECURE",
        HOLDFAST_VAR=str(tmp_path),
    )
    assert shown == "True False ['localhost', '127.0.0.1', '[::1]'] False"
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]


def test_local_with_servers_of_its_own_stays_local():
    shown = show(
        "settings.LOCAL, settings.CELERY_BROKER_URL",
        HOLDFAST_LOCAL="1",
        DATABASE_URL="postgresql:///shop",
        REDIS_URL="unix:///run/valkey.sock?db=3",
    )
    assert shown == "True redis+socket:///run/valkey.sock?virtual_host=3"


def test_secret_key_is_made_once_and_is_its_owners_only(tmp_path: Path):
    file = tmp_path / "var" / "secret_key"
    key = secret_key(file)
    assert len(key) >= 50
    assert secret_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
