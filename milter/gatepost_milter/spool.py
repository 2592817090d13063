"""Owns the bytes of one message in flight: in memory while small, in an unlinked file when large.

A spool is written by one thread at a time and read after ``seal``. It never truncates: a write that cannot
be kept raises, and the session answers with a temp-fail.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType


class SpoolFullError(Exception):
    """More bytes came than a message may have (``limit``); the session refuses the message with 552 5.3.4."""


class Spool:
    """The bytes of one message. ``memory`` and ``limit`` are in bytes; ``directory`` holds the unlinked file."""

    __slots__ = ("_directory", "_file", "_limit", "_memory", "_pieces", "size")

    def __init__(self, *, directory: Path, memory: int, limit: int) -> None:
        self._directory = directory
        self._memory = memory
        self._limit = limit
        self._pieces: list[bytes] = []  # as they came: joined once, when somebody reads
        self._file: int | None = None
        self.size = 0

    @classmethod
    def of(cls, content: bytes) -> Spool:
        """A spool that holds ``content`` in memory: for tests and for ``gatepost check``."""
        spool = cls(directory=Path(tempfile.gettempdir()), memory=len(content), limit=len(content))
        spool.write(content)
        return spool

    def write(self, data: bytes) -> None:
        """Append ``data``. Raises SpoolFullError past the limit, OSError if the disk cannot take it."""
        size = self.size + len(data)
        if size > self._limit:
            raise SpoolFullError(f"more than {self._limit} bytes")
        if self._file is None and size <= self._memory:
            self._pieces.append(bytes(data))
        else:
            if self._file is None:
                self._file = _unlinked_file(self._directory)
                for piece in self._pieces:
                    _write_all(self._file, piece)
                self._pieces = []
            _write_all(self._file, data)
        self.size = size

    @contextmanager
    def view(self) -> Iterator[bytes | mmap.mmap]:
        """All bytes at once, without copying a large message into memory. Valid inside the ``with`` only."""
        if self._file is None:
            yield self._whole()
            return
        mapped = mmap.mmap(self._file, self.size, access=mmap.ACCESS_READ)
        try:
            yield mapped
        finally:
            mapped.close()

    def chunks(self, size: int = 256 * 1024) -> Iterator[bytes]:
        """The bytes in order, in pieces of at most ``size`` bytes."""
        if self._file is None:
            whole = self._whole()
            for start in range(0, len(whole), size):
                yield whole[start : start + size]
            return
        offset = 0
        while data := os.pread(self._file, size, offset):
            yield data
            offset += len(data)

    @property
    def descriptor(self) -> int | None:
        """The open file that holds the bytes, or None while they are in memory. Do not close it."""
        return self._file

    def close(self) -> None:
        """Give the bytes up. Safe to call twice."""
        self._pieces = []
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _whole(self) -> bytes:
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _unlinked_file(directory: Path) -> int:
    """A file that no name leads to: it is gone when its descriptor is, however the process ends."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        # Not every file system can make a file without a name (open(2)).
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    descriptor, name = tempfile.mkstemp(prefix="in-flight-", dir=directory)
    Path(name).unlink()
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(descriptor, view[written:])
