"""Owns the shape of a text: forwards in forwards, quoted recipients, lists of addresses, shouting, a salutation.

These are hints for tips and for telling chain letters from letters; none of them says anything alone (KCS 2.7,
2.10a to 2.10c, IDENTIFIERS 17).
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any

from gatepost_milter.detect.identifiers import EXAMINED
from gatepost_milter.detect.once import once
from gatepost_milter.detect.pages import Page, pattern

MOST_ADDRESSES = 5000
"""Different addresses of one page that are kept."""

_MOST_BLOCKS = 1000
_FEWEST_SHOWN = 3  # recipients on one quoted line that make it a block
_LONGEST_SUBJECT = 2000
_FEWEST_LETTERS = 40  # fewer say nothing about shouting

_MARGIN = r"[ \t>*|]*"
_FORWARD = r"(?:begin forwarded message:|-{2,} ?forwarded (?:message|by)|-{2,} ?weitergeleitete nachricht)"
_HEAD = rf"from:\*?[^\n]*\n(?:[^\n]*\n)?{_MARGIN}(?:sent|date|to|subject):"

_EARLIER = rf"-{{2,}} ?original message|{_HEAD}|on [^\n]*(?:\n[^\n]*)?wrote:[ \t]*$"

_FORWARDED = pattern(rf"(?m)^{_MARGIN}{_FORWARD}")
_QUOTED = pattern(rf"(?m)^{_MARGIN}(?:{_EARLIER})")
_CUT = pattern(rf"(?m)^{_MARGIN}(?:{_FORWARD}|{_EARLIER})")
_SHOWN = pattern(rf"(?m)^{_MARGIN}(?:to|cc|bcc):[^\n]*[@;][^\n]*")
_ADDRESS = pattern(r"[a-z0-9][a-z0-9._%+'-]*@[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+")
_PREFIX = re.compile(r"\s*(?:(fwd?|wg|tr|rv|enc|doorst)|re|aw|antw|sv)(?:\s?\[\d{1,3}\])?\s?:", re.IGNORECASE)
_SALUTATION = re.compile(
    r"(?:dear|hi|hello|hey|hiya|good (?:morning|afternoon|evening|day)|morning|afternoon|greetings|to whom|all"
    r"|team|colleagues|everyone|folks|sir|madam|mr|mrs|ms|miss|dr|bonjour|hola|hallo|salvete)\b"
    r"|[^\W\d_][\w' -]{1,40},\s*\Z",
    re.IGNORECASE,
)
_NOT_ADDRESSES = re.compile(rb"(?:cid:|message-id:.{0,200}|references:.{0,400}|in-reply-to:.{0,200})\Z")
_PICTURE = re.compile(rb"\.(?:png|jpe?g|gif|bmp|svg)@")

_UPPER = bytes(range(65, 91))
_LOWER = bytes(range(97, 123))
_NOT_UPPER = bytes(code for code in range(256) if code not in _UPPER)
_NOT_LOWER = bytes(code for code in range(256) if code not in _LOWER)


# Without one of these nothing is quoted or forwarded: every pattern for that has one of them in it.
_QUOTES = (b">", b"from:", b"wrote:", b"forwarded ", b"weitergeleitete ", b"original message")


def quotes(page: Page) -> bool:
    """Whether a text may quote or forward anything, as far as a quick look tells."""
    lowered = page.lowered
    return any(mark in lowered for mark in _QUOTES)


class Structure:
    """The shape of a text, found out as far as it is asked for."""

    def __init__(self, page: Page, *, subject: str = "") -> None:
        self.page = page
        self._subject = subject

    @once
    def own(self) -> Page:
        """The writer's own words; the page itself if all are. Nothing is quoted or forwarded then."""
        return own(self.page) if quotes(self.page) else self.page

    @property
    def forwards(self) -> int:
        """How often it was forwarded, by the subject or by the marks in the text, whichever says more."""
        return max(self._marks, forwards_in(self._subject))

    @once
    def earlier(self) -> int:
        """How many earlier messages it quotes."""
        return max(self._count(_QUOTED), self._marks)

    @property
    def blocks(self) -> int:
        """How many quoted To and Cc lines name at least three people."""
        return len(self._counts)

    @property
    def shown(self) -> int:
        """How many people these lines name."""
        return sum(self._counts)

    @once
    def capitals(self) -> int:
        """The share of capitals among the letters of the writer's own words, in per cent; 0 if these are few."""
        return capitals(self.own.plain)

    @once
    def salutation(self) -> bool:
        """Whether the writer's own words begin with one."""
        return _has_salutation(self.own.plain)

    @once
    def _marks(self) -> int:
        return self._count(_FORWARDED)

    @once
    def _counts(self) -> list[int]:
        return _shown(self.page)

    def _count(self, marks: Any) -> int:
        if self.own is self.page:
            return 0
        return sum(1 for _ in islice(marks.finditer(self.page.lowered), _MOST_BLOCKS))


def forwards_in(subject: str) -> int:
    """How many marks of forwarding a subject starts with: ``Fwd: FW: Re: Fw:`` has three."""
    subject = subject[:_LONGEST_SUBJECT]
    position = count = 0
    while (match := _PREFIX.match(subject, position)) is not None:
        count += match[1] is not None
        position = match.end()
    return count


def own_words(page: Page) -> str:
    """What the writer wrote: the text up to the first earlier message, without lines quoted with ``>``."""
    cut = _CUT.search(page.lowered)
    raw = page.raw[: cut.start()] if cut is not None else page.raw
    text = raw.decode("utf-8")
    if ">" not in text:
        return text
    return "\n".join(line for line in text.split("\n") if not line.lstrip(" \t").startswith(">"))


def own(page: Page) -> Page:
    """The page with the writer's own words only; the same page if all are."""
    words = own_words(page)
    return page if len(words) == len(page.plain) else Page(words, where=page.where, rows=page.rows)


def addresses(page: Page) -> tuple[str, ...]:
    """The different e-mail addresses in a text, in lower case; not Message-IDs and embedded pictures."""
    found: dict[str, None] = {}
    seen: set[bytes] = set()
    lowered = page.lowered
    for match in islice(_ADDRESS.finditer(lowered), EXAMINED):
        start, end = match.span()
        text = lowered[start:end]
        if len(text) > 254 or text in seen:
            continue
        seen.add(text)
        if _PICTURE.search(text) or _NOT_ADDRESSES.search(_line_before(lowered, start)):
            continue
        found[text.decode("ascii").rstrip(".-")] = None
        if len(found) >= MOST_ADDRESSES:
            break
    return tuple(found)


def capitals(text: str) -> int:
    """Capitals among the letters A to Z, in per cent; 0 for texts of fewer than forty letters."""
    raw = text.encode("utf-8", "replace")
    upper = len(raw.translate(None, _NOT_UPPER))
    letters = upper + len(raw.translate(None, _NOT_LOWER))
    return 100 * upper // letters if letters >= _FEWEST_LETTERS else 0


def _line_before(lowered: bytes, start: int) -> bytes:
    begin = max(lowered.rfind(b"\n", max(0, start - 400), start) + 1, start - 400, 0)
    return lowered[begin:start]


def _shown(page: Page) -> list[int]:
    """How many people each quoted To or Cc line names, of those that name at least three."""
    counts = []
    for match in islice(_SHOWN.finditer(page.lowered), _MOST_BLOCKS):
        line = match.group()
        count = max(line.count(b"@"), line.strip(b"; ").count(b";") + 1)
        if count >= _FEWEST_SHOWN:
            counts.append(count)
    return counts


def _has_salutation(text: str) -> bool:
    lines = (line.strip() for line in text[:2000].split("\n"))
    first = list(islice((line for line in lines if line), 3))
    return any(_SALUTATION.match(line) for line in first)
