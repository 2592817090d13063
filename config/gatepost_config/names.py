"""Owns people's names as far as a gateway needs them: whether a display name could be taken for a person.

This is a guess by design. It serves tags and hints ("this may be a member of staff writing from outside"), never
an identity.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_TITLES = frozenset(
    {"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "rev", "revd", "reverend", "fr", "father", "sir"}
    | {"sister", "brother", "dame", "lady", "lord", "canon", "madam", "mme", "mlle", "herr", "frau", "senora"}
)
# Only what is no surname: Ms Ma and Mr Bed stay themselves.
_LETTERS_AFTER = frozenset(
    {"jr", "sr", "ii", "iii", "phd", "dphil", "msc", "bsc", "pgce", "qts", "obe", "mbe", "cbe"}
)
_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
# Display names are hostile input; nobody's name is longer than this.
_LIMIT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name without case, accents and titles. ``given`` are first names or initials, in order. ``titled`` says
    that it came with a title, so that a bare surname (``Mr Patel``) is still somebody's name."""

    surname: str = ""
    given: tuple[str, ...] = ()
    titled: bool = False

    def may_be(self, other: Name) -> bool:
        """Whether a reader could take this name, as shown, for the person whose full name is ``other``."""
        if not self.surname or self.surname != other.surname:
            return False
        if not self.given:
            return self.titled
        if not other.given:
            return other.titled
        mine, theirs = self.given[0], other.given[0]
        if len(mine) == 1 or len(theirs) == 1:
            return mine[0] == theirs[0]
        return mine == theirs


def parse_name(display: str) -> Name:
    """The name in ``display``: ``Patel, Anita (Maths)`` and ``Ms A. Patel`` alike. Never raises; what holds no
    letters gives an empty name."""
    text = unicodedata.normalize("NFKD", display[:_LIMIT])
    text = "".join(letter for letter in text if not unicodedata.combining(letter)).casefold()
    text = _BRACKETED.sub(" ", text)
    head, _, tail = text.partition(",")
    inverted = not _LETTERS_AFTER.issuperset(_words(tail)[0])  # "Patel, Anita", not "Anita Patel, OBE"
    words, titled = _words(f"{tail} {head}" if inverted else text)
    if not words:
        return Name()
    return Name(surname=words[-1], given=tuple(words[:-1]), titled=titled)


def _words(text: str) -> tuple[list[str], bool]:
    """The words of a name, joined at hyphens and apostrophes, and whether a title stood before them."""
    words = [re.sub(r"['’\-]", "", word) for word in _WORD.findall(text)]
    titled = False
    while len(words) > 1 and words[0] in _TITLES:
        titled = True
        del words[0]
    while len(words) > 1 and words[-1] in _LETTERS_AFTER:
        del words[-1]
    return words, titled
