"""What the worker settles without an inspector must be what an inspector would have said, or it opens a door."""

from __future__ import annotations

import base64
import json
import mmap
import random
import re
import struct
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import files
from support.corpus.hostile import CASES

from gatepost_milter.inspection import (
    detect,
    filetypes,
    inspector,
    marks,
    reader,
    settled,
    sight,
    unopened,
    wire,
)
from gatepost_milter.inspection.containers import archived, cards, hypertext, mail, richtext, squeezed, texts, tnef
from gatepost_milter.inspection.containers.walk import Budget, Scratch
from gatepost_milter.inspection.model import Attachment, Leaf

_BOUNDS = wire.Bounds(depth=12, members=5000, expanded=512 * 1024 * 1024, texts=100_000)
_TYPE = "application/octet-stream"
_PICTURES = (b"\xff\xd8\xff\xe0\0\x10JFIF\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"GIF89a\1\0\1\0")
_MAGIC = Path("/usr/lib/file/magic.mgc")

# What is opened behind other data: marks with what has to follow them.
_BEHIND = (
    b"7z\xbc\xaf\x27\x1c\0\4",
    b"Rar!\x1a\7\1\0",
    b"MSCF\0\0\0\0abcd\0\0\0\0abcd\0\0\0\0\3\1",
    struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0),
)

# Every mark by which something here opens a file, where it stands; and pieces that make some of them count.
_MARKS = (
    *((at, mark) for at, mark, _, _ in archived._MARKS),
    *((0, mark) for mark, _, _ in squeezed._KINDS),
    *((0, mark) for mark in hypertext._STARTS),
    *((0, mark) for mark in (tnef._MARK, cards._SINGLE, cards._DOUBLE, b"{\\rtf1", b"%PDF-1.4", b"ActiveMime")),
    *((0, mark) for mark in (richtext._ONENOTE, *richtext._ONENOTE_OTHERS)),
    *((0, b"\x30\x80" + mark) for mark in (mail._SIGNED, mail._ENVELOPED, mail._COMPRESSED)),
    *((700, b"%PDF-1.4"), (32769, b"CD001"), (32769, b"NSR02"), (510, b"\x55\xaa")),
    *((at, b"\xcd\x21") for at in (2, 4, 5, 7, 10, 13, 18, 23, 30, 70)),
    (0, files.windows_program()[:140]),
    (0, files.linux_program()[:64]),
    *((5000, mark) for mark in _BEHIND[:-1]),
    (-22, _BEHIND[-1]),
    (-512, b"koly\0\0\0\4"),
)


def _words(module: object) -> Iterator[str]:
    for value in vars(module).values():
        if isinstance(value, frozenset | dict):
            yield from (each for each in value if isinstance(each, str) and "/" not in each)


# Every ending of a name that something here goes by.
_ENDINGS = sorted(
    {"", "001", "r00", "z01", "7"}
    | set(filetypes.table())
    | {each for module in (archived, squeezed, mail, hypertext, texts) for each in _words(module)}
)


def _leaf(encoded: bytes, *names: str, claimed: str = _TYPE, start: int = 0) -> Leaf:
    return Leaf(
        number="2",
        path="part 2",
        names=names,
        claimed=claimed,
        encoding="base64",
        start=start,
        end=start + len(encoded),
    )


def _inspector_says(data: bytes, leaf: Leaf) -> wire.Answer:
    """The answer of an inspector, through the wire, with the words of files asked for."""
    budget = Budget(bounds=_BOUNDS, size=len(data), until=time.monotonic() + 60)
    words = texts.Texts(left=_BOUNDS.texts, budget=budget)
    with tempfile.TemporaryFile() as scratch:
        answer = inspector.examine(data, leaf, budget=budget, scratch=Scratch(scratch.fileno()), words=words)
    return wire.read_answer(json.loads(json.dumps(answer.to_json())), leaf=leaf, bounds=_BOUNDS)


def _agrees(data: bytes, leaf: Leaf) -> bool:
    """Whether the leaf was settled; fails if an inspector says anything else, also without the first look."""
    found = settled.attachments(data, [leaf])
    if found is None:
        return False
    answer = _inspector_says(data, leaf)
    assert (answer.attachments, answer.defects, answer.texts) == (found, (), ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sight, "opinion", lambda _: None)
        closer = _inspector_says(data, leaf)
    assert not closer.defects
    assert [_judged(each) for each in closer.attachments] == [_judged(each) for each in found]
    return True


def _judged(attachment: Attachment) -> tuple[object, ...]:
    return (
        attachment.path,
        attachment.names,
        attachment.size,
        attachment.classes,
        attachment.tier,
        attachment.depth,
    )


def _encoded(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("start", [b"\xaa\x55", *_PICTURES])
@pytest.mark.parametrize("name", ["scan.dat", "Foto März.jpg", "IMG_0001", ""])
def test_pictures_and_noise_are_settled(start: bytes, name: str) -> None:
    """What most mail with a file carries costs no hand-over to another process."""
    encoded = _encoded(start + files.noise(20_000))
    assert _agrees(encoded, _leaf(encoded, *filter(None, [name])))


@pytest.mark.parametrize("start", [b"\xaa\x55", *_PICTURES])
def test_every_mark_agrees(start: bytes) -> None:
    """Each mark in its place, behind the first bytes of a picture or over those of noise."""
    for at, mark in _MARKS:
        content = bytearray(start + files.noise(40_000))
        content[at : at + len(mark) if at >= 0 else None] = mark
        encoded = _encoded(bytes(content))
        _agrees(encoded, _leaf(encoded, "a.dat"))


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    start=st.sampled_from([b"", *_PICTURES]) | st.binary(max_size=6),
    mark=st.sampled_from(_MARKS),
    ending=st.sampled_from(_ENDINGS),
    size=st.sampled_from([4096, 9000, 40_000]),
)
def test_marks_and_names_agree(seed: int, start: bytes, mark: tuple[int, bytes], ending: str, size: int) -> None:
    """A mark in a picture or in noise, under any name: settled only if the inspector finds nothing in it."""
    content = bytearray(start + random.Random(seed).randbytes(size))
    at, letters = mark
    content[at : at + len(letters) if at >= 0 else None] = letters
    encoded = _encoded(bytes(content))
    _agrees(encoded, _leaf(encoded, f"file.{ending}"))


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(), start=st.binary(min_size=2, max_size=4), ending=st.sampled_from(_ENDINGS))
@example(seed=1, start=b"\x8c\x0d\x04\x09", ending="dat")
@example(seed=1, start=b"MZ\x90\0", ending="dat")
def test_first_bytes_agree(seed: int, start: bytes, ending: str) -> None:
    """Whatever noise begins with, the list of libmagic adds nothing that counts."""
    encoded = _encoded(start + random.Random(seed).randbytes(6000))
    _agrees(encoded, _leaf(encoded, f"file.{ending}"))


@pytest.mark.parametrize("ending", _ENDINGS)
def test_names_that_open_files_are_not_settled(ending: str) -> None:
    """A file that is opened by its name goes to an inspector even if it looks like noise or a picture."""
    for start in (b"\xaa\x55", _PICTURES[0]):
        encoded = _encoded(start + files.noise(6000))
        _agrees(encoded, _leaf(encoded, f"file.{ending}"))


@pytest.mark.parametrize("claimed", sorted(settled._CLAIMS))
def test_claims_agree(claimed: str) -> None:
    """The types of message parts that are settled are those by which nothing is opened."""
    for start in (b"\xaa\x55", *_PICTURES):
        encoded = _encoded(start + files.noise(6000))
        assert _agrees(encoded, _leaf(encoded, "a.dat", claimed=claimed))


@pytest.mark.parametrize(
    "encoded",
    [
        _encoded(files.noise(6000, seed=3) + files.zipped({"a.exe": files.windows_program()})),
        _encoded(_PICTURES[0] + files.noise(6000) + b"7z\xbc\xaf\x27\x1c\0\4" + files.noise(600)),
        _encoded(_PICTURES[1] + b"%PDF-1.4" + files.noise(6000)),
        _encoded(files.noise(6000))[:4000] + b"!!" + _encoded(files.noise(6000))[4000:],
        base64.b64encode(files.noise(210_000)) + b"\r\n" + base64.b64encode(files.noise(90_000)),
        _encoded(b"plain words " * 1000),
        b"",
    ],
    ids=[
        "zip behind noise",
        "7z behind a picture",
        "pdf in a picture",
        "broken base64",
        "long lines",
        "text",
        "empty",
    ],
)
def test_doubt_is_left_to_the_inspector(encoded: bytes) -> None:
    """Nothing that could hold a file, and nothing read in two ways, is settled."""
    assert settled.attachments(encoded, [_leaf(encoded, "a.dat")]) is None


_SIZE = 230_000  # bytes of a file that is decoded in many pieces, and whose middle ``detect`` does not get to see
_SMALL_PIECE = 24 * 1024
_NEARER = 150_000


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is true of large files, shown on files that an inspector looks through in no time."""
    monkeypatch.setattr(settled, "_PIECE", _SMALL_PIECE)
    monkeypatch.setattr(marks, "FAR", _NEARER)


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("start", [b"\xaa\x55", *_PICTURES])
def test_every_mark_agrees_in_large_files(start: bytes) -> None:
    """Each mark in its place, at the seam of two pieces, in the middle and at the end of a file of many pieces."""
    noise = files.noise(_SIZE)
    step = _SMALL_PIECE // 76 * 57
    edges = [at + beside for at in (5 * step, _SIZE // step * step, _NEARER) for beside in range(-30, 32, 2)]
    anywhere = [1, 7000, *edges, _SIZE // 2, _NEARER + 20_000, _SIZE - 60_000, _SIZE - 40]
    fixed = [(at, mark) for at, pattern, _ in unopened._FRONT if (mark := _letters(pattern))]
    found = [(len(noise) + at, mark) for at, pattern, _ in unopened._BACK if (mark := _letters(pattern))]
    behind = [(at, mark) for mark in _BEHIND for at in anywhere]
    settled_ones = 0
    for at, mark in (*_MARKS, *fixed, *found, *behind):
        content = bytearray(start + noise[len(start) :])
        content[at : at + len(mark) if at >= 0 else None] = mark
        encoded = _encoded(bytes(content))
        settled_ones += _agrees(encoded, _leaf(encoded, "a.dat"))
    assert settled_ones


def _letters(pattern: bytes) -> bytes:
    """The bytes that a pattern without any choice stands for, nothing for others."""
    return pattern if re.fullmatch(rb"[A-Za-z0-9_-]+", pattern) else b""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from([b"\xaa\x55", *_PICTURES]),
    mark=st.sampled_from([*_BEHIND, b"CD001", b"_BHRfS_M", b"koly"]),
    at=st.integers(8, _SIZE - 8),
    size=st.integers(_SIZE - 80_000, _SIZE),
    width=st.sampled_from([4, 60, 76, 1024]),
    ending=st.sampled_from([b"\n", b"\r\n"]),
)
@pytest.mark.usefixtures("_small_pieces")
def test_marks_anywhere_in_large_files_agree(
    start: bytes, mark: bytes, at: int, size: int, width: int, ending: bytes
) -> None:
    """Wherever a mark stands and however long the lines are, pieces show what the whole shows."""
    content = bytearray(start + files.noise(size))
    content[at : at + len(mark)] = mark
    letters = base64.b64encode(content)
    encoded = ending.join(letters[line : line + width] for line in range(0, len(letters), width))
    _agrees(encoded, _leaf(encoded, "a.dat"))


def test_what_points_into_the_middle_is_left_to_the_inspector() -> None:
    """A program behind an empty line and a partition table say themselves where the rest of them stands."""
    noise = files.noise(_SIZE)
    disk = bytearray(_PICTURES[0] + noise)
    disk[446:512] = struct.pack("<B3xB3xII", 0x80, 7, 400, 1) + bytes(48) + b"\x55\xaa"
    for content in (b"\r\n" + noise, bytes(disk)):
        assert sight.opinion(content)
        encoded = _encoded(content)
        assert settled.attachments(encoded, [_leaf(encoded, "a.dat")]) is None


def test_what_detect_looks_at_is_left_in() -> None:
    """A file without its middle has all bytes at which marks are looked for at their places."""
    reach = max(at + 64 for at, _, _ in unopened._FRONT)
    assert max(reach, 32768 + 20480) <= settled._FRONT
    assert max(map(len, _BEHIND[:-1])) == marks.LONGEST
    assert settled._BACK >= marks.ZIP_TAIL > unopened._SECTOR


def test_large_pictures_are_settled_without_their_bytes_in_memory() -> None:
    """Photographs are what most large mail is made of; of each, one piece at a time is held."""
    encoded = _encoded(_PICTURES[0] + files.noise(6_000_000))
    leaf = _leaf(encoded, "Foto.jpg")
    with mmap.mmap(-1, len(encoded)) as spooled:
        spooled.write(encoded)
        tracemalloc.start()
        try:
            found = settled.attachments(spooled, [leaf])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert found == _inspector_says(encoded, leaf).attachments
    assert peak < 1024 * 1024


def test_the_same_bytes_are_not_settled_twice() -> None:
    """A message can be read as thousands of files over one range; only an inspector is stopped at a deadline."""
    encoded = _encoded(_PICTURES[0] + files.noise(20_000))
    assert settled.attachments(encoded, [_leaf(encoded, "a.jpg")]) is not None
    assert settled.attachments(encoded, [_leaf(encoded, "a.jpg"), _leaf(encoded, "b.jpg")]) is None


def test_one_file_in_doubt_leaves_all_to_the_inspector() -> None:
    """The order of what is found stays that of the message."""
    sure, doubtful = _encoded(_PICTURES[0] + files.noise(6000)), _encoded(files.windows_program())
    leaves = [_leaf(sure, "a.jpg"), _leaf(doubtful, "b.jpg", start=len(sure))]
    assert settled.attachments(sure, leaves[:1]) is not None
    assert settled.attachments(sure + doubtful, leaves) is None


def test_the_hostile_corpus_agrees() -> None:
    """Of everything that hides a program, what is settled is what the inspector says."""
    for case in CASES:
        data = case.build()
        for leaf in reader.read(data, max_parts=1000, until=time.monotonic() + 60).leaves:
            _agrees(data, leaf)


_VERSION = (0xF11E041C, 18)  # the compiled form of libmagic's descriptions: magic.h of file 5.40 to 5.45
_STRING, _SEARCH, _NAME, _USE = 5, 20, 45, 46
_FROM_END = 0x80
_BIG = {7: 2, 8: 4, 26: 8, 39: 3}  # types of numbers by their octets, most significant first
_LITTLE = {1: 1, 2: 2, 4: 4, 10: 2, 11: 4, 24: 8, 25: 8, 40: 3}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of libmagic's descriptions, of those fields that tell what it compares with what."""

    level: int
    relation: str
    kind: int
    offset: int
    value: bytes
    counts: bool

    def mark(self) -> bytes:
        """The bytes that it looks for; empty for what is no plain comparison."""
        if self.relation != "=":
            return b""
        if self.kind in (_STRING, _SEARCH):
            return self.value
        big, little = _BIG.get(self.kind, 0), _LITTLE.get(self.kind, 0)
        return self.value[:big][::-1] or self.value[:little]


def _lines() -> Iterator[_Line]:
    data = _MAGIC.read_bytes()
    for at in range(376, len(data), 376):
        level, flags, _, relation, length, kind, *_, offset = struct.unpack_from("<HBBBBBBBBBBi", data, at)
        words, mime = (
            data[at + a : at + b].partition(b"\0")[0].decode("latin-1") for a, b in ((160, 224), (224, 304))
        )
        value = data[at + 32 : at + 160]
        yield _Line(
            level=level,
            relation=chr(relation),
            kind=kind,
            offset=-offset if flags & _FROM_END else offset,
            value=value[:length]
            if kind in (_STRING, _SEARCH)
            else value.partition(b"\0")[0]
            if kind in (_NAME, _USE)
            else value,
            counts=mime in detect._BY_MIME or bool(detect._DESCRIBED.match(words.lstrip("\b"))),
        )


def _openings() -> list[_Line]:
    """The first lines of all descriptions that may end in a type or in words that ``detect`` acts on."""
    groups: list[list[_Line]] = []
    for line in _lines():
        groups += [[]] if line.level == 0 else []
        groups[-1].append(line)
    counted: list[list[_Line]] = []
    names: set[bytes] = set()
    while more := [
        group
        for group in groups
        if group not in counted
        and any(each.counts or (each.kind == _USE and each.value.lstrip(b"^\\") in names) for each in group)
    ]:
        counted += more
        names |= {group[0].value for group in more if group[0].kind == _NAME}
    return [group[0] for group in counted if group[0].kind != _NAME]


@pytest.mark.skipif(
    not _MAGIC.exists() or struct.unpack_from("<II", _MAGIC.read_bytes()) != _VERSION,
    reason="another version of libmagic's descriptions",
)
def test_marks_of_libmagic_that_count_are_no_noise() -> None:
    """Every mark behind which libmagic may name a program, an archive or an encrypted file ends the first look."""
    noise = files.noise(16_384, seed=2)
    assert sight.is_noise(noise)
    openings = [each for each in _openings() if each.offset < len(noise)]  # more is never shown to libmagic
    assert len(openings) > 90
    missed = []
    for each in openings:
        content = bytearray(noise)
        mark = each.mark() if each.offset >= 0 else files.zipped({})  # the one that is sought from the end
        assert mark, each
        at = each.offset if each.offset >= 0 else len(noise) - len(mark)
        content[at : at + len(mark)] = mark
        if sight.is_noise(bytes(content)):
            missed.append((at, mark))
    assert not missed
