"""Owns what log lines add up to: by rule and day, how often it fired, what it did, and what it would have done.

It reads the canonical line of each message (milter/README.md) and nothing else of a log. A line that is none, is
cut, or was written by hand is counted and passed over; nothing in a log can stop the count. No address is kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo
from typing import Any

from gatepost_config.words import Action, Direction, Finding, Mode
from gatepost_milter.replies import Event

LONGEST = 64 * 1024
"""Bytes of a line that are looked at; gatepost's own are far shorter."""

_EVENTS = {each.value for each in Event}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one rule did about one message: its mode, the strictest action it asks for, and the one it has."""

    rule: str
    mode: Mode
    wanted: Action
    action: Action

    @property
    def kept_back(self) -> bool:
        """Whether its mode let it do less than it asks for: the answer to “what if we enforced it?”."""
        return self.mode in (Mode.MONITOR, Mode.ADVISE) and self.wanted.strictness > self.action.strictness

    @staticmethod
    def of(finding: Finding) -> Step:
        """What counts of a finding."""
        return Step(rule=finding.rule, mode=finding.mode, wanted=finding.wanted, action=finding.action)

    @staticmethod
    def read(text: str) -> Step:
        """The four words of the log's ``findings``. Raises ValueError."""
        rule, mode, wanted, action = text.split(" ")
        return Step(rule=rule, mode=Mode(mode), wanted=Action(wanted), action=Action(action))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What counts of one message's line. ``again`` is a message that joined an earlier hold of itself."""

    at: datetime
    event: Event
    direction: str
    again: bool
    steps: tuple[Step, ...]


@dataclass(slots=True)
class Count:
    """One rule over some messages. ``would`` is what its mode kept it from, ``spared`` what exemptions did."""

    fired: int = 0
    did: Counter[Action] = field(default_factory=Counter)
    would: Counter[Action] = field(default_factory=Counter)
    spared: int = 0

    def add(self, step: Step) -> None:
        """Count one finding."""
        self.fired += 1
        if step.action is not Action.PASS:
            self.did[step.action] += 1
        if step.kept_back:
            self.would[step.wanted] += 1
        elif step.action is Action.PASS and step.wanted is not Action.PASS:
            self.spared += 1

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {"fired": self.fired, "did": words(self.did), "would": words(self.would), "spared": self.spared}


@dataclass(slots=True)
class RuleCounts:
    """One rule over all days; ``modes`` are those that it had meanwhile, the latest last."""

    all: Count = field(default_factory=Count)
    days: dict[date, Count] = field(default_factory=dict)
    modes: dict[Mode, None] = field(default_factory=dict)

    def add(self, day: date, step: Step) -> None:
        """Count one finding of that day."""
        self.all.add(step)
        self.days.setdefault(day, Count()).add(step)
        self.modes.pop(step.mode, None)
        self.modes[step.mode] = None

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {
            "modes": [each.value for each in self.modes],
            **self.all.to_json(),
            "days": {day.isoformat(): count.to_json() for day, count in sorted(self.days.items())},
        }


@dataclass(slots=True)
class Ladder:
    """What a log says of a school's rules. ``days`` counts messages by event, ``unread`` lines that gave nothing.

    ``zone`` is the school's time zone: in it a day begins. ``first`` and ``last`` are the days that count, both
    included; None leaves that end open.
    """

    zone: tzinfo
    first: date | None = None
    last: date | None = None
    rules: dict[str, RuleCounts] = field(default_factory=dict)
    days: dict[date, Counter[Event]] = field(default_factory=dict)
    directions: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    again: int = 0

    def read(self, lines: Iterable[bytes]) -> None:
        """Count every line of a log."""
        for raw in lines:
            try:
                line = parse(raw)
            except ValueError:
                self.unread += 1
                continue
            if line is not None:
                self.add(line)

    def add(self, line: Line) -> None:
        """Count one message, if its day counts."""
        day = line.at.astimezone(self.zone).date()
        if (self.first is not None and day < self.first) or (self.last is not None and day > self.last):
            return
        if line.again:
            self.again += 1
            return
        self.days.setdefault(day, Counter())[line.event] += 1
        self.directions[line.direction] += 1
        for step in line.steps:
            self.rules.setdefault(step.rule, RuleCounts()).add(day, step)

    @property
    def messages(self) -> int:
        """How many messages there were."""
        return sum(sum(events.values()) for events in self.days.values())

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {
            "messages": self.messages,
            "sent_again": self.again,
            "unread_lines": self.unread,
            "directions": {way: self.directions[way] for way in sorted(self.directions)},
            "days": {
                day.isoformat(): {event.value: events[event] for event in Event if events[event]}
                for day, events in sorted(self.days.items())
            },
            "rules": {rule: counts.to_json() for rule, counts in sorted(self.rules.items())},
        }


def parse(raw: bytes) -> Line | None:
    """The message that a log line is about; None for other lines of gatepost's. Raises ValueError.

    What a log daemon writes in front of the line (RFC 3164: time, host, program) is passed over.
    """
    start = raw.find(b"{")
    try:
        record = json.loads(raw[max(start, 0) :])
    except RecursionError:
        raise ValueError("too deep") from None
    if not isinstance(record, dict):
        raise ValueError("no object")
    if record.get("service") != "milter":
        return None
    event = _text(record, "event")
    if event not in _EVENTS:
        return None
    at = datetime.fromisoformat(_text(record, "timestamp"))
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return Line(
        at=at,
        event=Event(event),
        direction=Direction(record["direction"]).value if "direction" in record else "",
        again=record.get("joined") is True,
        steps=tuple(_steps(record)),
    )


def _steps(record: Mapping[str, Any]) -> Iterator[Step]:
    found = record.get("findings", [])
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ValueError("the findings have been cut")
    yield from map(Step.read, found)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        raise ValueError(f"no {name}")
    return value


def words(actions: Mapping[Action, int]) -> dict[str, int]:
    """Counts by action as plain data, mildest first, without what there is none of."""
    return {action.value: actions[action] for action in Action if actions.get(action)}
