"""Where replayed mails come from: every form of mailbox, also broken ones, and nothing that is no mail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.cli import mail_sources

LIMIT = 10_000
LETTER = b"From: a@outside.example\nTo: t@school.example\nSubject: Trip\n\nOn Friday.\n"
WIRE = LETTER.replace(b"\n", b"\r\n")
FROM_ = b"From a@outside.example Mon Nov  2 10:00:00 2026\n"


def mails(*paths: Path, limit: int = LIMIT) -> list[mail_sources.Mail]:
    files, _ = mail_sources.find(paths)
    return list(mail_sources.read(files, limit=limit))


def test_a_maildir_gives_what_was_delivered(tmp_path: Path) -> None:
    """New and read mail, its subfolders too; not what is being delivered, nor the server's own files."""
    for folder in ("cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("new/1.a", "cur/2.b:2,S", ".Sent/cur/3.c:2,S", "tmp/4.d", "dovecot.index"):
        (tmp_path / name).write_bytes(LETTER)
    assert [Path(each.name).name for each in mails(tmp_path)] == ["3.c:2,S", "2.b:2,S", "1.a"]
    assert {each.content for each in mails(tmp_path)} == {WIRE}


def test_an_mbox_is_cut_at_its_from_lines(tmp_path: Path) -> None:
    """Only after an empty line: a letter may have a line that begins with From."""
    path = tmp_path / "archive"
    odd = LETTER + b"From here it is a mile.\n"
    path.write_bytes(FROM_ + LETTER + b"\n" + FROM_ + odd + b"\n" + FROM_ + LETTER)
    found = mails(path)
    assert [each.name for each in found] == [f"{path}:{number}" for number in (1, 2, 3)]
    assert [each.content for each in found] == [WIRE, odd.replace(b"\n", b"\r\n"), WIRE]
    assert sum(each.weight for each in found) == path.stat().st_size


def test_folders_are_searched_for_message_files(tmp_path: Path) -> None:
    """By the ends of their names; a file that is given by itself needs no such end."""
    (tmp_path / "deep").mkdir()
    for name in ("b.EML", "deep/a.eml", "notes.txt"):
        (tmp_path / name).write_bytes(LETTER)
    (tmp_path / "old.mbox").write_bytes(FROM_ + LETTER)
    assert [Path(each.name).name for each in mails(tmp_path)] == ["b.EML", "old.mbox:1", "a.eml"]
    assert [each.content for each in mails(tmp_path / "notes.txt")] == [WIRE]


def test_what_cannot_be_read_is_told_in_its_place(tmp_path: Path) -> None:
    """And the rest is read all the same."""
    (tmp_path / "a.eml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.eml").write_bytes(LETTER)
    first, second = mails(tmp_path)
    assert "No such file" in first.failure
    assert second.content == WIRE


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Somebody may have put one into a folder."""
    os.mkfifo(tmp_path / "trap.eml")
    (tmp_path / "b.eml").write_bytes(LETTER)
    assert [Path(each.name).name for each in mails(tmp_path)] == ["b.eml"]


def test_what_is_too_large_is_told_and_the_next_is_read(tmp_path: Path) -> None:
    """The gateway would have refused it; it must not fill the memory either."""
    huge = LETTER + b"x" * 2 * LIMIT + b"\n"
    (tmp_path / "a.mbox").write_bytes(FROM_ + huge + b"\n" + FROM_ + LETTER)
    (tmp_path / "b.eml").write_bytes(huge)
    first, second, third = mails(tmp_path)
    assert "larger than 10,000 bytes" in first.failure
    assert second.content == WIRE
    assert "larger than 10,000 bytes" in third.failure


@given(content=st.lists(st.sampled_from([FROM_, b"\n", b"\r\n", b"\r", b"a: b\n", b"\0", b"From "])).map(b"".join))
def test_no_byte_of_an_mbox_is_counted_twice_or_left_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Whatever it holds: progress adds up, and nothing is raised."""
    path = tmp_path_factory.mktemp("any") / "any.mbox"
    path.write_bytes(FROM_ + content)
    assert sum(each.weight for each in mails(path)) == len(FROM_ + content)
