"""Owns how values look on a page: ages, times, sizes, and text that cannot play tricks on its reader."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta

from gatepost_quarantine.held import State

_CUT = 300
_HARD_TO_SEE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})

STATE_LABELS = {
    State.HELD: "Needs review",
    State.RELEASING: "Releasing",
    State.RELEASED: "Released",
    State.DENIED: "Denied",
    State.DELETED: "Deleted",
    State.WITHDRAWN: "Withdrawn",
    State.EXPIRED: "Expired",
}


def line(value: object, limit: int = _CUT) -> str:
    """A value on one line, at most ``limit`` characters.

    Letters that change the direction of writing, and others that cannot be seen, show.
    """
    text = "".join(_seen(letter) for letter in str(value)[: 4 * limit])
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def block(value: str, limit: int = 200_000) -> str:
    """A text of many lines, cut after ``limit`` characters; controls and direction marks show, tabs stay."""
    text = "".join(letter if letter in "\n\t" else _seen(letter) for letter in value[:limit])
    return text if len(value) <= limit else f"{text}\n… cut here"


def _seen(letter: str) -> str:
    if letter in "\n\r\t":
        return " "
    if letter in "\u200d\u200c\ufe0f" or unicodedata.category(letter) not in _HARD_TO_SEE:
        return letter
    return f"⟨{ord(letter):04X}⟩" if unicodedata.category(letter) == "Cf" else "\N{REPLACEMENT CHARACTER}"


def age(at: datetime, now: datetime) -> str:
    """How long ago, in one unit."""
    seconds = max(0.0, (now - at).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return "now"


def left(until: datetime, now: datetime) -> str:
    """How long until then, in one unit, a minute at least."""
    return age(now, max(until + timedelta(seconds=30), now + timedelta(minutes=1)))


def local(at: datetime | None) -> str:
    """The time where the server is, to the minute."""
    return "" if at is None else at.astimezone().strftime("%-d %b %Y, %H:%M")


def utc(at: datetime | None) -> str:
    """The time in UTC, as machines write it."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(count: object) -> str:
    """Bytes in the unit that people use; unknown is a dash."""
    if not isinstance(count, int) or count < 0:
        return "–"
    for unit, length in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if count >= length:
            return f"{count / length:.1f} {unit}"
    return f"{count} B"


def role(queue: str) -> str:
    """A role's name as people read it."""
    upper = {"it": "IT", "dsl": "DSL", "dpo": "DPO"}
    words = [upper.get(word, word) for word in queue.split("-")]
    return " ".join(words)[:1].upper() + " ".join(words)[1:]


def rule(name: str) -> str:
    """A rule's id as a short phrase."""
    words = name.replace("-", " ")
    return words[:1].upper() + words[1:]
