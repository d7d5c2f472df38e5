"""Load: wrk for HTTP, pgbench for the ceilings in SQL, and a crowd that asks at the same moment."""

import asyncio
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks import stack
from benchmarks.stack import Failed
from orders_project.local import servers

HERE = Path(__file__).parent
THREADS = 2  # of wrk
SECONDS = 2  # of one run
PATIENCE = 60  # seconds for a crowd to be answered
ROUNDS = 3  # runs of each kind, in turn with what they are compared with


@dataclass(frozen=True)
class Load:
    """What clients saw: answers, all of them as wanted, and how long the middle one and the 99th of a hundred
    took, in milliseconds."""

    answers: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def in_turn(*runs: Callable[[], Load]) -> list[Load]:
    """Each of the runs several times, in turn; of each the median answers, p50 and p99.

    A first round only warms up. PostgreSQL goes on with the plans that it made for empty tables, those of
    foreign keys too, until it is told what the tables hold by now: only then does it count.
    """
    for run in runs:
        run()
    stack.analyze()
    rounds = [[run() for run in runs] for _ in range(ROUNDS)]
    return [
        Load(*(median(getattr(load, field) for load in loads) for field in Load.__dataclass_fields__))
        for loads in zip(*rounds, strict=True)
    ]


def need_wrk() -> None:
    """Install wrk where that is ours to do; otherwise end with a line that says how."""
    if shutil.which("wrk"):
        return
    if os.getuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends", "wrk"], check=True)
        return
    sys.exit("make bench needs wrk: apt install wrk, dnf install wrk or brew install wrk.")


def _output(*command: str) -> str:
    """What a load generator writes. Raises Failed if it fails."""
    environment = {**os.environ, "LUA_PATH": f"{HERE}/lua/?.lua"}  # for wrk, which requires lua/common.lua
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failed(f"{Path(command[0]).name} failed; what it said is above")
    return done.stdout


def wrk(url: str, script: str, *arguments: object, connections: int) -> Load:
    """Ask for SECONDS over so many connections, as lua/<script>.lua says.

    Each connection asks again when it is answered. Raises Failed if any answer is none or is a refusal.
    """
    return wrk_said(
        _output(
            *("wrk", "--latency", f"-t{min(THREADS, connections)}", f"-c{connections}", f"-d{SECONDS}s"),
            *("--timeout", "30s", "-s", str(HERE / "lua" / f"{script}.lua"), url, "--", *map(str, arguments)),
        )
    )


def wrk_said(output: str) -> Load:
    """The line of JSON that lua/common.lua writes at the end."""
    told = json.loads(output.splitlines()[-1])
    if told["refused"] or told["broken"] or not told["answers"]:
        raise Failed(
            f"{told['refused']} refusals and {told['broken']} broken connections in {told['answers']} answers"
        )
    return Load(
        answers=told["answers"],
        seconds=told["microseconds"] / 1e6,
        p50=told["p50"] / 1000,
        p99=told["p99"] / 1000,
    )


def pgbench(script: str, *, clients: int = 16, **variables: object) -> Load:
    """Run the transaction of sql/<script>.sql again and again, prepared, with so many clients at once."""
    server = servers.Postgres(servers.VAR)
    return pgbench_said(
        _output(
            *(str(server.binary("pgbench")), "--no-vacuum", "--protocol=prepared", f"--client={clients}"),
            *(f"--jobs={min(2, clients)}", f"--time={SECONDS}", f"--file={HERE / 'sql' / script}.sql"),
            *(f"--host={server.socket_folder}", "--username=holdfast"),
            *(f"--define={name}={value}" for name, value in variables.items()),
            "holdfast",
        )
    )


def pgbench_said(output: str) -> Load:
    """The transactions and their average latency; it tells no others unless it writes every one to a file."""

    def find(pattern: str) -> float:
        found = re.search(pattern, output)
        if found is None:
            raise Failed("pgbench said something unknown")
        return float(found[1])

    answers, rate = find(r"transactions actually processed: (\d+)"), find(r"tps = ([\d.]+)")
    latency = find(r"latency average = ([\d.]+) ms")
    return Load(int(answers), answers / rate, p50=latency, p99=latency)


@dataclass(frozen=True)
class Answer:
    """What one of a crowd was answered, and when: milliseconds after the crowd asked."""

    status: int
    body: str
    after: float


def crowd(url: str, requests: Sequence[tuple[dict[str, str], str]]) -> list[Answer]:
    """POST each request, of headers and body, over a connection of its own: all are open before the first asks."""
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
    try:
        return asyncio.run(asyncio.wait_for(_crowd(url, requests), PATIENCE))
    except OSError as error:
        raise Failed(f"the crowd was not answered: {error!r}") from error


async def _crowd(url: str, requests: Sequence[tuple[dict[str, str], str]]) -> list[Answer]:
    place = urlsplit(url)
    host, port = place.netloc.split(":")
    connect = asyncio.get_running_loop().create_connection
    clients = [(await connect(_Client, host, int(port)))[1] for _ in requests]
    texts = [
        "\r\n".join(
            [
                f"POST {place.path} HTTP/1.1",
                f"Host: {place.netloc}",
                *(f"{name}: {value}" for name, value in {**headers, "Content-Length": len(body)}.items()),
                "",
                body,
            ]
        ).encode()
        for headers, body in requests
    ]
    begun = time.perf_counter()
    for client, text in zip(clients, texts, strict=True):
        client.transport.write(text)
    told = await asyncio.gather(*(client.told for client in clients))
    return [Answer(status, body, 1000 * (at - begun)) for status, body, at in told]


class _Client(asyncio.Protocol):
    """Waits for one answer on one connection: its status, its body and the instant at which it was whole."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.told: asyncio.Future[tuple[int, str, float]] = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, _, body = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if length and len(body) >= int(length[1]):
            self.told.set_result((int(head.split(maxsplit=2)[1]), body.decode(), time.perf_counter()))
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.told.done():
            self.told.set_exception(Failed("a buyer's connection was closed without an answer"))
