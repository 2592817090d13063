"""Owns the MTA side of the milter protocol: one connection to a milter, step by step as Postfix takes them.

It serves the demo and the tests. It must never wait for a reply that the filter has declined to give (the
``NR`` flags of the negotiation), nor send a step that the filter has declined to see: libmilter hangs up on
either. The sockets block; from asyncio, call it through ``asyncio.to_thread``.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from types import TracebackType

VERSION = 6
CHUNK = 65535
ALL_ACTIONS = 0x1FF
_LENGTH = struct.Struct("!I")
_OPTIONS = struct.Struct("!III")
_HEADER = re.compile(rb"^([\x21-\x39\x3b-\x7e]+)[ \t]*:(.*)\Z", re.DOTALL)


class Step(IntFlag):
    """The protocol flags that matter to an MTA, as libmilter's mfdef.h numbers them."""

    NO_CONNECT = 0x1
    NO_HELO = 0x2
    NO_MAIL = 0x4
    NO_RCPT = 0x8
    NO_BODY = 0x10
    NO_HEADER = 0x20
    NO_EOH = 0x40
    NR_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    NR_CONNECT = 0x1000
    NR_HELO = 0x2000
    NR_MAIL = 0x4000
    NR_RCPT = 0x8000
    NR_DATA = 0x10000
    NR_UNKNOWN = 0x20000
    NR_EOH = 0x40000
    NR_BODY = 0x80000
    LEADING_SPACE = 0x100000
    ALL = 0x1FFFFF & ~0xC00  # not SKIP and RCPT_REJ, which this client does not offer


class MilterGoneError(ConnectionError):
    """The filter closed the connection, or sent what the protocol does not allow; an MTA would temp-fail."""


class Disposition(StrEnum):
    """What the filter answered to a step."""

    CONTINUE = "continue"
    ACCEPT = "accept"
    DISCARD = "discard"
    REJECT = "reject"
    TEMPFAIL = "tempfail"


_DISPOSITIONS = {
    b"c": Disposition.CONTINUE,
    b"a": Disposition.ACCEPT,
    b"d": Disposition.DISCARD,
    b"r": Disposition.REJECT,
    b"t": Disposition.TEMPFAIL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderChange:
    """The filter sets the ``index``-th field of this name (counted from 1); an empty value removes it."""

    name: str
    index: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to one step. Modifications come only with the answer to end of message.

    ``reply`` is the SMTP reply of a reject or temp-fail, as the filter wrote it (``550 5.7.1 Text``), empty if
    it left the text to the MTA. ``inserted`` and ``added`` are header fields (name, value), ``deleted`` and
    ``new_recipients`` envelope recipients in wire form. ``letters`` holds every reply letter in order.
    """

    disposition: Disposition
    reply: str = ""
    added: tuple[tuple[str, str], ...] = ()
    inserted: tuple[tuple[int, str, str], ...] = ()
    changed: tuple[HeaderChange, ...] = ()
    deleted: tuple[str, ...] = ()
    new_recipients: tuple[str, ...] = ()
    new_sender: str = ""
    new_body: bytes = b""
    held_by_mta: str = ""
    letters: str = ""


class MilterClient:
    """One connection to a milter at ``address`` (``unix:/path``, ``/path`` or ``inet:PORT@HOST``).

    ``timeout`` is in seconds, for each read and write. Use it as a context manager, or call ``close``.
    """

    def __init__(self, address: str, *, timeout: float = 60.0) -> None:
        self._socket = _dial(address, timeout)
        self._input = self._socket.makefile("rb")
        self.early: list[tuple[str, Outcome]] = []
        try:
            self._send(b"O", _OPTIONS.pack(VERSION, ALL_ACTIONS, Step.ALL))
            letter, data = self._receive()
            if letter != b"O" or len(data) < _OPTIONS.size:
                raise MilterGoneError("the filter did not negotiate")
        except BaseException:  # whatever ends this, Ctrl-C too: the filter would wait for a client that is gone
            self.hang_up()
            raise
        _, self.actions, steps = _OPTIONS.unpack_from(data)
        self.steps = Step(steps & 0x1FFFFF)

    def connect(
        self,
        name: str,
        address: str,
        *,
        port: int = 4321,
        macros: Mapping[str, str] | None = None,
    ) -> Outcome:
        """An SMTP client has connected. ``address`` is IPv4 or IPv6; ``macros`` have no braces added."""
        family = b"6" if ":" in address else b"4"
        data = _text(name) + family + struct.pack("!H", port) + _text(address)
        return self._step(b"C", data, Step.NO_CONNECT, Step.NR_CONNECT, macros)

    def helo(self, name: str, *, macros: Mapping[str, str] | None = None) -> Outcome:
        """The client has said HELO or EHLO."""
        return self._step(b"H", _text(name), Step.NO_HELO, Step.NR_HELO, macros)

    def mail(self, sender: str | bytes, *parameters: str, macros: Mapping[str, str] | None = None) -> Outcome:
        """MAIL FROM, with angle brackets as on the wire."""
        data = _text(sender) + b"".join(_text(each) for each in parameters)
        return self._step(b"M", data, Step.NO_MAIL, Step.NR_MAIL, macros)

    def rcpt(self, recipient: str | bytes, *parameters: str, macros: Mapping[str, str] | None = None) -> Outcome:
        """RCPT TO, with angle brackets as on the wire."""
        data = _text(recipient) + b"".join(_text(each) for each in parameters)
        return self._step(b"R", data, Step.NO_RCPT, Step.NR_RCPT, macros)

    def data(self, *, macros: Mapping[str, str] | None = None) -> Outcome:
        """The DATA command."""
        return self._step(b"T", b"", Step.NO_DATA, Step.NR_DATA, macros)

    def header(self, name: str | bytes, value: str | bytes) -> Outcome:
        """One header field: everything after the colon, with LF inside where the message is folded."""
        raw = value.encode() if isinstance(value, str) else value
        if Step.LEADING_SPACE not in self.steps:
            raw = raw.removeprefix(b" ")
        return self._step(b"L", _text(name) + raw + b"\0", Step.NO_HEADER, Step.NR_HEADER, None)

    def end_of_header(self) -> Outcome:
        """The empty line after the header."""
        return self._step(b"N", b"", Step.NO_EOH, Step.NR_EOH, None)

    def body(self, content: bytes) -> Outcome:
        """Body bytes with CRLF line ends, cut into the pieces that the protocol allows."""
        outcome = Outcome(disposition=Disposition.CONTINUE)
        for start in range(0, len(content), CHUNK):
            piece = content[start : start + CHUNK]
            outcome = self._step(b"B", piece, Step.NO_BODY, Step.NR_BODY, None)
            if outcome.disposition is not Disposition.CONTINUE:
                break
        return outcome

    def end_of_message(self, *, macros: Mapping[str, str] | None = None) -> Outcome:
        """The final dot: gives the filter's modifications and its answer."""
        if macros:
            self._macros(b"E", macros)
        self._send(b"E", b"")
        return self._answer(final=True)

    def abort(self) -> None:
        """The message in progress is given up; the next one may start with ``mail``."""
        self._send(b"A", b"")

    def message(
        self,
        content: bytes,
        *,
        sender: str,
        recipients: Sequence[str],
        queue_id: str = "4TESTxqueuexid",
        sender_parameters: Sequence[str] = (),
        mail_macros: Mapping[str, str] | None = None,
    ) -> Outcome:
        """A whole message from MAIL to the final dot; addresses are without angle brackets.

        Line ends are made CRLF. The header ends, as in Postfix, at the first line that is not a field.
        A step that is answered early ends the message; it is also kept in ``early``.
        """
        for outcome in self._message_steps(content, sender, recipients, queue_id, sender_parameters, mail_macros):
            if outcome.disposition is not Disposition.CONTINUE:
                return outcome
        return self.end_of_message(macros={"i": queue_id})

    def quit(self) -> None:
        """End the session as an MTA does, and close."""
        try:
            self._send(b"Q", b"")
        except OSError:
            pass  # the filter is gone already: there is nobody to tell
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the connection without a word, as an MTA that died would."""
        self._input.close()
        self._socket.close()

    def __enter__(self) -> MilterClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.quit()

    def _message_steps(
        self,
        content: bytes,
        sender: str,
        recipients: Sequence[str],
        queue_id: str,
        parameters: Sequence[str],
        mail_macros: Mapping[str, str] | None,
    ) -> Iterable[Outcome]:
        fields, body = split(content)
        yield self.mail(f"<{sender}>", *parameters, macros=mail_macros)
        for recipient in recipients:
            yield self.rcpt(f"<{recipient}>", macros={"i": queue_id})
        yield self.data(macros={"i": queue_id})
        for name, value in fields:
            yield self.header(name, value)
        yield self.end_of_header()
        yield self.body(body)

    def _step(
        self, command: bytes, data: bytes, skip: Step, silent: Step, macros: Mapping[str, str] | None
    ) -> Outcome:
        # Postfix sends the macros of a step even where the filter has declined the step itself.
        if macros:
            self._macros(command, macros)
        if skip in self.steps:
            return Outcome(disposition=Disposition.CONTINUE)
        self._send(command, data)
        if silent in self.steps:
            return Outcome(disposition=Disposition.CONTINUE)
        outcome = self._answer(final=False)
        if outcome.disposition is not Disposition.CONTINUE:
            self.early.append((command.decode(), outcome))
        return outcome

    def _macros(self, command: bytes, macros: Mapping[str, str]) -> None:
        pairs = b"".join(_text(_macro_name(name)) + _text(value) for name, value in macros.items())
        self._send(b"D", command + pairs)

    def _answer(self, *, final: bool) -> Outcome:
        changes = _Changes()
        while True:
            letter, data = self._receive()
            changes.letters += letter.decode("latin-1")
            if letter == b"p":
                continue
            if letter == b"y":
                reply = data.rstrip(b"\0").decode()
                kind = Disposition.TEMPFAIL if reply.startswith("4") else Disposition.REJECT
                return changes.outcome(kind, reply)
            if letter in _DISPOSITIONS:
                return changes.outcome(_DISPOSITIONS[letter], "")
            if not final:
                raise MilterGoneError(f"{letter!r} is not an answer to this step")
            changes.take(letter, data)

    def _send(self, command: bytes, data: bytes) -> None:
        self._socket.sendall(_LENGTH.pack(len(data) + 1) + command + data)

    def _receive(self) -> tuple[bytes, bytes]:
        head = self._read(_LENGTH.size)
        (size,) = _LENGTH.unpack(head)
        if size < 1:
            raise MilterGoneError("an empty packet")
        packet = self._read(size)
        return packet[:1], packet[1:]

    def _read(self, size: int) -> bytes:
        data = self._input.read(size)
        if len(data) < size:
            raise MilterGoneError("the filter hung up")
        return data


class _Changes:
    """The modifications of one message, as they come in."""

    def __init__(self) -> None:
        self.letters = ""
        self.added: list[tuple[str, str]] = []
        self.inserted: list[tuple[int, str, str]] = []
        self.changed: list[HeaderChange] = []
        self.deleted: list[str] = []
        self.new_recipients: list[str] = []
        self.new_sender = ""
        self.new_body = b""
        self.held_by_mta = ""

    def take(self, letter: bytes, data: bytes) -> None:
        match letter:
            case b"h":
                name, value = _strings(data)[:2]
                self.added.append((name, value))
            case b"i":
                name, value = _strings(data[4:])[:2]
                self.inserted.append((*_LENGTH.unpack_from(data), name, value))
            case b"m":
                name, value = _strings(data[4:])[:2]
                self.changed.append(HeaderChange(name=name, index=_LENGTH.unpack_from(data)[0], value=value))
            case b"-":
                self.deleted.append(_strings(data)[0])
            case b"+" | b"2":
                self.new_recipients.append(_strings(data)[0])
            case b"e":
                self.new_sender = _strings(data)[0]
            case b"b":
                self.new_body += data
            case b"q":
                self.held_by_mta = _strings(data)[0]
            case _:
                raise MilterGoneError(f"{letter!r} is not a known modification")

    def outcome(self, disposition: Disposition, reply: str) -> Outcome:
        return Outcome(
            disposition=disposition,
            reply=reply,
            added=tuple(self.added),
            inserted=tuple(self.inserted),
            changed=tuple(self.changed),
            deleted=tuple(self.deleted),
            new_recipients=tuple(self.new_recipients),
            new_sender=self.new_sender,
            new_body=self.new_body,
            held_by_mta=self.held_by_mta,
            letters=self.letters,
        )


def split(content: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The header fields as a milter gets them (value with LF, leading space kept), and the body with CRLF."""
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    fields: list[tuple[bytes, bytes]] = []
    used = 0
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:
            name, value = fields[-1]
            fields[-1] = name, value + b"\n" + line
        elif match := _HEADER.match(line):
            fields.append((match[1], match[2]))
        else:
            break
        used += 1
    if used < len(lines) and not lines[used]:
        used += 1
    return fields, b"\r\n".join(lines[used:])


def _dial(address: str, timeout: float) -> socket.socket:
    if address.startswith(("inet:", "inet6:")):
        port, _, host = address.partition(":")[2].partition("@")
        return socket.create_connection((host or "127.0.0.1", int(port)), timeout=timeout)
    dialled = socket.socket(socket.AF_UNIX)
    dialled.settimeout(timeout)
    try:
        dialled.connect(address.removeprefix("unix:"))
    except OSError:
        dialled.close()
        raise
    return dialled


def _macro_name(name: str) -> str:
    return name if len(name) == 1 or name.startswith("{") else f"{{{name}}}"


def _text(value: str | bytes) -> bytes:
    return (value.encode() if isinstance(value, str) else value) + b"\0"


def _strings(data: bytes) -> list[str]:
    return [each.decode() for each in data.removesuffix(b"\0").split(b"\0")]
