"""Sentences: placeholders filled in, and hostile names made harmless."""

from __future__ import annotations

import pytest

from gatepost_config.policy_document import Rule
from gatepost_config.words import Evidence
from gatepost_milter.policy.texts import NAME_LENGTH, Words, harmless, limit_text, size_text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("setup.exe", "setup.exe"),
        ("a\r\nBcc: x@y.example", "a Bcc: x@y.example"),
        ("photo\u202egpj.exe", "photo\ufffdgpj.exe"),
        ("a\u200bb", "a\ufffdb"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\u3000\u00a0b", "a b"),
        ("\udcff", "\ufffd"),
        ("", ""),
    ],
)
def test_a_name_cannot_harm_whoever_reads_it(name: str, shown: str) -> None:
    """Names are chosen by attackers: line breaks make headers, bidi hides endings, escapes drive terminals."""
    assert shown == harmless(name)


def test_a_long_name_keeps_its_ending() -> None:
    """The ending is what says that it is a program."""
    shown = harmless("x" * 5000 + ".exe")[-4:]
    assert len(harmless("x" * 5000)) <= NAME_LENGTH
    assert shown == ".exe"


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (-1, "unknown size"),
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 kB"),
        (10 * 1024 * 1024, "10 MB"),
        (10 * 1024 * 1024 + 1, "10.1 MB"),
        (12 * 1024 * 1024, "12 MB"),
    ],
)
def test_a_size_over_the_limit_never_looks_like_the_limit(size: int, shown: str) -> None:
    """“10 MB is more than 10 MB” would make people doubt the machine."""
    assert shown == size_text(size)


def test_a_limit_is_shown_by_its_name() -> None:
    """Only names in _bytes are sizes."""
    assert limit_text("attachment_bytes", 10485760) == "10 MB"
    assert limit_text("recipients", 1000) == "1,000"
    assert limit_text("anything", "word") == "word"


def test_a_file_named_like_a_placeholder_stays_a_name() -> None:
    """What a placeholder becomes is never looked at again."""
    rule = Rule.model_validate({"id": "r", "title": "t", "find": "true", "action": "tag", "say": "{names}"})
    words = Words(fixed={"school": "Park School"})
    evidence = Evidence(kind="attachment", name="{school}", where="")
    assert words.fill("{names} and {school}", rule, [evidence]) == "“{school}” and Park School"
