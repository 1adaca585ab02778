"""Files the stack leaves in its home: written whole or not at all, readable by their owner alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def write_privately(path: Path, text: str) -> None:
    """Replace the file in one step; a reader sees the old text or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # created with mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def exclusive_lock(path: Path, *, within: float = 0.0) -> Iterator[bool]:
    """Hold the lock during the block, or yield False. The kernel frees it even when its holder is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        deadline = time.monotonic() + within
        while not (taken := _take(file, fcntl.LOCK_EX)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield taken


def is_locked(path: Path) -> bool:
    """Say whether somebody holds the lock exclusively."""
    try:
        with path.open() as file:
            return not _take(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _take(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
