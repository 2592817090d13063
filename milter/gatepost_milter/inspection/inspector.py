"""Owns the inspector's side: the nursery that forks inspectors, and the loop of one inspector.

Run as ``python -m gatepost_milter.inspection.inspector SOCKET MEMORY FILE_SIZE CPU`` by ``inspectors.py`` only.
Imports nothing of the settings, the policy or the store: an inspector knows only the bytes it was given.
"""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import select
import signal
import socket
import sys
import time
import traceback
from types import TracebackType

from gatepost_milter.inspection import encodings, sandbox, wire
from gatepost_milter.inspection.containers import families, texts, walk
from gatepost_milter.inspection.model import Defect, Leaf

_TIRED_CPU_SECONDS = 600.0
_IDLE_MS = 500  # without work after a large message, before its memory is given back


def main(arguments: list[str]) -> None:
    """Run the nursery until its worker is gone."""
    descriptor, memory, file_size, cpu = map(int, arguments)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps; the worker holds a pidfd
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_all()
    walk.warm_up()
    texts.warm_up()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)  # an inspector leaves few cycles behind, and lives for a thousand messages
    nursery = socket.socket(fileno=descriptor)
    nursery.sendall(b"!")
    while True:
        message, scratch, _, _ = socket.recv_fds(nursery, 1, 1)
        if not message:
            return
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            sandbox.die_with(parent)
            nursery.detach()
            ours.detach()
            _live(theirs, scratch[0], memory=memory, file_size=file_size, cpu=cpu)
        theirs.close()
        os.close(scratch[0])
        pidfd = os.pidfd_open(pid)
        socket.send_fds(nursery, [str(pid).encode("ascii")], [ours.fileno(), pidfd])
        ours.close()
        os.close(pidfd)


def _import_all() -> None:
    """Import what could be wanted later: codecs are looked up by name, and no file can be opened then."""
    encodings_package = importlib.import_module("encodings")
    for module in pkgutil.iter_modules(encodings_package.__path__):
        if module.name not in {"mbcs", "oem", "cp65001"}:  # Windows only
            importlib.import_module(f"encodings.{module.name}")


def _live(connection: socket.socket, scratch: int, *, memory: int, file_size: int, cpu: int) -> None:
    """Be one inspector; never returns."""
    status = 1
    try:
        sandbox.keep_only([connection.fileno(), scratch])
        hardening = sandbox.enter(memory=memory, file_size=file_size, cpu=cpu)
        channel = wire.Channel(connection)
        channel.send({"hardening": hardening})
        _serve(channel, connection, walk.Scratch(scratch))
        status = 0
    except wire.BrokenWireError:
        status = 0
    finally:
        os._exit(status)


def _serve(channel: wire.Channel, connection: socket.socket, scratch: walk.Scratch) -> None:
    idle = select.poll()
    idle.register(connection, select.POLLIN)
    while True:
        data, blob = channel.receive(descriptors=1, most=1 << 32)
        request = wire.Request.from_json(data)
        if not channel.descriptors:
            _answer(channel, request, blob, scratch)
            continue
        descriptor = channel.descriptors.pop()
        _answer(channel, request, descriptor, scratch)
        os.close(descriptor)
        if not idle.poll(_IDLE_MS):
            sandbox.give_back_memory()


def _answer(channel: wire.Channel, request: wire.Request, content: bytes | int, scratch: walk.Scratch) -> None:
    until = time.monotonic() + request.seconds
    bounds = request.bounds
    for place, leaf in enumerate(request.leaves):
        now = time.monotonic()
        # The worker kills at the end of the share; ending a little earlier saves what was found so far.
        soft = now + 0.8 * wire.share(until - now, len(request.leaves) - place)
        budget = walk.Budget(bounds=bounds, size=request.size, until=soft)
        words = texts.Texts(left=bounds.texts, budget=budget) if bounds.texts else None
        answer = examine(content, leaf, budget=budget, scratch=scratch, hashes=request.hashes, words=words)
        channel.send(answer.to_json())
        bounds = bounds.rest(answer)


def examine(
    content: bytes | int,
    leaf: Leaf,
    *,
    budget: walk.Budget,
    scratch: walk.Scratch,
    hashes: bool = False,
    words: texts.Texts | None = None,
) -> wire.Answer:
    """What ``leaf`` is and holds. Never raises on content: what fails makes the leaf opaque.

    ``content`` is the bytes in which the leaf stands, or the descriptor of a file of them. ``words`` gathers
    what a person would read in the files.
    """
    visit = walk.Walk(
        part=leaf.number, budget=budget, scratch=scratch, families=families.ALL, hashes=hashes, texts=words
    )
    reason = failure = ""
    tired = False
    try:
        decoded = encodings.decode(_slice(content, leaf), leaf.encoding)
        if code := encodings.defect(leaf.encoding, decoded):
            visit.defects.append(Defect(code=code, where=wire.place(leaf)))
        for reading, data in decoded:
            visit.leaf(data, leaf=leaf, reading=reading)
    except MemoryError:
        reason, tired = "it needs too much memory to open", True
    except RecursionError:
        reason = "it is nested too deeply"
    except Exception as error:  # noqa: BLE001 - the inspector's one edge: nothing in a mail may end its loop
        failure = _place(error)
        reason = "it could not be read"
    scratch.clear()
    attachments = visit.attachments
    if reason or not attachments:
        reason = reason or "it could not be read"
        attachments = [wire.opaque(leaf, reason), *attachments]
        visit.defects.append(Defect(code="opaque", where=wire.place(leaf), detail=reason))
    return wire.Answer(
        attachments=tuple(attachments),
        defects=tuple(visit.defects[:1000]),
        texts=tuple(words.found) if words else (),
        members=budget.members_used,
        expanded=budget.expanded_used,
        tired=tired or time.process_time() > _TIRED_CPU_SECONDS,
        failure=failure,
    )


def _slice(content: bytes | int, leaf: Leaf) -> bytes:
    if isinstance(content, bytes):
        return content[leaf.start : leaf.end]
    data = os.pread(content, leaf.end - leaf.start, leaf.start)
    if len(data) != leaf.end - leaf.start:
        raise ValueError("the spool is shorter than the leaf")
    return data


def _place(error: Exception) -> str:
    """The type of ``error`` and where it was raised, without its text: that may quote private mail."""
    trace: TracebackType | None = error.__traceback__
    frames = traceback.extract_tb(trace)
    where = " < ".join(f"{os.path.basename(each.filename)}:{each.lineno}" for each in reversed(frames[-4:]))  # noqa: PTH119
    return f"{type(error).__name__} at {where}"


if __name__ == "__main__":
    main(sys.argv[1:])
