"""Owns the words of gatepost: directions, actions, modes, and the explanation that every surface shows.

These are the only types that all rooms may speak in. They hold no behaviour beyond their own ordering and
their JSON form, so that the SMTP reply, the notice, the console, the log and ``gatepost check`` cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Direction(StrEnum):
    """Which way a message goes, seen from the school; decided for each recipient."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class Action(StrEnum):
    """What happens to a message for one recipient, mildest first; the strictest finding wins."""

    PASS = "pass"  # noqa: S105 - an action, not a secret
    TAG = "tag"
    WARN = "warn"
    CONFIRM = "confirm"
    REJECT = "reject"
    QUARANTINE = "quarantine"
    SEAL = "seal"

    @property
    def strictness(self) -> int:
        """The rank of the action; a higher rank wins."""
        return _STRICTNESS[self]

    @property
    def held(self) -> bool:
        """Whether the message is kept back for this recipient (confirm, quarantine and seal)."""
        return self in _HELD

    @staticmethod
    def strictest(*actions: Action) -> Action:
        """The strictest of the actions, ``pass`` when there is none."""
        return max(actions, key=_STRICTNESS.__getitem__, default=Action.PASS)


_STRICTNESS = {action: rank for rank, action in enumerate(Action)}
_HELD = frozenset({Action.CONFIRM, Action.QUARANTINE, Action.SEAL})


class Mode(StrEnum):
    """How far a rule may go; a school climbs this ladder rule by rule."""

    OFF = "off"
    MONITOR = "monitor"
    ADVISE = "advise"
    ENFORCE = "enforce"

    def limit(self, action: Action) -> Action:
        """The action that is left of ``action`` once this mode has had its say."""
        if self is Mode.ENFORCE:
            return action
        if self is Mode.ADVISE:
            return min(action, Action.WARN, key=lambda each: each.strictness)
        return Action.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An SMTP reply in RFC 5321 section 4.2 form with an RFC 3463 enhanced status code.

    ``text`` is ASCII and at most 200 octets; it never holds a file name or personal data.
    """

    code: int = 550
    status: str = "5.7.1"
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing that a rule found: what a person would call it, and where in the message it is.

    ``details`` holds further plain facts (size in bytes, detected type). ``private`` evidence is shown only
    to those who may see content; it never leaves in a notice or a log line.
    """

    kind: str
    name: str
    where: str
    details: Mapping[str, str | int | bool] = field(default_factory=dict)
    private: bool = False

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that ``from_json`` reads back."""
        return {
            "kind": self.kind,
            "name": self.name,
            "where": self.where,
            "details": dict(self.details),
            "private": self.private,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Evidence:
        """The evidence that ``to_json`` wrote."""
        return Evidence(
            kind=data["kind"],
            name=data["name"],
            where=data["where"],
            details=dict(data["details"]),
            private=data["private"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule that fired, with its evidence and what it asks for.

    ``wanted`` is the strictest action that the rule asks for; ``actions`` is what its mode leaves of that
    for each recipient address (a monitored rule leaves ``pass``). ``queue`` is the role that reviews what
    is held, ``tell`` the roles to notify (also the words ``sender`` and ``recipients``). ``say`` is the
    sentence a person reads, ``mend`` what would let the message pass. ``source`` is ``file:line`` of the rule.
    ``exemptions`` names, in words, those that took an action away from a recipient. ``override`` is who may send
    on what is held for confirmation: ``sender`` or ``reviewer``.
    """

    rule: str
    clause: str
    mode: Mode
    wanted: Action
    actions: Mapping[str, Action]
    evidence: tuple[Evidence, ...]
    say: str
    mend: str = ""
    queue: str = ""
    tell: tuple[str, ...] = ()
    reply: Reply = field(default_factory=Reply)
    source: str = ""
    exemptions: tuple[str, ...] = ()
    override: str = "sender"

    @property
    def action(self) -> Action:
        """The strictest action that this finding has on any recipient."""
        return Action.strictest(*self.actions.values())

    @property
    def where(self) -> str:
        """Every place in the message that the evidence names, in order and once each."""
        return "; ".join(dict.fromkeys(item.where for item in self.evidence if item.where))

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that ``from_json`` reads back."""
        return {
            "rule": self.rule,
            "clause": self.clause,
            "mode": self.mode.value,
            "wanted": self.wanted.value,
            "actions": {address: action.value for address, action in self.actions.items()},
            "evidence": [item.to_json() for item in self.evidence],
            "say": self.say,
            "mend": self.mend,
            "queue": self.queue,
            "tell": list(self.tell),
            "reply": {"code": self.reply.code, "status": self.reply.status, "text": self.reply.text},
            "source": self.source,
            "exemptions": list(self.exemptions),
            "override": self.override,
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Finding:
        """The finding that ``to_json`` wrote."""
        return Finding(
            rule=data["rule"],
            clause=data["clause"],
            mode=Mode(data["mode"]),
            wanted=Action(data["wanted"]),
            actions={address: Action(action) for address, action in data["actions"].items()},
            evidence=tuple(Evidence.from_json(item) for item in data["evidence"]),
            say=data["say"],
            mend=data["mend"],
            queue=data["queue"],
            tell=tuple(data["tell"]),
            reply=Reply(**data["reply"]),
            source=data["source"],
            exemptions=tuple(data.get("exemptions", ())),
            override=data.get("override", "sender"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRef:
    """Which policy judged: its name and version, and the SHA-256 of the document's bytes (hexadecimal)."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one recipient gets: the direction of the message towards them, and the action."""

    recipient: str
    direction: Direction
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a message was treated as it was: the one object that every surface shows.

    ``support_id`` is short enough to read out on the telephone and finds the message in log and console.
    ``defects`` are the ways in which the message bends the standards, each as ``code`` or ``code (where)``.
    """

    support_id: str
    policy: PolicyRef
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...] = ()
    defects: tuple[str, ...] = ()

    @property
    def action(self) -> Action:
        """The strictest action over all recipients."""
        return Action.strictest(*(outcome.action for outcome in self.outcomes))

    def acting(self) -> tuple[Finding, ...]:
        """The findings that do something, strictest first; findings of equal strictness keep policy order."""
        if not self.findings:
            return ()
        acting = (finding for finding in self.findings if finding.action is not Action.PASS)
        return tuple(sorted(acting, key=lambda finding: -finding.action.strictness))

    def public(self) -> Explanation:
        """The explanation without private evidence, fit for notices, logs and ordinary reviewers."""
        findings = []
        for finding in self.findings:
            data = finding.to_json()
            data["evidence"] = [item for item in data["evidence"] if not item["private"]]
            findings.append(Finding.from_json(data))
        return Explanation(
            support_id=self.support_id,
            policy=self.policy,
            outcomes=self.outcomes,
            findings=tuple(findings),
            defects=self.defects,
        )

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that ``from_json`` reads back."""
        return {
            "support_id": self.support_id,
            "policy": {
                "name": self.policy.name,
                "version": self.policy.version,
                "digest": self.policy.digest,
            },
            "outcomes": [
                {"recipient": each.recipient, "direction": each.direction.value, "action": each.action.value}
                for each in self.outcomes
            ],
            "findings": [finding.to_json() for finding in self.findings],
            "defects": list(self.defects),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Explanation:
        """The explanation that ``to_json`` wrote."""
        return Explanation(
            support_id=data["support_id"],
            policy=PolicyRef(**data["policy"]),
            outcomes=tuple(
                Outcome(
                    recipient=each["recipient"],
                    direction=Direction(each["direction"]),
                    action=Action(each["action"]),
                )
                for each in data["outcomes"]
            ),
            findings=tuple(Finding.from_json(each) for each in data["findings"]),
            defects=tuple(data["defects"]),
        )
