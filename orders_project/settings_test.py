"""Settings of the tests: a cluster of their own, in var/test, which need not survive anything.

pytest-django reads the settings before any conftest.py, so the servers are started here. This
process holds them until it ends. Two runs at once need two folders: HOLDFAST_TEST_VAR names one.
"""

import os
from pathlib import Path

os.environ["HOLDFAST_LOCAL"] = "1"
os.environ["HOLDFAST_VAR"] = os.environ.get(
    "HOLDFAST_TEST_VAR", str(Path(__file__).resolve().parents[1] / "var" / "test")
)
os.environ.setdefault("DATABASE_POOL_SIZE", "0")  # threads of a test close their own connections

from orders_project.local import servers  # reads the environment

SERVERS = servers.attach(durable=False)

from orders_project.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Else every client of a test reads the folders of static files anew, which takes longer than most tests.
WHITENOISE_AUTOREFRESH = True
