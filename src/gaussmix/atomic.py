"""Files that are written whole or not at all: beside the target first, then renamed over it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path beside ``path``, with its suffix.

    It takes the place of ``path`` when the block ends well and vanishes when it does not: whoever reads
    ``path`` sees the old content or the new, never a part of it.

    A device or a pipe has nothing to replace and is written directly.

    Raises
    ------
    OSError
        The place cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target
        return
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such directory", os.fspath(target.parent))
    beside = target.with_name(f".{secrets.token_hex(4)}-{target.name[-100:]}")
    try:
        yield beside
        _settle(beside, target)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _settle(beside: Path, target: Path) -> None:
    """Bytes on the disk, and the permissions of the file that is replaced."""
    with open(beside, "r+b") as file:
        os.fsync(file.fileno())
    if target.exists():
        shutil.copymode(target, beside)
