"""Owns the sentences of a finding: placeholders of the closed list filled in, hostile names made harmless.

A text is filled in by looking each placeholder up, never by formatting an object; what a placeholder becomes is
not looked at again, so a file named ``{school}`` stays a file named ``{school}``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gatepost_config.policy_document import PLACEHOLDER, Limit, PolicyDocument, Rule
from gatepost_config.settings import School
from gatepost_config.words import Evidence
from gatepost_milter.inspection.model import FileClass

NAME_LENGTH = 80
"""Characters of one file name in a sentence."""

REASON_LENGTH = 160
"""Characters of one reason in a sentence."""

NAMES = 3
"""Names that a sentence lists before it only counts."""

_CLASSES = frozenset(each.value for each in FileClass)
_SPACE = {"Zs", "Zl", "Zp"}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the placeholders that do not depend on the message become."""

    fixed: Mapping[str, str]

    @staticmethod
    def of(document: PolicyDocument, school: School, mailboxes: Mapping[str, Sequence[str]]) -> Words:
        """The fixed words of this policy at this school."""
        fixed = {"policy": document.title, "school": school.name, "domain": school.domains[0]}
        fixed |= {f"limit.{name}": limit_text(name, value) for name, value in document.limits.items()}
        for name, role in document.roles.items():
            fixed[f"role.{name}"] = role.title
            fixed[f"mailbox.{name}"] = mailboxes[name][0]
        return Words(fixed=fixed)

    def fill(self, template: str, rule: Rule, evidence: Sequence[Evidence] = ()) -> str:
        """The template as a sentence about this rule and what it found."""
        words = {**self.fixed, "clause": rule.clause or rule.title}
        if "{" in template:
            words |= _found(evidence)
        filled = PLACEHOLDER.sub(lambda match: words.get(match.group(1), match.group(0)), template)
        lines = "\n".join(" ".join(line.split()) for line in filled.strip().splitlines())
        return lines[:1].upper() + lines[1:]


def limit_text(name: str, value: Limit) -> str:
    """A limit as people say it: ``…_bytes`` as a size, other numbers with thousands separated."""
    if isinstance(value, str):
        return value
    return size_text(value) if name.endswith("_bytes") else f"{value:,}"


def size_text(size: int) -> str:
    """A size as people say it. MB is 1,048,576 bytes, as file managers show it; unknown below zero.

    More than a limit never looks like the limit itself: the last digit is rounded up.
    """
    if size < 0:
        return "unknown size"
    if size < 1024:
        return f"{size} bytes"
    unit, name = (1024 * 1024, "MB") if size >= 1024 * 1024 else (1024, "kB")
    tenths = -(-size * 10 // unit)
    return f"{tenths // 10} {name}" if tenths % 10 == 0 else f"{tenths / 10:.1f} {name}"


def harmless(name: str, *, length: int = NAME_LENGTH) -> str:
    """A name from a message, fit to be shown: one line, nothing invisible, no bidirectional tricks, not long."""
    if len(name) > 8 * length:
        name = name[: 4 * length] + name[-4 * length :]  # the ending says what a file is
    shown = []
    for letter in name:
        kind = unicodedata.category(letter)
        if kind in _SPACE or letter in "\t\r\n":
            shown.append(" ")
        elif kind in _HIDDEN:
            shown.append("\N{REPLACEMENT CHARACTER}")
        else:
            shown.append(letter)
    text = " ".join("".join(shown).split())
    if len(text) <= length:
        return text
    keep = (length - 1) // 2
    return f"{text[:keep]}…{text[-keep:]}"


def _found(evidence: Sequence[Evidence]) -> dict[str, str]:
    """The words that speak of what was found; with one thing or none, in the singular.

    A defect has no name that people know: it gives a reason, and “this message” is what has it. A private account
    in Bcc is never named.
    """
    named = [item for item in evidence if not item.private]
    things = [item for item in named if item.name and item.kind not in ("more", "defect")]
    names = list(dict.fromkeys(f"“{harmless(item.name)}”" for item in things))
    more = sum(int(item.details.get("count", 0)) for item in named if item.kind == "more")
    sizes = [size_text(int(item.details["size"])) for item in named if "size" in item.details]
    reasons = dict.fromkeys(
        reason for item in named for reason in _reasons(str(item.details.get("reason", ""))) if reason
    )
    single = len(names) + more <= 1
    blind = any(item.private and item.kind == "account" for item in evidence)
    return {
        "count": f"{sum(item.kind != 'more' for item in evidence) + more:,}",
        "names": _joined(names, more=more) or ("an address in Bcc" if blind else "this message"),
        "sizes": _joined(list(dict.fromkeys(sizes))) or "unknown size",
        "reasons": _joined([harmless(reason, length=REASON_LENGTH) for reason in reasons])
        or "of a kind that is not allowed",
        "it_is": "it is" if single else "they are",
        "it": "it" if single else "they",
        "them": "it" if single else "them",
    }


def _reasons(reason: str) -> Iterator[str]:
    """Inspection's reasons one by one, without the class in front: “executable: Windows program”."""
    for part in reason.split("; "):
        word, _, why = part.partition(": ")
        yield why if why and word in _CLASSES else part


def _joined(items: Sequence[str], *, more: int = 0) -> str:
    """Items as people list them: a, b and c; or a, b, c and 4 more."""
    shown, rest = list(items[:NAMES]), len(items[NAMES:]) + more
    if rest:
        shown.append(f"{rest} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
