"""`make run`: the servers, the schema, demo data, then web, worker and beat until Ctrl-C."""

import errno
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any

from orders_project.local import servers
from orders_project.local.processes import die_with_parent
from orders_project.local.supervisor import Supervisor, on_stop, say

WEB_SECONDS = 60  # until /healthz answers, on a slow machine


class CannotRun(Exception):
    """The message is one line for the person at the terminal."""


def main() -> int:
    """Run until stopped; the exit status is 0 when a person stopped it."""
    if "MAKELEVEL" in os.environ:
        die_with_parent(os.getppid())  # a `make` that is killed takes everything with it
    os.chdir(servers.PROJECT)
    with on_stop(_interrupt):
        try:
            run(os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000")
        except KeyboardInterrupt:
            say("Stopped.")
        except (CannotRun, servers.ServerError, OSError) as error:
            say(f"make run: {error}", sys.stderr)
            return 1
    return 0


def run(host: str, port: str) -> None:
    """Everything, until KeyboardInterrupt; raises CannotRun if a part of it does not work."""
    check_port(host, port)
    environment = environment_of(host, port)
    say("Starting the database ...")
    with servers.attach() as held, TemporaryDirectory(prefix="holdfast-metrics-") as metrics:
        say("Applying migrations ...")
        manage(environment, "migrate", "--no-input", "--verbosity", "0")
        say("Preparing demo data ...")
        demo = json.loads(manage(environment, "seed_demo", "--format", "json"))
        say("Starting web, worker and beat ...")
        supervisor = Supervisor()
        try:
            for name, grace, command in programs(host, port):
                supervisor.start(
                    name,
                    command,
                    grace=grace,
                    environment={**environment, "METRICS_DIR": metrics},
                    inherit=held.locks,
                )
            wait_for_web(supervisor, host, port)
            say(welcome(host, port, demo))
            while True:
                watch(supervisor, 0.2)
        except KeyboardInterrupt:
            say("\nStopping: web, then beat, then worker; a running task finishes first ...")
            raise
        finally:
            supervisor.stop()


def environment_of(host: str, port: str) -> dict[str, str]:
    """What the programs find in their environment."""
    return {
        "GRANIAN_WORKERS": "2",
        "GRANIAN_BACKLOG": "4096",
        "GRANIAN_BACKPRESSURE": "8192",  # of each: more may wait than the lanes take, so that they can refuse
        **os.environ,
        "HOLDFAST_LOCAL": "1",  # even on servers that DATABASE_URL names, this is no production
        "HOST": host,
        "PORT": port,
        "PYTHONUNBUFFERED": "1",
    }


def programs(host: str, port: str) -> list[tuple[str, float, list[str]]]:
    """Name, seconds it may take to stop, and command, in the order in which they stop."""
    # Background jobs give way to those who wait for an answer.
    celery = ["nice", "-n", "10", sys.executable, "-m", "celery", "--quiet", "--app", "orders_project"]
    return [
        (
            "web",
            10,
            [
                *(sys.executable, "-m", "granian", "orders_project.asgi:application"),
                *("--interface", "asgi", "--host", host, "--port", port),
                *("--respawn-failed-workers", "--log-level", "warning"),
            ],
        ),
        ("beat", 5, [*celery, "beat", "--pidfile", ""]),
        # A bulk run and slow webhooks may keep two of its processes for a while; the third goes on with the rest.
        ("worker", 60, [*celery, "worker", "--concurrency", "3", "--without-mingle"]),
    ]


def check_port(host: str, port: str) -> None:
    """Raises CannotRun if the web server could not listen there."""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise CannotRun(f"PORT must be a number from 1 to 65535, not {port!r}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotRun(f"can't listen on {host}, port {port}: {error.strerror}.") from None
            other = int(port) + 1 if int(port) < 65535 else 8000
            raise CannotRun(f"port {port} is taken. Choose another: PORT={other} make run") from None


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a management command to its end and return its output; CannotRun if it fails."""
    runner = os.getpid()
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us, who end it without its traceback
        preexec_fn=lambda: die_with_parent(runner),
    )
    if done.returncode:
        raise CannotRun(f"`manage.py {arguments[0]}` failed; what it said is above.")
    return done.stdout


def wait_for_web(supervisor: Supervisor, host: str, port: str) -> None:
    """Wait until /healthz answers; CannotRun if a program ends first, or it takes too long."""
    deadline = time.monotonic() + WEB_SECONDS
    while time.monotonic() < deadline:
        watch(supervisor, 0.1)
        # Not urllib, which would ask a proxy that the environment names.
        web = http.client.HTTPConnection(reachable(host), int(port), timeout=1)
        try:
            web.request("GET", "/healthz")
            status = web.getresponse().status
        except OSError:
            continue
        finally:
            web.close()
        if status != 200:
            raise CannotRun(f"/healthz answers {status}; the log is above.")
        return
    raise CannotRun(f"the web server does not answer on port {port}.")


def watch(supervisor: Supervisor, seconds: float) -> None:
    """Show what the programs say for up to so long; CannotRun if one has ended."""
    if ended := supervisor.watch(seconds):
        raise CannotRun(f"{ended.name} {ended.ending}, so everything else was stopped too.")


def reachable(host: str) -> str:
    """Where this machine finds a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def welcome(host: str, port: str, demo: dict[str, Any]) -> str:
    """What a newcomer needs next, and no more."""
    name = reachable(host)
    url = f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
    return f"""
Holdfast is running. Ctrl-C stops all of it.

  Back office   {url}/
  Sign in as    {demo["admin"]["username"]} / {demo["admin"]["password"]}

  API           {url}/api/v1/orders
  API docs      {url}/api/docs

  Business      {demo["business_id"]}
  API key       {demo["api_key"]}

  curl -H "Authorization: Api-Key {demo["api_key"]}" {url}/api/v1/products
"""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
