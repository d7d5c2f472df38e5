"""Runs the tests of each guard without it, each time on a new database."""

import contextlib
import os
import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg

from orders_project.local import servers
from orders_project.local.own_data import ELSEWHERE
from proofs.guards.table import GUARDS, OF_THE_DATABASE, Guard, Law

AT_ONCE = 2
LONGEST = 180  # seconds for the tests of one guard: a test that waits for ever without it has missed it, too
LONGEST_WHOLE = 1800  # seconds for all of them
NOT_COPIED = {".git", ".venv", ".hypothesis", "staticfiles", "var"}
TESTED = "test_holdfast"  # the database of the tests


@dataclass(frozen=True)
class Verdict:
    """Whether the tests missed a guard, what they said, and how long they took, in seconds."""

    guard: Guard | Law
    missed: bool
    words: str
    seconds: float


class Workplace:
    """A copy of the project to take guards out of, with servers of its own."""

    def __init__(self, var: Path) -> None:
        self.folder = var / "copy"
        self.servers_var = var / "servers"

        def not_copied(folder: str, names: list[str]) -> set[str]:
            return {name for name in names if name in NOT_COPIED or Path(folder, name) in self.folder.parents}

        shutil.copytree(servers.PROJECT, self.folder, ignore=not_copied)
        self.servers = servers.attach(self.servers_var, durable=False)
        # Its own database, which is the pattern of the tests'.
        self._python("-m", "django", "migrate", "--verbosity", "0").check_returncode()

    def close(self) -> None:
        self.servers.close()

    def laws(self) -> list[Law]:
        """Every rule of ours that the database keeps."""
        with self._connect("holdfast") as database:
            return [Law(*row) for row in database.execute(OF_THE_DATABASE)]

    def try_without(self, guard: Guard | Law) -> Verdict:
        """Take a guard out, run its tests, and put it back."""
        began = time.monotonic()
        self._renew_database()
        with self._without(guard):
            code, words = self.test(guard.tests)
        if code > 1:  # nothing was tested
            words = f"pytest ended with {code}: {words}"
        return Verdict(guard, code == 1, words, time.monotonic() - began)

    def test(self, tests: Sequence[str], *, longest: float = LONGEST) -> tuple[int, str]:
        """pytest's exit code, and the first thing that it found wrong, or its closing line."""
        try:
            ended = self._python(
                *("-m", "pytest", "-x", "-q", "--reuse-db", "-p", "no:cacheprovider", "--tb=no", "-rfE", *tests),
                longest=longest,
            )
        except subprocess.TimeoutExpired:
            return 1, f"waited for more than {longest} s"
        lines = (ended.stdout or ended.stderr).splitlines() or [""]
        return ended.returncode, next((line for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])

    def _python(self, *arguments: str, longest: float = LONGEST) -> "subprocess.CompletedProcess[str]":
        kept = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        ours = {
            "DJANGO_SETTINGS_MODULE": "orders_project.settings_test",
            "HOLDFAST_TEST_VAR": str(self.servers_var),
            "COLUMNS": "200",
            # A file that was changed and changed back within a second must not be remembered.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=kept | ours,
            capture_output=True,
            text=True,
            timeout=longest,
            check=False,
        )

    def _connect(self, database: str) -> "psycopg.Connection[tuple[str, ...]]":
        url = servers.database_url(self.servers_var)
        return psycopg.connect(url, dbname=database, autocommit=True)

    def _renew_database(self) -> None:
        with self._connect("postgres") as postgres:
            postgres.execute(f"DROP DATABASE IF EXISTS {TESTED} WITH (FORCE)")
            postgres.execute(f"CREATE DATABASE {TESTED} TEMPLATE holdfast")

    @contextlib.contextmanager
    def _without(self, guard: Guard | Law) -> Iterator[None]:
        if isinstance(guard, Law):
            with self._connect(TESTED) as database:
                database.execute(guard.repeal)
            yield
            return
        file = self.folder / guard.file
        text = file.read_text()
        file.write_text(guard.taken_out_of(text))
        try:
            yield
        finally:
            file.write_text(text)


def run(var: Path, words: Sequence[str]) -> int:
    """Try to do without each guard, or those with one of the words in their name; 1 if one isn't missed."""
    print(f"Making {AT_ONCE} copies ...", flush=True)
    free: queue.SimpleQueue[Workplace] = queue.SimpleQueue()
    with contextlib.ExitStack() as opened:
        places = []
        for number in range(AT_ONCE):
            place = Workplace(var / str(number))
            opened.callback(place.close)
            places.append(place)
            free.put(place)
        every: list[Guard | Law] = [*GUARDS, *places[0].laws()]
        guards = [one for one in every if not words or any(word.lower() in one.name.lower() for word in words)]
        if not guards:
            sys.exit(f"No guard has {' or '.join(words)} in its name.")

        def attempt(guard: Guard | Law) -> Verdict:
            place = free.get()
            try:
                return place.try_without(guard)
            finally:
                free.put(place)

        print("With all guards in place:", flush=True)
        whole = sorted({test for guard in guards for test in guard.tests})
        places[0]._renew_database()
        code, told = places[0].test(whole, longest=LONGEST_WHOLE)
        print(f"  {told}\n", flush=True)
        if code:
            return 1
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = []
            for verdict in pool.map(attempt, guards):
                verdicts.append(verdict)
                print(line_of(verdict), flush=True)
    kept = [verdict for verdict in verdicts if not verdict.missed]
    print(f"\n{len(verdicts)} guards taken out, {len(verdicts) - len(kept)} missed by a test, {len(kept)} not.")
    return 1 if kept else 0


def line_of(verdict: Verdict) -> str:
    """A row of what is printed."""
    mark = "red  " if verdict.missed else "GREEN"
    return f"{mark} {verdict.seconds:5.1f} s  {verdict.guard.name}\n                 {verdict.words[:160]}"
