"""Owns the difference of two policy documents: what was added, removed, changed or moved, field by field.

It compares what the documents say, not how they are written: comments, quotes and line breaks do not count. It
knows the shape of a document only from its model, so that a key that is new to the model is compared too.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gatepost_config.policy_document import PolicyDocument
from gatepost_config.words import Action, Mode

DOCUMENT = "document"
"""The section of what stands at the top of a document: its title and version."""

_IDENTITIES: Sequence[tuple[str, ...]] = (("id",), ("name",), ("who", "rule", "party"), ("who",))
_MODES = {mode.value: rank for rank, mode in enumerate(Mode)}
_ACTIONS = {action.value: action.strictness for action in Action}


class Kind(StrEnum):
    """What became of a thing. ``moved`` is a rule that now stands elsewhere among the others."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """One field that differs, with both values as plain data; None where there is none.

    ``field`` is dotted where fields hold fields (``action.inbound``), and empty for a thing that is one value.
    """

    field: str
    old: Any
    new: Any

    @property
    def gone(self) -> tuple[str, ...]:
        """What a list held and no longer holds, as text."""
        return _without(self.old, self.new)

    @property
    def come(self) -> tuple[str, ...]:
        """What a list did not hold and now does, as text."""
        return _without(self.new, self.old)

    @property
    def tendency(self) -> str:
        """``stricter`` or ``milder`` where that can be said: of modes and actions; else empty."""
        ranks = _MODES if self.field == "mode" else _ACTIONS if self.field.startswith("action") else {}
        old, new = ranks.get(self.old or "pass", 0), ranks.get(self.new or "pass", 0)
        if not ranks or old == new:
            return ""
        return "stricter" if new > old else "milder"

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {"field": self.field, "old": self.old, "new": self.new, "tendency": self.tendency}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs: ``section`` is the document's key (rules, roles, limits …), ``name`` its own.

    Of what was added or removed, ``fields`` has everything that was given for it.
    """

    section: str
    name: str
    kind: Kind
    fields: tuple[FieldChange, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary."""
        return {
            "section": self.section,
            "name": self.name,
            "kind": self.kind.value,
            "fields": [each.to_json() for each in self.fields],
        }


def compare(old: PolicyDocument, new: PolicyDocument) -> tuple[Change, ...]:
    """All that differs, in the order of a document's keys and, within one, of the new document."""
    before, after = (each.model_dump(mode="json", by_alias=True) for each in (old, new))
    found: list[Change] = []
    for section in PolicyDocument.model_fields:
        if section == "base":
            continue  # how a document is written: what the base says has been compared with the rest
        one, other = before[section], after[section]
        if isinstance(one, Mapping):
            found += _compare_named(section, one, other)
        elif isinstance(one, list):
            names, others = _named(one), _named(other)
            found += _compare_named(section, names, others)
            if section == "rules":
                found += (Change(section=section, name=name, kind=Kind.MOVED) for name in _moved(names, others))
        elif one != other:
            change = FieldChange(field=section, old=one, new=other)
            found.append(Change(section=DOCUMENT, name=old.name, kind=Kind.CHANGED, fields=(change,)))
    return tuple(found)


def _compare_named(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in (*new, *(each for each in old if each not in new)):
        kind = Kind.ADDED if name not in old else Kind.REMOVED if name not in new else Kind.CHANGED
        fields = tuple(_compare_fields(_flat(old.get(name)), _flat(new.get(name))))
        if fields or kind is not Kind.CHANGED:
            yield Change(section=section, name=name, kind=kind, fields=fields)


def _compare_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[FieldChange]:
    for field in dict.fromkeys((*new, *old)):
        before, after = old.get(field), new.get(field)
        if before != after:
            yield FieldChange(field=field, old=before, new=after)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A value as fields with dotted names; what says nothing (empty, null) is left out."""
    if isinstance(value, Mapping):
        fields: dict[str, Any] = {}
        for key, inner in value.items():
            fields |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
        return fields
    return {} if value in (None, "", []) else {prefix: value}


def _named(items: Sequence[Any]) -> dict[str, Any]:
    """The items of a list by what tells them apart; by all that they say, if nothing else does."""
    for keys in _IDENTITIES:
        if all(isinstance(each, Mapping) and all(key in each for key in keys) for each in items):
            names = [" · ".join(str(each[key]) for key in keys) for each in items]
            if len(set(names)) == len(names):
                return dict(zip(names, items, strict=True))
    return {json.dumps(each, ensure_ascii=False, sort_keys=True): each for each in items}


def _moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """The names that both have and that stand elsewhere among those; as few as explain the new order."""
    before, after = [name for name in old if name in new], [name for name in new if name in old]
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    stayed = {before[block.a + step] for block in matcher.get_matching_blocks() for step in range(block.size)}
    yield from (name for name in after if name not in stayed)


def _without(values: Any, others: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not isinstance(others, list | None):
        return ()
    return tuple(_text(each) for each in values if each not in (others or ()))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
