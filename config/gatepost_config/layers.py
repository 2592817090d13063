"""Owns documents that build on another: the two as one, and of each value the file that it was taken from.

What a policy document with ``base: NAME`` says stands in place of what the base says: roles, limits, lists and
rules one by one, and a rule or role field by field. The base's name, title, version and tests are its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gatepost_config.errors import ConfigError, Problem
from gatepost_config.source import Source, Steps
from gatepost_config.spelling import suggestion

_OWN = frozenset({"base", "name", "title", "version", "tests"})
"""What a document never takes from its base."""

_ENTRIES: Mapping[Steps, str] = {
    ("rules",): "id",
    ("test_directory", "people"): "address",
    ("test_directory", "agreed_groups"): "name",
    ("test_directory", "approved"): "who",
}
"""Lists whose entries are known by one of their keys."""

_JOINED: frozenset[Steps] = frozenset({("phrase_lists",), ("exemptions",)})
"""Lists to which a document adds."""

_ONE_BY_ONE: frozenset[Steps] = frozenset({(), ("roles",), ("limits",), ("lists",), ("test_directory",)})
"""Mappings of which a document replaces single keys; entries of ``roles`` and of lists are such mappings too."""

_NEW_RULE = "a rule of your own needs title, find, action and say"


def layered(own: tuple[Any, Source], base: tuple[Any, Source]) -> tuple[Any, Source]:
    """A document's data and its base's as one, with a source that knows the file of each value.

    Raises ConfigError for what speaks of the base and is not in it, so that a slip of the pen in a rule's id or a
    limit's name does not go unnoticed. What does not have the right form is taken as it is, for the schema to
    refuse.
    """
    data, source = own
    under, underlying = base
    if not isinstance(data, dict) or not isinstance(under, dict):
        return own
    if problems := [*_strays(data, source, under)]:
        raise ConfigError(*sorted(problems, key=lambda each: (each.line, each.column)))
    merge = _Merge(source, underlying)
    merged = merge.mapping(data, {key: value for key, value in under.items() if key not in _OWN}, ())
    digest = hashlib.sha256(f"{source.digest} {underlying.digest}".encode()).hexdigest()
    return merged, Source(path=source.path, digest=digest, taken=merge.taken)


def authors(source: Source, path: Sequence[str | int], keys: Sequence[str]) -> tuple[str, ...]:
    """The documents that wrote the values under these keys at ``path``, by the names of their files."""
    written = [source.origin((*path, key))[0].path.stem for key in keys if source.has((*path, key))]
    return tuple(dict.fromkeys(written))


class _Merge:
    """Lays one document over another and notes in ``taken`` where each value comes from."""

    def __init__(self, own: Source, base: Source) -> None:
        self._own = own
        self._base = base
        self.taken: dict[Steps, tuple[Source, Steps]] = {(): (own, ())}

    def mapping(self, own: dict[str, Any], base: dict[str, Any], path: Steps) -> dict[str, Any]:
        """The keys of the base, in its order, and then those that only the document has."""
        merged: dict[str, Any] = {}
        for key in (*base, *(key for key in own if key not in base)):
            here = (*path, key)
            if key not in own:
                merged[key] = base[key]
                self.taken[here] = (self._base, here)
            elif key not in base:
                merged[key] = own[key]
                self.taken[here] = (self._own, here)
            else:
                merged[key] = self._both(own[key], base[key], here)
        return merged

    def _both(self, own: Any, base: Any, path: Steps) -> Any:
        self.taken[path] = (self._own, path)
        if isinstance(own, list) and isinstance(base, list):
            if path in _ENTRIES:
                return self._entries(own, base, path)
            if path in _JOINED:
                return self._joined(own, base, path)
        elif isinstance(own, dict) and isinstance(base, dict):
            if path in _ONE_BY_ONE:
                return self.mapping(own, base, path)
            if path[:-1] == ("roles",):
                return self._fields(own, base, path, path, path)
        return own

    def _joined(self, own: list[Any], base: list[Any], path: Steps) -> list[Any]:
        merged = list(base)
        for index in range(len(base)):
            self.taken[*path, index] = (self._base, (*path, index))
        for index, each in enumerate(own):
            if each not in base:
                self.taken[*path, len(merged)] = (self._own, (*path, index))
                merged.append(each)
        return merged

    def _entries(self, own: list[Any], base: list[Any], path: Steps) -> list[Any]:
        """The base's entries, each with what the document changes of it, and then the document's others."""
        key = _ENTRIES[path]
        known = {each.get(key): index for index, each in enumerate(base) if isinstance(each, dict)}
        merged = list(base)
        for index in range(len(base)):
            self.taken[*path, index] = (self._base, (*path, index))
        changed: set[int] = set()
        for index, each in enumerate(own):
            written = (*path, index)
            name = each.get(key) if isinstance(each, dict) else None
            found = known.get(name) if isinstance(name, str) else None
            place = len(merged) if found is None or found in changed else found
            if place == len(merged):
                merged.append(each)  # an id that is given twice is given twice here too, for the schema to tell
            here = (*path, place)
            self.taken[here] = (self._own, written)
            if found is not None:
                changed.add(found)
                merged[place] = self._fields(each, base[found], here, written, (*path, found))
        return merged

    def _fields(
        self, own: dict[str, Any], base: dict[str, Any], path: Steps, written: Steps, under: Steps
    ) -> dict[str, Any]:
        """One entry: the document's fields in place of the base's, whole."""
        for key in own:
            self.taken[*path, key] = (self._own, (*written, key))
        for key in base.keys() - own.keys():
            self.taken[*path, key] = (self._base, (*under, key))
        return {**base, **own}


def _strays(data: dict[str, Any], source: Source, base: dict[str, Any]) -> Iterator[Problem]:
    """What the document seems to change in its base, and the base does not have."""
    name = data["base"]
    rules = data.get("rules")
    known = [str(each.get("id")) for each in base.get("rules", ()) if isinstance(each, dict)]
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if not isinstance(rule, dict) or not isinstance(rule.get("id"), str) or "find" in rule:
            continue
        if rule["id"] not in known:
            message = f"there is no rule {rule['id']!r} in the base {name!r}, and this one has no find of its own"
            remedy = suggestion(rule["id"], known) or _NEW_RULE
            yield source.problem(("rules", index, "id"), message, remedy)
    written = [*_texts(rules)]
    for section, prefix in (("limits", "limit"), ("lists", "lists")):
        own, known = data.get(section), [*base.get(section, {})]
        for key in own if isinstance(own, dict) else ():
            used = re.compile(rf"\b{prefix}\.{re.escape(str(key))}\b")
            if key not in known and not any(used.search(text) for text in written):
                place = source.key_place((section, key))
                message = f"neither the base {name!r} nor a rule here knows {prefix}.{key}"
                remedy = suggestion(str(key), known, what=f"{section} of the base")
                yield source.problem((section, key), message, remedy, at=place)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
