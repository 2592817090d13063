"""Owns where mails to be replayed come from: maildirs, mboxes, message files, folders of them, the quarantine.

Any of it may be broken or hostile. A mail that cannot be read is told as such in its place, and the next one
follows; nothing is ever written. No more than one message of a mailbox is in memory at a time, and never more of
that than the gateway itself would take.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gatepost_milter.cli.check_envelope import wire_form
from gatepost_quarantine.held import Envelope, HeldMessage
from gatepost_quarantine.store import Filter, Store, StoreError

_FROM = b"From "
_SUFFIXES = frozenset({".eml", ".mbox"})
_LINE = 64 * 1024  # bytes of a line that are looked at at once
_MAILDIR = frozenset({"cur", "new"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to be replayed, in wire form; ``failure`` says in words why there is none.

    ``weight`` is how many bytes of the source it stands for, so that progress can be told. ``envelope`` and
    ``recipients`` are the real ones, where the source knows them; without, the header must do.
    """

    name: str
    weight: int
    content: bytes = b""
    failure: str = ""
    envelope: Envelope | None = None
    recipients: tuple[str, ...] = ()


def find(paths: Sequence[Path]) -> tuple[list[Path], int]:
    """The files that hold the mails of these mailboxes, in a steady order, and their bytes together.

    A path that was given is taken for what it is; in folders, message files are those of a maildir and those whose
    names end in ``.eml`` or ``.mbox``. A folder that cannot be read gives itself, so that opening it says why.
    """
    files = [file for path in paths for file in (_walk(path) if path.is_dir() else (path,))]
    return files, sum(_size(file) for file in files)


def read(files: Sequence[Path], *, limit: int) -> Iterator[Mail]:
    """The mails of these files, in order; ``-`` is standard input. ``limit`` is the bytes of one mail."""
    for file in files:
        try:
            if str(file) == "-":
                yield from _mails("-", sys.stdin.buffer, weight=0, limit=limit)
                continue
            with file.open("rb") as stream:
                yield from _mails(str(file), stream, weight=_size(file), limit=limit)
        except OSError as error:
            yield Mail(name=str(file), weight=_size(file), failure=f"cannot be read: {error.strerror}")


def held(store: Store, *, limit: int) -> tuple[list[HeldMessage], int]:
    """What the quarantine holds, oldest first, and its bytes together. Raises StoreError."""
    found = list(store.list(Filter(limit=limit)))
    return found, sum(each.size for each in found)


def read_held(store: Store, messages: Sequence[HeldMessage], *, limit: int) -> Iterator[Mail]:
    """The held messages with their own envelopes. A sealed one, or one whose bytes are gone, is a failure.

    The recipients are those for whom it was judged, also where only some were held.
    """
    for message in messages:
        name = f"held {message.id}"
        refusal = "is sealed" if message.sealed else _too_large(limit) if message.size > limit else ""
        if refusal:
            yield Mail(name=name, weight=message.size, failure=refusal)
            continue
        try:
            content = b"".join(store.content(message.id))
        except StoreError as error:
            yield Mail(name=name, weight=message.size, failure=f"cannot be read: {error}")
            continue
        yield Mail(
            name=name,
            weight=message.size,
            content=content,
            envelope=message.envelope,
            recipients=tuple(each.recipient for each in message.explanation.outcomes),
        )


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    unreadable: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        here = Path(place)
        if set(folders) >= _MAILDIR:
            folders[:] = [name for name in folders if name != "tmp"]  # maildir(5): what is not yet delivered
        folders.sort()
        of_maildir = here.name in _MAILDIR and all((here.parent / name).is_dir() for name in _MAILDIR)
        for name in sorted(names):
            file = here / name
            if (of_maildir or file.suffix.lower() in _SUFFIXES) and _is_regular(file):
                yield file
    yield from unreadable


def _is_regular(file: Path) -> bool:
    """Whether it is a file with bytes in it: opening a named pipe would wait for ever."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return True  # opening it says what is wrong


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _mails(name: str, stream: BinaryIO, *, weight: int, limit: int) -> Iterator[Mail]:
    """The mails of one file: a single message, or those of an mbox, which begins with a From_ line (RFC 4155)."""
    first = stream.readline(_LINE)
    if first.startswith(_FROM):
        yield from _of_mbox(name, stream, first, limit=limit)
        return
    content = first + stream.read(max(0, limit + 1 - len(first)))
    if len(content) > limit:
        yield Mail(name=name, weight=weight, failure=_too_large(limit))
    else:
        yield Mail(name=name, weight=weight, content=wire_form(content))


def _of_mbox(name: str, stream: BinaryIO, line: bytes, *, limit: int) -> Iterator[Mail]:
    """The messages between From_ lines; a line counts as one at the beginning and after an empty line only."""
    number, size, weight = 0, 0, 0
    lines: list[bytes] = []
    blank, begins = True, True
    while line:
        if begins and blank and line.startswith(_FROM):
            if number:
                yield _from_mbox(f"{name}:{number}", lines, size, weight, limit=limit)
            number, size, weight, lines = number + 1, 0, 0, []
        elif size <= limit:
            size += len(line)
            lines.append(line)
        else:
            lines = []  # too large already: only its end is looked for
        weight += len(line)
        blank = begins and not line.strip(b"\r\n")
        begins = line.endswith(b"\n")
        line = stream.readline(_LINE)
    yield _from_mbox(f"{name}:{number}", lines, size, weight, limit=limit)


def _from_mbox(name: str, lines: Sequence[bytes], size: int, weight: int, *, limit: int) -> Mail:
    if size > limit:
        return Mail(name=name, weight=weight, failure=_too_large(limit))
    content = b"".join(lines)
    for end in (b"\r\n\r\n", b"\n\n"):
        if content.endswith(end):
            content = content[: -len(end) // 2]  # the empty line before the next From_ is the mailbox's own
            break
    return Mail(name=name, weight=weight, content=wire_form(content))


def _too_large(limit: int) -> str:
    return f"larger than {limit:,} bytes; the gateway would refuse it (spool.limit)"
