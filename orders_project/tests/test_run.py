"""`make run` with small stand-ins for its programs: signals, crashes, kill -9, and what is left."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import pytest

from orders_project.local import servers
from orders_project.tests.processes import running, wait_until

# The real main(), on the servers that this test process holds anyway.
RUN = """
import sys
from orders_project.local import run, supervisor
supervisor.PROVEN_SECONDS = float(sys.argv.pop(1))
names = ("web", "beat", "worker")
run.programs = lambda host, port: [(n, 5, ["sh", "-c", c]) for n, c in zip(names, sys.argv[1:])]
run.manage = lambda *_: '{"business_id": "", "api_key": "", "admin": {"username": "", "password": ""}}'
run.wait_for_web = lambda *_: None
sys.exit(run.main())
"""

Start = Callable[..., subprocess.Popen[str]]

pytestmark = pytest.mark.slow


@pytest.fixture
def mark() -> Iterator[str]:
    """A word for the command lines of a test's processes; none may be left at its end."""
    mark = f"holdfast-test-{uuid.uuid4()}"
    yield mark
    wait_until(lambda: not running(mark))


@pytest.fixture
def start(mark: str) -> Iterator[Start]:
    """Start `make run`'s main with three shell commands as its programs; it says when it runs. They are proven
    to run after some seconds, a minute unless it says otherwise."""
    started = []

    def start(*programs: str, port: int | None = None, proven: float = 60) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(proven), *(f": {mark}; {program}" for program in programs)],
            cwd=servers.PROJECT,
            env={**os.environ, "PORT": str(port or free_port())},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    said = ""
    while text not in said:
        line = process.stdout.readline()
        assert line, f"it ended before it said {text!r}: {said}"
        said += line
    return said


FOREVER = "sleep 600 & wait"  # with a grandchild, which dies of nothing by itself


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_signal_stops_all_and_leaves_nothing(start, number):
    process = start(*[f"echo up; {FOREVER}"] * 3)
    wait_for(process, "worker | up")
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")


def test_stop_goes_from_web_to_worker_and_lets_a_task_finish(start):
    slow = "trap 'sleep 0.2; echo finished; exit' TERM; echo up; while :; do sleep 0.02; done"
    process = start(slow, slow, slow)
    wait_for(process, "worker | up")
    process.terminate()
    out, _ = process.communicate(timeout=10)
    finished = [line for line in out.splitlines() if "finished" in line]
    assert finished == ["web    | finished", "beat   | finished", "worker | finished"]


def test_stop_kills_a_program_that_will_not_stop(start):
    process = start(*["trap '' TERM; echo up; while :; do sleep 0.05; done"] * 3)
    wait_for(process, "worker | up")
    process.terminate()
    wait_for(process, "Stopping")
    # The second Ctrl-C of somebody who does not want to wait; the very first moments don't count.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=3)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("crash", "how"), [("exit 3", "ended with status 3"), ("kill -9 $$", "was killed by SIGKILL")]
)
def test_program_that_never_ran_stops_all_and_is_named(start, crash, how):
    process = start(FOREVER, f"sleep 600 & echo going; {crash}", FOREVER)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err == f"make run: beat {how}, so everything else was stopped too.\n"
    assert "beat   | going" in out


def test_program_that_ran_is_started_again_without_what_it_left(start, mark):
    left = f"{mark}-left"
    process = start(FOREVER, f"sh -c ': {left}; sleep 600; :' & echo up as $$; {FOREVER}", FOREVER, proven=0.1)
    for _ in range(2):
        life = int(wait_for(process, "beat   | up as").split()[-1])
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # long enough to have proved that it runs
        os.kill(life, signal.SIGKILL)
    wait_for(process, "beat   | up as")
    wait_until(lambda: len(running(left)) == 3)  # the supervisor and one beat, which name it, and itself
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert err == 2 * "beat was killed by SIGKILL; it is started again.\n"


def test_kill_of_the_supervisor_leaves_nothing(start, mark):
    process = start(*["sleep 600 & trap 'kill $!; exit' TERM; echo up; wait"] * 3)
    wait_for(process, "worker | up")
    process.kill()
    process.communicate()
    wait_until(lambda: not running(mark))


def test_run_survives_a_reader_that_goes_away(start):
    chatty = "while :; do echo talk; sleep 0.01; done"
    process = start(chatty, chatty, chatty)
    wait_for(process, "worker | talk")
    process.stdout.close()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    assert process.wait(10) == 0


def test_taken_port_is_one_line_that_says_what_to_do(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = start(FOREVER, FOREVER, FOREVER, port=port)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert err == f"make run: port {port} is taken. Choose another: PORT={port + 1} make run\n"


def test_port_that_is_no_port_is_refused_in_one_line(start):
    process = start(FOREVER, port=65536)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert err == "make run: PORT must be a number from 1 to 65535, not '65536'.\n"
