"""Regular expressions must mean the same on every Python that gatepost runs on."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import gatepost_config
import gatepost_milter
import gatepost_quarantine

# The standard library's own reader of patterns: nothing public tells what a pattern is made of.
PARSER: Any = importlib.import_module("re._parser")
CONSTANTS: Any = importlib.import_module("re._constants")
NEVER_GIVES_BACK = {CONSTANTS.POSSESSIVE_REPEAT, CONSTANTS.ATOMIC_GROUP}
LIBMILTER = {"gatepost_milter.session", "gatepost_milter.daemon"}


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every compiled pattern that a module of ours keeps, by its name."""
    for package in (gatepost_config, gatepost_milter, gatepost_quarantine):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" in found.name or found.name.endswith("__main__") or found.name in LIBMILTER:
                continue
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    yield f"{found.name}.{name}", value


def captures_within(tree: Any, *, inside: bool = False) -> bool:
    """Whether a group that captures stands in a part that gives nothing back."""
    if isinstance(tree, PARSER.SubPattern):
        return any(_captures(kind, value, inside=inside) for kind, value in tree)
    if isinstance(tree, (list, tuple)):
        return any(captures_within(each, inside=inside) for each in tree)
    return False


def _captures(kind: Any, value: Any, *, inside: bool) -> bool:
    if kind is CONSTANTS.SUBPATTERN and value[0] is not None and inside:
        return True
    return captures_within(value, inside=inside or kind in NEVER_GIVES_BACK)


def test_no_group_captures_inside_a_possessive_repeat() -> None:
    """Python 3.11.2, Debian 12's, forgets such a group, and with it the name of a file."""
    seen = dict(patterns())
    assert len(seen) > 50
    assert [name for name, each in seen.items() if captures_within(PARSER.parse(each.pattern, each.flags))] == []


@pytest.mark.parametrize("pattern", [r"a(b)?+c", r"(?:x(\d))*+", r"(?>a(b))", r"(?:y|(?:(z))++)"])
def test_such_a_group_is_seen(pattern: str) -> None:
    """The test above can fail."""
    assert captures_within(PARSER.parse(pattern))
    assert not captures_within(PARSER.parse(r"(a[^b]*+)(?:c++)?+"))
