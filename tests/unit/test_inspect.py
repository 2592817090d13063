"""The second step of a message: what inspect gathers, and what it sends to an inspector process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.messages import PROGRAM, b64, file_part, message, multipart, quoted, text_part, uu

from gatepost_config import settings
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Examined
from gatepost_milter.inspection.model import Attachment, Defect, Inspection, Leaf
from gatepost_milter.spool import Spool

LIMITS = settings.Inspection()


class Recorder:
    """Stands for the inspectors: remembers what it was asked, and answers with one attachment a leaf."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.deadline = 0.0
        self.hashes = False

    def examine(
        self,
        content: Spool,
        leaves: Sequence[Leaf],
        *,
        limits: settings.Inspection,
        deadline: float,
        hashes: bool,
        texts: bool = False,
    ) -> Examined:
        assert content.size
        assert limits is LIMITS
        self.leaves = list(leaves)
        self.deadline, self.hashes = deadline, hashes
        return Examined(
            attachments=tuple(Attachment(path=leaf.path, part=leaf.number, name="x") for leaf in leaves),
            defects=(Defect(code="opaque", where="part 9"),),
        )


def _inspected(data: bytes) -> tuple[Inspection, Recorder]:
    recorder = Recorder()
    return inspect(Spool.of(data), inspectors=recorder, limits=LIMITS, deadline=20), recorder


def test_the_facts_of_a_message() -> None:
    """What rules, notices and the console need to know about any message."""
    found, _ = _inspected(
        b"From: =?utf-8?q?J=C3=B6rg?= <j@sender.example>\r\nReply-To: other@else.example\r\n"
        b"To: Class 7 <class7@school.example>,\r\n a@parent.example\r\nCc: b@parent.example\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n aus Wien\r\nMessage-ID: <1@x.example>\r\n"
        b"Precedence: bulk\r\n\r\nHello\r\n"
    )
    assert found.subject == "Grüße aus Wien"
    assert found.message_id == "<1@x.example>"
    assert [(each.address, each.display) for each in found.from_] == [("j@sender.example", "Jörg")]
    assert [each.address for each in found.reply_to] == ["other@else.example"]
    assert [each.address for each in found.recipients] == [
        "class7@school.example", "a@parent.example", "b@parent.example",
    ]  # fmt: skip
    assert found.automatic
    assert [each.text for each in found.texts] == ["Hello\n"]
    assert found.attachments == ()
    assert found.defects == ()
    assert found.size == 260


@pytest.mark.parametrize(
    "part",
    [
        text_part(),
        b"Content-Type: text/html\r\n\r\n<p>Hello <b>you</b></p>\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(b"Hello all"),
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(b"<p>Hi</p>"),
        b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\n",
        b"\r\nno fields at all\r\n",
    ],
)
def test_words_need_no_inspector(part: bytes) -> None:
    """Most mail is words; a round trip to another process is for what could be a file."""
    _, recorder = _inspected(message(multipart(part)))
    assert recorder.leaves == []


@pytest.mark.parametrize(
    "part",
    [
        file_part(),
        b"Content-Type: text/plain; name=a.txt\r\n\r\nHello\r\n",
        b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nHello\r\n",
        b"Content-Type: text/plain\r\n\r\nMZ\x90\0\3\0\r\n",
        b"Content-Type: text/plain\r\n\r\nwords, and then\0a NUL\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(),
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(b"Hi\n" + uu()),
        b"Content-Type: text/html\r\n\r\n<SCRIPT>new Blob()</SCRIPT>\r\n",
        b"Content-Type: text/html\r\n\r\n<a href='data:application/zip;base64,UEs'>x</a>\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(b"<script>1</script>"),
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<scr=69pt>1</script>\r\n",
        b"Content-Type: text/html\r\n\r\n" + "<script>".encode("utf-16") + b"\r\n",
        b"Content-Type: image/png\r\n\r\nx\r\n",
        b"\r\n" + uu(),
    ],
)
def test_what_could_be_a_file_goes_to_an_inspector(part: bytes) -> None:
    """Whatever a part calls itself."""
    _, recorder = _inspected(message(multipart(part)))
    assert recorder.leaves


def test_answers_are_merged() -> None:
    """What the reader saw and what the inspectors found are one Inspection."""
    found, recorder = _inspected(message(multipart(text_part(), file_part(), close=False)))
    assert [each.path for each in found.attachments] == ["part 2"]
    assert [str(each) for each in found.defects] == ["multipart-unclosed", "opaque (part 9)"]
    assert 0 < recorder.deadline <= 20
    assert not recorder.hashes


def test_a_spooled_message_reads_the_same(tmp_path: Path) -> None:
    """A large message is read from a mapped file, and its texts outlive the mapping."""
    data = message(multipart(text_part(), file_part()))
    spool = Spool(directory=tmp_path, memory=10, limit=10_000_000)
    spool.write(data)
    recorder = Recorder()
    with spool:
        spooled = inspect(spool, inspectors=recorder, limits=LIMITS, deadline=20)
    in_memory, _ = _inspected(data)
    assert spooled.parts == in_memory.parts
    assert [each.text for each in spooled.texts] == [each.text for each in in_memory.texts]
    leaf = recorder.leaves[0]
    assert data[leaf.start : leaf.end] == b64(PROGRAM).rstrip(b"\r\n")


def test_an_empty_message_is_inspected() -> None:
    """Nothing at all is a message too."""
    found, recorder = _inspected(b"")
    assert (found.size, found.parts[0].start, recorder.leaves) == (0, 0, [])


def test_a_very_long_text_is_told() -> None:
    """Text rules read a bounded beginning; that they did is a defect."""
    found, _ = _inspected(message(b"\r\n" + b"words\r\n" * 200_000))
    assert [each.code for each in found.defects] == ["text-long"]
    assert len(found.texts[0].text) <= 1024 * 1024


def test_a_forwarded_message_is_a_file_too_and_is_read_in_its_place() -> None:
    """Its size counts like any other file's; what is in it is listed once, where it lies."""
    inner = message(multipart(text_part(), file_part(), boundary=b"inner"))
    named = (
        b'Content-Type: message/rfc822; name="forwarded.eml"\r\nContent-Disposition: attachment\r\n\r\n' + inner
    )
    bounced = b"Content-Type: message/rfc822\r\n\r\n" + message(text_part(b"bounced"))
    found, recorder = _inspected(message(multipart(named + b"\r\n", bounced)))
    (listed,) = [each for each in found.attachments if each.claimed == "message/rfc822"]
    assert (listed.path, listed.name, listed.part) == ("part 1 › forwarded.eml", "forwarded.eml", "1")
    assert listed.size == len(inner)
    assert [(each.path, each.names) for each in recorder.leaves] == [("part 1 › part 2", ("setup.exe",))]


def test_every_part_says_where_it_is() -> None:
    """A message inside a message counts its parts anew, so a number alone would not do."""
    inner = message(multipart(text_part(), file_part(), boundary=b"inner"))
    found, _ = _inspected(message(multipart(text_part(), b"Content-Type: message/rfc822\r\n\r\n" + inner)))
    assert [each.path for each in found.parts] == [
        "message", "part 1", "part 2", "part 2 › message", "part 2 › part 1", "part 2 › part 2",
    ]  # fmt: skip
