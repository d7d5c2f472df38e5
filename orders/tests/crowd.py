"""A crowd of clients in a process of its own: `python -m orders.tests.crowd` reads requests, sends them all
at once when told to, and writes what was answered. It knows HTTP and nothing of Holdfast."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

PATIENCE = 120  # seconds for one answer, in the queue of a slow machine too


def main() -> None:
    job = json.loads(sys.stdin.readline())
    limits = httpx.Limits(max_connections=job["threads"])
    with (
        httpx.Client(base_url=job["server"], headers=job["headers"], timeout=PATIENCE, limits=limits) as client,
        ThreadPoolExecutor(job["threads"]) as buyers,
    ):

        def send(request: dict[str, Any]) -> dict[str, Any]:
            answer = client.request(**request)
            return {"status": answer.status_code, "headers": dict(answer.headers), "body": answer.json()}

        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(list(buyers.map(send, job["requests"]))))


def at_once(
    server: str, key: str, requests: list[dict[str, Any]], *, processes: int = 4, threads: int = 25
) -> list[dict[str, Any]]:
    """Send the requests from several processes of several threads, and return every answer."""
    headers = {"Authorization": f"Api-Key {key}"}
    crowds = [
        subprocess.Popen(
            [sys.executable, "-m", "orders.tests.crowd"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(processes)
    ]
    for index, crowd in enumerate(crowds):
        job = {"server": server, "headers": headers, "threads": threads, "requests": requests[index::processes]}
        crowd.stdin.write(json.dumps(job) + "\n")  # type: ignore[union-attr]
        crowd.stdin.flush()  # type: ignore[union-attr]
    for crowd in crowds:
        assert crowd.stdout.readline() == "ready\n"  # type: ignore[union-attr]
    for crowd in crowds:
        crowd.stdin.write("go\n")  # type: ignore[union-attr]
        crowd.stdin.flush()  # type: ignore[union-attr]
    told = [crowd.communicate(timeout=2 * PATIENCE)[0] for crowd in crowds]
    assert [crowd.returncode for crowd in crowds] == [0] * processes
    return [answer for text in told for answer in json.loads(text)]


if __name__ == "__main__":
    main()
