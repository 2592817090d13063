"""Owns what a scenario is, and how it is put before a policy: inspected once, judged by as many policies as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from support.corpus.judging import inspected
from support.corpus.school import SCHOOL
from support.mail import transaction
from support.messages import b64, multipart, text_part

from gatepost_config.directory import Directory, Group
from gatepost_config.words import Action
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy.document_tests import SamplePast
from gatepost_milter.policy.policy import Policy
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_milter.policy.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A mail, and what is to happen.

    Without ``login`` it comes from outside. ``rule`` decides; ``tells`` are roles that it tells. ``sizes`` are
    files of so many bytes, ``agreed`` parents who agreed to see one another's addresses.
    """

    number: int
    title: str
    verdict: Action
    rule: str = ""
    tells: Sequence[str] = ()
    login: str = ""
    sender: str = "someone@outside.example"
    author: str = ""
    to: Sequence[str] = ("teacher@school.example",)
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    text: str = "Dear colleague, please see below. Kind regards."
    parts: Sequence[bytes] = field(default=())
    sizes: Sequence[int] = ()
    new: bool = False
    agreed: Sequence[str] = ()
    malware: Sequence[str] = ()
    differs: str = ""

    def build(self) -> bytes:
        """The message as it is on the wire."""
        author = self.author or (f"{self.login}@school.example" if self.login else self.sender)
        head = [f"From: {author}", f"To: {', '.join(self.to)}", "Subject: A scenario", "MIME-Version: 1.0"]
        if self.cc:
            head.insert(2, f"Cc: {', '.join(self.cc)}")
        large = (attached(f"file{number}.bin", b"\1" * size) for number, size in enumerate(self.sizes))
        body = multipart(text_part(self.text.encode()), *self.parts, *large)
        return "\r\n".join(head).encode() + b"\r\n" + body


def attached(name: str, content: bytes, kind: str = "application/octet-stream") -> bytes:
    """A file as a part of a message."""
    return (
        f'Content-Type: {kind}; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
    ).encode() + b64(content)


def seen(scenario: Scenario, inspectors: Inspectors) -> Inspection:
    """What inspection and the virus scanner say of the mail."""
    return replace(inspected(scenario.build(), inspectors, texts=True), malware=tuple(scenario.malware))


def judged(scenario: Scenario, policy: Policy, found: Inspection) -> Verdict:
    """The verdict of a policy that stands among the people of the scenarios."""
    among = policy
    if scenario.agreed:
        agreed = Group(name="Committee", agreed=True, members=frozenset(scenario.agreed))
        among = policy.among(Directory.of(people=SCHOOL.people, groups=[agreed], approvals=SCHOOL.approvals))
    judge = among.remembering(Memory(standing=Standing(), past=SamplePast(known=not scenario.new)))
    recipients = (*scenario.to, *scenario.cc, *scenario.bcc)
    sender = f"{scenario.login}@school.example" if scenario.login else scenario.sender
    return judge.judge(transaction(*recipients, login=scenario.login, sender=sender), found)
