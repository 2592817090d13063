"""The search for a mark must never miss one, nor see one outside its bounds."""

from __future__ import annotations

import mmap

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
