"""Owns addresses in header fields: who a reader of the message sees, in the most inclusive reading.

Header addresses are shown to people, never used to deliver: what is malformed is read as a person would read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gatepost_milter.inspection.headers import Fields
from gatepost_milter.inspection.model import VisibleRecipient
from gatepost_milter.inspection.words import decode_bytes, decode_words

MAX_FIELD = 512 * 1024  # bytes of one field that are read
MAX_ADDRESSES = 20_000  # addresses of one message that are kept

_RECIPIENT_FIELDS = (("to", "To"), ("cc", "Cc"), ("resent-to", "Resent-To"), ("resent-cc", "Resent-Cc"))

_BREAKS = re.compile(r"[\r\n]+[ \t]*|\0")
_COMMON = re.compile(
    r"\s*+(?:\"?+([\w .'&/-]*+)\"?+\s*+<([\w.!#$%&'*+/=^{|}~-]++@[\w.-]++)>|([\w.+-]++@[\w.-]++))\s*+"
)
_TOKEN = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|<([^<>]*)>|[^\s\",;:<>()]+|\s+|.", re.DOTALL)
_TOKEN_WITHOUT_QUOTES = re.compile(r"(\Z.)?<([^<>]*)>|[^\s\",;:<>()]+|\s+|.", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_AROUND_AT = re.compile(r"(?<=[^\s@]) {0,8}@ {0,8}(?=[^\s@])")
_LIST_PRECEDENCE = frozenset({"bulk", "list", "junk"})


def visible(fields: Fields) -> tuple[VisibleRecipient, ...]:
    """The addresses of To, Cc, Resent-To and Resent-Cc in their order, each once for each field."""
    found = [item for key, field in _RECIPIENT_FIELDS for item in _listed(fields.get(key, ()), field)]
    return tuple(found[:MAX_ADDRESSES])


def senders(fields: Fields, key: str, field: str) -> tuple[VisibleRecipient, ...]:
    """The addresses of one field that names senders (From, Sender, Reply-To)."""
    return tuple(_listed(fields.get(key, ()), field))


def is_automatic(fields: Fields) -> bool:
    """Whether a program or a list sent the message (RFC 3834 section 5, RFC 2919, RFC 2369)."""
    for raw in fields.get("auto-submitted", ()):
        if decode_bytes(raw).partition(";")[0].partition("(")[0].strip().lower() != "no":
            return True
    for raw in fields.get("precedence", ()):
        if decode_bytes(raw).strip().lower() in _LIST_PRECEDENCE:
            return True
    return any(key in fields for key in ("list-id", "list-unsubscribe", "list-post"))


def plain(raw: bytes) -> str:
    """An unstructured field as a person reads it: unfolded, encoded words decoded."""
    text = decode_bytes(raw[:MAX_FIELD])
    if "\n" in text or "\r" in text or "\0" in text:
        text = _BREAKS.sub(" ", text)
    return decode_words(text).strip()


def _listed(values: Iterable[bytes], field: str) -> Iterator[VisibleRecipient]:
    seen: set[str] = set()
    for raw in values:
        for display, address in addresses(decode_bytes(raw[:MAX_FIELD])):
            folded = address.lower()
            if folded not in seen and len(seen) < MAX_ADDRESSES:
                seen.add(folded)
                yield VisibleRecipient(field=field, address=address, display=display)


def addresses(value: str) -> list[tuple[str, str]]:
    """All addresses of a field as (display name, address), groups, comments and broken forms included."""
    common = _COMMON.fullmatch(value)
    if common is not None:
        return [((common[1] or "").strip(), common[2] or common[3])]
    value = _BREAKS.sub(" ", value)
    found = _Scan(value).addresses
    if not found and "=?" in value:
        found = _Scan(decode_words(value)).addresses
    return found


class _Scan:
    """One pass over a field: words and quoted strings gather until a separator ends the mailbox."""

    __slots__ = ("_angles", "_comment", "_quoted", "_words", "addresses")

    def __init__(self, value: str) -> None:
        self.addresses: list[tuple[str, str]] = []
        self._start_mailbox()
        position, depth, token = 0, 0, _TOKEN
        value = _AROUND_AT.sub("@", value) if " @" in value or "@ " in value else value
        while (match := token.match(value, position)) is not None:
            text = match[0]
            if text == '"' and token is _TOKEN:
                token = _TOKEN_WITHOUT_QUOTES  # a quote that never closes; the rest is read without quotes
            position = match.end()
            if text == "(":
                depth += 1
            elif text == ")":
                depth = max(depth - 1, 0)
            elif depth:
                self._comment.append(text)
            elif match[2] is not None:
                self._angles.append(match[2])
            elif match[1] is not None:
                self._word(text, quoted=_ESCAPE.sub(r"\1", match[1]))
            elif text in (",", ";"):
                self._end_mailbox()
            elif text == ":":
                self._colon()
            elif not text.isspace():
                self._word(text)
        if depth and not self._angles and not self.addresses:
            self._words += "".join(self._comment).split()  # a comment that never closes hides nothing
        self._end_mailbox()

    def _start_mailbox(self) -> None:
        self._words: list[str] = []
        self._quoted: list[str] = []
        self._angles: list[str] = []
        self._comment: list[str] = []

    def _word(self, text: str, quoted: str | None = None) -> None:
        """Add a word; pieces of one address that quotes or comments have split belong together."""
        if text.startswith("@") and self._words and "@" not in self._words[-1]:
            if self._quoted and self._words[-1] == self._quoted[-1]:
                self._words[-1] = f'"{self._quoted.pop()}"'
            self._words[-1] += text
        elif quoted is not None:
            self._words.append(quoted)
            self._quoted.append(quoted)
        else:
            self._words.append(text)

    def _colon(self) -> None:
        """The name of a group ends here (RFC 5322 3.4), unless an address came already."""
        if self._angles or any("@" in word for word in self._words):
            self._end_mailbox()
        else:
            self._start_mailbox()

    def _end_mailbox(self) -> None:
        bare = [word for word in self._words if "@" in word and word not in self._quoted]
        inner = [address for angle in self._angles for address in _angle(angle)]
        if inner:
            display = decode_words(" ".join(self._words)) or "".join(self._comment).strip()
            self.addresses += [(display, address) for address in inner]
        elif bare:
            rest = [word for word in self._words if word not in bare]
            display = decode_words(" ".join(rest)) or "".join(self._comment).strip()
            self.addresses += [(display, word.strip("'`").rstrip(".")) for word in bare]
        else:
            for quoted in self._quoted:
                self.addresses += [("", word) for word in quoted.split() if word.count("@") == 1]
            for word in self._words:
                if word.startswith("=?") and "@" in (decoded := decode_words(word)):
                    self.addresses += _Scan(decoded).addresses if "=?" not in decoded else []
        self._start_mailbox()


def _angle(content: str) -> list[str]:
    """The addresses between angle brackets; a source route (RFC 5322 4.4) is no address."""
    if content.lstrip().startswith("@") and ":" in content:
        content = content.partition(":")[2]
    if content[:7].lower() == "mailto:":
        content = content[7:]
    if '"' in content:
        return [content.strip()] if "@" in content else []
    pieces = [piece.partition("(")[0] for piece in content.replace(";", ",").split(",")]
    return ["".join(piece.split()) for piece in pieces if "@" in piece]
