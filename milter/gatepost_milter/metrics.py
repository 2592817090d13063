"""Owns where numbers are kept: in memory, and once a process has a slot, in that slot's files.

A scrape adds up the files of all slots. A process goes on counting where the last one in its slot stopped, so a
counter outlives the process, and the number of files, which is what a scrape costs, does not grow with restarts
(files named by pid do). Whoever counts takes Counter, Gauge and Histogram from here: prometheus_client asks for
the kind of a value when a metric is declared, and never again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import mark_process_dead

__all__ = ["EACH", "MASTER", "Counter", "Gauge", "Histogram", "attach", "folder", "forget"]

MASTER = "master"
"""The slot of the process that has the workers."""

EACH: Literal["livesum"] = "livesum"
"""The mode of every gauge: the sum over the processes that live."""

_FILE_BYTES = 256 * 1024
_PREFIX = "metrics-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_number = struct.Struct("dd").pack


class _Value:
    """One number of this process: prometheus_client's kind of a value. Safe for many threads."""

    _multiprocess = False  # prometheus_client's own files and their names are not used

    def __init__(
        self,
        kind: str,
        metric: str,
        name: str,
        label_names: tuple[str, ...],
        label_values: tuple[str, ...],
        help_text: str,
        multiprocess_mode: str = "",
        **_ignored: Any,
    ) -> None:
        self._stem = f"{kind}_{multiprocess_mode}" if kind == "gauge" else kind
        self._key = mmap_key(metric, name, list(label_names), list(label_values), help_text)
        self._lock = Lock()
        self._number = 0.0
        self._file: MmapedDict | None = None
        with _SLOT.lock:
            _SLOT.values.append(self)
            if _SLOT.directory is not None:
                self._bind(_SLOT.file(self._stem))

    def inc(self, amount: float) -> None:
        with self._lock:
            self._number += amount
            if self._file is not None:
                self._file.write_value(self._key, self._number, 0.0)

    def set(self, value: float, timestamp: float | None = None) -> None:
        with self._lock:
            self._number = value
            if self._file is not None:
                self._file.write_value(self._key, value, timestamp or 0.0)

    def get(self) -> float:
        with self._lock:
            return self._number

    def set_exemplar(self, exemplar: object) -> None:
        """Exemplars are not kept."""

    def get_exemplar(self) -> None:
        return None

    def _loose(self) -> None:
        """Count in memory alone."""
        with self._lock:
            self._file = None

    def _bind(self, file: MmapedDict) -> None:
        """Go on in ``file``. What was counted before belongs to the process that this one was forked from."""
        with self._lock:
            self._file = file
            self._number = float(file.read_value(self._key)[0])


class _Slot:
    """The slot of this process: its files, by metric type, and every value that is kept in them."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.values: list[_Value] = []
        self.directory: Path | None = None
        self._name = ""
        self._files: dict[str, MmapedDict] = {}

    def attach(self, directory: Path, name: str) -> None:
        with self.lock:
            for value in self.values:
                value._loose()
            for inherited in self._files.values():
                inherited.close()
            self._files = {}
            self.directory, self._name = directory, name
            try:
                files = [self.file(value._stem) for value in self.values]
            except OSError:
                self.directory = None
                raise
            for value, file in zip(self.values, files, strict=True):
                value._bind(file)

    def file(self, stem: str) -> MmapedDict:
        if stem not in self._files:
            path = f"{self.directory}/{stem}_{self._name}.db"
            # A write into a hole of a mapped file kills the process when the disk is full. So: no holes.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _FILE_BYTES)
            finally:
                os.close(descriptor)
            self._files[stem] = MmapedDict(path)
        return self._files[stem]


_SLOT = _Slot()
values.ValueClass = _Value


def attach(directory: Path, slot: str) -> None:
    """Keep the numbers of this process in the files of ``slot``, which no other living process may have.

    Call it while the process has one thread. Raises OSError if the disk has no room; the process may go on then,
    and counts for itself.
    """
    _SLOT.attach(directory, slot)


def forget(directory: Path, slot: str) -> None:
    """The process of ``slot`` has ended: its gauges are over, its counters stay."""
    mark_process_dead(slot, str(directory))


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """A new folder in ``parent`` for the files of one daemon, removed with it. Raises OSError.

    Folders of daemons that were killed are removed too. A lock that all processes of a daemon share says which
    are in use: the workers of a killed master may still finish their sessions.
    """
    with _locked(parent, fcntl.LOCK_EX):  # or another daemon could remove ours before it is locked
        for old in parent.glob(f"{_PREFIX}*"):
            with suppress(OSError), _locked(old, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(old, ignore_errors=True)
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        in_use = os.open(path, _FOLDER)
        fcntl.flock(in_use, fcntl.LOCK_SH)
    try:
        yield path
    finally:
        os.close(in_use)
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, _FOLDER)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
