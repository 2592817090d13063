"""Owns putting files in place so that a crash leaves the old one or the new one whole, never a half of either.

Light on purpose (standard library only): ``bypass``, which is asked on every scrape, stands on it.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path


def replace_file(
    path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None = None, age: float = 0.0
) -> None:
    """Put a file in place of the one at ``path``, if any; on the disk when this returns. Raises OSError.

    ``mode``, ``owner`` and ``age`` are as for ``stage``.
    """
    fresh = stage(path, content, mode=mode, owner=owner, age=age)
    try:
        fresh.replace(path)
    except BaseException:  # whatever ends this, a signal too, must not leave a stray file behind
        fresh.unlink(missing_ok=True)
        raise
    sync(path.parent)


def stage(
    path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None = None, age: float = 0.0
) -> Path:
    """A new file beside ``path`` with this content, on the disk and ready to be renamed to it. Raises OSError.

    Its name is one that nobody can foretell and must not exist: the folder may belong to another user. ``owner``
    is its user and group (-1: as it comes), and nobody else can read it before it is theirs. ``age`` is how old,
    in seconds, it is to look.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            stream.write(content)
            stream.flush()
            written = time.time() - age
            os.utime(descriptor, (written, written))
            os.fsync(descriptor)
    except BaseException:  # whatever ends this, a signal too, must not leave half a file behind
        fresh.unlink(missing_ok=True)
        raise
    return fresh


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
