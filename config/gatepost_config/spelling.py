"""Owns the guess at what a misspelt word was meant to be, as the remedies of errors say it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` was probably meant to be; empty when none is near."""
    matches = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def suggestion(word: str, known: Collection[str], *, what: str = "") -> str:
    """The remedy for a word that is not known: the one that it was probably meant to be, else all there are.

    They are listed as ``what`` (``rules: a, b``). Without ``what`` there is then no remedy: the text is empty.
    """
    near = nearest(word, known)
    if near:
        return f"did you mean {near!r}?"
    return f"{what}: {', '.join(known)}" if what else ""
