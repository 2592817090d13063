"""Reading Postfix's milter lists: if our own entry is not recognised, a bypass would leave it in."""

from __future__ import annotations

import pytest

from gatepost_milter.doctor.milters import Likeness, compact, entries, likeness, without

SOCKET = "/var/spool/postfix/gatepost/milter.sock"


@pytest.mark.parametrize(
    ("value", "endpoints"),
    [
        ("", []),
        ("unix:a", ["unix:a"]),
        ("unix:a, inet:127.0.0.1:8891", ["unix:a", "inet:127.0.0.1:8891"]),
        ("unix:a inet:b:1,\tunix:c", ["unix:a", "inet:b:1", "unix:c"]),
        ("{ unix:a, default_action=tempfail }, inet:b:1", ["unix:a", "inet:b:1"]),
        ("{unix:a}{unix:b}", ["unix:a", "unix:b"]),
        ("{ unix:a,connect_timeout = 10s }", ["unix:a"]),
        ("{}", [""]),
        ("{ unix:a", ["unix:a"]),
    ],
)
def test_a_list_is_read_as_postfix_reads_it(value: str, endpoints: list[str]) -> None:
    """Commas, white space and braces, in every mixture that postconf(5) allows; broken ones do not crash."""
    assert [entry.endpoint for entry in entries(value)] == endpoints


def test_the_settings_of_an_entry_are_read() -> None:
    """The default action of the entry wins over milter_default_action."""
    (entry,) = entries("{ unix:a, default_action = accept, content_timeout=5m }")
    assert dict(entry.options) == {"default_action": "accept", "content_timeout": "5m"}


@pytest.mark.parametrize(
    ("endpoint", "chroot", "expected"),
    [
        ("unix:gatepost/milter.sock", True, Likeness.OURS),
        ("unix:gatepost/milter.sock", False, Likeness.OURS),
        ("local:gatepost/milter.sock", False, Likeness.OURS),
        ("unix:/gatepost/milter.sock", True, Likeness.OURS),
        ("unix:/gatepost//./milter.sock", True, Likeness.OURS),
        ("unix:/gatepost/milter.sock", False, Likeness.MISPLACED),
        (f"unix:{SOCKET}", False, Likeness.OURS),
        (f"unix:{SOCKET}", True, Likeness.MISPLACED),
        ("unix:opendkim/opendkim.sock", True, Likeness.OTHER),
        ("inet:127.0.0.1:8891", True, Likeness.OTHER),
        ("unix:", True, Likeness.OTHER),
        ("$gatepost", True, Likeness.OTHER),
    ],
)
def test_a_path_means_one_file_in_a_chroot_and_another_outside(
    endpoint: str, chroot: bool, expected: Likeness
) -> None:
    """The commonest mistake: the whole path for an smtpd that runs in a chroot, so that mail is temp-failed."""
    (entry,) = entries(endpoint)
    assert likeness(entry, socket=SOCKET, queue_directory="/var/spool/postfix", chroot=chroot) is expected


@pytest.mark.parametrize(
    ("endpoint", "socket", "expected"),
    [
        ("inet:127.0.0.1:8891", "inet:8891@127.0.0.1", Likeness.OURS),
        ("inet:localhost:8891", "inet:8891@127.0.0.1", Likeness.OURS),
        ("inet:[::1]:8891", "inet:8891@[::1]", Likeness.OURS),
        ("inet:192.0.2.1:8891", "inet:8891@0.0.0.0", Likeness.OURS),
        ("inet:192.0.2.1:8891", "inet:8891@192.0.2.2", Likeness.OTHER),
        ("inet:127.0.0.1:8892", "inet:8891@127.0.0.1", Likeness.OTHER),
        ("unix:8891", "inet:8891@127.0.0.1", Likeness.OTHER),
    ],
)
def test_a_port_is_ours_in_both_spellings(endpoint: str, socket: str, expected: Likeness) -> None:
    """Postfix writes host:port, libmilter port@host."""
    (entry,) = entries(endpoint)
    assert likeness(entry, socket=socket, queue_directory="/var/spool/postfix", chroot=True) is expected


@pytest.mark.parametrize(
    "value",
    [
        "unix:a",
        "{ unix:a, default_action = tempfail ,connect_timeout=10s } inet:127.0.0.1:8891",
        "$gatepost, { inet:a:1 }",
        "${gatepost} inet:a:1",
        "{unix:a}{unix:b}",
    ],
)
def test_a_list_without_white_space_is_the_same_list(value: str) -> None:
    """``postconf -P`` refuses white space; what is written instead must name the same filters."""
    tight = compact(value)
    assert not any(letter.isspace() for letter in tight)
    assert [(each.endpoint, each.options) for each in entries(tight)] == [
        (each.endpoint, each.options) for each in entries(value)
    ]


def test_taking_one_out_leaves_the_others_in_order() -> None:
    """A bypass of gatepost must not switch off the DKIM signer."""
    value = "unix:a, { unix:ours, default_action=tempfail } { inet:b:1, command_timeout=5s }"
    assert without(value, entries(value)[1:2]) == "unix:a,{inet:b:1,command_timeout=5s}"
