"""Owns the protocol between a worker and its inspectors: framed JSON and raw bytes on a socket, never objects.

A request carries the leaves of one message and either their bytes or the descriptor of the spool. The answer
is one frame for each leaf, in order, so that what was learnt before a crash is not lost. The inspector has read
hostile bytes before it answers: the worker believes nothing but well-formed, bounded facts.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gatepost_milter.inspection.model import Attachment, Defect, FileClass, Leaf, Text

MAX_JSON = 32 * 1024 * 1024
_HEAD = struct.Struct("!IQ")
_PIECE = 96 * 1024  # below the size from which malloc maps each buffer anew


class BrokenWireError(Exception):
    """The other side is gone, or sent something that is not a frame."""


class BadAnswerError(Exception):
    """An inspector's answer is not the bounded, well-formed list of facts that it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one message may cost: container depth, members, and bytes that containers expand to.

    ``texts`` is how many characters of its files' text may be told; 0 when nobody asked for any.
    """

    depth: int
    members: int
    expanded: int
    texts: int = 0

    def rest(self, answer: Answer) -> Bounds:
        """What is left after ``answer``."""
        return Bounds(
            depth=self.depth,
            members=max(0, self.members - answer.members),
            expanded=max(0, self.expanded - answer.expanded),
            texts=max(0, self.texts - sum(len(each.text) for each in answer.texts)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Leaves to examine, in order. ``start`` and ``end`` of each leaf count in the bytes that come along.

    ``size`` is the whole message in bytes, ``seconds`` the time there is for all leaves, ``hashes`` asks for
    the SHA-256 of every attachment.
    """

    leaves: tuple[Leaf, ...]
    bounds: Bounds
    size: int
    seconds: float
    hashes: bool = False

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that ``from_json`` reads back."""
        return {
            "leaves": [
                [leaf.number, leaf.path, leaf.names, leaf.claimed, leaf.encoding, leaf.start, leaf.end]
                for leaf in self.leaves
            ],
            "bounds": [self.bounds.depth, self.bounds.members, self.bounds.expanded, self.bounds.texts],
            "size": self.size,
            "seconds": self.seconds,
            "hashes": self.hashes,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Request:
        """The request that ``to_json`` wrote. It comes from the worker and is believed."""
        depth, members, expanded, texts = data["bounds"]
        return Request(
            leaves=tuple(
                Leaf(
                    number=number,
                    path=path,
                    names=tuple(names),
                    claimed=claimed,
                    encoding=encoding,
                    start=start,
                    end=end,
                )
                for number, path, names, claimed, encoding, start, end in data["leaves"]
            ),
            bounds=Bounds(depth=depth, members=members, expanded=expanded, texts=texts),
            size=data["size"],
            seconds=data["seconds"],
            hashes=data["hashes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one leaf turned out to hold. ``members`` and ``expanded`` are what it used up of the bounds.

    ``texts`` is what a person would read in its files, if that was asked for.
    ``tired`` says that the inspector is to be replaced; ``failure`` names a fault of our own code that made
    the leaf opaque, for the log.
    """

    attachments: tuple[Attachment, ...] = ()
    defects: tuple[Defect, ...] = ()
    texts: tuple[Text, ...] = ()
    members: int = 0
    expanded: int = 0
    tired: bool = False
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that ``read_answer`` reads back."""
        return {
            "attachments": [
                [
                    each.path,
                    each.name,
                    each.names,
                    each.claimed,
                    each.detected,
                    each.description,
                    each.size,
                    each.sha256,
                    sorted(each.classes),
                    each.depth,
                    each.tier,
                    each.reason,
                ]
                for each in self.attachments
            ],
            "defects": [[each.code, each.where, each.detail] for each in self.defects],
            "texts": [[each.where, each.text, each.html] for each in self.texts],
            "members": self.members,
            "expanded": self.expanded,
            "tired": self.tired,
            "failure": self.failure,
        }


ARROW = " › "


def place(leaf: Leaf) -> str:
    """How a person finds ``leaf``: its part, and the name it is shown under."""
    return f"{leaf.path}{ARROW}{leaf.names[0]}"[:4000] if leaf.names else leaf.path


def whole(leaf: Leaf) -> Attachment:
    """``leaf`` as the file that clients show it as: what the message says of it, before anybody looked into it."""
    return Attachment(
        path=place(leaf),
        part=leaf.number,
        name=leaf.names[0] if leaf.names else "",
        names=leaf.names,
        claimed=leaf.claimed,
    )


def opaque(leaf: Leaf, reason: str) -> Attachment:
    """The facts about a leaf that could not be examined."""
    return replace(whole(leaf), classes=frozenset({FileClass.OPAQUE}), reason=reason)


def share(seconds: float, leaves: int) -> float:
    """The seconds that the next leaf may take when ``leaves`` leaves have ``seconds`` left between them.

    Half, and all of it for the last one: a leaf that hangs cannot take the time of those behind it.
    """
    return seconds if leaves <= 1 else seconds / 2


_TIERS = frozenset({"", "T1", "T2", "T3", "T4", "T5"})
_HEX = frozenset("0123456789abcdef")
_CLASSES = {each.value: each for each in FileClass}


def read_answer(data: Any, *, leaf: Leaf, bounds: Bounds) -> Answer:
    """The answer about ``leaf``, checked field by field. Raises BadAnswerError."""
    fields = _mapping(data)
    rows = _rows(fields.get("attachments"), most=bounds.members + 64)
    if not rows:
        raise BadAnswerError("no attachment for a leaf")
    attachments = tuple(_attachment(row, leaf=leaf, bounds=bounds) for row in rows)
    defects = []
    for row in _rows(fields.get("defects"), most=1000):
        code, where, detail = _columns(row, 3)
        defects.append(Defect(code=_text(code, 64), where=_text(where, 4096), detail=_text(detail, 256)))
    return Answer(
        attachments=attachments,
        defects=tuple(defects),
        texts=_texts(fields.get("texts"), bounds=bounds),
        members=_number(fields.get("members"), 0, 2**31),
        expanded=_number(fields.get("expanded"), 0, 2**40),
        tired=fields.get("tired") is True,
        failure=_text(fields.get("failure"), 1000),
    )


def _attachment(row: Any, *, leaf: Leaf, bounds: Bounds) -> Attachment:
    columns = _columns(row, 12)
    path, name, names, claimed, detected, description, size, sha256, classes, depth, tier, reason = columns
    try:
        known = frozenset(map(_CLASSES.__getitem__, _rows(classes, most=len(FileClass))))
    except (KeyError, TypeError) as error:
        raise BadAnswerError("an unknown class") from error
    if not known or tier not in _TIERS:
        raise BadAnswerError("no class, or an unknown tier")
    digest = _text(sha256, 64)
    if digest and (len(digest) != 64 or not _HEX.issuperset(digest)):
        raise BadAnswerError("not a SHA-256")
    return Attachment(
        path=_text(path, 16384),
        part=leaf.number,
        name=_text(name, 4096),
        names=tuple(_text(each, 4096) for each in _rows(names, most=256)),
        claimed=_text(claimed, 256),
        detected=_text(detected, 256),
        description=_text(description, 1024),
        size=_number(size, -1, 2**62),
        sha256=digest,
        classes=known,
        depth=_number(depth, 0, bounds.depth + 1),
        tier=tier,
        reason=_text(reason, 1024),
    )


def _texts(data: Any, *, bounds: Bounds) -> tuple[Text, ...]:
    texts = []
    left = bounds.texts
    for row in _rows(data, most=bounds.members + 64):
        where, words, html = _columns(row, 3)
        texts.append(Text(where=_text(where, 16384), text=_text(words, left), html=html is True, of_file=True))
        left -= len(words)
    return tuple(texts)


def _mapping(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise BadAnswerError("not a mapping")
    return data


def _rows(data: Any, *, most: int) -> list[Any]:
    if not isinstance(data, list) or len(data) > most:
        raise BadAnswerError("not a list, or too long")
    return data


def _columns(row: Any, count: int) -> list[Any]:
    if not isinstance(row, list) or len(row) != count:
        raise BadAnswerError("a row of the wrong length")
    return row


def _text(data: Any, most: int) -> str:
    if not isinstance(data, str) or len(data) > most:
        raise BadAnswerError("not a text, or too long")
    return data if data.isascii() else data.encode("utf-8", "replace").decode("utf-8")


def _number(data: Any, least: int, most: int) -> int:
    if not isinstance(data, int) or isinstance(data, bool) or not least <= data <= most:
        raise BadAnswerError("not a number, or out of bounds")
    return data


class Channel:
    """Frames over a connected stream socket. One thread at a time."""

    __slots__ = ("_buffer", "_socket", "descriptors")

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray()
        self.descriptors: list[int] = []

    def send(
        self,
        message: dict[str, Any],
        *,
        blobs: Sequence[memoryview] = (),
        descriptors: Sequence[int] = (),
        until: float | None = None,
    ) -> None:
        """Send one frame; ``until`` is a time of the monotonic clock. Raises BrokenWireError, TimeoutError."""
        text = json.dumps(message, separators=(",", ":")).encode("ascii")
        head = _HEAD.pack(len(text), sum(map(len, blobs))) + text
        try:
            self._wait(until)
            if descriptors:
                sent = socket.send_fds(self._socket, [head], list(descriptors))
                head = head[sent:]
            if not blobs:
                self._socket.sendall(head)
                return
            self._socket.sendall(b"".join([head, *blobs]))
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenWireError(str(error)) from error

    def receive(
        self, *, until: float | None = None, most: int = MAX_JSON, descriptors: int = 0
    ) -> tuple[Any, bytes]:
        """The next frame's JSON and bytes; up to ``descriptors`` descriptors go to ``self.descriptors``.

        Raises BrokenWireError at end of file or for a frame larger than ``most`` bytes, TimeoutError when it
        has not come whole by ``until`` (monotonic clock).
        """
        while len(self._buffer) < _HEAD.size:
            self._read(until, descriptors)
        text_size, blob_size = _HEAD.unpack_from(self._buffer)
        whole = _HEAD.size + text_size + blob_size
        if text_size > most or (blob_size and blob_size > most):
            raise BrokenWireError("a frame is too large")
        if len(self._buffer) < whole:
            self._fill(whole, until)
        with memoryview(self._buffer) as view:
            text = bytes(view[_HEAD.size : _HEAD.size + text_size])
            blob = bytes(view[_HEAD.size + text_size : whole])
        del self._buffer[:whole]
        try:
            return json.loads(text), blob
        except (ValueError, RecursionError) as error:
            raise BrokenWireError("a frame is not JSON") from error

    def close(self) -> None:
        """Close the socket and whatever descriptors came and were not taken."""
        self._socket.close()
        for descriptor in self.descriptors:
            socket.close(descriptor)
        self.descriptors = []

    def _read(self, until: float | None, descriptors: int) -> None:
        try:
            self._wait(until)
            if descriptors:
                data, received, _, _ = socket.recv_fds(self._socket, _PIECE, descriptors)
                self.descriptors += received
            else:
                data = self._socket.recv(_PIECE)
        except TimeoutError:
            raise
        except OSError as error:
            raise BrokenWireError(str(error)) from error
        if not data:
            raise BrokenWireError("end of file")
        self._buffer += data

    def _fill(self, whole: int, until: float | None) -> None:
        """Read up to ``whole`` bytes in the buffer; without a time limit the kernel wakes us once, for all."""
        have = len(self._buffer)
        self._buffer += bytes(whole - have)
        with memoryview(self._buffer) as view:
            while have < whole:
                try:
                    self._wait(until)
                    received = self._socket.recv_into(view[have:], 0, socket.MSG_WAITALL)
                except TimeoutError:
                    raise
                except OSError as error:
                    raise BrokenWireError(str(error)) from error
                if not received:
                    raise BrokenWireError("end of file")
                have += received

    def _wait(self, until: float | None) -> None:
        if until is None:
            return
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time is left")
        self._socket.settimeout(left)
