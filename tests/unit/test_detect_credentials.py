"""Credentials in clear: what looks like a secret, and the many mails that only speak of passwords."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect.credentials import Leak, Secret, file_name, find, opens_attachment, total
from gatepost_milter.detect.pages import Page
from gatepost_milter.inspection.model import Attachment, FileClass

KEY = b"a key of this installation"


def _leaks(text: str) -> tuple[Leak, ...]:
    return find(Page(text, where="part 1"), key=KEY)


def _weights(text: str) -> dict[str, int]:
    return {leak.kind.value: leak.weight for leak in _leaks(text)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my password is Blue7Whale", {"password": 2}),
        ("My password is: Blue7Whale.", {"password": 2}),
        ("the password for the portal is blue7whale", {"password": 2}),
        ("Password: bluewhale", {"password": 2}),
        ("pw = hunter2", {"password": 2}),
        ("Passphrase -> correct-horse-battery", {"password": 2}),
        ("the password is 'bluewhale'", {"password": 2}),
        ("the password is “bluewhale”", {"password": 2}),
        ("Password:\nBlue7Whale", {"password": 2}),
        ("the p\u200bassword is Blue7Whale", {"password": 2}),
        ("the р\u0430ssword is Blue7Whale", {"password": 2}),
        ("my password is bluewhale.", {"password": 1}),
        ("PIN: 4821", {"password": 2}),
        ("the pin number for the printer is 4821", {"password": 2}),
        ("Username: a.bell\nPassword: Blue7Whale", {"login": 3}),
        ("login: abell\n\nsomething\npassword: bluewhale", {"login": 3}),
        ("You can use my login for the register today.", {"login-offered": 2}),
        ("just log in as me", {"login-offered": 2}),
        ("the alarm code is 4821#", {"door-or-alarm-code": 2}),
        ("Wifi key: Summer2026!", {"door-or-alarm-code": 2}),
        ("door code for the sports hall is C1379", {"door-or-alarm-code": 2}),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn", {"private-key": 3}),
        ("aws AKIAIOSFODNN7EXAMPLE", {"token": 3}),
        ("ghp_" + "a1B2" * 9, {"token": 3}),
        ("xoxb-123456789012-abcdef", {"token": 3}),
        ("Your temporary password is Blue7Whale. It will expire on Friday; never share it.", {"password": 1}),
    ],
)
def test_a_secret_is_found(text: str, expected: dict[str, int]) -> None:
    """The shapes in which people write secrets (KCS 1.8, IDENTIFIERS 16)."""
    assert _weights(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Your password has expired.",
        "Your password will expire in 3 days. Reset your password at https://portal.school.example/reset?t=8sd7f",
        "Your password is required.",
        "The password is case sensitive.",
        "Password: required",
        "Password: ********",
        "Password: ____________",
        "Password: <your password>",
        "Password: [see letter]",
        "Password: please ask the office",
        "password - changed",
        "I have forgotten my password, can you reset it?",
        "Your password has been changed.",
        "The file is password-protected; the password will follow by phone.",
        "The password is the usual one.",
        "The password was sent separately.",
        "The password is really easy to guess, do change it",
        "the password is wrong",
        "Passwords must be at least 12 characters and contain a number, e.g. password: Blue7Whale is weak",
        "Never tell anyone your password: it is yours alone.",
        "We recommend a password manager - KeePass is fine.",
        "Password policy: staff must not divulge their user name or password.",
        "Computing homework: password = input('Enter your password')\nif password == 'secret':\n    print('in')",
        "Your verification code is 482113. It expires in ten minutes.",
        "The pin is 4 cm long; the PIN board is in room 1234.",
        "Please pin 1234 notices to the board.",
        "The door code has been changed; ask at reception.",
        "The wifi key is changing at half term.",
        "The dress code is smart. The gate is open at 8.",
        "Do not let anyone use my login: that is what the policy says. Never share it.",
        "Surname,Password required\nBell,yes",
    ],
)
def test_talk_about_passwords_is_no_secret(text: str) -> None:
    """Expiry, rules, resets, lessons and notices (IDENTIFIERS 16, negative contexts)."""
    assert _weights(text) == {}


def test_a_list_of_log_ins_is_counted() -> None:
    """One card for one pupil is everyday work; a class list is not (scenario 58)."""
    rows = [f"Pupil {number},p{number},Sun{number}flower" for number in range(30)]
    (leak,) = _leaks("\n".join(["Name,Username,Temp password", *rows]))
    assert (leak.kind, leak.count, leak.weight, leak.line) == (Secret.LOGIN, 30, 2, 2)
    (card,) = _leaks("Reading app\nUsername: abell\nPassword: Sun1flower")
    assert (card.kind, card.count) == (Secret.LOGIN, 1)


def test_the_same_secret_on_two_pages_counts_once() -> None:
    """Plain text and HTML of one message."""
    (leak,) = total([*_leaks("my password is Blue7Whale"), *_leaks("<b>my password is Blue7Whale</b>")])
    assert (leak.count, leak.weight) == (1, 2)


def test_no_secret_is_kept() -> None:
    """Not the value, and not its length."""
    text = "my password is Blue7Whale, PIN: 4821, alarm code: 77310#, AKIAIOSFODNN7EXAMPLE"
    shown = repr(_leaks(text))
    for secret in ("Blue7", "4821", "77310", "EXAMPLE"):
        assert secret not in shown
    assert {leak.shown for leak in _leaks(text)} == {
        "password is ••••••••",
        "alarm code is ••••••••",
        "token ••••••••",
    }


def test_the_password_of_an_encrypted_file_in_the_same_mail() -> None:
    """It defeats the encryption (scenario 55); sent by phone, all is well (scenario 53)."""
    box = Attachment(path="part 2", part="2", name="plan.7z", classes=frozenset({FileClass.ENCRYPTED}))
    paper = Attachment(path="part 2", part="2", name="plan.pdf", classes=frozenset())
    given_away = _leaks("The plan is attached. Password: bluewhale")
    assert opens_attachment(given_away, [paper, box])
    assert not opens_attachment(given_away, [paper])
    assert not opens_attachment(_leaks("The plan is attached. I shall ring you with the password."), [box])
    assert not opens_attachment(_leaks("The door code is C1379"), [box])


@pytest.mark.parametrize("name", ["School.KDBX", "cert.pfx", "id_rsa", "head.ovpn", "a.ppk "])
def test_files_that_hold_keys(name: str) -> None:
    """Known by name (IDENTIFIERS 16)."""
    assert file_name(name)


@pytest.mark.parametrize("name", ["keys.docx", "pem.txt", "kdbx", "id_rsa.pub", "", "timetable.pdf"])
def test_files_that_do_not(name: str) -> None:
    """A public key may be sent; a document about keys too."""
    assert not file_name(name)


@given(st.text(alphabet="password isPIN:=->\n\t,;'\"1aB* ", max_size=200))
def test_whatever_stands_there_nothing_raises(text: str) -> None:
    """Counts agree with hashes and the line exists."""
    for leak in _leaks(text):
        assert leak.count == len(leak.digests) >= 1
        assert 1 <= leak.weight <= 3
        assert 1 <= leak.line <= text.count("\n") + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    ["password ", "password is ", "password: aB3d ", "password for a a a a ", "PIN: 1234 ", ",password",
     "\npassword,x", "use my login ", "AKIA", "-----BEGIN ", "login:xx password:yy1 ", "name,password\na,b1234\n"],
)  # fmt: skip
def test_five_megabytes_take_linear_time(unit: str) -> None:
    """A hostile text costs seconds at worst."""
    page = Page(unit * (5_000_000 // len(unit)))
    started = time.process_time()
    find(page, key=KEY)
    assert time.process_time() - started < 10
