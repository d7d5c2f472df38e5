"""Runs several programs as one: they start together and stop together, and one that ends is started again.

Each child leads a session of its own, so that Ctrl-C reaches only the supervisor, which stops them
in order, and so that a child's whole family can be killed. If the supervisor itself is killed, the
kernel tells the children to stop.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import IO, TextIO, cast

from orders_project.local.processes import die_with_parent

Handler = Callable[[int, FrameType | None], object]

PROVEN_SECONDS = 10  # a program that ran for so long can run; one that ends before it ever did is not tried again
PAUSE = 1  # seconds at least from one start of a program to the next


@dataclass
class Child:
    name: str
    begin: Callable[[], subprocess.Popen[bytes]]
    grace: float  # seconds between the request to stop and the kill
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    proven: bool = False
    unfinished: bytes = b""  # of its output: the line that has no end yet

    @property
    def output(self) -> IO[bytes]:
        return cast(IO[bytes], self.process.stdout)

    @property
    def ending(self) -> str | None:
        """How it ended, None while it runs.

        It is not reaped here: until it is buried, its pid surely names its process group.
        """
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        end = os.waitid(os.P_PID, self.process.pid, flags)
        if end is None:
            return None
        if end.si_code == os.CLD_EXITED:
            return f"ended with status {end.si_status}"
        return f"was killed by {signal.Signals(end.si_status).name}"


@dataclass
class Supervisor:
    """Starts children in order, shows their output with their names, stops them in order."""

    children: list[Child] = field(default_factory=list)
    outputs: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    width: int = 0

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        grace: float = 10,
        environment: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
    ) -> None:
        """Start a child; `inherit` lists file descriptors that it keeps open."""
        supervisor = os.getpid()

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=inherit,
                preexec_fn=lambda: die_with_parent(supervisor),
            )

        child = Child(name, begin, grace, begin())
        self.children.append(child)
        self.width = max(self.width, len(name))
        self._hear(child)

    def watch(self, seconds: float = 0.2) -> Child | None:
        """Show what the children say for up to so long. A child that ended is started again, and told of;
        one that ended before it ever ran for PROVEN_SECONDS is not: it is returned."""
        self._listen(seconds)
        for child in self.children:
            lived = time.monotonic() - child.started
            child.proven |= lived > PROVEN_SECONDS
            if child.ending and not child.proven:
                return child
            if child.ending and lived > PAUSE:
                say(f"{child.name} {child.ending}; it is started again.", sys.stderr)
                self._bury(child)
                child.process, child.started = child.begin(), time.monotonic()
                self._hear(child)
        return None

    def stop(self) -> None:
        """Stop the children in the order they were started: each may finish what it is doing.

        One that takes longer than its grace is killed, and so is all that it leaves behind. A
        second Ctrl-C kills at once.
        """
        begun, hurry = time.monotonic(), False

        def on_signal(number: int, _: FrameType | None) -> None:
            nonlocal hurry
            # `make` repeats a SIGTERM and a terminal may repeat a Ctrl-C: neither is impatience.
            hurry |= number == signal.SIGINT and time.monotonic() - begun > 1

        with on_stop(on_signal):
            for child in self.children:
                os.kill(child.process.pid, signal.SIGTERM)
                deadline = time.monotonic() + child.grace
                while not (child.ending or hurry or time.monotonic() > deadline):
                    self._listen(0.05)
                self._bury(child)
        self.children.clear()
        self.outputs.close()

    def _bury(self, child: Child) -> None:
        """End what is left of a child, and show its last words."""
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
        self._show(child)
        with contextlib.suppress(KeyError):  # it was closed before
            self.outputs.unregister(child.output)
        child.output.close()
        child.unfinished = b""

    def _hear(self, child: Child) -> None:
        os.set_blocking(child.output.fileno(), False)
        self.outputs.register(child.output, selectors.EVENT_READ, child)

    def _listen(self, seconds: float) -> None:
        for key, _ in self.outputs.select(seconds):
            self._show(key.data)

    def _show(self, child: Child) -> None:
        said = child.output.read()
        if said == b"":  # closed: select would report it for ever
            with contextlib.suppress(KeyError):
                self.outputs.unregister(child.output)
        *lines, child.unfinished = (child.unfinished + (said or b"")).split(b"\n")
        for line in lines:
            say(f"{child.name:<{self.width}} | {line.decode(errors='replace')}")


def say(line: str, stream: TextIO | None = None) -> None:
    """Print; that nobody reads any more (`make run | head`) is no reason to stop."""
    stream = stream or sys.stdout
    try:
        print(line, file=stream, flush=True)
    except OSError:  # a closed pipe or terminal; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def on_stop(handler: Handler) -> Iterator[None]:
    """Handle the signals that ask a program to stop; SIGHUP unless the caller said nohup."""
    before = {
        number: signal.signal(number, handler)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
