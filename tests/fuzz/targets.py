"""Owns the fuzz targets: what must hold for every input, and the inputs that a fuzzer starts from.

A target takes bytes and raises when a promise of inspection is broken. It runs in the fuzzer's own process,
without the sandbox that surrounds containers in the daemon, so that a fault shows itself.
"""

from __future__ import annotations

import json
import lzma
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from support import files, messages
from support.corpus.hostile import CASES

from gatepost_milter.inspection import encodings, fields, headers, inspector, reader, recipients, text, wire
from gatepost_milter.inspection.containers import walk
from gatepost_milter.inspection.defects import DEFECTS
from gatepost_milter.inspection.filetypes import lookup
from gatepost_milter.inspection.model import Leaf
from gatepost_milter.inspection.names import MAX_NAMES, normalise

LARGEST = 48 * 1024  # bytes of a seed: a fuzzer that drags long inputs along tries few
SECONDS = 5.0  # that opening one input may take; the soft limit of the walk is half of it
_PARTS = 200
_MOST = 23  # times its length that a text may decode to: a uuencoded line of one letter stands for 45 zeros
_GOLDEN = Path(__file__).parent.parent / "golden"
_SAMPLES = Path(__file__).parent.parent / "samples"

_NAMES = (
    "", "file", "a.exe", "a.zip", "a.docx", "a.xlsm", "a.doc", "a.xls", "a.msg", "winmail.dat", "a.pdf", "a.rtf",
    "a.one", "a.html", "a.svg", "a.eml", "a.mbox", "a.p7m", "a.txt", "a.js", "a.lnk", "a.gz", "a.bz2", "a.xz",
    "a.lzma", "a.zst", "a.7z", "a.rar", "a.cab", "a.tar", "a.iso", "a.vhd", "a.deb", "a.rpm", "a.cpio", "a.lzh",
    "a.b64", "a.uue", "a.csv", "a.odt", "a.jar", "a.ics", "a.vcf", "a.xml", "a.hqx", "a.z", "a.tgz", "a.jpg",
)  # fmt: skip
_CLAIMS = (
    "application/octet-stream", "text/plain", "text/html", "message/rfc822", "multipart/mixed",
    "application/pkcs7-mime", "application/ms-tnef", "image/svg+xml",
)  # fmt: skip
_ENCODINGS = ("base64", "quoted-printable", "uuencode", "yenc", "identity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to try: ``run`` raises when a promise is broken, ``seeds`` are inputs worth changing."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]


# -- what must hold ----------------------------------------------------------------------------------------------


def read_message(data: bytes) -> None:
    """Reading ends, keeps inside the message, and every text in it can be made."""
    began = time.process_time()
    reading = reader.read(data, max_parts=_PARTS)
    for leaf in reading.leaves:
        assert 0 <= leaf.start <= leaf.end <= len(data)
        assert all(leaf.names)
    unknown = {defect.code for defect in reading.defects} - set(DEFECTS)
    assert not unknown, unknown
    assert len(reading.parts) <= 2 * _PARTS
    for inline in reading.texts:
        leaf = inline.leaf
        made = text.make(data[leaf.start : leaf.end], leaf.encoding, inline.charset, is_html=inline.html)
        made.encode("utf-8")
    for found in recipients.visible(reading.fields):
        found.address.encode("utf-8", "surrogateescape")
    _in_time(began, len(data))


def read_header(data: bytes) -> None:
    """Every reading of a header gives fields that can be understood, and a body inside the message."""
    began = time.process_time()
    header = headers.read_header(data, 0, len(data))
    assert header.readings
    for reading in header.readings:
        assert 0 <= reading.body <= len(data)
        content = fields.read_content(reading.fields)
        assert content.encodings
        assert set(content.defects) <= set(DEFECTS), content.defects
        for media_type in content.types:
            assert media_type.type == media_type.type.lower()
        recipients.visible(reading.fields)
        recipients.senders(reading.fields, "from", "From")
        recipients.is_automatic(reading.fields)
    _in_time(began, len(data))


def read_name(data: bytes) -> None:
    """Names come out tidy, few, and the same when they are tidied again."""
    began = time.process_time()
    found = normalise(data.decode("utf-8", "surrogateescape"))
    assert len(found) <= MAX_NAMES
    for name in found:
        assert name
        assert not any(ord(character) < 0x20 for character in name), name
        assert not name.endswith((".", " ")), name
        assert "/" not in name, name
        lookup(name)
    for name in found[:4]:
        assert name in normalise(name), (name, normalise(name))
    _in_time(began, len(data))


def read_encoding(data: bytes) -> None:
    """Decoding gives at least one reading, none twice, and not much more than went in."""
    began = time.process_time()
    if not data:
        return
    encoding, body = _ENCODINGS[data[0] % len(_ENCODINGS)], data[1:]
    decoded = encodings.decode(body, encoding)
    assert decoded
    assert sum(len(content) for _, content in decoded) <= _MOST * len(body) + 64
    code = encodings.defect(encoding, decoded)
    assert not code or code in DEFECTS, code
    embedded = encodings.embedded(body)
    assert sum(len(content) for _, content in embedded) <= _MOST * len(body) + 64
    assert encodings.has_embedded(body) or not any(name for name, _ in embedded)
    _in_time(began, len(data))


def open_file(data: bytes) -> None:
    """Opening a file ends in time, and in facts that the worker accepts; no fault of our own hides in it."""
    if len(data) < 2:
        return
    name, claimed, content = _NAMES[data[0] % len(_NAMES)], _CLAIMS[data[1] % len(_CLAIMS)], data[2:]
    leaf = Leaf(
        number="2", path="part 2", names=(name,) if name else (), claimed=claimed, encoding="identity", start=0,
        end=len(content),
    )  # fmt: skip
    bounds = wire.Bounds(depth=6, members=300, expanded=32 * 1024 * 1024)
    began = time.monotonic()
    budget = walk.Budget(bounds=bounds, size=len(content), until=began + SECONDS / 2)
    answer = inspector.examine(content, leaf, budget=budget, scratch=_scratch())
    took = time.monotonic() - began
    assert not answer.failure, answer.failure
    assert took < SECONDS, f"{took:.1f} s for {len(content)} bytes"
    told = wire.read_answer(json.loads(json.dumps(answer.to_json())), leaf=leaf, bounds=bounds)
    assert told.attachments
    unknown = {defect.code for defect in told.defects} - set(DEFECTS)
    assert not unknown, unknown


def _in_time(began: float, size: int) -> None:
    """Reading is linear: 50 µs a byte is a hundred times what the worst honest message takes when instrumented."""
    took = time.process_time() - began
    assert took < 1 + size * 50e-6, f"{took:.2f} s for {size} bytes"


@cache
def _scratch() -> walk.Scratch:
    walk.warm_up()
    return walk.Scratch(os.memfd_create("scratch"))


# -- what to start from ------------------------------------------------------------------------------------------


def _messages() -> Iterator[bytes]:
    yield messages.message(messages.multipart(messages.text_part(), messages.file_part()))
    yield messages.message(b"\r\nHello\r\n" + messages.uu() + messages.yenc())
    for path in sorted(_GOLDEN.glob("*/message.eml")):
        yield path.read_bytes()
    for case in CASES:
        yield _built(case.build)


@cache
def _built(build: Callable[[], bytes]) -> bytes:
    return build()


def message_seeds() -> Iterator[bytes]:
    """Whole messages, long ones cut: their structure is at the start."""
    for message in _messages():
        yield message[:LARGEST]


def header_seeds() -> Iterator[bytes]:
    """The headers of those messages and of their parts."""
    for message in _messages():
        yield message.partition(b"\r\n\r\n")[0][:4096] + b"\r\n\r\n"
        for part in reader.read(message, max_parts=_PARTS).parts[1:20]:
            yield message[max(0, part.start - 400) : part.start]


def name_seeds() -> Iterator[bytes]:
    """The names in those messages, raw and read."""
    for message in _messages():
        for leaf in reader.read(message, max_parts=_PARTS).leaves[:20]:
            for name in leaf.names[:4]:
                yield name.encode("utf-8", "surrogateescape")
    yield "=?utf-8?q?a=2Eexe?= ''%2e%00 &#46;\u202egpj.exe::$DATA".encode()


def encoding_seeds() -> Iterator[bytes]:
    """The encoded parts of those messages."""
    for message in _messages():
        for leaf in reader.read(message, max_parts=_PARTS).leaves[:20]:
            if leaf.encoding in _ENCODINGS:
                body = message[leaf.start : min(leaf.end, leaf.start + 4096)]
                yield bytes([_ENCODINGS.index(leaf.encoding)]) + body


def file_seeds() -> Iterator[bytes]:
    """The files in those messages, each with a name of its kind, and small ones of the kinds that are large."""
    for content in (files.windows_program(), files.linux_program(), files.zipped({"a.exe": b"MZ"}), b"", b"text"):
        yield b"\x01\0" + content
    for path in sorted(_SAMPLES.glob("*.xz")):
        yield b"\x01\0" + lzma.decompress(path.read_bytes())[:LARGEST]
    for message in _messages():
        for leaf in reader.read(message, max_parts=_PARTS).leaves[:20]:
            for _, content in encodings.decode(message[leaf.start : leaf.end], leaf.encoding)[:1]:
                if len(content) <= LARGEST:
                    yield _labelled(leaf) + content


def _labelled(leaf: Leaf) -> bytes:
    extension = leaf.names[0].rpartition(".")[2].lower() if leaf.names else ""
    name = next((at for at, each in enumerate(_NAMES) if extension and each.endswith("." + extension)), 1)
    return bytes([name, _CLAIMS.index(leaf.claimed) if leaf.claimed in _CLAIMS else 0])


TARGETS = {
    each.name: each
    for each in (
        Target(name="reader", run=read_message, seeds=message_seeds),
        Target(name="headers", run=read_header, seeds=header_seeds),
        Target(name="names", run=read_name, seeds=name_seeds),
        Target(name="encodings", run=read_encoding, seeds=encoding_seeds),
        Target(name="containers", run=open_file, seeds=file_seeds),
    )
}
