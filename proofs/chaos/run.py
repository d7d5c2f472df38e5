"""A run: each fault alone, then several at a time in an order that a seed gives, and what the checker says."""

import json
import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from orders.invariants import findings
from orders.models import PaymentNotice, WebhookDelivery, WebhookEndpoint
from orders_project.clock import database_now
from orders_project.local import servers
from orders_project.local.supervisor import PROVEN_SECONDS
from proofs.chaos import faults
from proofs.chaos.books import read_books
from proofs.chaos.buyers import Crowd
from proofs.chaos.disk import small_disk
from proofs.chaos.faults import Fault
from proofs.chaos.history import History, Line, too_little, too_slow, untold, violations
from proofs.chaos.journal import Journal
from proofs.chaos.receiver import Receiver
from proofs.chaos.report import said_of, summary
from proofs.chaos.shop import ACTOR, OPENING, open_shop, place_early
from proofs.chaos.stack import Stack, Stuck, until, up

RATE = 60  # questions a second
EARLY = 80  # orders that are there before the clients
SETTLES = 30  # seconds in which each question has its answer when nothing is wrong any more
SWEEPS = 10  # seconds in which there are two
DRAINS = 120  # seconds in which what waits to be told is told
GIVES_UP = 90  # seconds without an order or a sweep, after which a run is given up
TOGETHER = (3, 5)  # faults of one round of the series, at least and at most
GAP = 1.5  # seconds at most between two of them
KILLS_A_MINUTE = 6  # at least

TOUR = [*faults.KILLS, *faults.BREAKS, *faults.STOPS, *faults.CLOCKS]
SERIES = [*faults.KILLS, *faults.KILLS, *faults.BREAKS]  # rather kills

Round = Sequence[Fault]


def tour_and_series(rng: random.Random, *, disk_can_be_full: bool) -> Iterator[Round]:
    """Each fault alone, and then some at a time for ever."""
    for fault in [*TOUR, *([faults.FULL_DISK] if disk_can_be_full else [])]:
        yield [fault]
    while True:
        yield rng.choices(SERIES, k=rng.randint(*TOGETHER))


def run(*, minutes: float, seed: int, short: bool, folder: Path) -> bool:
    """Whether all was well. What happens is printed; the journal and the logs are in the folder."""
    random.seed(seed)
    print(f"Seed {seed}; the journal and the logs are in {folder}.", flush=True)
    with small_disk(folder / "postgres") as why_not, (folder / "log").open("wb") as log, up(log) as stack:
        if why_not:
            print(f"Not possible here: a full disk ({why_not}).")
        rounds: Iterator[Round] = ([fault] for fault in faults.BRIEF)
        if not short:
            rounds = tour_and_series(random.Random(seed), disk_can_be_full=not why_not)
        ordeal = Ordeal(stack, folder)
        try:
            for together in _for_a_while(rounds, minutes):
                ordeal.endure(together)
            ordeal.end()
        except Stuck as stuck:
            ordeal.found.append(f"L1: {stuck}")
        ordeal.found += too_little(ordeal.history, kills=1 if short else int(minutes * KILLS_A_MINUTE))
        print(summary(ordeal.history, ordeal.found))
        shutil.copy(servers.Postgres(servers.VAR).log, folder / "postgres.log")  # its disk goes with us
        return not ordeal.found


def _for_a_while(rounds: Iterator[Round], minutes: float) -> Iterator[Round]:
    ends = time.monotonic() + 60 * minutes
    return takewhile(lambda _: time.monotonic() < ends, rounds)


class Ordeal:
    """A shop with its clients, what is done to its stack, and what the checker finds."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.history = History()
        self.found: list[str] = []
        self._stack = stack
        self._journal = Journal(folder / "journal")
        self._lines = (folder / "journal").open("rb")
        self._shop = open_shop(stack.web)
        WebhookEndpoint.objects.create(
            business=self._shop.business,
            url=Receiver(self._journal).address,
            created_at=database_now(),
            created_by=ACTOR,
        )
        early = [place_early(self._shop, self._journal) for _ in range(EARLY)]
        connection.close()  # it would not survive what comes
        self._crowd = Crowd(self._shop, self._journal, rate=RATE, early=early)
        self._crowd.come()
        time.sleep(PROVEN_SECONDS)  # what never ran for so long, `make run` doesn't start again

    def endure(self, together: Round) -> None:
        """Faults, one shortly after the other; then it recovers, and the checker looks."""
        with ExitStack() as harm:
            for number, fault in enumerate(together):
                time.sleep(random.uniform(0, GAP) if number else 0)
                harm.enter_context(fault.harm(self._stack))
                time.sleep(fault.seconds)
        ended = time.time()
        serving = until(lambda: self._read().serving_since(ended), "an order that is taken", GIVES_UP)
        jobs = until(lambda: self._job_since(ended), "a sweep that is done", GIVES_UP)
        names, kills = " + ".join(fault.name for fault in together), sum(fault.kills for fault in together)
        self._journal.write("fault", name=names, kills=kills, serving=serving - ended, jobs=jobs - ended)
        print(said_of(self._read().faults[-1]), flush=True)
        self._look()

    def end(self) -> None:
        """Everybody goes home; what still waits is told and done, and the checker looks for the last time."""
        self._crowd.leave()
        with self._stack.connect() as database:
            books = read_books(database, self._shop.business.id)
        until(self._nothing_waits, "the end of the webhooks and payment notices", DRAINS)
        self.found += untold(self._read(), books)
        self._look()
        self.found += too_slow(self.history)

    def _look(self) -> None:
        """Once everybody has an answer, compare. New findings are said at once."""
        self._crowd.gate.rest(SETTLES)
        until(self._nothing_is_overdue, "the end of holds that were overdue", SWEEPS)
        with self._stack.connect() as database:
            books = read_books(database, self._shop.business.id)
        found = violations(self._read(), books, OPENING)
        found += [f"{finding.invariant}: {finding.subject}, {finding.found}" for finding in findings()]
        connection.close()
        self._crowd.gate.go_on()
        for finding in found:
            if finding not in self.found:
                print(finding, flush=True)
                self.found.append(finding)

    def _read(self) -> History:
        """The history, with what the journal has by now."""
        self.history.read(self._new_lines())
        return self.history

    def _new_lines(self) -> Iterator[Line]:
        while (line := self._lines.readline()).endswith(b"\n"):
            yield json.loads(line)
        self._lines.seek(-len(line), os.SEEK_CUR)  # half a line is read when it is whole

    def _job_since(self, instant: float) -> float | None:
        """When the first sweep was done that began after an instant."""
        return self._ask(
            """
            SELECT extract(epoch FROM min(ended_at))::float FROM catalog_jobrun
            WHERE job = 'payment-timeout' AND outcome = 'done' AND started_at > to_timestamp(%s)
            """,
            instant,
        )

    def _nothing_is_overdue(self) -> bool:
        """I5: no hold outlived its time by more than two sweeps."""
        return self._ask(
            """
            SELECT count(*) = 0 FROM reservations_stockreservation
            WHERE status = 'active' AND expires_at < clock_timestamp() - make_interval(secs => %s)
            """,
            SWEEPS,
        )

    def _nothing_waits(self) -> bool:
        to_be_told = WebhookDelivery.objects.waiting().exists()
        to_be_done = PaymentNotice.objects.filter(outcome=PaymentNotice.Outcome.WAITING).exists()
        connection.close()
        return not (to_be_told or to_be_done)

    def _ask(self, query: str, *given: float) -> Any:
        """The one value; None if the database is away."""
        try:
            with self._stack.connect() as database:
                ((value,),) = database.execute(query, given)
                return value
        except psycopg.OperationalError:
            return None
