"""Owns the search for phrases: lists compiled into one RE2 set, scored by tier, with the contexts that excuse.

A score is the sum of the weights of the different terms that occur: a word said ten times says no more than once.
What is reported is the list's own term, never the mail's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2

from gatepost_config.errors import ConfigError, Problem
from gatepost_config.phrase_lists import PhraseList, Term
from gatepost_milter.detect.pages import Page, Sieve, pattern, plain

REACH = 80
"""Octets around a term in which a context excuses it."""

_PLACES = 50  # places of one term that are looked at for one without an excuse

# Between words: white space, the marks of quoted and emphasised text, a comma.
_SPACE = r"[\s>*_,]+"
_WIDE = rf"{_SPACE}(?:[^\s]+{_SPACE}){{0,3}}"
_PIECES = re.compile(r"\.\.\.|[()\[\]|#]|(?:(?!\.\.\.)[^\s()\[\]|#])+")
_CLOSING = {"(": ")", "[": "]"}
_DEPTH = 4


class PhraseError(ValueError):
    """A phrase that cannot be understood; ``column`` (from 1) is the place in it, the text says what is wrong."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A term that occurs. ``term`` is the list's own text; ``where`` and ``line`` are its first place."""

    term: str
    tier: str
    weight: int
    where: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What one list makes of a message. ``reached`` says that ``score`` is at the list's threshold or above.

    ``excused`` are the phrases, as the list has them, that made the score less or kept terms from counting.
    """

    list: str
    title: str
    category: str
    owner: str
    version: str
    score: int
    threshold: int
    reached: bool
    tiers: tuple[str, ...]
    hits: tuple[Hit, ...]
    excused: tuple[str, ...] = ()


class Lexicon:
    """Phrase lists ready to search with. Safe for many threads: searching changes nothing in it."""

    __slots__ = ("_allows", "_lists", "_near", "_sieve", "_terms", "_unless")

    def __init__(self, lists: Sequence[PhraseList]) -> None:
        """Compile the lists and run their tests. Raises ConfigError with every problem and its place."""
        self._lists = tuple(lists)
        self._terms: dict[str, tuple[int, int]] = {}
        self._allows: dict[str, tuple[int, int]] = {}
        self._unless: dict[tuple[int, int], list[tuple[str, Any]]] = {}
        self._near: dict[int, list[tuple[str, Any]]] = {}
        problems: list[Problem] = []
        sources: dict[str, str] = {}
        for at, each in enumerate(self._lists):
            for index, term in enumerate(each.terms):
                source = _compiled(each, ("terms", index), term, problems)
                name = f"term/{at}/{index}"
                sources[name], self._terms[name] = source, (at, index)
                excuses = [
                    (phrase, pattern(_phrase(each, ("terms", index, "unless", place), phrase, problems)))
                    for place, phrase in enumerate(term.unless)
                ]
                if excuses:
                    self._unless[at, index] = excuses
            for index, allowed in enumerate(each.allow):
                source = _phrase(each, ("allow", index, "phrase"), allowed.phrase, problems)
                if allowed.scope == "near":
                    self._near.setdefault(at, []).append((allowed.phrase, pattern(source)))
                else:
                    name = f"allow/{at}/{index}"
                    sources[name], self._allows[name] = source, (at, index)
        if problems:
            raise ConfigError(*problems)
        self._sieve = Sieve(sources)
        problems = [problem for each in self._lists for problem in self._failed(each)]
        if problems:
            raise ConfigError(*problems)

    def search(self, pages: Iterable[Page], *, least: Mapping[str, int] | None = None) -> tuple[Listed, ...]:
        """What the lists make of a message's pages, one entry for each list with a term that counts.

        ``least`` are the lists that matter, each with the score from which it does; others may be left out.
        Raises DetectionError if a page could not be searched.
        """
        read = [(page, present) for page in pages if (present := self._sieve.which(page.lowered))]
        matter = self._matter({name for _, present in read for name in present}, least)
        if not matter:
            return ()
        hits: dict[tuple[int, int], Hit] = {}
        excused: dict[int, dict[str, None]] = {}
        less: dict[tuple[int, int], None] = {}
        for page, present in read:
            for name in present:
                if name in self._allows:
                    less[self._allows[name]] = None
                elif self._terms[name][0] in matter and self._terms[name] not in hits:
                    hit = self._hit(page, name, excused)
                    if hit is not None:
                        hits[self._terms[name]] = hit
        if not hits:
            return ()
        return tuple(self._listed(hits, excused, less))

    def _matter(self, present: Iterable[str], least: Mapping[str, int] | None) -> frozenset[int]:
        """The lists that these terms may bring to a score that matters: what excuses them only makes it less."""
        scores: dict[int, int] = {}
        for at, index in (self._terms[name] for name in present if name in self._terms):
            each = self._lists[at]
            scores[at] = scores.get(at, 0) + each.tiers[each.terms[index].tier]
        if least is None:
            return frozenset(scores)
        names = {at: self._lists[at].name for at in scores}
        return frozenset(at for at, name in names.items() if name in least and scores[at] >= least[name])

    def _hit(self, page: Page, name: str, excused: dict[int, dict[str, None]]) -> Hit | None:
        """The first place of a term that no context excuses."""
        at, index = self._terms[name]
        contexts = (*self._near.get(at, ()), *self._unless.get((at, index), ()))
        for match in islice(self._sieve.each(name, page.lowered), _PLACES):
            start, end = match.span()
            around = page.around(start, end, REACH) if contexts else b""
            excuse = next((phrase for phrase, context in contexts if context.search(around)), None)
            if excuse is None:
                term = self._lists[at].terms[index]
                weight = self._lists[at].tiers[term.tier]
                line = page.line(start + 1)  # a term begins behind the character that borders it
                return Hit(term=term.text, tier=term.tier, weight=weight, where=page.where, line=line)
            excused.setdefault(at, {})[excuse] = None
        return None

    def _listed(
        self,
        hits: dict[tuple[int, int], Hit],
        excused: dict[int, dict[str, None]],
        less: dict[tuple[int, int], None],
    ) -> Iterator[Listed]:
        by_list: dict[int, list[Hit]] = {}
        for key in sorted(hits):
            by_list.setdefault(key[0], []).append(hits[key])
        for at, own in by_list.items():
            each = self._lists[at]
            allowed = [each.allow[index] for where, index in less if where == at]
            score = max(0, sum(hit.weight for hit in own) - sum(one.less for one in allowed))
            yield Listed(
                list=each.name,
                title=each.title,
                category=each.category,
                owner=each.owner,
                version=each.version,
                score=score,
                threshold=each.threshold,
                reached=score >= each.threshold,
                tiers=tuple(dict.fromkeys(hit.tier for hit in own)),
                hits=tuple(own),
                excused=(*excused.get(at, ()), *(one.phrase for one in allowed)),
            )

    def _failed(self, each: PhraseList) -> Iterator[Problem]:
        for index, test in enumerate(each.tests):
            found = [listed for listed in self.search([Page(test.text)]) if listed.list == each.name]
            score = found[0].score if found else 0
            hits = ", ".join(f"{hit.term!r} {hit.weight}" for listed in found for hit in listed.hits) or "nothing"
            path = ("tests", index)
            if test.score is not None and test.score != score:
                message = f"the test's text scores {score}, not {test.score}"
                yield each.problem((*path, "score"), message, f"found: {hits}")
            elif test.reached != (score >= each.threshold):
                word = "reaches" if score >= each.threshold else "does not reach"
                message = f"the test's text scores {score} and {word} the threshold of {each.threshold}"
                yield each.problem((*path, "text"), message, f"found: {hits}")


def _compiled(each: PhraseList, path: tuple[str | int, ...], term: Term, problems: list[Problem]) -> str:
    if term.pattern is None:
        return _phrase(each, (*path, "phrase"), term.text, problems)
    try:
        source = f"(?is){term.pattern}"
        if pattern(source).search(b"") is not None:
            problems.append(each.problem((*path, "pattern"), "the pattern matches every text", "ask for a letter"))
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        remedy = "patterns are RE2's: no look-around, no back-references"
        problems.append(each.problem((*path, "pattern"), f"not a pattern: {reason}", remedy))
        return "x"
    return source


def _phrase(each: PhraseList, path: tuple[str | int, ...], text: str, problems: list[Problem]) -> str:
    try:
        return phrase_source(text)
    except PhraseError as error:
        place = each.source.place_inside(path, 1, error.column)
        remedy = "(a|b) either, [a] or not, ... up to three words, # a number, word* any ending"
        problems.append(each.source.problem(path, f"{text!r}: {error}", remedy, at=place))
        return "x"


def phrase_source(text: str) -> str:
    """The RE2 pattern of a phrase, on plain text in lower case. Raises PhraseError.

    ``(a|b)`` is either, ``[a]`` may be left out, ``...`` stands for up to three words, ``#`` for a number, ``*``
    at the start or end of a word for any letters, ``'`` may be missing, and a hyphen may be a space or nothing.
    """
    written = plain(text.strip()).lower()
    pieces = [
        _Piece(match[0], match.start() + 1, glued=match.start() > 0 and not written[match.start() - 1].isspace())
        for match in _PIECES.finditer(written)
    ]
    source, rest = _alternatives(pieces, 0, 0)
    if rest < len(pieces):
        raise PhraseError(f"{pieces[rest].text!r} closes nothing", pieces[rest].column)
    if pattern(source).search(b"") is not None:
        raise PhraseError("nothing in it must occur", 1)
    return rf"(?:^|[^0-9a-z])(?:{source})(?:$|[^0-9a-z])"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word or mark of a phrase, and whether it stands directly behind the one before."""

    text: str
    column: int
    glued: bool


def _alternatives(pieces: Sequence[_Piece], at: int, depth: int) -> tuple[str, int]:
    """Sequences between ``|`` up to a closing bracket, as one source, and the piece it stopped at."""
    if depth > _DEPTH:
        raise PhraseError("brackets are nested too deeply", pieces[at - 1].column)
    choices = []
    while True:
        source, at = _sequence(pieces, at, depth)
        choices.append(source)
        if at >= len(pieces) or pieces[at].text != "|":
            return "|".join(choices), at
        at += 1


def _sequence(pieces: Sequence[_Piece], at: int, depth: int) -> tuple[str, int]:
    """Pieces up to the next ``|`` or closing bracket. What may be left out takes the space beside it along."""
    start = at
    out, space, joined = "", "", True
    while at < len(pieces) and pieces[at].text not in ("|", ")", "]"):
        piece = pieces[at]
        at += 1
        if piece.text == "...":
            if not out:
                raise PhraseError("a phrase cannot start with ...", piece.column)
            space = _WIDE
            continue
        if space is not _WIDE:
            space = "" if piece.glued else _SPACE
        if piece.text in _CLOSING:
            source, at = _bracket(pieces, at, piece, depth)
        else:
            source = _word(piece)
        if piece.text != "[":
            out += source if joined else space + source
            joined = False
        elif joined:
            glued = at < len(pieces) and pieces[at].glued
            out += f"(?:{source}{'' if glued else _SPACE})?"
        else:
            out += f"(?:{space}{source})?"
        space = ""
    if not out or space is _WIDE:
        column = pieces[start].column if start < len(pieces) else 1
        raise PhraseError("a phrase cannot end with ..." if out else "there are no words here", column)
    return out, at


def _bracket(pieces: Sequence[_Piece], at: int, opening: _Piece, depth: int) -> tuple[str, int]:
    inner, at = _alternatives(pieces, at, depth + 1)
    if at >= len(pieces) or pieces[at].text != _CLOSING[opening.text]:
        raise PhraseError(f"{opening.text!r} is not closed", opening.column)
    return f"(?:{inner})", at + 1


def _word(piece: _Piece) -> str:
    if piece.text == "#":
        return r"[0-9][0-9,.]*"
    stem = piece.text.strip("*")
    if not stem or (len(stem) < 2 and stem != piece.text):
        raise PhraseError("a word with * needs two letters of its own", piece.column)
    if "*" in stem:
        raise PhraseError("* stands at the start or end of a word", piece.column)
    source = "".join({"'": "'?", "-": "[ -]?"}.get(letter) or re2.escape(letter) for letter in stem)
    return (
        f"{'[a-z]*' if piece.text.startswith('*') else ''}{source}{'[a-z]*' if piece.text.endswith('*') else ''}"
    )
