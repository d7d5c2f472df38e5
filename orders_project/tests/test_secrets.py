"""No secret stands in what is kept under version control."""

import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

# What secrets of the usual kinds look like, and of ours.
SECRETS = re.compile(
    r"-----BEGIN (?:[A-Z ]+ )?PRIVATE KEY"
    r"|\bAKIA[0-9A-Z]{16}\b|\bASIA[0-9A-Z]{16}\b"  # Amazon
    r"|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_\w{60,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{20,}"  # Slack
    r"|\b[sr]k_live_[A-Za-z0-9]{16,}"  # Stripe
    r"|\bAIza[\w-]{35}\b"  # Google
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."  # a JWT
    r"|\bhf_[A-Za-z0-9_-]{30,}"  # an API key of Holdfast
    r"|\bwhsec_[A-Za-z0-9+/]{40,}"
    r"|\bpbkdf2_sha256\$\d+\$"  # a password as Django keeps it
    r"|(?i:secret_key|password|token|api_key)['\"]?\s*[:=]\s*['\"][A-Za-z0-9+/_=!@#$%^&*-]{24,}['\"]"
)

# Texts that look like one and open nothing.
KNOWN = {
    "orders_project/tests/test_settings.py": ["long-and-random-0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False)
    if listed.returncode != 0:  # a copy without its history: everything but what is made
        made = {".venv", "var", "staticfiles"}
        return [path for path in PROJECT.rglob("*") if path.is_file() and made.isdisjoint(path.parts)]
    return [PROJECT / name for name in listed.stdout.decode().split("\0") if name]


def secrets_in(text: str) -> list[str]:
    return [found[0] for found in SECRETS.finditer(text)]


def test_no_secret_is_under_version_control() -> None:
    found = {}
    files = tracked()
    for path in files:
        name = str(path.relative_to(PROJECT))
        if name == "orders_project/tests/test_secrets.py" or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        for known in KNOWN.get(name, ()):
            text = text.replace(known, "")
        if secrets := secrets_in(text):
            found[name] = secrets
    assert found == {}
    assert len(files) > 300
    assert not [
        path for path in files if path.name in {".env", "secret_key"} or path.suffix in {".pem", ".key", ".p12"}
    ]


def test_secrets_would_be_found() -> None:
    for text in (
        "-----BEGIN RSA PRIVATE KEY-----",
        f"key = AKIA{'A' * 16}",
        f"Api-Key hf_{'a1' * 20}",
        f"SECRET_KEY = '{'a1b2' * 10}'",
        f'{{"password": "{"x9" * 12}"}}',
        f"whsec_{'b' * 44}",
    ):
        assert secrets_in(text), text
