"""Owns what a replay adds up to: how two policies' verdicts on the same mails differ, by rule, sender, direction.

It keeps counts, and one small record for each mail that would fare differently; never a mail, never a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatepost_config.words import Action, Direction
from gatepost_milter.cli.ladder import Step, words
from gatepost_milter.policy.verdict import Verdict

NOBODY = "(nobody)"
"""Who sent mail with an empty envelope sender: bounces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What both policies make of one mail. ``old`` and ``new`` are actions by recipient."""

    name: str
    sender: str
    direction: Direction
    old: Mapping[str, Action]
    new: Mapping[str, Action]
    old_fired: tuple[Step, ...]
    new_fired: tuple[Step, ...]

    @staticmethod
    def of(name: str, envelope_sender: str, old: Verdict, new: Verdict) -> Judged:
        """What counts of two verdicts on the mail of that name. A proved sender goes before a claimed one."""
        return Judged(
            name=name,
            sender=new.sender.mailbox or envelope_sender or NOBODY,
            direction=new.direction,
            old={each.recipient: each.action for each in old.outcomes},
            new={each.recipient: each.action for each in new.outcomes},
            old_fired=tuple(Step.of(each) for each in old.findings),
            new_fired=tuple(Step.of(each) for each in new.findings),
        )

    @property
    def differs(self) -> bool:
        """Whether any recipient would get it otherwise."""
        return self.old != self.new

    @property
    def actions(self) -> tuple[Action, Action]:
        """The strictest action of each policy, the old one first."""
        return Action.strictest(*self.old.values()), Action.strictest(*self.new.values())

    @property
    def because(self) -> tuple[str, ...]:
        """The rules whose part in it is another than before, in the order of the new policy."""
        before, after = ({each.rule: each.action for each in fired} for fired in (self.old_fired, self.new_fired))
        return tuple(
            rule
            for rule in dict.fromkeys((*after, *before))
            if before.get(rule, Action.PASS) is not after.get(rule, Action.PASS)
        )

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        old, new = self.actions
        return {
            "mail": self.name,
            "sender": self.sender,
            "direction": self.direction.value,
            "old": old.value,
            "new": new.value,
            "because": list(self.because),
            "recipients": {
                address: {"old": self.old.get(address, Action.PASS).value, "new": action.value}
                for address, action in self.new.items()
                if self.old.get(address) is not action
            },
        }


@dataclass(slots=True)
class Shift:
    """How many mails of a kind there were, and how many would fare better or worse."""

    mails: int = 0
    stricter: int = 0
    milder: int = 0
    otherwise: int = 0

    def add(self, judged: Judged) -> None:
        """Count one mail."""
        old, new = judged.actions
        self.mails += 1
        if new.strictness > old.strictness:
            self.stricter += 1
        elif new.strictness < old.strictness:
            self.milder += 1
        elif judged.differs:
            self.otherwise += 1  # equally strict, but for other recipients

    @property
    def changed(self) -> int:
        """How many would fare otherwise."""
        return self.stricter + self.milder + self.otherwise

    def to_json(self) -> dict[str, int]:
        """A plain dictionary."""
        return {"mails": self.mails, "stricter": self.stricter, "milder": self.milder, "otherwise": self.otherwise}


@dataclass(slots=True)
class RuleCount:
    """One rule over all mails: on how many it fires in each policy, and what it does there.

    ``would`` counts what it asks for where its mode in the new policy lets it do less: the answer to “what if we
    enforced it?”. ``changes`` are mails that fare otherwise and in which its part is another than before.
    """

    old_fired: int = 0
    new_fired: int = 0
    old_actions: Counter[Action] = field(default_factory=Counter)
    new_actions: Counter[Action] = field(default_factory=Counter)
    would: Counter[Action] = field(default_factory=Counter)
    changes: int = 0

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {
            "old": {"fired": self.old_fired, "actions": words(self.old_actions)},
            "new": {"fired": self.new_fired, "actions": words(self.new_actions)},
            "would": words(self.would),
            "changes": self.changes,
        }


@dataclass(slots=True)
class Tally:
    """Everything that a replay found out. ``changed`` are the mails that fare otherwise, in order."""

    all: Shift = field(default_factory=Shift)
    directions: dict[Direction, Shift] = field(default_factory=dict)
    senders: dict[str, Shift] = field(default_factory=dict)
    rules: dict[str, RuleCount] = field(default_factory=dict)
    moves: Counter[tuple[Action, Action]] = field(default_factory=Counter)
    changed: list[Judged] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def add(self, judged: Judged) -> None:
        """Count one mail."""
        self.all.add(judged)
        self.directions.setdefault(judged.direction, Shift()).add(judged)
        self.senders.setdefault(judged.sender.casefold(), Shift()).add(judged)
        for fired in judged.old_fired:
            count = self.rules.setdefault(fired.rule, RuleCount())
            count.old_fired += 1
            count.old_actions[fired.action] += 1
        for fired in judged.new_fired:
            count = self.rules.setdefault(fired.rule, RuleCount())
            count.new_fired += 1
            count.new_actions[fired.action] += 1
            if fired.kept_back:
                count.would[fired.wanted] += 1
        if judged.differs:
            self.moves[judged.actions] += 1
            self.changed.append(judged)
            for rule in judged.because:
                self.rules.setdefault(rule, RuleCount()).changes += 1

    def fail(self, name: str, reason: str) -> None:
        """Count a mail that could not be judged."""
        self.failures.append((name, reason))

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; senders are those whose mail would fare otherwise, most of it first."""
        senders = sorted(self.senders.items(), key=lambda item: (-item[1].changed, item[0]))
        return {
            **self.all.to_json(),
            "failed": [{"mail": name, "reason": reason} for name, reason in self.failures],
            "moves": [
                {"old": old.value, "new": new.value, "mails": count}
                for (old, new), count in sorted(self.moves.items(), key=lambda item: -item[1])
            ],
            "directions": {way.value: shift.to_json() for way, shift in sorted(self.directions.items())},
            "rules": {rule: count.to_json() for rule, count in self.rules.items()},
            "senders": {sender: shift.to_json() for sender, shift in senders if shift.changed},
            "changed": [each.to_json() for each in self.changed],
        }
