"""A small disk for PostgreSQL, so that it can be full: a file that is mounted, which only root may do."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

MEGABYTES = 2000
_CLONE_NEWNS = 0x00020000


class NotPossible(Exception):
    """There can be no small disk here; the message says why."""


@contextlib.contextmanager
def small_disk(at: Path) -> Iterator[str]:
    """Mount one at a folder, for this process and those that it starts. Yields why that can't be, if so."""
    try:
        _mount(at)
    except NotPossible as why:
        yield str(why)
        return
    try:
        yield ""
    finally:
        _do("umount", "--lazy", str(at))


def _mount(at: Path) -> None:
    if os.geteuid() != 0:
        raise NotPossible("only root can mount a disk")
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        raise NotPossible(f"unshare: {os.strerror(ctypes.get_errno())}")
    at.mkdir(parents=True, mode=0o700)
    image = at.with_suffix(".disk")
    with image.open("wb") as file:
        file.truncate(MEGABYTES << 20)
    _do("mount", "--make-rprivate", "/")  # nobody else sees it
    _do("mkfs.ext4", "-q", "-m", "0", str(image))
    _do("mount", "-o", "loop", str(image), str(at))
    at.chmod(0o700)


def _do(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise NotPossible(f"there is no {command[0]}") from None
    except subprocess.CalledProcessError as error:
        raise NotPossible(f"{command[0]}: {error.stderr.strip()}") from None
