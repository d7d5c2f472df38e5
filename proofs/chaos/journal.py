"""What clients and faults did, a line each, written down before anything depends on it."""

import json
import threading
import time
from pathlib import Path
from typing import Any


class Journal:
    """A file of JSON lines; each has the instant `at`, in seconds, and what kind of `line` it is."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._one_at_a_time = threading.Lock()

    def write(self, line: str, **facts: Any) -> None:
        with self._one_at_a_time:
            self._file.write(json.dumps({"at": time.time(), "line": line, **facts}) + "\n")
            self._file.flush()
