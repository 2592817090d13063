"""Owns the inspectors of one worker: the processes that open what strangers sent, and how they are replaced.

The worker starts a *nursery*, a small single-threaded process that has everything imported and forks inspectors
on request, also long after the worker has threads. The nursery is started as a program of its own, not forked:
so an inspector that is taken over finds no policy, no directory and no other message in its memory. Nursery and
inspectors end with the worker: the nursery at end of file on its socket, the inspectors with the nursery.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from gatepost_config import settings
from gatepost_milter.inspection import wire
from gatepost_milter.inspection.model import Attachment, Defect, Leaf, Text
from gatepost_milter.metrics import Counter
from gatepost_milter.spool import Spool

KILLS = Counter(
    "gatepost_inspector_kills_total", "Inspector processes that were killed or died, by reason.", ["reason"]
)
BUSY = Counter("gatepost_inspectors_busy_total", "Messages temp-failed because no inspector was free in time.")
FAULTS = Counter("gatepost_inspector_faults_total", "Leaves made opaque by a fault in our own code.")
for _reason in ("deadline", "crash", "answer"):
    KILLS.labels(reason=_reason)

MAX_TEXTS = 1024 * 1024  # characters that are read out of the files of one message
_IN_REQUEST = 192 * 1024  # bytes of leaves that travel in the request itself
_ROOM = 512 * 1024  # bytes that the kernel is to hold for the inspector, so that a request is written in one go
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_REQUESTS_EACH = 1000
_CPU_SECONDS = 3600
_START_SECONDS = 30.0
_REMEMBERED = 1000
_KILLS_TO_REMEMBER = 2

_log = structlog.get_logger(__name__)


class InspectorsBusyError(Exception):
    """No inspector became free in time, or none could be started: the message is to be temp-failed."""


class InspectorsError(Exception):
    """The nursery does not start: a package or library is missing. The worker cannot serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What leaves turned out to hold: the leaves themselves and every member of every container in them.

    ``texts`` is what a person would read in those files, if that was asked for.
    """

    attachments: tuple[Attachment, ...] = ()
    defects: tuple[Defect, ...] = ()
    texts: tuple[Text, ...] = ()


class Inspectors:
    """The pool of one worker process. Safe for many threads; not to be shared across a fork.

    ``limits`` gives the number of inspectors and their memory, ``spool_directory`` the disk for what is too
    large to unpack in memory. Raises InspectorsError if no inspector can be started.
    """

    def __init__(self, limits: settings.Inspection, spool_directory: Path) -> None:
        self._spool_directory = spool_directory
        self._nursery = _Nursery(memory=limits.memory, file_size=2 * limits.expanded + 64 * 1024 * 1024)
        self._deadly = _Deadly()
        self._free: queue.LifoQueue[_Inspector | None] = queue.LifoQueue()
        self._closed = False
        self._pids: set[int] = set()
        first = self._hatch()
        self.hardening = first.hardening
        for _ in range(limits.inspectors - 1):
            self._free.put(None)
        self._free.put(first)

    @property
    def pids(self) -> frozenset[int]:
        """The process ids of the inspectors that run now, for diagnosis."""
        return frozenset(self._pids)

    def examine(
        self,
        content: Spool,
        leaves: Sequence[Leaf],
        *,
        limits: settings.Inspection,
        deadline: float,
        hashes: bool,
        texts: bool = False,
    ) -> Examined:
        """Open ``leaves`` of ``content`` to the bottom, within ``deadline`` seconds.

        Up to half the deadline is spent waiting for an inspector; then InspectorsBusyError is raised, because
        overload must delay mail and not quarantine it. A leaf that kills or hangs its inspector is ``opaque``
        with a defect, and the leaves behind it go to a fresh one. ``hashes`` asks for SHA-256 of everything,
        ``texts`` for what a person would read in the files.
        """
        until = time.monotonic() + deadline
        found = [self._deadly.verdict(content, leaf) for leaf in leaves]
        left = [place for place, answer in enumerate(found) if answer is None]
        bounds = wire.Bounds(
            depth=limits.depth,
            members=limits.members,
            expanded=limits.expanded,
            texts=MAX_TEXTS if texts else 0,
        )
        if left:
            try:
                inspector: _Inspector | None = self._take(time.monotonic() + deadline / 2)
            except InspectorsBusyError:
                BUSY.inc()
                raise
            asked = _Asked(leaves=leaves, found=found, left=left, bounds=bounds, until=until, hashes=hashes)
            while left and inspector is not None:
                lost = self._ask(inspector, content, asked)
                if not lost:
                    break
                place = left.pop(0)
                found[place] = _opaque(leaves[place], f"inspector-{lost}", _LOST[lost])
                self._deadly.remember(content, leaves[place])
                inspector = self._next(until) if left else None
        for place in left:
            found[place] = _opaque(leaves[place], "inspector-deadline", _LOST["deadline"])
        answers_found = [answer for answer in found if answer is not None]
        defects = [each for answer in answers_found for each in answer.defects]
        words = tuple(each for answer in answers_found for each in answer.texts)
        if texts and sum(len(each.text) for each in words) >= MAX_TEXTS:
            defects.append(Defect(code="text-long"))
        return Examined(
            attachments=tuple(each for answer in answers_found for each in answer.attachments),
            defects=tuple(defects),
            texts=words,
        )

    def _ask(self, inspector: _Inspector, content: Spool, asked: _Asked) -> str:
        """Have ``inspector`` answer for what is left; says why if it was lost on the first of that."""
        lost = "crash"
        try:
            leaves = [asked.leaves[place] for place in asked.left]
            with _handed(content, leaves) as handed:
                for answer in inspector.examine(
                    leaves,
                    handed,
                    bounds=asked.bounds,
                    size=content.size,
                    until=asked.until,
                    hashes=asked.hashes,
                ):
                    asked.found[asked.left.pop(0)] = answer
                    asked.bounds = asked.bounds.rest(answer)
            lost = ""
        except TimeoutError:
            lost = "deadline"
        except wire.BrokenWireError:
            lost = "crash"
        except wire.BadAnswerError:
            lost = "answer"
        finally:
            # Also for what nobody foresaw: a slot that is not given back would be missing until a restart.
            if lost:
                self._lose(inspector, lost)
            else:
                self._give_back(inspector)
        return lost

    def close(self) -> None:
        """End all inspectors that are free, and the nursery, which ends the others."""
        self._closed = True
        while True:
            try:
                inspector = self._free.get_nowait()
            except queue.Empty:
                break
            if inspector is not None:
                self._end(inspector)
        self._nursery.close()

    def _take(self, until: float) -> _Inspector:
        try:
            inspector = self._free.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise InspectorsBusyError("all inspectors are busy") from None
        if inspector is not None and inspector.alive():
            return inspector
        if inspector is not None:
            KILLS.labels(reason="crash").inc()
            self._end(inspector)
        try:
            return self._hatch()
        except InspectorsError as error:
            self._free.put(None)
            raise InspectorsBusyError(f"no inspector can be started: {error}") from error

    def _next(self, until: float) -> _Inspector | None:
        """An inspector for the leaves behind a lost one; None when there is none in what time is left."""
        try:
            return self._take(until)
        except InspectorsBusyError:
            return None

    def _give_back(self, inspector: _Inspector) -> None:
        if inspector.tired or self._closed:
            self._end(inspector)
            self._free.put(None)
        else:
            self._free.put(inspector)

    def _lose(self, inspector: _Inspector, reason: str) -> None:
        KILLS.labels(reason=reason).inc()
        _log.warning("inspector lost", reason=reason, pid=inspector.pid)
        self._end(inspector)
        self._free.put(None)

    def _end(self, inspector: _Inspector) -> None:
        self._pids.discard(inspector.pid)
        inspector.end()

    def _hatch(self) -> _Inspector:
        try:
            with tempfile.TemporaryFile(prefix="scratch-", dir=self._spool_directory) as scratch:
                inspector = self._nursery.hatch(scratch.fileno())
        except OSError as error:
            raise InspectorsError(f"no scratch file in {self._spool_directory}: {error}") from error
        self._pids.add(inspector.pid)
        return inspector


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One call of ``examine`` on its way: ``found`` by place in ``leaves``, ``left`` the places to answer."""

    leaves: Sequence[Leaf]
    found: list[wire.Answer | None]
    left: list[int]
    bounds: wire.Bounds
    until: float
    hashes: bool


_LOST = {
    "deadline": "it took too long to open",
    "crash": "opening it ended the inspector",
    "answer": "opening it broke the inspector",
}


def _opaque(leaf: Leaf, code: str, reason: str) -> wire.Answer:
    return wire.Answer(
        attachments=(wire.opaque(leaf, reason),),
        defects=(Defect(code=code, where=wire.place(leaf), detail=reason),),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Handed:
    """What an inspector is given: ``leaves`` as they stand in the bytes of ``pieces``, or of ``descriptors``."""

    leaves: tuple[Leaf, ...]
    pieces: tuple[memoryview, ...] = ()
    descriptors: tuple[int, ...] = ()


@contextmanager
def _handed(content: Spool, leaves: Sequence[Leaf]) -> Iterator[_Handed]:
    """The bytes of the leaves: in the request while they are few, else in a file that nobody can change."""
    if content.descriptor is not None:
        # The spool's own descriptor can write. A second, read-only one keeps what is held and released beyond
        # the reach of an inspector.
        descriptor = os.open(f"/proc/self/fd/{content.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
        moved = tuple(leaves)
    else:
        with content.view() as view:  # of bytes in memory: these views outlive it
            pieces = tuple(memoryview(view)[leaf.start : leaf.end] for leaf in leaves)
        moved = tuple(_moved(leaves, pieces))
        if moved[-1].end <= _IN_REQUEST:
            yield _Handed(leaves=moved, pieces=pieces)
            return
        descriptor = _sealed(pieces)
    try:
        yield _Handed(leaves=moved, descriptors=(descriptor,))
    finally:
        os.close(descriptor)


def _moved(leaves: Sequence[Leaf], pieces: Sequence[memoryview]) -> Iterator[Leaf]:
    """The leaves as they stand one behind the other."""
    offset = 0
    for leaf, piece in zip(leaves, pieces, strict=True):
        yield replace(leaf, start=offset, end=offset + len(piece))
        offset += len(piece)


def _sealed(pieces: Iterable[memoryview]) -> int:
    """An anonymous file of the pieces: past what a socket takes in one go, it would wake both sides by turns."""
    descriptor = os.memfd_create("leaves", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for piece in pieces:
            written = 0
            while written < len(piece):
                written += os.write(descriptor, piece[written:])
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class _Deadly:
    """The leaves that killed inspectors before, by SHA-256 of their encoded bytes; bounded, oldest out."""

    def __init__(self) -> None:
        self._kills: OrderedDict[bytes, int] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._lock = threading.Lock()

    def verdict(self, content: Spool, leaf: Leaf) -> wire.Answer | None:
        """The opaque answer for a leaf that has killed twice, else None. Hashes only leaves of such a size."""
        with self._lock:
            if leaf.end - leaf.start not in self._sizes:
                return None
        digest = _digest(content, leaf)
        with self._lock:
            if self._kills.get(digest, 0) < _KILLS_TO_REMEMBER:
                return None
            self._kills.move_to_end(digest)
        return _opaque(leaf, "inspector-known-killer", "it has ended inspectors before")

    def remember(self, content: Spool, leaf: Leaf) -> None:
        """Count one kill against ``leaf``."""
        digest = _digest(content, leaf)
        with self._lock:
            known = digest in self._kills
            self._kills[digest] = self._kills.get(digest, 0) + 1
            self._kills.move_to_end(digest)
            if not known:
                size = leaf.end - leaf.start
                self._sizes[size] = self._sizes.get(size, 0) + 1
            if len(self._kills) > _REMEMBERED:
                self._forget()

    def _forget(self) -> None:
        self._kills.popitem(last=False)
        # Sizes are only a filter; one that stays behind costs a hash and no wrong answer.
        if len(self._sizes) > 2 * _REMEMBERED:
            self._kills.clear()
            self._sizes.clear()


def _digest(content: Spool, leaf: Leaf) -> bytes:
    digest = hashlib.sha256(leaf.encoding.encode("utf-8"))
    with content.view() as view:
        digest.update(view[leaf.start : leaf.end])
    return digest.digest()


class _Inspector:
    """One inspector process, seen from the worker."""

    def __init__(self, *, channel: wire.Channel, pidfd: int, pid: int, hardening: tuple[str, ...]) -> None:
        self._channel = channel
        self._pidfd = pidfd
        self._requests = 0
        self.pid = pid
        self.hardening = hardening
        self.tired = False

    def examine(
        self,
        leaves: Sequence[Leaf],
        handed: _Handed,
        *,
        bounds: wire.Bounds,
        size: int,
        until: float,
        hashes: bool,
    ) -> Iterator[wire.Answer]:
        """The answers about ``leaves``, in order, as they come.

        Raises TimeoutError, BrokenWireError or BadAnswerError; the inspector must then be given up.
        """
        self._requests += 1
        self.tired = self._requests >= _REQUESTS_EACH
        request = wire.Request(
            leaves=handed.leaves,
            bounds=bounds,
            size=size,
            seconds=max(0.0, until - time.monotonic()),
            hashes=hashes,
        )
        self._channel.send(request.to_json(), blobs=handed.pieces, descriptors=handed.descriptors, until=until)
        for place, leaf in enumerate(leaves):
            now = time.monotonic()
            data, _ = self._channel.receive(until=now + wire.share(until - now, len(leaves) - place))
            answer = wire.read_answer(data, leaf=leaf, bounds=bounds)
            bounds = bounds.rest(answer)
            self.tired = self.tired or answer.tired
            if answer.failure:
                FAULTS.inc()
                _log.error("inspection failed", failure=answer.failure, where=leaf.path)
            yield answer

    def alive(self) -> bool:
        """Whether the process still runs; one that was killed while idle is replaced and nobody notices."""
        # A pidfd is readable once its process has ended, reaped or not.
        ready = select.poll()
        ready.register(self._pidfd, select.POLLIN)
        return not ready.poll(0)

    def end(self) -> None:
        """Kill the process and forget it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        os.close(self._pidfd)
        self._channel.close()


class _Nursery:
    """The process that forks inspectors. Started again when it is found dead."""

    def __init__(self, *, memory: int, file_size: int) -> None:
        self._arguments = [str(memory), str(file_size), str(_CPU_SECONDS)]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def hatch(self, scratch: int) -> _Inspector:
        """A new inspector with ``scratch`` as its scratch file. Raises InspectorsError."""
        with self._lock:
            last: OSError | None = None
            for _ in range(2):
                try:
                    nursery = self._socket or self._start()
                    socket.send_fds(nursery, [b"."], [scratch])
                    message, descriptors, _, _ = socket.recv_fds(nursery, 64, 2)
                except OSError as error:
                    last = error
                    message, descriptors = b"", []
                if len(descriptors) == 2:
                    return self._greet(int(message), *descriptors)
                self._stop()
            raise InspectorsError(f"the nursery forks no inspector ({last or 'it ended'})")

    def close(self) -> None:
        """End the nursery, and with it all inspectors."""
        with self._lock:
            self._stop()

    def _greet(self, pid: int, descriptor: int, pidfd: int) -> _Inspector:
        connection = socket.socket(fileno=descriptor)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        channel = wire.Channel(connection)
        try:
            hello, _ = channel.receive(until=time.monotonic() + _START_SECONDS)
        except (wire.BrokenWireError, TimeoutError) as error:
            channel.close()
            os.close(pidfd)
            raise InspectorsError(f"an inspector did not come up: {error}") from error
        hardening = tuple(str(each) for each in hello["hardening"])
        return _Inspector(channel=channel, pidfd=pidfd, pid=pid, hardening=hardening)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "gatepost_milter.inspection.inspector",
                    str(theirs.fileno()),
                    *self._arguments,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        ours.settimeout(_START_SECONDS)
        self._socket = ours
        if ours.recv(1) != b"!":
            self._stop()
            raise InspectorsError("the nursery did not come up; its reason is on standard error")
        return ours

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
