"""Owns the phrase lists of a policy: found by the names that its document gives them, compiled, and kept while
they do not change.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gatepost_config.errors import ConfigError, Problem
from gatepost_config.phrase_lists import PhraseList, load_lists, shipped_lists
from gatepost_config.policy_document import PolicyDocument
from gatepost_config.spelling import suggestion
from gatepost_milter.detect.phrases import Lexicon
from gatepost_milter.policy.glance import relevant
from gatepost_milter.policy.syntax import Node

_KEPT = 8  # sets of lists, compiled


@dataclass(frozen=True, slots=True)
class Lists:
    """The phrase lists of one policy, and the same compiled; None without any."""

    lists: tuple[PhraseList, ...] = ()
    lexicon: Lexicon | None = None

    @property
    def names(self) -> frozenset[str]:
        """The names by which conditions ask for them."""
        return frozenset(each.name for each in self.lists)

    def least(self, trees: Sequence[Node], *facts: str) -> Mapping[str, int]:
        """The lists that make any difference to conditions on these facts, each with the score from which it does:
        none, or its threshold if all that is asked is whether that is reached."""
        known = {
            (each.name, reached): {"list": each.name, "category": each.category, "reached": reached}
            for each in self.lists
            for reached in (False, True)
        }
        wanted = frozenset[tuple[str, bool]]().union(*(relevant(trees, fact, known) for fact in facts))
        thresholds = {each.name: each.threshold for each in self.lists if (each.name, True) in wanted}
        return thresholds | {name: 0 for name, reached in wanted if not reached}

    @property
    def private(self) -> frozenset[str]:
        """The names of those whose terms only their keepers may see."""
        return frozenset(each.name for each in self.lists if each.private)


def lists_of(document: PolicyDocument) -> Lists:
    """The lists that a document names, each a shipped one or a file beside the document.

    Raises ConfigError with every problem: in the document for a list that is not there, in a list for what is
    wrong with it. Lists that have not changed since are not read again: that takes longer than all else.
    """
    shipped = shipped_lists()
    paths: list[Path] = []
    problems: list[Problem] = []
    for index, name in enumerate(document.phrase_lists):
        own = "/" in name or name.endswith((".yaml", ".yml"))
        written = document.source.origin(("phrase_lists", index))[0].path
        path = written.parent / name if own else shipped.get(name)
        if path is None or not path.is_file():
            problems.append(_missing(document, index, name, shipped))
        else:
            paths.append(path)
    if problems:
        raise ConfigError(*problems)
    return _compiled(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths))


def _missing(document: PolicyDocument, index: int, name: str, shipped: Collection[str]) -> Problem:
    remedy = suggestion(name, shipped, what="shipped lists")
    return document.source.problem(
        ("phrase_lists", index),
        f"phrase_lists: there is no list {name!r}",
        f"{remedy} A file of your own is named with its ending, .yaml.",
    )


@lru_cache(maxsize=_KEPT)
def _compiled(stamps: tuple[tuple[Path, int, int], ...]) -> Lists:
    if not stamps:
        return Lists()
    lists = load_lists([path for path, _, _ in stamps])
    return Lists(lists, Lexicon(lists))
