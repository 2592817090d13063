"""A session collects, and answers once, at end of message; whatever goes wrong on the way is a temp-fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import Milter
import pytest
import structlog.testing
from prometheus_client import REGISTRY

from gatepost_config.settings import Spool
from gatepost_config.words import Reply
from gatepost_milter import session
from gatepost_milter.clerks import Clerks
from gatepost_milter.gate import Step
from gatepost_milter.replies import Answer, Disposition, Event, StaleHeader
from gatepost_milter.transaction import Transaction

OFFERED = [0x1FF, 0x1FFFFF, 0, 0]
CLERKS = Clerks(1)
ACCEPT = Answer(disposition=Disposition.ACCEPT, event=Event.PASSED)


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log lines of the test, instead of standard output."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@dataclass
class Context:
    """What libmilter would be: the macros that the MTA sent, and a record of what it was told."""

    macros: dict[str, str] = field(default_factory=dict)
    said: list[tuple[Any, ...]] = field(default_factory=list)
    session: Any = None

    def setpriv(self, value: Any) -> None:
        self.session = value

    def getsymval(self, name: str) -> str | None:
        return self.macros.get(name)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: self.said.append((name, *values))


@dataclass
class Gate:
    """Gives its answer, and remembers what it was asked, with the bytes as they were then."""

    answer: Answer = ACCEPT
    error: Exception | None = None
    at: Step = Step.JUDGE
    seen: list[Transaction] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    def process(self, transaction: Transaction, *, enter: Callable[[Step], None]) -> Answer:
        self.seen.append(transaction)
        self.contents.append(b"".join(transaction.content.chunks()))
        enter(self.at)
        if self.error is not None:
            raise self.error
        return self.answer


def open_session(
    gate: Gate, directory: Path, *, limit: int = 10_000, macros: dict[str, str] | None = None, **offer: int
) -> tuple[session.Session, Context]:
    """A connected session, negotiated with an MTA that offers everything."""
    context = Context(macros=macros or {})
    opened = session.Session(gate=gate, spool=Spool(directory=directory, memory=100, limit=limit), clerks=CLERKS)
    opened._setctx(context)
    options = [0x1FF, offer.get("steps", 0x1FFFFF), 0, 0]
    assert opened.negotiate(options) == Milter.CONTINUE
    opened.connect("mail.example.org", 2, ("192.0.2.1", 4321))
    opened.hello("mail.example.org")
    context.said.clear()
    return opened, context


def send(
    opened: session.Session, *, recipient: bytes = b"<b@school.example>", body: bytes = b"Hi\r\n"
) -> list[int]:
    """A whole message; the code of every callback, end of message last."""
    codes = [
        opened.envfrom(b"<a@example.org>", b"SIZE=10", b"BODY=8BITMIME"),
        opened.envrcpt(recipient, b"NOTIFY=NEVER"),
        opened.header("Subject", b" one\n two"),
        opened.header("X-Raw", b"caf\xe9"),
        opened.eoh(),
        opened.body(body),
    ]
    return [*codes, opened.eom()]


def counted(step: Step) -> float:
    return REGISTRY.get_sample_value("gatepost_unhandled_errors_total", {"stage": step.value}) or 0.0


def test_every_step_is_counted_from_nought() -> None:
    """Prometheus sees no increase where a series only appears with the first error."""
    values = [REGISTRY.get_sample_value("gatepost_unhandled_errors_total", {"stage": step.value}) for step in Step]

    assert None not in values


def test_nothing_is_answered_before_end_of_message(tmp_path: Path) -> None:
    """An early answer would stay in force for what follows; libmilter is even told that none will come."""
    opened, context = open_session(Gate(), tmp_path)
    *early, last = send(opened)

    assert set(early) == {Milter.NOREPLY}
    assert last == Milter.ACCEPT
    assert context.said == []


def test_an_mta_that_wants_replies_is_told_to_go_on(tmp_path: Path) -> None:
    """An old MTA does not know the no-reply flags; it gets CONTINUE, never a verdict."""
    opened, _ = open_session(Gate(), tmp_path, steps=0)
    *early, last = send(opened)

    assert set(early) == {Milter.CONTINUE}
    assert last == Milter.ACCEPT


def test_no_callback_can_answer_early_whatever_the_gate_would_say(tmp_path: Path) -> None:
    """The gate is not even asked before the final dot."""
    gate = Gate(answer=Answer(disposition=Disposition.REJECT, event=Event.REFUSED, reply=Reply(text="No")))
    opened, _ = open_session(gate, tmp_path)
    opened.envfrom(b"<a@example.org>")
    opened.envrcpt(b"<b@school.example>")
    opened.eoh()
    opened.body(b"x")

    assert gate.seen == []
    assert opened.eom() == Milter.REJECT


def test_the_transaction_is_what_postfix_said(tmp_path: Path) -> None:
    """Client, envelope with parameters, and the message byte for byte with CRLF."""
    gate = Gate()
    macros = {
        "i": "4QUEUE",
        "{auth_authen}": "ann",
        "{auth_type}": "PLAIN",
        "{tls_version}": "TLSv1.3",
        "{daemon_addr}": "192.0.2.9",
        "{daemon_port}": "587",
    }
    opened, _ = open_session(gate, tmp_path, macros=macros)
    send(opened)

    (message,) = gate.seen
    client = message.client
    assert (client.name, client.address, client.port) == ("mail.example.org", "192.0.2.1", 4321)
    assert (client.helo, client.protocol, client.login) == ("mail.example.org", "ESMTPSA", "ann")
    assert (client.daemon, client.login_method, client.tls_version) == ("192.0.2.9:587", "PLAIN", "TLSv1.3")
    assert (message.sender.address, message.sender.parameters) == ("a@example.org", ("SIZE=10", "BODY=8BITMIME"))
    assert (message.recipients[0].wire, message.recipients[0].parameters) == (
        "<b@school.example>",
        ("NOTIFY=NEVER",),
    )
    assert message.queue_id == "4QUEUE"
    assert gate.contents == [b"Subject: one\r\n two\r\nX-Raw:caf\xe9\r\n\r\nHi\r\n"]


def test_an_mta_without_leading_space_gets_the_usual_one(tmp_path: Path) -> None:
    """Where the MTA eats the blank after the colon, the message is rebuilt as everybody writes it."""
    gate = Gate()
    opened, _ = open_session(gate, tmp_path, steps=0x1FFFFF & ~Milter.P_HDR_LEADSPC)
    opened.envfrom(b"<>")
    opened.header("Subject", b"one")
    opened.eom()

    assert gate.contents == [b"Subject: one\r\n\r\n"]


@pytest.mark.parametrize(
    ("macros", "name"),
    [
        ({"{tls_version}": "TLSv1.3", "{cert_subject}": "relay"}, "relay"),
        ({"{tls_version}": "TLSv1.3", "{cert_subject}": "relay", "{verify}": "OK"}, "relay"),
        ({"{tls_version}": "TLSv1.3", "{cert_subject}": "relay", "{verify}": "FAIL"}, ""),
        ({"{cert_subject}": "relay"}, ""),
    ],
    ids=["Postfix: trusted only", "Sendmail: verified", "Sendmail: not verified", "no TLS"],
)
def test_a_certificate_counts_only_if_it_was_verified(tmp_path: Path, macros: dict[str, str], name: str) -> None:
    """Anybody can write a name into a certificate of their own."""
    gate = Gate()
    opened, _ = open_session(gate, tmp_path, macros=macros)
    send(opened)

    assert gate.seen[0].client.tls_name == name


def test_several_messages_of_one_connection_share_nothing(tmp_path: Path) -> None:
    """Recipients, header and body of one message must never leak into the next, nor from one that was aborted."""
    gate = Gate()
    opened, _ = open_session(gate, tmp_path)
    send(opened, recipient=b"<first@school.example>", body=b"one")
    opened.envfrom(b"<a@example.org>")
    opened.envrcpt(b"<aborted@school.example>")
    opened.header("X-Aborted", b" yes")
    opened.abort()
    send(opened, recipient=b"<second@school.example>", body=b"two")

    first, second = gate.seen
    assert [each.address for each in first.recipients] == ["first@school.example"]
    assert [each.address for each in second.recipients] == ["second@school.example"]
    assert gate.contents[1].endswith(b"\r\n\r\ntwo")
    assert b"X-Aborted" not in gate.contents[1]
    assert len({first.key, second.key}) == len({first.support_id, second.support_id}) == 2


def test_an_address_that_is_not_utf8_is_refused_at_the_end(tmp_path: Path) -> None:
    """RFC 6531 knows no other; guessing would judge for a recipient who does not exist."""
    gate = Gate()
    opened, context = open_session(gate, tmp_path)
    *early, last = send(opened, recipient=b"<caf\xe9@school.example>")

    assert set(early) == {Milter.NOREPLY}
    assert last == Milter.REJECT
    assert context.said[0][:3] == ("setreply", "553", "5.6.7")
    assert gate.seen == []


def test_too_large_a_message_is_refused_at_the_end_and_never_cut(tmp_path: Path) -> None:
    """The gate must not see half a message."""
    gate = Gate()
    opened, context = open_session(gate, tmp_path, limit=1000)
    *early, last = send(opened, body=b"x" * 1001)

    assert set(early) == {Milter.NOREPLY}
    assert last == Milter.REJECT
    assert context.said[0][:3] == ("setreply", "552", "5.3.4")
    assert gate.seen == []


def test_an_endless_header_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postfix bounds a field, not their number."""
    monkeypatch.setattr(session, "HEADER_LIMIT", 1000)
    opened, context = open_session(Gate(), tmp_path)
    opened.envfrom(b"<a@example.org>")
    for _ in range(30):
        assert opened.header("X", b"y" * 100) == Milter.NOREPLY

    assert opened.eom() == Milter.REJECT
    assert context.said[0][:3] == ("setreply", "552", "5.3.4")


def test_a_disk_that_is_full_is_a_tempfail(tmp_path: Path) -> None:
    """The client keeps the message, and the log says what is wrong."""
    opened, context = open_session(Gate(), tmp_path / "missing")
    *early, last = send(opened, body=b"x" * 200)

    assert set(early) == {Milter.NOREPLY}
    assert last == Milter.TEMPFAIL
    assert context.said[0][:3] == ("setreply", "451", "4.3.0")


@pytest.mark.parametrize("step", [Step.INSPECT, Step.JUDGE, Step.HOLD])
def test_a_defect_anywhere_is_a_tempfail_and_is_counted_where_it_struck(tmp_path: Path, step: Step) -> None:
    """A bug must never let a message through, and somebody must hear of it."""
    before = counted(step)
    opened, context = open_session(Gate(error=KeyError("a bug"), at=step), tmp_path)

    assert send(opened)[-1] == Milter.TEMPFAIL
    assert counted(step) == before + 1
    assert context.said[0][:3] == ("setreply", "451", "4.3.0")


def test_the_message_after_a_defect_is_judged_as_ever(tmp_path: Path) -> None:
    """One bad message must not poison the connection."""
    gate = Gate(error=KeyError("a bug"))
    opened, _ = open_session(gate, tmp_path)
    send(opened)
    gate.error = None

    assert send(opened)[-1] == Milter.ACCEPT


@pytest.mark.parametrize("callback", ["envfrom", "envrcpt", "header", "eoh", "body"])
def test_a_defect_while_collecting_waits_for_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, callback: str
) -> None:
    """A temp-fail that comes early would be ignored for a recipient; so it is remembered."""
    gate = Gate()
    opened, _ = open_session(gate, tmp_path)
    before = counted(Step.COLLECT)
    broken = {
        "envfrom": "_path",
        "envrcpt": "_path",
        "header": "_message",
        "eoh": "_keep_header",
        "body": "_write",
    }
    if callback == "header":
        monkeypatch.setattr(session, "HEADER_LIMIT", None)
    else:
        monkeypatch.setattr(session.Session, broken[callback], _explode)
    *early, last = send(opened)

    assert set(early) == {Milter.NOREPLY}
    assert last == Milter.TEMPFAIL
    assert gate.seen == []
    assert counted(Step.COLLECT) > before


def test_one_message_makes_one_line_that_says_what_happened(
    tmp_path: Path, lines: list[MutableMapping[str, Any]]
) -> None:
    """The canonical line: everything that support needs, found by any of its ids, and no content."""
    answer = Answer(disposition=Disposition.DISCARD, event=Event.HELD, facts={"held_id": "abc", "rules": ["exe"]})
    opened, _ = open_session(Gate(answer=answer), tmp_path, macros={"i": "4QUEUE", "{auth_authen}": "ann"})
    send(opened)

    (line,) = lines
    assert (line["event"], line["queue_id"], line["login"]) == ("held", "4QUEUE", "ann")
    assert (line["held_id"], line["rules"], line["recipients"]) == ("abc", ["exe"], 1)
    assert line["connection"]


def test_a_session_without_a_client_is_never_judged(tmp_path: Path) -> None:
    """pymilter drops a connect whose host name it cannot decode; such a client has no address to judge by."""
    gate = Gate()
    context = Context()
    opened = session.Session(gate=gate, spool=Spool(directory=tmp_path), clerks=CLERKS)
    opened._setctx(context)
    opened.negotiate(list(OFFERED))

    assert send(opened)[-1] == Milter.TEMPFAIL
    assert gate.seen == []


def test_the_answer_is_put_into_milter_words(tmp_path: Path) -> None:
    """Fields are removed and added, recipients deleted by the form that Postfix gave."""
    answer = Answer(
        disposition=Disposition.ACCEPT,
        event=Event.TAGGED,
        remove=(StaleHeader(name="X-Gatepost-Tag", index=2), StaleHeader(name="X-Gatepost-Tag", index=1)),
        add=(("X-Gatepost-Tag", "rule"),),
        delete=("<b@school.example>",),
    )
    opened, context = open_session(Gate(answer=answer), tmp_path)

    assert send(opened)[-1] == Milter.ACCEPT
    assert context.said == [
        ("chgheader", "X-Gatepost-Tag", 2, None),
        ("chgheader", "X-Gatepost-Tag", 1, None),
        ("addheader", "X-Gatepost-Tag", " rule"),
        ("delrcpt", "<b@school.example>"),
    ]


def test_a_per_cent_sign_is_doubled_for_libmilter(tmp_path: Path) -> None:
    """libmilter drops a reply with a single one without a word, and the sender would see a default text."""
    reply = Reply(code=550, status="5.7.1", text="100% sure")
    opened, context = open_session(
        Gate(answer=Answer(disposition=Disposition.REJECT, event=Event.REFUSED, reply=reply)), tmp_path
    )
    send(opened)

    assert context.said == [("setreply", "550", "5.7.1", "100%% sure")]


def test_only_what_is_needed_is_asked_of_the_mta() -> None:
    """Header changes and recipient deletion; never body or sender changes, nor Postfix's own hold queue."""
    opened = session.Session(gate=Gate(), spool=Spool(), clerks=CLERKS)
    opened._setctx(Context())
    options = list(OFFERED)
    opened.negotiate(options)

    assert options[0] == Milter.ADDHDRS | Milter.CHGHDRS | Milter.DELRCPT | Milter.SETSYMLIST
    assert options[1] & Milter.P_HDR_LEADSPC


def _explode(*_values: object) -> None:
    raise RuntimeError("a bug")
