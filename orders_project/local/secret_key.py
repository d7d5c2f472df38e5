"""A secret of this machine's own, so that nobody has to invent one to try Holdfast."""

import os
import secrets
from pathlib import Path


def secret_key(file: Path) -> str:
    """The key in `file`, made on first use, readable by its owner only."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, file)  # unlike a rename it lets the first of several processes win
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return file.read_text()
