"""Owns asking a bounded child to read a held message: the console itself never parses what came in.

The child gives up files, network and programs before it looks at the first byte. Its output is bounded, it ends
when its time is over, and whatever goes wrong with it is an answer: the message is then shown raw.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import pyzipper

TIMEOUT = 20.0
"""Seconds for one child."""

WAIT = 10.0
"""Seconds to wait for a turn before giving up."""

AT_ONCE = 2
"""Children at the same time."""

RAW_LIMIT = 512 * 1024
"""Bytes of a message that are shown raw."""

ZIP_PASSWORD = "infected"  # noqa: S105 - what everybody who handles samples expects; it stops a careless double click
_OUTPUT = 192 * 1024 * 1024
_SAID = 2000
_JSON = 16 * 1024 * 1024
_MODULE = "gatepost_milter.cli.preview"


class UnreadableError(Exception):
    """The child could not read the message, or not in time; the text says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text of the message: as plain text, and as cleaned HTML if it was written in HTML."""

    where: str
    html: bool
    text: str
    clean: str
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A leaf that is not shown as text. ``size`` is in bytes as it stands in the message."""

    index: int
    path: str
    name: str
    claimed: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A node of the tree of parts, under one reading."""

    number: str
    type: str
    disposition: str
    encoding: str
    names: tuple[str, ...]
    reading: str
    size: int

    @property
    def depth(self) -> int:
        """How deep it stands in the tree."""
        return self.number.count(".") + 1 if self.number else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A message as it can be shown safely."""

    headers: tuple[tuple[str, str], ...]
    texts: tuple[Text, ...]
    files: tuple[File, ...]
    parts: tuple[Part, ...]
    defects: tuple[str, ...]


class Reader:
    """Starts children. ``command`` reads a message from standard input; a test may name another."""

    def __init__(self, command: Sequence[str] = (), *, timeout: float = TIMEOUT) -> None:
        self._command = [*command] or [sys.executable, "-I", "-m", _MODULE]
        self._timeout = timeout
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def preview(self, content: Iterator[bytes]) -> Preview:
        """The message as it can be shown. Raises UnreadableError, and StoreError from ``content``."""
        with self._run(content, []) as answer:
            said = answer.read(_JSON + 1)
        if len(said) > _JSON:
            raise UnreadableError("there is too much of it")
        try:
            return _preview(json.loads(said))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableError("what was read makes no sense") from error

    def part(self, content: Iterator[bytes], index: int) -> IO[bytes]:
        """The decoded bytes of one leaf, as an open file. Raises UnreadableError, and StoreError."""
        return self._run(content, ["--part", str(index)])

    def member(self, content: Iterator[bytes], sha256: str) -> IO[bytes]:
        """The file with that digest, however deep in archives. Raises UnreadableError, and StoreError."""
        return self._run(content, ["--member", sha256])

    def _run(self, content: Iterator[bytes], arguments: Sequence[str]) -> IO[bytes]:
        with self.turn(), spooled(content) as message:
            return child([*self._command, *arguments], message, timeout=self._timeout)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, so that few children run at once. Raises UnreadableError."""
        if not self._turns.acquire(timeout=WAIT):
            raise UnreadableError("too many messages are being read at the moment")
        try:
            yield
        finally:
            self._turns.release()


@contextmanager
def spooled(content: Iterator[bytes]) -> Iterator[IO[bytes]]:
    """The message in a file without a name, from its beginning."""
    with tempfile.TemporaryFile() as message:
        for piece in content:
            message.write(piece)
        message.flush()
        message.seek(0)
        yield message


def child(
    command: Sequence[str], message: IO[bytes], *, timeout: float, good: Sequence[int] = (0,), tells: bool = False
) -> IO[bytes]:
    """What a command says about the message on its standard input, as an open file. Raises UnreadableError.

    It has ``timeout`` seconds. ``good`` are the exit codes of an answer. With ``tells``, what it said on standard
    error is told to the reader.
    """
    output = tempfile.TemporaryFile()  # noqa: SIM115 - it is what is returned
    try:
        with tempfile.TemporaryFile() as errors:
            done = subprocess.run(
                command,
                stdin=message,
                stdout=output,
                stderr=errors,
                env={"PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
                cwd="/",
                timeout=timeout,
                check=False,
            )
            errors.seek(0)
            said = errors.read(_SAID).decode("utf-8", "replace").strip().rpartition("\n")[2]
        if done.returncode in good and output.seek(0, io.SEEK_END) <= _OUTPUT:
            output.seek(0)
            return output
    except subprocess.TimeoutExpired:
        output.close()
        raise UnreadableError("it took too long") from None
    except OSError as error:
        output.close()
        raise UnreadableError(f"the reader could not be started ({error.strerror})") from error
    output.close()
    raise UnreadableError(said if tells and said else "the reader gave up on it")


def as_zip(content: IO[bytes], name: str) -> IO[bytes]:
    """The file in a zip that asks for ``ZIP_PASSWORD`` (AES-256), so that nothing opens it by accident."""
    packed = tempfile.TemporaryFile()  # noqa: SIM115 - it is what is returned
    with pyzipper.AESZipFile(
        packed, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES
    ) as archive:
        archive.setpassword(ZIP_PASSWORD.encode())
        archive.writestr(name, content.read(_OUTPUT))
    packed.seek(0)
    return packed


def raw(content: Iterator[bytes]) -> tuple[str, bool]:
    """The first bytes as text, and whether there is more. Reads nothing into them."""
    start = bytearray()
    for piece in content:
        start += piece
        if len(start) > RAW_LIMIT:
            break
    text = bytes(start[:RAW_LIMIT]).replace(b"\r\n", b"\n").decode("utf-8", "replace")
    return text, len(start) > RAW_LIMIT


def _preview(data: dict[str, Any]) -> Preview:
    """The child's answer, taken apart field by field: nothing but text, numbers and truth comes through."""
    return Preview(
        headers=tuple((str(name), str(value)) for name, value in data["headers"]),
        texts=tuple(
            Text(
                where=str(each["where"]),
                html=bool(each["html"]),
                text=str(each["text"]),
                clean=str(each["clean"]),
                cut=bool(each["cut"]),
            )
            for each in data["texts"]
        ),
        files=tuple(
            File(
                index=int(each["index"]),
                path=str(each["path"]),
                name=str(each["name"]),
                claimed=str(each["claimed"]),
                size=int(each["size"]),
            )
            for each in data["files"]
        ),
        parts=tuple(
            Part(
                number=str(each["number"]),
                type=str(each["type"]),
                disposition=str(each["disposition"]),
                encoding=str(each["encoding"]),
                names=tuple(str(name) for name in each["names"]),
                reading=str(each["reading"]),
                size=int(each["size"]),
            )
            for each in data["parts"]
        ),
        defects=tuple(str(each) for each in data["defects"]),
    )
