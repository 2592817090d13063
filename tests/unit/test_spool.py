"""The spool keeps every byte or says that it cannot: it never shortens a message."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gatepost_milter.spool import Spool, SpoolFullError


def spool(directory: Path, *, memory: int = 10, limit: int = 100) -> Spool:
    return Spool(directory=directory, memory=memory, limit=limit)


def test_a_small_message_stays_in_memory(tmp_path: Path) -> None:
    """Most mail is small, and must not cost a file."""
    with spool(tmp_path) as content:
        content.write(b"0123456789")

        assert content.descriptor is None
        assert list(content.chunks()) == [b"0123456789"]


def test_a_large_message_moves_to_a_file_that_nobody_can_name(tmp_path: Path) -> None:
    """However the process ends, no message is left lying about."""
    with spool(tmp_path) as content:
        content.write(b"0123456789")
        content.write(b"a")

        assert content.descriptor is not None
        assert os.fstat(content.descriptor).st_nlink == 0
        assert list(tmp_path.iterdir()) == []
        assert b"".join(content.chunks(3)) == b"0123456789a"
        with content.view() as view:
            assert bytes(view[:]) == b"0123456789a"


def test_a_file_system_that_cannot_make_nameless_files_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS and some container file systems refuse O_TMPFILE."""
    real = os.open

    def without_nameless(path: os.PathLike[str] | str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", without_nameless)
    with spool(tmp_path, memory=0) as content:
        content.write(b"abc")

        assert content.descriptor is not None
        assert os.fstat(content.descriptor).st_nlink == 0
        assert b"".join(content.chunks()) == b"abc"


def test_the_limit_is_exact(tmp_path: Path) -> None:
    """A message of exactly the limit is kept; one byte more is refused, and nothing is cut off."""
    with spool(tmp_path, limit=12) as content:
        content.write(b"x" * 12)
        with pytest.raises(SpoolFullError, match="12 bytes"):
            content.write(b"y")

        assert content.size == 12


def test_a_disk_that_cannot_take_it_is_an_error(tmp_path: Path) -> None:
    """The session turns this into a temp-fail: the client keeps the message."""
    with spool(tmp_path / "missing") as content, pytest.raises(OSError, match="No such file"):
        content.write(b"x" * 11)


def test_closing_twice_is_harmless_and_frees_the_descriptor(tmp_path: Path) -> None:
    """abort, close and end of message may all give the same spool up."""
    content = spool(tmp_path, memory=0)
    content.write(b"abc")
    descriptor = content.descriptor
    assert descriptor is not None
    content.close()
    content.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
