"""What fuzzing has found, each fault with the smallest input that showed it."""

from __future__ import annotations

import time

import pytest
from support.messages import HEADER, file_part, multipart

from gatepost_milter.inspection import encodings, reader
from gatepost_milter.inspection.names import normalise
from gatepost_milter.inspection.words import decode_bytes


@pytest.mark.parametrize("raw", ["\udcffa%41.exe", "a&#xD800;%41.exe", "a&#57343;=?utf-8?q?=2Eexe?="])
def test_a_name_with_half_a_surrogate_pair_is_read_to_its_end(raw: str) -> None:
    """Half a pair cannot be encoded, so a percent escape beside it made the reader raise."""
    found = normalise(raw)
    assert any(name.endswith(".exe") for name in found)
    for name in found:
        name.encode("utf-8")


def test_a_message_with_such_a_name_is_read() -> None:
    """The same through the whole reader: the program is still seen under its name."""
    message = HEADER + multipart(file_part(b"a&#xD800;%2eexe"))
    names = [name for leaf in reader.read(message, max_parts=20).leaves for name in leaf.names]
    assert any(name.endswith(".exe") for name in names)


def test_utf_7_gives_no_half_surrogate_pair() -> None:
    """UTF-7 is the one charset that can spell one; rules, notices and the store all write UTF-8."""
    assert decode_bytes(b"a+2AA-b", "utf-7") == "a\ufffdb"
    assert decode_bytes(b"+2D3cqQ-", "utf-7") == "\U0001f4a9"


def test_a_thousand_yenc_beginnings_are_not_a_thousand_copies() -> None:
    """Each beginning ran to the end of the text, so 1 MB of them decoded to 50 GB."""
    text = b"=ybegin line=128 size=9 name=a.exe\r\n" * 3000
    began = time.process_time()
    assert sum(len(content) for _, content in encodings.decode(text, "yenc")) <= len(text)
    assert time.process_time() - began < 1.0


def test_parts_with_several_headers_do_not_multiply_past_the_limit() -> None:
    """Each reading of a header lists a part of its own, so 200 parts were listed as 446."""
    part = b"Content-Type: a/b\r\n \t\r\nContent-Type: c/d\r\njunk\r\nContent-Type: e/f\r\n\r\nx\r\n"
    read = reader.read(HEADER + multipart(*(part + b"%d\r\n" % each for each in range(100))), max_parts=110)
    assert len(read.parts) == 220
    assert "too-many-parts" in {defect.code for defect in read.defects}
