"""The lock files pin everything, and what is known against a package is told."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orders_project.local.servers import PROJECT
from proofs.dependencies import LOCK_FILES, NotPinned, main, pinned

HASH = " \\\n    --hash=sha256:" + "0" * 64


@pytest.mark.parametrize("file", LOCK_FILES)
def test_every_package_is_pinned_to_a_version_and_its_hashes(file: str) -> None:
    packages = dict(pinned((PROJECT / file).read_text()))
    assert len(packages) > 30
    assert "django" in packages or file != "requirements.txt"


@pytest.mark.parametrize("line", ["django", "django>=5", "django==5.2", f"django>=5{HASH}", f"-e .{HASH}"])
def test_what_is_not_pinned_is_told(line: str) -> None:
    with pytest.raises(NotPinned):
        list(pinned(f"# made\namqp==1.0{HASH}\n    # via kombu\n{line}\n"))


class Osv(BaseHTTPRequestHandler):
    """Knows something against Django alone."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        results = [
            {"vulns": [{"id": "GHSA-1"}]} if query["package"]["name"] == "django" else {} for query in asked
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": results}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_known_against_a_package_is_told(osv: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(osv=osv) == 1
    assert "GHSA-1" in capsys.readouterr().out


def test_that_nobody_could_be_asked_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(osv="http://127.0.0.1:9") == 0
    said = capsys.readouterr().out
    assert "was NOT asked" in said
    assert "\ndjango 5" in said
