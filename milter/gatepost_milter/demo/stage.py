"""Owns the stage of the demo: gateway, mail server and mailboxes set up together, and a sample sent across it.

What is shown about a sample is what really happened: the SMTP reply that its client got, the line that the
milter logged, and what arrived in the mailboxes.
"""

from __future__ import annotations

import shutil
import smtplib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from typing import Any

from gatepost_config.documents import load_policy, policy_path
from gatepost_milter.demo import postfix
from gatepost_milter.demo.front import Front
from gatepost_milter.demo.gateway import Gateway, GatewayError, Line
from gatepost_milter.demo.logins import PASSWORD, LoginServer
from gatepost_milter.demo.mailboxes import Delivery, Listener, Mailboxes
from gatepost_milter.demo.postfix import Ports, PrivatePostfix, Site
from gatepost_milter.demo.samples import DOMAIN, EXEMPTION, LOGINS, Fate, Sample

PATIENCE = 20.0
"""Seconds for an answer, a log line or a notice; beyond that the sample counts as not answered."""

ENDS = frozenset({"passed", "tagged", "warned", "held", "refused", "failed"})
"""The events with which the milter's one line about a message begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A rule that acted: its id, what it is called, and where the school's document says so."""

    rule: str
    title: str
    clause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A sample on its way: the SMTP reply, and the line that the milter wrote about it."""

    sample: Sample
    code: int
    reply: str
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a sample. ``wrong`` holds a sentence for everything that is not as it should be."""

    sent: Sent
    reasons: tuple[Reason, ...]
    fates: Mapping[str, Fate]
    notices: Mapping[str, tuple[str, ...]]
    wrong: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Stage:
    """The running demo. ``port`` takes mail from outside, ``submission`` mail with a login (often the same)."""

    gateway: Gateway
    mailboxes: Mailboxes
    port: int
    submission: int
    reasons: Mapping[str, Reason]

    def send(self, sample: Sample) -> Sent:
        """Send a sample as its sender would, and wait for what the milter says. Raises GatewayError."""
        before = len(self.gateway.milter.lines())
        code, reply = self._transmit(sample)
        line = self.gateway.milter.wait_for(is_end, after=before, seconds=PATIENCE)
        if line is None:
            raise GatewayError(f"the milter said nothing about {sample.name}:\n{self.gateway.milter.tail()}")
        return Sent(sample=sample, code=code, reply=reply, line=line)

    def results(self, sent: Sequence[Sent]) -> tuple[Result, ...]:
        """What became of these samples, once everything that should arrive has arrived, or time is over."""
        owed = [(each, to) for each in sent for to in each.sample.notices]
        due = [(each, to) for each in sent for to, fate in each.sample.fates.items() if fate is Fate.DELIVERED]

        def arrived(deliveries: Sequence[Delivery]) -> bool:
            letters = _Letters(deliveries)
            return all(letters.notices(each, to) for each, to in owed) and all(
                letters.has(each, to) for each, to in due
            )

        self.mailboxes.wait(arrived, seconds=PATIENCE)
        letters = _Letters(self.mailboxes.all())
        return tuple(self._result(each, letters) for each in sent)

    def why(self, line: Line) -> tuple[Reason, ...]:
        """The rules that a log line names, with title and clause."""
        named = line.get("rules") or ()
        return tuple(self.reasons.get(rule, Reason(rule=rule, title=rule, clause="")) for rule in named)

    def _transmit(self, sample: Sample) -> tuple[int, str]:
        port = self.submission if sample.login else self.port
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE * 6) as client:
            if sample.login:
                client.login(sample.login, PASSWORD)
            client.ehlo_or_helo_if_needed()
            client.mail(sample.sender)
            for recipient in sample.recipients:
                client.rcpt(recipient)
            code, text = client.data(sample.content)
        return code, text.decode("utf-8", errors="replace")

    def _result(self, sent: Sent, letters: _Letters) -> Result:
        sample = sent.sample
        fates = {to: _fate(sent, delivered=letters.has(sent, to)) for to in sample.recipients}
        people = dict.fromkeys((*sample.recipients, *sample.notices, sample.sender))
        notices = {to: subjects for to in people if (subjects := letters.notices(sent, to))}
        wrong = [
            f"{to}: {fates[to]}, and should be {fate}"
            for to, fate in sample.fates.items()
            if fates[to] is not fate
        ]
        wrong += [f"{to} got no notice" for to in sample.notices if to not in notices]
        wrong += [f"{to} got a notice and should not" for to in notices if to not in sample.notices]
        return Result(sent=sent, reasons=self.why(sent.line), fates=fates, notices=notices, wrong=tuple(wrong))


def is_end(line: Line) -> bool:
    """Whether a log line is the one that says how a message ended."""
    return line.get("event") in ENDS


@contextmanager
def front_stage(port: int) -> Iterator[Stage]:
    """The demo without a mail server: our own front. Raises OSError if the port is taken, GatewayError."""
    with ExitStack() as stack:
        home = _home(stack)
        mailboxes = Mailboxes()
        inbound = stack.enter_context(Listener(mailboxes, via="release-inbound"))
        outbound = stack.enter_context(Listener(mailboxes, via="release-outbound"))
        gateway = _gateway(home, inbound=inbound.port, outbound=outbound.port)
        # First the port, which may be taken: that should not take the time of starting a gateway to find out.
        front = stack.enter_context(
            Front(
                mailboxes,
                milter=str(gateway.socket),
                port=port,
                host_name=f"gateway.{DOMAIN}",
                logins=LOGINS,
            )
        )
        stack.enter_context(gateway)
        yield Stage(
            gateway=gateway, mailboxes=mailboxes, port=front.port, submission=front.port, reasons=_reasons(home)
        )


@contextmanager
def postfix_stage(port: int) -> Iterator[Stage]:
    """The demo with a private Postfix. Raises PostfixError, GatewayError."""
    if reason := postfix.why_not():
        raise postfix.PostfixError(reason)
    with ExitStack() as stack:
        home = _home(stack)
        mailboxes = Mailboxes()
        sink = stack.enter_context(Listener(mailboxes, via="postfix"))
        ports = Ports(
            smtp=port or postfix.free_port(),
            submission=postfix.free_port(),
            inbound=postfix.free_port(),
            outbound=postfix.free_port(),
        )
        gateway = stack.enter_context(_gateway(home, inbound=ports.inbound, outbound=ports.outbound))
        logins = stack.enter_context(LoginServer(home / "logins.sock", logins=LOGINS))
        site = Site(
            domains=[DOMAIN],
            next_hop=sink.port,
            milters=[f"unix:{gateway.socket}"],
            login_socket=logins.path,
        )
        stack.enter_context(PrivatePostfix(home, site=site, ports=ports))
        yield Stage(
            gateway=gateway,
            mailboxes=mailboxes,
            port=ports.smtp,
            submission=ports.submission,
            reasons=_reasons(home),
        )


class _Letters:
    """Deliveries, read once: which sample, or which notice about a sample, each of them is."""

    def __init__(self, deliveries: Sequence[Delivery]) -> None:
        self._read = [(each, _header(each.content)) for each in deliveries]

    def has(self, sent: Sent, address: str) -> bool:
        """Whether the sample itself reached this address."""
        wanted = _message_id(sent.sample.content)
        return any(
            address in delivery.recipients and header["Message-ID"] == wanted for delivery, header in self._read
        )

    def notices(self, sent: Sent, address: str) -> tuple[str, ...]:
        """The subjects of the notices about the sample that reached this address."""
        wanted = _message_id(sent.sample.content)
        return tuple(
            str(header["Subject"])
            for delivery, header in self._read
            if address in delivery.recipients and header["Auto-Submitted"] and header["In-Reply-To"] == wanted
        )


def _fate(sent: Sent, *, delivered: bool) -> Fate:
    """Delivered is what arrived; a refusal is what the client was told; what is neither must be logged as held."""
    if delivered:
        return Fate.DELIVERED
    if sent.code // 100 == 5:
        return Fate.REFUSED
    return Fate.HELD if sent.line.get("event") == "held" else Fate.LOST


def _header(content: bytes) -> EmailMessage:
    head = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    message = message_from_bytes(head + b"\n\n", policy=modern)
    if not isinstance(message, EmailMessage):  # the modern policy always makes one
        raise TypeError(type(message))
    return message


def _message_id(content: bytes) -> str:
    return str(_header(content)["Message-ID"])


def _home(stack: ExitStack) -> Path:
    home = postfix.folder()
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    shipped = policy_path("default").read_text(encoding="utf-8")
    (home / "policy.yaml").write_text(shipped + EXEMPTION, encoding="utf-8")
    return home


def _gateway(home: Path, *, inbound: int, outbound: int) -> Gateway:
    overrides: dict[str, Any] = {"policy": str(home / "policy.yaml")}
    return Gateway(home, domains=[DOMAIN], inbound=inbound, outbound=outbound, overrides=overrides)


def _reasons(home: Path) -> dict[str, Reason]:
    document = load_policy(home / "policy.yaml")
    return {rule.id: Reason(rule=rule.id, title=rule.title, clause=rule.clause) for rule in document.rules}
