"""`make run` itself, with all its programs, on data of its own."""

import http.client
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orders_project.local import servers
from orders_project.tests.processes import running, wait_until
from orders_project.tests.test_run import free_port, wait_for

pytestmark = pytest.mark.slow


def environment(var: Path, port: int) -> dict[str, str]:
    """Nothing but what a bare shell has."""
    return {"PATH": os.environ["PATH"], "HOLDFAST_VAR": str(var), "PORT": str(port)}


def get(port: int, path: str, key: str = "") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Api-Key {key}"} if key else {})
    response = connection.getresponse()
    return response.status, response.read()


def count_businesses(var: Path, port: int) -> str:
    command = "from catalog.models import Business; print(Business.objects.count())"
    return subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", command],
        cwd=servers.PROJECT,
        env=environment(var, port),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def test_run_serves_stops_and_finds_its_data_again(tmp_path):
    products = []
    for _ in range(2):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "orders_project.local.run"],
            cwd=servers.PROJECT,
            env=environment(tmp_path, port),
            stdout=subprocess.PIPE,
            text=True,
        )
        said = wait_for(process, "curl")
        [key] = re.findall(r"API key +(\S+)", said)
        wait_until(lambda port=port: get(port, "/readyz")[0] == 200)  # when beat has asked for its first jobs
        assert get(port, "/static/admin/css/base.css")[0] == 200
        assert get(port, "/api/docs")[0] == 200
        status, body = get(port, "/api/v1/products", key)
        assert status == 200
        products.append(body.replace(str(port).encode(), b"PORT"))
        assert count_businesses(tmp_path, port) != "0"  # by hand, while it runs
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0
        wait_until(lambda: not running(tmp_path))
    assert products[0] == products[1]
    assert count_businesses(tmp_path, free_port()) != "0"  # and when it doesn't
