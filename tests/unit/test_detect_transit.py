"""What protects a message on its way, and where its links lead."""

from __future__ import annotations

import io
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.walks import opened

from gatepost_milter.detect import transit
from gatepost_milter.detect.pages import Page
from gatepost_milter.detect.transit import Leads, Strength
from gatepost_milter.inspection.model import Attachment, FileClass, Part


def _file(name: str, *, reason: str = "", path: str = "", claimed: str = "", encrypted: bool = True) -> Attachment:
    return Attachment(
        path=path or f"part 2 › {name}",
        part="2",
        name=name,
        claimed=claimed,
        classes=frozenset({FileClass.ENCRYPTED} if encrypted else ()),
        reason=reason,
        depth=0,
    )


def _part(content_type: str) -> Part:
    return Part(number="1", content_type=content_type, disposition="", encoding="7bit", names=(), start=0, end=0)


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        (_file("plan.7z", reason="encrypted: files in it are encrypted"), Strength.STRONG),
        (_file("plan.zip", reason="encrypted: files in it are encrypted"), Strength.STRONG),
        (_file("plan.zip", reason="encrypted: files in it are encrypted, weakly (ZipCrypto)"), Strength.WEAK),
        (_file("plan.docx", reason="encrypted: it is protected by a password"), Strength.STRONG),
        (_file("plan.XLS", reason="encrypted: it is protected by a password"), Strength.WEAK),
        (_file("plan.pdf", encrypted=False), Strength.NONE),
    ],
)
def test_how_well_a_file_is_encrypted(attachment: Attachment, expected: Strength) -> None:
    """AES counts; what is broken in minutes does not (encryption in transit)."""
    assert transit.strength(attachment) is expected


def test_inspection_tells_weak_zip_encryption() -> None:
    """The words that we look for are the words that inspection says."""
    weak = io.BytesIO()
    with zipfile.ZipFile(weak, "w") as archive:
        archive.writestr("plan.txt", "the plan")
    data = bytearray(weak.getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1  # the flag of traditional encryption
    assert transit.strength(opened(bytes(data), "plan.zip")["plan.zip"]) is Strength.WEAK


def test_what_of_a_message_is_encrypted() -> None:
    """Encrypted files by path, those inside others left out; a whole message by S/MIME or PGP."""
    files = [
        _file("a.7z", path="part 2"),
        _file("x.docx", path="part 2 › x.docx"),
        _file("b.zip", path="part 3", reason="ZipCrypto"),
        _file("c.pdf", path="part 4", encrypted=False),
    ]
    found = transit.protection(parts=[_part("multipart/mixed")], attachments=files)
    assert (found.whole, found.strong, found.weak) == (False, ("part 2",), ("part 3",))
    smime = _file("smime.p7m", path="message", claimed="application/pkcs7-mime")
    assert transit.protection(parts=[], attachments=[smime]).whole
    assert transit.protection(
        parts=[_part('Multipart/Encrypted; protocol="application/pgp-encrypted"')], attachments=[]
    ).whole
    assert transit.protection(
        parts=[], attachments=[], pages=[Page("\n-----BEGIN PGP MESSAGE-----\n\nhQEM")]
    ).whole
    assert not transit.protection(
        parts=[], attachments=[], pages=[Page("How does -----BEGIN PGP MESSAGE----- look?")]
    ).whole


@pytest.mark.parametrize(
    ("url", "kind", "name", "host"),
    [
        ("https://us04web.zoom.us/j/123?pwd=secret", Leads.ROOM, "Zoom", "us04web.zoom.us"),
        ("https://meet.google.com/abc-defg-hij", Leads.ROOM, "Google Meet", "meet.google.com"),
        ("https://chat.whatsapp.com/ABC", Leads.ROOM, "WhatsApp", "chat.whatsapp.com"),
        ("https://wa.me/447700900123", Leads.ROOM, "WhatsApp", "wa.me"),
        ("HTTPS://Teams.Live.com/meet/94", Leads.ROOM, "Teams (private)", "teams.live.com"),
        ("https://discord.gg/abc", Leads.ROOM, "Discord", "discord.gg"),
        ("https://discord.com/invite/abc", Leads.ROOM, "Discord", "discord.com"),
        ("https://files.example/tools/setup.exe", Leads.PROGRAM, ".exe", "files.example"),
        ("http://files.example:8080/a.MSI?x=1#y", Leads.PROGRAM, ".msi", "files.example"),
        ("www.files.example/app.apk", Leads.PROGRAM, ".apk", "www.files.example"),
        ("https://files.example/s%65tup%2Eexe", Leads.PROGRAM, ".exe", "files.example"),
        ("https://good.example@files.example/x.dmg", Leads.PROGRAM, ".dmg", "files.example"),
        ("https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fzoom.us%2Fj%2F9&data=1",
         Leads.ROOM, "Zoom", "zoom.us"),
        ("https://www.google.com/url?q=https://files.example/x.exe&sa=D", Leads.PROGRAM, ".exe", "files.example"),
    ],
)  # fmt: skip
def test_a_link_to_a_room_or_a_program(url: str, kind: Leads, name: str, host: str) -> None:
    """Private rooms (KCS 3.7) and programs to download (KCS 1.5), also behind a link protection."""
    (link,) = transit.links(Page(f"Hello,\nsee <{url}>.", where="part 1")).found
    assert (link.kind, link.name, link.host, link.where, link.line) == (kind, name, host, "part 1", 2)
    assert "secret" not in repr(link)


@pytest.mark.parametrize(
    "text",
    [
        "https://teams.microsoft.com/l/meetup-join/19%3ameeting",
        "https://www.example.com",
        "www.example.com",
        "https://school.example/report.com",
        "https://zoom.us/pricing",
        "https://support.zoom.us/hc/en-us",
        "https://www.whatsapp.com/legal",
        "https://discord.com/safety",
        "https://notzoom.us/j/1",
        "https://files.example/setup.exe.html",
        "https://files.example/how-to-open-an-exe",
        "https://files.example/?file=setup.exe",
        "https://docs.python.org/3/library/zipfile.html",
        "Open setup.exe from the shared area.",
        "https://files.example/.exe",
    ],
)
def test_other_links(text: str) -> None:
    """The school's own rooms, pages about programs, names of programs without a link."""
    assert transit.links(Page(text)).found == ()


def test_hosts_and_links_of_html() -> None:
    """What can be clicked is not what is shown."""
    source = "<a HREF=\"https://zoom.us/j/1?a=1&amp;b=2\">our room</a> <img src='cid:x'><a href=https://b.example/c>d</a>"
    found = transit.hrefs(source)
    assert found == "https://zoom.us/j/1?a=1&b=2\ncid:x\nhttps://b.example/c"
    assert transit.links(Page(found)).hosts == ("zoom.us", "b.example")
    assert [link.name for link in transit.links(Page(found)).found] == ["Zoom"]


@given(st.text(alphabet="htps:/.w?=&%2Fexzoom.us@#\"'<>[] \n", max_size=200))
def test_whatever_stands_there_nothing_raises(text: str) -> None:
    """Broken links too."""
    page = Page(f"https://{text} {text}")
    links = transit.links(page)
    assert {link.host for link in links.found if link.host} <= set(links.hosts)
    transit.hrefs(f"<a href={text}>")


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["https://", "https://a.b/x.exe ", "www.", "a.", "%2F", 'href="', "href=a ", "://", "https://a" + "." * 50],
)
def test_five_megabytes_take_linear_time(unit: str) -> None:
    """Links in links, and hosts without end."""
    text = "https://" + unit * (5_000_000 // len(unit))
    started = time.process_time()
    page = Page(text)
    transit.links(page)
    transit.hrefs(text)
    assert time.process_time() - started < 10


SAFE_LINK = "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fwww.bank.example%2F&amp;d=1"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (
            '<a href="https://collect.example/x">https://www.bank.co.uk/login</a>',
            ("collect.example", "www.bank.co.uk"),
        ),
        (
            "<A class=b HREF='http://evil.example'>\n<b>WWW.Bank.example</b> </A>",
            ("evil.example", "www.bank.example"),
        ),
        ("<a href=http://evil.co.uk>http://bank.co.uk</a >", ("evil.co.uk", "bank.co.uk")),
        ('<a href="https://login.bank.co.uk/a">www.bank.co.uk</a>', None),
        ('<a href="https://bank.example">https://news.bank.example/today</a>', None),
        ('<a href="https://evil.example">the bank</a>', None),
        ('<a href="https://files.example/x">report.docx</a>', None),
        ('<a href="mailto:a@evil.example">www.bank.example</a>', None),
        (f'<a href="{SAFE_LINK}">https://www.bank.example/</a>', None),
        ('<a href="https://evil.example">www.bank.example', None),
    ],
)
def test_a_link_that_shows_another_address_is_told(source: str, shown: tuple[str, str] | None) -> None:
    """Whoever reads the address in the text believes that it leads there; safe-link services are seen through."""
    found = [(each.host, each.name) for each in transit.disguised(f"<p>{source}")]
    assert found == ([] if shown is None else [shown])


def test_a_page_of_open_anchors_is_read_in_its_own_time() -> None:
    """Each could begin a link; the search must not start anew at each of them."""
    hostile = '<a href="https://a.example">www.b.example' * 20_000
    started = time.process_time()
    assert transit.disguised(hostile + "</a>") == ()
    assert time.process_time() - started < 2
