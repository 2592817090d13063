"""Files that are put in place whole: what root and the gateway obey must never be half a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost_config import durable


def test_a_file_is_replaced_with_its_mode_and_age(tmp_path: Path) -> None:
    """Postfix reads a file again only when it looks new, so its age can be chosen."""
    path = tmp_path / "main.cf"
    path.write_text("old")
    durable.replace_file(path, b"new", mode=0o640, age=3600.0)
    found = path.stat()
    assert (path.read_bytes(), found.st_mode & 0o7777) == (b"new", 0o640)
    assert abs(found.st_mtime - (tmp_path.stat().st_mtime - 3600)) < 60
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Whoever may write the folder could else have us overwrite any file."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "record"
    path.symlink_to(victim)
    durable.replace_file(path, b"new", mode=0o600)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_what_cannot_take_its_place_is_not_left_behind(tmp_path: Path) -> None:
    """A folder stands there: the error is told, and no stray copy of what may be secret stays."""
    path = tmp_path / "record"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        durable.replace_file(path, b"secret", mode=0o600)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("stopped", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_is_cut_short_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: BaseException
) -> None:
    """A full disk, or a signal, at the worst moment: when all is written and not yet on the disk."""
    path = tmp_path / "record"
    path.write_text("old")

    def stop(_descriptor: int) -> None:
        raise stopped

    monkeypatch.setattr("gatepost_config.durable.os.fsync", stop)
    with pytest.raises(type(stopped)):
        durable.replace_file(path, b"new", mode=0o600)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_staged_file_waits_beside_its_place(tmp_path: Path) -> None:
    """So that several can be on the disk before the first is renamed."""
    path = tmp_path / "staff.csv"
    fresh = durable.stage(path, b"rows", mode=0o640, owner=(-1, os.getegid()))
    assert not path.exists()
    assert (fresh.parent, fresh.read_bytes(), fresh.stat().st_gid) == (tmp_path, b"rows", os.getegid())
