"""The search for a mark must never miss one, nor see one outside its bounds."""

from __future__ import annotations

import mmap
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.inspection import marks


@given(st.binary(max_size=20), st.integers(0, 9000), st.integers(0, 9000), st.integers(0, 12000))
def test_it_finds_what_python_finds(mark: bytes, at: int, start: int, end: int) -> None:
    """An archive behind a picture is opened only if its mark is found."""
    data = bytes(at) + mark + b"\xff" * (9000 - at)
    assert marks.find(data, mark, start, end) == data.find(mark, start, end)


def test_it_looks_into_mapped_files_too() -> None:
    """What is unpacked to disk is searched like what is in memory."""
    with mmap.mmap(-1, 10_000) as data:
        data[9000:9004] = b"Rar!"
        assert marks.find(data, b"Rar!", 1, 10_000) == 9000


_FORMS = {
    "7z": re.compile(rb"7z\xbc\xaf\x27\x1c\x00[\x00-\x04]"),
    "rar": re.compile(rb"Rar!\x1a\x07[\x00\x01]"),
    "cab": re.compile(rb"(?s)MSCF\0{4}.{4}\0{4}.{4}\0{4}\x03\x01"),
}
_SCRAPS = st.sampled_from([
    b"7z\xbc\xaf\x27\x1c", b"\0\4", b"\0\5", b"Rar!\x1a\7", b"\0", b"\1", b"MSCF\0\0\0\0", b"abcd",
    b"\n\xff\x80\n", b"\0\0\0\0", b"\3\1", b"MSCF\0\0\0\0abcd\0\0\0\0\n\n\n\n\0\0\0\0\3\1",
])  # fmt: skip


@given(st.lists(_SCRAPS, max_size=12).map(b"".join), st.integers(0, 60), st.integers(0, 120))
def test_archives_are_found_where_python_finds_them(data: bytes, start: int, end: int) -> None:
    """A mark counts only with what follows it, and both must lie between the bounds."""
    expected = None
    for kind, form in _FORMS.items():
        found = form.search(data, start, end)
        if found and expected is None:
            expected = kind, found.start()
    assert marks.archive(data, start, end) == expected
    if data:
        with mmap.mmap(-1, len(data)) as mapped:
            mapped[:] = data
            assert marks.archive(mapped, start, end) == expected


@pytest.mark.parametrize("mark", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\7", b"MSCF\0\0\0\0", b"R", b"M", b"\0"])
def test_what_is_nothing_but_marks_takes_no_longer(mark: bytes) -> None:
    """A file of marks that nothing follows must not keep an inspector busy: 8 MB of them take it some 40 ms."""
    data = mark * (marks.FAR // len(mark))
    began = time.process_time()
    assert marks.archive(data, 1, len(data)) is None
    assert time.process_time() - began < 1
