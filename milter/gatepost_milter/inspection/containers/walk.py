"""Owns the walk through one leaf: files, members of files, and the bounds that end it.

A family of containers hands its members to the walk; the walk identifies each, and asks every family that
recognises it to open it in turn. A bound that is reached makes the container ``opaque``: what could not be looked
at is never passed as looked at.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import mmap
import os
import struct
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import zstandard

from gatepost_milter.inspection import detect, names
from gatepost_milter.inspection.detect import Buffer
from gatepost_milter.inspection.model import Attachment, Defect, FileClass, Leaf
from gatepost_milter.inspection.wire import ARROW, Bounds, place

_IN_MEMORY = 4 * 1024 * 1024
FREELY = 64 * 1024 * 1024
RATIO = 256
_HASH_UNASKED = 1024 * 1024
_PIECE = 256 * 1024

# What parsers of hostile bytes raise when the bytes are not what they should be.
CONTENT_ERRORS = (
    ValueError,
    LookupError,
    EOFError,
    OSError,
    ArithmeticError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
)


class LimitError(Exception):
    """A bound of the message is reached; its text is the reason that a person reads."""


class UnreadableError(Exception):
    """A container cannot be opened, or not to its end; its text is the reason that a person reads."""


class Budget:
    """What one message may still cost. ``until`` is a monotonic time, ``size`` the message's bytes."""

    __slots__ = ("_expanded", "_members", "depth", "expanded_used", "members_used", "until")

    def __init__(self, *, bounds: Bounds, size: int, until: float) -> None:
        self.depth = bounds.depth
        self._members = bounds.members
        # Mail of this size has no honest reason to become thousands of times larger.
        self._expanded = min(bounds.expanded, FREELY + RATIO * size)
        self.until = until
        self.members_used = 0
        self.expanded_used = 0

    def member(self) -> None:
        """Account for one more member. Raises LimitError."""
        if self.members_used >= self._members:
            raise LimitError("it holds more files than are opened")
        self.members_used += 1
        self.check()

    def expand(self, size: int) -> None:
        """Account for ``size`` unpacked bytes. Raises LimitError."""
        self.expanded_used += size
        if self.expanded_used > self._expanded:
            self.expanded_used = self._expanded
            raise LimitError("it unpacks to more than is opened")
        self.check()

    def check(self) -> None:
        """Raise LimitError when the time is up."""
        if time.monotonic() > self.until:
            raise LimitError("it takes too long to open")


class Scratch:
    """Disk for unpacked bytes that are too many for memory: one unlinked file, used as a stack."""

    __slots__ = ("_file", "_size")

    def __init__(self, descriptor: int) -> None:
        self._file = descriptor
        self._size = 0

    def gather(self, pieces: Iterable[bytes], budget: Budget) -> Buffer:
        """All ``pieces`` as one buffer. Raises LimitError; give the buffer back with ``release``."""
        held = bytearray()
        start = self._size
        for piece in pieces:
            budget.expand(len(piece))
            held += piece
            if len(held) > _IN_MEMORY:
                self._append(held)
                held.clear()
        if self._size == start:
            return bytes(held)
        self._append(held)
        end = self._size
        self._size += -end % mmap.ALLOCATIONGRANULARITY
        os.ftruncate(self._file, self._size)
        return mmap.mmap(self._file, end - start, access=mmap.ACCESS_COPY, offset=start)

    def release(self, buffer: Buffer) -> None:
        """Give the youngest buffer back."""
        if isinstance(buffer, mmap.mmap):
            self._size -= len(buffer) + -len(buffer) % mmap.ALLOCATIONGRANULARITY
            buffer.close()
            os.ftruncate(self._file, self._size)

    def clear(self) -> None:
        """Give everything back, also what an exception left behind."""
        if self._size:
            os.ftruncate(self._file, 0)
            self._size = 0

    def _append(self, data: bytearray) -> None:
        with memoryview(data) as view:
            written = 0
            while written < len(view):
                written += os.pwrite(self._file, view[written:], self._size + written)
        self._size += len(data)


class File:
    """One file on the walk: its bytes, and what is known about it so far."""

    __slots__ = (
        "_extensions",
        "claimed",
        "classes",
        "data",
        "depth",
        "description",
        "mime",
        "name",
        "names",
        "path",
        "quiet",
        "reasons",
        "sha256",
        "size",
        "tier",
    )

    def __init__(
        self,
        *,
        data: Buffer,
        path: str,
        name: str,
        names: tuple[str, ...],
        claimed: str,
        depth: int,
        quiet: bool = False,
    ) -> None:
        self._extensions: frozenset[str] | None = None
        self.data = data
        self.path = path
        self.name = name
        self.names = names
        self.claimed = claimed
        self.depth = depth
        self.quiet = quiet
        self.mime = ""
        self.description = ""
        self.classes: set[FileClass] = set()
        self.tier = ""
        self.reasons: list[str] = []
        self.size = len(data)
        self.sha256 = ""

    def mark(self, kind: FileClass, reason: str) -> None:
        """Put the file in class ``kind`` because of ``reason``."""
        self.classes.discard(FileClass.PLAIN)
        self.classes.add(kind)
        words = f"{kind}: {reason}"
        if words not in self.reasons and len(self.reasons) < 8:
            self.reasons.append(words)

    def clear(self, kind: FileClass) -> None:
        """Take the file out of class ``kind``: looking closer showed better."""
        self.classes.discard(kind)
        self.reasons = [words for words in self.reasons if not words.startswith(f"{kind}: ")]

    def extensions(self) -> frozenset[str]:
        """The last extensions of all names, in lower case."""
        if self._extensions is None:  # every family asks
            self._extensions = frozenset(name.rpartition(".")[2].lower() for name in self.names if "." in name)
        return self._extensions

    def attachment(self, part: str) -> Attachment:
        """The frozen facts."""
        return Attachment(
            path=self.path[:16000],
            part=part,
            name=self.name[:4000],
            names=tuple(name[:4000] for name in self.names[:200]),
            claimed=self.claimed[:256],
            detected=self.mime,
            description=self.description,
            size=self.size,
            sha256=self.sha256,
            classes=frozenset(self.classes or {FileClass.PLAIN}),
            depth=self.depth,
            tier=self.tier,
            reason="; ".join(self.reasons)[:1000],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of container: how to know one, and how to hand its members to the walk."""

    name: str
    knows: Callable[[File], bool]
    open: Callable[[Walk, File], None]


class Reads(Protocol):
    """What reads the words of files: ``texts.Texts``. Neither method raises."""

    def file(self, walk: Walk, file: File) -> None:
        """Read a file that has been opened."""
        ...

    def document(
        self, walk: Walk, file: File, members: Iterable[tuple[str, Callable[[], Iterable[bytes]]]]
    ) -> None:
        """Read a document that is a zip file, from its members by name."""
        ...


class Walk:
    """The way through one leaf. ``families`` are asked in order; all that know a file open it (polyglots).

    ``texts`` reads the words of each file, where rules ask for them.
    """

    def __init__(
        self,
        *,
        part: str,
        budget: Budget,
        scratch: Scratch,
        families: Sequence[Family],
        hashes: bool = False,
        texts: Reads | None = None,
    ) -> None:
        self._part = part
        self._families = families
        self._hashes = hashes
        self.texts = texts
        self.budget = budget
        self.scratch = scratch
        self.files: list[File] = []
        self.defects: list[Defect] = []

    @property
    def attachments(self) -> list[Attachment]:
        """What was found, the leaf first."""
        return [file.attachment(self._part) for file in self.files]

    def leaf(self, data: bytes, *, leaf: Leaf, reading: str) -> None:
        """Examine one reading of the leaf itself."""
        path = place(leaf)
        name = leaf.names[0] if leaf.names else ""
        file = File(data=data, path=path, name=name, names=leaf.names, claimed=leaf.claimed, depth=0)
        if reading and reading != leaf.encoding:
            file.reasons.append(f"read as {reading}")
        try:
            self._examine(file)
        except LimitError as limit:
            self.defects.append(Defect(code="inspection-limit", where=path[:4000], detail=str(limit)))

    def member(
        self,
        parent: File,
        data: Buffer | None,
        *,
        raw_names: Sequence[str],
        claimed: str = "",
        marks: Sequence[tuple[FileClass, str]] = (),
        quiet: bool = False,
        size: int = -1,
    ) -> File:
        """Examine a member of ``parent``; ``data`` is None when its bytes cannot be had.

        ``raw_names`` are all names it may have, as they stand in the container. A ``quiet`` member is left out
        of the facts when it is plain: the innards of a document are no attachments. ``size`` is what the
        container says when the bytes cannot be had.
        """
        self.budget.member()
        shown = raw_names[0].replace("\0", "") if raw_names else "unnamed"
        all_names = tuple(dict.fromkeys(name for raw in raw_names for name in names.normalise(raw)))
        file = File(
            data=b"" if data is None else data,
            path=f"{parent.path}{ARROW}{shown}",
            name=all_names[0] if all_names else shown,
            names=all_names,
            claimed=claimed,
            depth=parent.depth + 1,
            quiet=quiet,
        )
        before = len(self.files)
        self._examine(file, marks=marks, missing=data is None)
        if data is None:
            file.size = size
        if quiet and len(self.files) == before + 1 and file.classes <= {FileClass.PLAIN}:
            self.files.pop()
        return file

    def unpack(
        self,
        parent: File,
        pieces: Iterable[bytes],
        *,
        raw_names: Sequence[str],
        claimed: str = "",
        quiet: bool = False,
        look: Callable[[Buffer, File | None], None] | None = None,
        skip: Callable[[Buffer], bool] | None = None,
    ) -> None:
        """Gather ``pieces`` and examine them as a member; errors of the packing make that member opaque.

        ``look`` sees the bytes and what they turned out to be, for what they mean to the parent. Bytes for which
        ``skip`` is true are only looked at: an ordinary document has dozens of pages of its own markup.
        """
        problems: list[str] = []
        data = self.scratch.gather(_until_error(pieces, problems), self.budget)
        try:
            file = None
            marks = [(FileClass.OPAQUE, problem) for problem in problems]
            if skip and not marks and skip(data):
                self.budget.member()
            else:
                file = self.member(parent, data, raw_names=raw_names, claimed=claimed, marks=marks, quiet=quiet)
            if look:
                look(data, file)
        finally:
            self.scratch.release(data)

    def _examine(self, file: File, *, marks: Sequence[tuple[FileClass, str]] = (), missing: bool = False) -> None:
        self.files.append(file)
        nature = detect.identify(file.data, file.names)
        file.mime = "" if missing else nature.mime
        file.description = "" if missing else nature.description
        file.classes = set(nature.classes)
        file.tier = nature.tier
        if nature.reason:
            file.reasons.append(nature.reason)
        for kind, reason in marks:
            file.mark(kind, reason)
        try:
            if not missing:
                self._open(file)
                if self.texts is not None:
                    self.texts.file(self, file)
        finally:
            worth_it = file.classes > {FileClass.PLAIN} or file.classes.isdisjoint({FileClass.PLAIN})
            if self._hashes or (worth_it and file.size < _HASH_UNASKED):
                file.sha256 = "" if missing else hashlib.sha256(file.data).hexdigest()
            file.data = b""

    def _open(self, file: File) -> None:
        families = [family for family in self._families if family.knows(file)]
        if not families and detect.is_archive(file.mime):
            file.mark(FileClass.OPAQUE, "an archive of this kind cannot be opened here")
        if families and file.depth >= self.budget.depth:
            file.mark(FileClass.OPAQUE, "it is nested deeper than is opened")
            self.defects.append(
                Defect(code="inspection-limit", where=file.path[:4000], detail="nested too deeply")
            )
            return
        for family in families:
            try:
                family.open(self, file)
            except LimitError as limit:
                file.mark(FileClass.OPAQUE, str(limit))
                raise
            except UnreadableError as error:
                file.mark(FileClass.OPAQUE, str(error))
            except CONTENT_ERRORS:
                file.mark(FileClass.OPAQUE, f"it is a damaged {family.name}")


def _until_error(pieces: Iterable[bytes], problems: list[str]) -> Iterable[bytes]:
    """The pieces up to the first damage, which is then named in ``problems``."""
    try:
        yield from pieces
    except UnreadableError as error:
        problems.append(str(error))
    except CONTENT_ERRORS:
        problems.append("it is damaged and cannot be unpacked to its end")


def inflate(data: Buffer, *, start: int = 0, end: int | None = None, window: int = -15) -> Iterable[bytes]:
    """Unpack DEFLATE (RFC 1951), or zlib or gzip by ``window`` as in the zlib module."""
    yield from feed(zlib.decompressobj(window), data, start=start, end=end)


def feed(
    unpacker: zlib._Decompress | bz2.BZ2Decompressor | lzma.LZMADecompressor,
    data: Buffer,
    *,
    start: int = 0,
    end: int | None = None,
) -> Generator[bytes, None, int]:
    """What ``unpacker`` makes of the bytes between ``start`` and ``end``, in pieces of bounded size.

    Returns where its stream ended. Raises UnreadableError when the bytes end before the stream does.
    """
    stop = len(data) if end is None else min(end, len(data))
    position = start
    rest = b""
    while not unpacker.eof:
        if isinstance(unpacker, (bz2.BZ2Decompressor, lzma.LZMADecompressor)):
            if unpacker.needs_input:
                if position >= stop:
                    raise UnreadableError("it ends too early")
                rest = data[position : min(position + _PIECE, stop)]
                position += len(rest)
            piece = unpacker.decompress(rest, _PIECE)
            rest = b""
        else:
            if not rest:
                if position >= stop:
                    raise UnreadableError("it ends too early")
                rest = data[position : min(position + _PIECE, stop)]
                position += len(rest)
            piece = unpacker.decompress(rest, _PIECE)
            rest = unpacker.unconsumed_tail
        if piece:
            yield piece
    return position - len(unpacker.unused_data)


def warm_up() -> None:
    """Load everything that opens files, before files are taken away."""
    detect.warm_up()
    names.normalise("=?utf-8?q?warm?= %41.txt")
