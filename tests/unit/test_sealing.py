"""The seal: two roles together open it, nobody alone, and nothing can be changed unseen."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_quarantine import sealing
from gatepost_quarantine.sealing import NewKey, Opener, PrivateKey, Sealer, SealError

HEAD, DSL = ("headteacher", "correct horse"), ("safeguarding", "battery staple")


@pytest.fixture(scope="module")
def key() -> NewKey:
    return sealing.new_key(HEAD, DSL)


@pytest.fixture(scope="module")
def stranger() -> NewKey:
    """Another key of the same two roles."""
    return sealing.new_key(HEAD, DSL)


@pytest.fixture(scope="module")
def private(key: NewKey) -> PrivateKey:
    """What the two shares of the first key make together."""
    return sealing.private_key((key.shares[0].text, HEAD[1]), (key.shares[1].text, DSL[1]))


def opened(private: PrivateKey, sealer: Sealer, sealed: list[bytes], *, held_id: str = "abc") -> list[bytes]:
    return list(Opener(held_id, sealer.head(b"{}"), private).pieces(sealed))


def test_both_shares_open_what_was_sealed(key: NewKey, stranger: NewKey) -> None:
    """The record and every piece, for every key that it was sealed to."""
    sealer = Sealer("abc", [stranger.public, key.public])
    sealed = list(sealer.pieces([b"one", b"two" * 1000, b""]))
    head = sealer.head(b"the record")
    for each in (key, stranger):
        private = sealing.private_key((each.shares[1].text, DSL[1]), (each.shares[0].text, HEAD[1]))
        opener = Opener("abc", head, private)
        assert (opener.record(), list(opener.pieces(sealed))) == (b"the record", [b"one", b"two" * 1000, b""])
    assert sealing.keys_of(head) == (sealing.fingerprint(stranger.public), sealing.fingerprint(key.public))


def test_one_role_alone_opens_nothing(key: NewKey, stranger: NewKey) -> None:
    """Not with its share twice, not with a share of another key, not with a guess at the other passphrase."""
    one, other = (share.text for share in key.shares)
    with pytest.raises(SealError, match="same share twice"):
        sealing.private_key((one, HEAD[1]), (one, HEAD[1]))
    with pytest.raises(SealError, match="different keys"):
        sealing.private_key((one, HEAD[1]), (stranger.shares[1].text, DSL[1]))
    with pytest.raises(SealError, match="does not open the share of safeguarding"):
        sealing.private_key((one, HEAD[1]), (other, HEAD[1]))


def test_a_share_that_was_edited_does_not_open(key: NewKey) -> None:
    """Its file says whose it is and of which key; that is under the passphrase too."""
    share = json.loads(key.shares[0].text)
    for edit in ({"role": "caretaker"}, {"key": "0" * 16}, {"data": "AAAA"}, {"salt": 5}):
        with pytest.raises(SealError):
            sealing.private_key((json.dumps(share | edit), HEAD[1]), (key.shares[1].text, DSL[1]))


@pytest.mark.parametrize(
    "damage", ["cut", "swapped", "left out", "flipped", "of another message", "put after the end"]
)
def test_damage_shows(key: NewKey, private: PrivateKey, damage: str) -> None:
    """What two roles read in front of a judge is what was held."""
    sealer = Sealer("abc", [key.public])
    pieces = list(sealer.pieces([b"one", b"two", b"three"]))
    changed = {
        "cut": pieces[:2],
        "swapped": [pieces[1], pieces[0], pieces[2]],
        "left out": [pieces[0], pieces[2]],
        "flipped": [pieces[0], bytes([pieces[1][0] ^ 1]) + pieces[1][1:], pieces[2]],
        "of another message": list(Sealer("abc", [key.public]).pieces([b"one", b"two", b"three"])),
        "put after the end": [*pieces, pieces[2]],
    }[damage]
    with pytest.raises(SealError, match=r"changed|missing"):
        opened(private, sealer, changed)
    with pytest.raises(SealError):
        opened(private, sealer, pieces, held_id="abd")


def test_a_key_that_was_not_sealed_to_is_named(key: NewKey, stranger: NewKey, private: PrivateKey) -> None:
    """After a change of keys, people bring the wrong shares."""
    sealer = Sealer("abc", [stranger.public])
    with pytest.raises(SealError, match=sealing.fingerprint(key.public)):
        opened(private, sealer, [])


@given(pieces=st.lists(st.binary(max_size=200), max_size=6))
def test_any_pieces_come_back_and_none_stands_in_clear(pieces: list[bytes]) -> None:
    """Whatever the message; and each message has a key of its own."""
    private = PrivateKey.from_private_bytes(b"\5" * 32)
    public = sealing._base64(private.public_key().public_bytes_raw())
    sealer = Sealer("abc", [public])
    sealed = list(sealer.pieces(pieces))
    assert list(Opener("abc", sealer.head(b""), private).pieces(sealed)) == (pieces or [b""])
    for clear, hidden in zip(pieces, sealed, strict=False):
        assert len(clear) < 8 or clear not in hidden


def test_a_damaged_head_is_an_error_and_no_crash() -> None:
    """It may have been read from a damaged disk."""
    private = PrivateKey.from_private_bytes(os.urandom(32))
    for head in ("", "{}", "[]", '{"keys": [{}], "record": "AA=="}', '{"keys": [], "record": "é"}'):
        with pytest.raises(SealError):
            Opener("abc", head, private)
