"""A school's own templates and logo: used in place of ours, proved before they are used, and kept from harm."""

from __future__ import annotations

import dataclasses
import email
import struct
import zlib
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gatepost_config.documents import load_settings
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Notices, School, Settings
from gatepost_milter.cli import main
from gatepost_quarantine import notices, samples, wording
from gatepost_quarantine.held import NoticeKind

TEMPLATES = Path(wording.__file__).parent / "templates"


def picture() -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def settings(**changes: Any) -> Settings:
    """The settings of a school; ``changes`` are those of its notices."""
    return Settings(
        school=School(name="King’s & <Queen’s> School", domains=["school.example"]),
        gateway="mx1.school.example",
        roles={"it-support": ["it.support@school.example"]},
        notices=Notices(**changes),
    )


def own(folder: Path, **files: str) -> Settings:
    """Settings with these templates: ``notice_html`` is the file notice.html."""
    for name, text in files.items():
        (folder / ".".join(name.rsplit("_", 1))).write_text(text, encoding="utf-8")
    return settings(templates=folder)


def written(configured: Settings, name: str) -> EmailMessage:
    """The sample of that name, as a mail."""
    sample = next(each for each in samples.samples(configured) if each.name == name)
    raw = notices.render(
        sample.notice,
        settings=configured,
        now=samples.NOW,
        offer=sample.offer,
        offers=sample.offers,
        templates=samples.load(configured),
    )
    return email.message_from_bytes(raw, policy=default)


def body(message: EmailMessage, kind: str = "html") -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def test_every_kind_has_a_sample_that_our_templates_can_write() -> None:
    """What is not among the samples would be seen for the first time by whoever gets it."""
    assert {each.notice.kind for each in samples.samples(settings())} == set(NoticeKind)
    samples.prove(settings(), wording.shipped())


def test_a_school_may_change_one_sentence_and_keep_the_rest(tmp_path: Path) -> None:
    """words.txt is all that most schools want to touch."""
    ours = (TEMPLATES / "words.txt").read_text("utf-8")
    changed = ours.replace("Please take care with a message you received.", "Careful & calm, please.")
    message = written(own(tmp_path, words_txt=changed), "warning-recipient")
    assert "<h1>Careful &amp; calm, please.</h1>" in body(message)
    assert body(message, "plain").startswith("Careful & calm, please.\r\n")


def test_a_template_may_build_on_ours(tmp_path: Path) -> None:
    """A block replaced, the frame and the other blocks ours."""
    mine = '{% extends "shipped/notice.html" %}{% block footer %}{% include "_foot.html" %}{% endblock %}'
    configured = own(tmp_path, notice_html=mine, _foot_html="Ring {{ facts.school }}")
    shown = body(written(configured, "denied"))
    assert "Ring King’s &amp; &lt;Queen’s&gt; School" in shown
    assert "<h2>Why</h2>" in shown


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("<p>\n{% if %}\n", 2, "TemplateSyntaxError"),
        ("<p>\n\n{{ facts.sbject }}", 3, "sbject"),
        ("{{ facts.__class__.__mro__ }}", 1, "SecurityError"),
        ("\n{{ 1 // 0 }}", 2, "ZeroDivisionError"),
        ('\n\n{% include "missing.html" %}', 3, "missing.html"),
        ("{% for x in range(999999999) %}{% endfor %}", 1, "OverflowError"),
    ],
    ids=["syntax", "misspelt", "out of the sandbox", "arithmetic", "missing", "endless"],
)
def test_a_broken_template_is_an_error_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    """Found when it is loaded, and not by the first sender whose notice cannot be written."""
    with pytest.raises(ConfigError) as caught:
        samples.load(own(tmp_path, notice_html=text))
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (tmp_path / "notice.html", line)
    assert said in problem.message


def test_words_without_a_macro_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"words.txt has no macro headline"):
        samples.load(own(tmp_path, words_txt="{% macro help(facts) %}x{% endmacro %}"))


def test_a_misspelt_name_is_not_quietly_left_out(tmp_path: Path) -> None:
    """Else the school believes for a year that its own words go out."""
    with pytest.raises(ConfigError, match=r"did you mean notice.html\?"):
        samples.load(own(tmp_path, notcie_html="x"))


def test_templates_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "notice.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"notice.txt: the template cannot be read"):
        samples.load(settings(templates=tmp_path))
    with pytest.raises(ConfigError, match=r"notices.templates: .*No such file"):
        samples.load(settings(templates=tmp_path / "nowhere"))


def test_what_was_proved_is_what_is_used(tmp_path: Path) -> None:
    """A file that is saved half-done an hour later changes nothing until the next load."""
    configured = own(tmp_path, notice_txt="First {{ facts.kind }}")
    templates = samples.load(configured)
    (tmp_path / "notice.txt").write_text("{{ broken", encoding="utf-8")
    sample = samples.samples(configured)[0]
    raw = notices.render(sample.notice, settings=configured, now=samples.NOW, templates=templates)
    assert b"First warning" in raw


def test_the_logo_goes_along_and_is_fetched_from_nowhere(tmp_path: Path) -> None:
    """Mail programs block pictures from elsewhere, and a fetched one tells when somebody reads."""
    logo = tmp_path / "logo.png"
    logo.write_bytes(picture())
    message = written(settings(logo=logo), "held-confirm")
    (image,) = [part for part in message.walk() if part.get_content_maintype() == "image"]
    assert image.get_payload(decode=True) == picture()
    name = str(image["Content-ID"]).strip("<>")
    assert f'<img src="cid:{name}" alt="">' in body(message)
    assert [part.get_content_type() for part in message.walk()][:4] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
    ]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"<svg onload='x'/>", "no PNG, JPEG or GIF"),
        (b"GIF89a" + bytes(100_000), "100,006 bytes"),
        (None, "No such"),
    ],
)
def test_a_logo_that_is_none_is_an_error(tmp_path: Path, data: bytes | None, said: str) -> None:
    logo = tmp_path / "logo"
    if data is not None:
        logo.write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        samples.load(settings(logo=logo))


def test_every_variable_is_documented() -> None:
    """The page is all that a school has when it writes a template."""
    page = (TEMPLATES / "README.md").read_text("utf-8")
    for field in dataclasses.fields(notices.Facts):
        assert f"`facts.{field.name}`" in page, field.name
    for kind in (notices.Reason, notices.Entry, notices.Group, notices.Offer):
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in page, field.name
    for name in wording.SAYINGS:
        assert f"`{name}`" in page, name


def test_a_support_id_keeps_to_one_line() -> None:
    """On a phone it broke at its hyphen, in the very line that asks to quote it."""
    kept = 'class="whole">7KQ-2MX</span>'
    explained = [each for each in samples.samples(settings()) if each.notice.kind is not NoticeKind.REPORT]
    pages = [body(written(settings(), each.name)) for each in explained]  # a report's lines begin with it
    shown = [page for page in pages if "7KQ-2MX" in page]
    assert [page for page in shown if page.count(kept) != page.count("7KQ-2MX")] == []
    assert len([page for page in shown if f"quote <span {kept}" in page]) > 3
    assert all(".whole { white-space: nowrap; }" in page for page in shown)


def test_preview_writes_every_notice(tmp_path: Path) -> None:
    """What the pages of a school look like, with its own logo, before anybody gets one."""
    (tmp_path / "logo.png").write_bytes(picture())
    config = tmp_path / "gatepost.yaml"
    config.write_text("school: {name: Sample, domains: [school.example]}\nnotices: {logo: logo.png}\n")
    assert load_settings(config).notices.logo == tmp_path / "logo.png"
    done = CliRunner().invoke(main, ["notice", "preview", "--config", str(config), "--to", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    names = {each.name for each in samples.samples(load_settings(config))}
    assert {each.stem for each in (tmp_path / "out").glob("*.eml")} == names
    assert "data:image/png;base64," in (tmp_path / "out" / "denied.html").read_text("utf-8")
    assert "cid:" not in (tmp_path / "out" / "denied.html").read_text("utf-8")


def test_preview_of_one_kind_and_of_none(tmp_path: Path) -> None:
    config = tmp_path / "gatepost.yaml"
    config.write_text("school: {name: Sample, domains: [school.example]}\nnotices: {templates: mine}\n")
    (tmp_path / "mine").mkdir()
    common = ["notice", "preview", "--config", str(config), "--to", str(tmp_path / "out")]
    assert CliRunner().invoke(main, [*common, "denied"]).exit_code == 0
    assert {each.name for each in (tmp_path / "out").iterdir()} == {
        "denied.eml",
        "denied.html",
        "denied.txt",
        "index.html",
    }
    unknown = CliRunner().invoke(main, [*common, "invoice"])
    assert (unknown.exit_code, "there is no notice 'invoice'" in unknown.output) == (2, True)
    (tmp_path / "mine" / "base.html").write_text("{{ nothing }}")
    broken = CliRunner().invoke(main, [*common])
    assert (broken.exit_code, "mine/base.html:1:1" in broken.output) == (2, True)
