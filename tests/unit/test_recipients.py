"""Who a reader of a message sees in To and Cc, and whether a program sent it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.inspection import recipients
from gatepost_milter.inspection.headers import Fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a@b.example", ["a@b.example"]),
        ("<a@b.example>", ["a@b.example"]),
        ("Alice <a@b.example>, bob@c.example", ["a@b.example", "bob@c.example"]),
        ('"Doe, Jane" <j@b.example>', ["j@b.example"]),
        ('"bob@c.example" <a@b.example>', ["a@b.example"]),
        ("bob@c.example <a@b.example>", ["a@b.example"]),
        ("Parents: a@b.example, B <b@c.example>; d@e.example", ["a@b.example", "b@c.example", "d@e.example"]),
        ("undisclosed-recipients:;", []),
        ("undisclosed recipients: ;", []),
        ("a@b.example; c@d.example", ["a@b.example", "c@d.example"]),
        ("a@b.example c@d.example", ["a@b.example", "c@d.example"]),
        ("a@b.example,, ,c@d.example,", ["a@b.example", "c@d.example"]),
        ("<@x.example,@y.example:a@b.example>", ["a@b.example"]),
        ("<mailto:a@b.example>", ["a@b.example"]),
        ("Alice (Year 7, form: x) <a@b.example>", ["a@b.example"]),
        ("a(x)@b.example", ["a@b.example"]),
        ("a @ b.example", ["a@b.example"]),
        ('"john doe"@b.example', ['"john doe"@b.example']),
        ('"unclosed <a@b.example>, c@d.example', ["a@b.example", "c@d.example"]),
        ("<a@b.example", ["a@b.example"]),
        ("a@b.example>", ["a@b.example"]),
        ("(never closed a@b.example", ["a@b.example"]),
        ("<a@b.example, c@d.example>", ["a@b.example", "c@d.example"]),
        ("<a@b.example><c@d.example>", ["a@b.example", "c@d.example"]),
        ("=?utf-8?q?a=40b=2Eexample?=", ["a@b.example"]),
        ("=?utf-8?b?YUBiLmV4YW1wbGUsIGNAZC5leGFtcGxl?=", ["a@b.example", "c@d.example"]),
        ("a@b.example\r\n ,\r\n\tc@d.example", ["a@b.example", "c@d.example"]),
        ("'a@b.example'", ["a@b.example"]),
        ("pelé@café.example", ["pelé@café.example"]),
        ("x@[192.0.2.1]", ["x@[192.0.2.1]"]),
        ("staff", []),
    ],
)
def test_addresses_are_read_as_a_person_would(value: str, expected: list[str]) -> None:
    """Counting the people who see each other's addresses must not depend on good form."""
    assert [address for _, address in recipients.addresses(value)] == expected


@pytest.mark.parametrize(
    ("value", "display"),
    [
        ("Alice Example <a@b.example>", "Alice Example"),
        ('"Doe, \\"Jane\\"" <a@b.example>', 'Doe, "Jane"'),
        ("=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?= <a@b.example>", "Jörg M"),
        ("a@b.example (Alice)", "Alice"),
        ("<a@b.example>", ""),
    ],
)
def test_the_display_name_is_decoded(value: str, display: str) -> None:
    """Names of staff in front of strangers' addresses are how impersonation is seen."""
    assert recipients.addresses(value) == [(display, "a@b.example")]


def test_every_field_of_a_name_counts_once() -> None:
    """Several To fields all show; the same address in one field is one recipient."""
    fields: Fields = {
        "to": [b" a@b.example, A@B.example", b" c@d.example"],
        "cc": [b" a@b.example"],
        "resent-to": [b" e@f.example"],
    }
    found = [(each.field, each.address) for each in recipients.visible(fields)]
    assert found == [
        ("To", "a@b.example"), ("To", "c@d.example"), ("Cc", "a@b.example"), ("Resent-To", "e@f.example"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "automatic"),
    [
        ({}, False),
        ({"auto-submitted": [b" no"]}, False),
        ({"auto-submitted": [b" No (a person)"]}, False),
        ({"auto-submitted": [b" auto-replied; owner-email=x"]}, True),
        ({"precedence": [b" Bulk"]}, True),
        ({"precedence": [b" first-class"]}, False),
        ({"list-id": [b" <x.example>"]}, True),
        ({"list-unsubscribe": [b" <mailto:x@y.example>"]}, True),
    ],
)
def test_automatic_mail_is_known(fields: Fields, automatic: bool) -> None:
    """No program is ever asked to confirm anything (RFC 3834)."""
    assert recipients.is_automatic(fields) is automatic


@given(st.text(alphabet=st.sampled_from('ab@.,;:<>()"\\ =?\r\n\tq'), max_size=200))
def test_any_field_is_read(value: str) -> None:
    """Whatever stands in a field, reading ends, and what it finds looks like an address."""
    for _, address in recipients.addresses(value):
        assert "@" in address


@pytest.mark.parametrize(
    "value",
    ['"\\"' * 50_000, "<" * 100_000, "(" * 100_000, " " * 200_000, "a@b, " * 20_000, "=?" * 100_000, "@ " * 50_000,
     '"' * 100_001, "a" + " " * 200_000 + "b"],
)  # fmt: skip
def test_reading_takes_linear_time(value: str) -> None:
    """A field is as long as its sender likes."""
    started = time.process_time()
    recipients.addresses(value)
    assert time.process_time() - started < 3.0
