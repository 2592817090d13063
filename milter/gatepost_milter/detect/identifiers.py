"""Owns the search for identifiers of people and accounts in a text: UPN, ULN, NHS number, cards and the like.

A value counts when its format and check digit are right **and** something says what it is: a context word within
sixty characters, the heading of its column, or enough values of one kind beside each other (IDENTIFIERS 0). Values
are never kept: a match holds how many different ones there are, a mask, and a keyed hash of each.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from gatepost_milter.detect import checkdigits
from gatepost_milter.detect.pages import Page, Sieve

REACH = 60
"""Octets around a value in which a context word speaks for it."""

MOST = 1000
"""Different values of one kind that are counted on one page; a list that long is a list."""

EXAMINED = 20_000
"""Candidates of one shape that are examined on one page. No list that a school sends is longer, and a page made of
nothing but near misses must not keep a worker busy."""

_FEWEST_POSTCODES = 3
_RUN = 400  # octets between two values of one list, in prose; in a table the next row may be further away
_RUN_IN_ROWS = 2000


class Kind(StrEnum):
    """What an identifier is."""

    UPN = "upn"
    ULN = "uln"
    NHS = "nhs-number"
    NINO = "national-insurance"
    UCI = "uci"
    IBAN = "iban"
    CARD = "payment-card"
    PASSPORT = "passport"
    BANK = "bank-account"
    MOBILE = "mobile"
    LANDLINE = "landline"
    POSTCODE = "postcode"
    BIRTH = "date-of-birth"


TITLES: Mapping[Kind, str] = {
    Kind.UPN: "UPN",
    Kind.ULN: "ULN",
    Kind.NHS: "NHS number",
    Kind.NINO: "National Insurance number",
    Kind.UCI: "UCI",
    Kind.IBAN: "IBAN",
    Kind.CARD: "payment card",
    Kind.PASSPORT: "passport",
    Kind.BANK: "bank account",
    Kind.MOBILE: "mobile number",
    Kind.LANDLINE: "telephone number",
    Kind.POSTCODE: "postcode",
    Kind.BIRTH: "date of birth",
}
"""What people call each kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The identifiers of one kind on one page.

    ``count`` is the number of different values (at most MOST), ``level`` what it amounts to: 1 for one or two, 2
    from three, 3 from ten. ``line`` is where the first stands. ``shown`` is the first, masked. ``near`` says that
    a context word or heading speaks for at least one. ``digests`` are keyed hashes (HMAC-SHA-256, 16 octets in
    hexadecimal), for counting different values over several pages, and for nothing else.
    """

    kind: Kind
    where: str
    line: int
    count: int
    level: int
    shown: str
    near: bool
    digests: frozenset[str]


def level(count: int) -> int:
    """0 for none, 1 for one or two, 2 for three to nine, 3 for ten or more (IDENTIFIERS 0)."""
    return (count >= 1) + (count >= 3) + (count >= 10)


def digest(kind: Kind, value: str, *, key: bytes) -> str:
    """The keyed hash of a value in its plain form. ``key`` is the installation's own, at least 16 octets."""
    return hmac.digest(key, f"{kind}:{value}".encode(), "sha256")[:16].hex()


def mask(kind: Kind, value: str) -> str:
    """The value for people: ``UPN K••••••••••••``. Cards keep their last four digits, as PCI DSS allows."""
    if kind is Kind.CARD:
        return f"{TITLES[kind]} {'•' * (len(value) - 4)}{value[-4:]}"
    if kind in (Kind.POSTCODE, Kind.MOBILE, Kind.LANDLINE):
        return f"{TITLES[kind]} {value[:2]}{'•' * (len(value) - 2)}"
    if kind in (Kind.UPN, Kind.NINO, Kind.IBAN):
        return f"{TITLES[kind]} {value[0]}{'•' * (len(value) - 1)}"
    return f"{TITLES[kind]} {'•' * len(value)}"


@dataclass(frozen=True, slots=True)
class _Shape:
    """How one kind looks, and what must speak for it.

    ``value`` makes the plain form of a candidate, or nothing if it cannot be one. ``alone`` is how many different
    values speak for each other when no word does (0: never), and then ``share`` of all candidates must be right.
    ``against`` are words near a candidate that say it is something else.
    """

    kind: Kind
    pattern: str
    value: Callable[[str], str]
    context: re.Pattern[bytes]
    alone: int
    share: float = 0.0
    against: re.Pattern[bytes] | None = None


def _words(source: str) -> re.Pattern[bytes]:
    """Words in lower case, as whole words. Only ever run on the few octets around a candidate."""
    return re.compile(rf"(?<![a-z0-9])(?:{source})(?![a-z])".encode())


def _checked(check: Callable[[str], bool]) -> Callable[[str], str]:
    def value(found: str) -> str:
        joined = found.replace(" ", "").replace("-", "").upper()
        return joined if check(joined) else ""

    return value


def _card(found: str) -> str:
    joined = found.replace(" ", "").replace("-", "")
    return joined if checkdigits.is_card(joined) else ""


def _mrz(found: str) -> str:
    return found if checkdigits.is_mrz(found) else ""


def _passport(found: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", found.rpartition(" ")[2].rpartition(":")[2].upper())


def _bank(found: str) -> str:
    digits = re.sub(r"\D", "", found)
    return digits if 12 <= len(digits) <= 14 and digits != digits[0] * len(digits) else ""


# Helplines and services that everybody may be given (IDENTIFIERS 5).
_PUBLIC_NUMBERS = frozenset({"08001111", "116123", "101", "111", "999", "112"})


def national(number: str) -> str:
    """A UK telephone number as digits from its leading zero: ``+44 (0)7700 900123`` is ``07700900123``."""
    digits = re.sub(r"\D", "", number.replace("(0)", ""))
    if number.lstrip("( ").startswith(("+44", "0044")):
        digits = digits.removeprefix("00").removeprefix("44").removeprefix("0")
        return "0" + digits
    return digits


def _mobile(found: str) -> str:
    digits = national(found)
    if len(digits) != 11 or digits[:2] != "07" or digits[2] in "08":
        return ""
    return digits if digits[2] != "6" or digits.startswith("07624") else ""


def _landline(found: str) -> str:
    digits = national(found)
    if digits in _PUBLIC_NUMBERS or len(digits) not in (10, 11):
        return ""
    # Written in one piece it could be any number; people group the digits of a telephone number.
    return digits if re.search(r"\d[ -]|[)+]", found) else ""


def _postcode(found: str) -> str:
    joined = found.replace(" ", "")
    return "" if joined.startswith("ZZ99") else joined


_CARD_GROUPS = r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]\d{3})?|3\d{3}[ -]\d{6}[ -]\d{4,5}"
_CARD_WORDS = _words(
    r"(?:credit|debit|bank|payment)? ?cards?(?: (?:number|no))?|visa|master ?card|amex|american express|maestro"
    r"|cvv|cvc|expiry|expires"
)
_PARCEL = _words(r"tracking|track|parcel|consignment|shipment|delivery|imei|barcode|isbn|ean|serial|licence key")
_TEN = r"\b(?:\d{10}|\d{3}[ -]\d{3}[ -]\d{4})\b"
_GROUPED = r"(?:[ -]?\d)"
_ABROAD = r"(?:(?:\+|\b00)44[ -]?(?:\(0\)[ -]?)?)"

_SHAPES = (
    _Shape(
        Kind.UPN,
        r"(?i)\b[A-HJ-NP-RT-Z]\d{11}[\dA-HJ-NP-RT-Z]\b",
        _checked(checkdigits.is_upn),
        _words(r"(?:former |temp(?:orary)? )?upns?|unique pupil numbers?|pupils?"),
        alone=1,
    ),
    _Shape(
        Kind.ULN,
        _TEN,
        _checked(checkdigits.is_uln),
        _words(r"ulns?|unique learner (?:numbers?|no)|learner (?:numbers?|no|refs?)"),
        alone=5,
        share=0.8,
        against=_words(r"isbn|tel|telephone|phone|fax|mobile|order|invoice|tracking|policy number|account"),
    ),
    _Shape(
        Kind.NHS,
        _TEN,
        _checked(checkdigits.is_nhs),
        _words(r"nhs(?: ?(?:numbers?|nos?|nr))?|patients?|chi(?: numbers?)?|health (?:number|record)s?"),
        alone=5,
        share=0.8,
        against=_words(r"isbn|tel|telephone|phone|fax|mobile|order|invoice|tracking|policy number|account"),
    ),
    _Shape(
        Kind.NINO,
        r"(?i)\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b",
        _checked(checkdigits.is_nino),
        _words(r"national insurance(?: (?:numbers?|no))?|ni(?: (?:numbers?|nos?)|no)?|ninos?|payroll|hmrc"),
        alone=3,
        against=_words(r"part (?:number|no)|product|serial|model|sku|stock"),
    ),
    _Shape(
        Kind.UCI,
        r"(?i)\b\d{5}[0A-L]\d{6}[ABCDEFGHKLMRTVWXY]\b",
        _checked(checkdigits.is_uci),
        _words(r"ucis?|(?:unique )?candidate(?: (?:identifiers?|numbers?|no))?|exams?(?: numbers?)?|centre"),
        alone=3,
        share=0.5,
    ),
    _Shape(
        Kind.IBAN,
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        _checked(checkdigits.is_iban),
        _words(r"ibans?|bic|swift|bank|account"),
        alone=1,
    ),
    _Shape(
        Kind.CARD,
        rf"\b(?:{_CARD_GROUPS})\b",
        _card,
        _CARD_WORDS,
        alone=1,
        against=_PARCEL,
    ),
    _Shape(
        Kind.CARD,
        r"\b\d{13,19}\b",
        _card,
        _CARD_WORDS,
        alone=5,
        share=0.8,
        against=_PARCEL,
    ),
    _Shape(
        Kind.PASSPORT,
        r"\b[A-Z0-9][A-Z0-9<]{8}\d[A-Z<]{3}\d{7}[MFX<]\d{7}[A-Z0-9<]{14}[\d<]\d\b",
        _mrz,
        _words(r"passports?|mrz|travel documents?"),
        alone=1,
    ),
    _Shape(
        Kind.PASSPORT,
        r"(?i)\bpassport (?:number|no\.?|num|#)? ?(?:is|:|=|-)? ?(?:\d{9}|[A-Z]{2}\d{7})\b",
        _passport,
        _words(r"passports?"),
        alone=1,
    ),
    _Shape(
        Kind.BANK,
        r"\b\d{2}[ -]\d{2}[ -]\d{2}\b[^0-9]{1,40}\b\d{6,8}\b",
        _bank,
        _words(r"sort ?codes?|a/c|acc(?:oun)?t(?: (?:numbers?|nos?|name))?|bacs|bank details|bank transfer"),
        alone=0,
    ),
    _Shape(
        Kind.BANK,
        r"\b\d{8}\b[^0-9]{1,40}\b\d{2}-\d{2}-\d{2}\b",
        _bank,
        _words(r"sort ?codes?"),
        alone=0,
    ),
    _Shape(
        Kind.MOBILE,
        rf"(?:{_ABROAD}|\(?\b0)7{_GROUPED}{{3}}\)?{_GROUPED}{{6}}\b",
        _mobile,
        _words(r"mob(?:ile)?s?|m|tel|phone|cell|call|text|ring|whats ?app|number"),
        alone=1,
        against=_words(r"order|invoice|tracking|isbn|ticket|reference|ref"),
    ),
    _Shape(
        Kind.LANDLINE,
        rf"(?:{_ABROAD}\(?|\(?\b0)[123]\d{{0,4}}\)?[ -]?\d{{3,6}}(?:[ -]\d{{3,4}})?\b",
        _landline,
        _words(r"tel|telephone|phone|call|ring|fax|t|office|home|work|number|ext"),
        alone=1,
        against=_words(r"order|invoice|tracking|isbn|ticket|reference|ref"),
    ),
    _Shape(
        Kind.POSTCODE,
        r"\b(?:GIR ?0AA|(?:[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d(?:\d|[ABEHMNPRVWXY])?|\d[A-HJKPSTUW]))"
        r" ?\d[ABD-HJLNP-UW-Z]{2})\b",
        _postcode,
        _words(r"post ?codes?|address(?:es)?"),
        alone=1,
    ),
)

_BY_NAME = {f"{shape.kind}/{index}": shape for index, shape in enumerate(_SHAPES)}
_SIEVE = Sieve({name: shape.pattern for name, shape in _BY_NAME.items()})

# What may stand directly before and behind a value; "id=", "/", "@" and "." belong to longer things.
_BEFORE = frozenset(b" \t\n\r,;:|([{\"'<>*_=#")
_BEHIND = frozenset(b" \t\n\r,;:|)]}\"'<>*_.!?&")
_DIGITS = frozenset(b"0123456789")
_DIGIT = re.compile(rb"[0-9]")
_TOKEN = re.compile(rb"\S++\Z")


@dataclass(slots=True)
class _Found:
    """What was gathered of one kind on one page."""

    first: int = -1
    near: bool = False
    values: dict[str, None] | None = None


def find(
    page: Page, *, key: bytes, kinds: Collection[Kind] | None = None, numbers: Collection[str] = ()
) -> tuple[Match, ...]:
    """The identifiers on a page, one match for each kind that is there; dates of birth are ``births``' business.

    ``kinds`` limits the search; ``numbers`` are telephone numbers that are nobody's own (the school's, the trip
    phone), in any spelling. Raises DetectionError if the page could not be searched.
    """
    if not _DIGIT.search(page.raw):
        return ()  # there is no identifier without
    found: dict[Kind, _Found] = {}
    for name in _SIEVE.which(page.raw):
        shape = _BY_NAME[name]
        if kinds is None or shape.kind in kinds:
            _gather(page, name, shape, found.setdefault(shape.kind, _Found(values={})))
    if numbers:
        own = {national(number) for number in numbers}
        for kind in (Kind.MOBILE, Kind.LANDLINE):
            gathered = found.get(kind)
            if gathered is not None and gathered.values:
                gathered.values = {value: None for value in gathered.values if value not in own}
    return tuple(_match(page, kind, each, key) for kind, each in found.items() if each.values)


def total(matches: Iterable[Match]) -> tuple[Match, ...]:
    """The matches of all pages of a message, one for each kind: a value that stands on two pages counts once."""
    by_kind: dict[Kind, list[Match]] = {}
    for match in matches:
        by_kind.setdefault(match.kind, []).append(match)
    merged = []
    for kind, group in by_kind.items():
        digests = frozenset().union(*(match.digests for match in group))
        first = max(group, key=lambda match: match.level)
        # Postcodes outside of tables are counted, and amount to nothing.
        reached = max(first.level, level(len(digests))) if first.level else 0
        merged.append(
            Match(
                kind=kind,
                where=first.where,
                line=first.line,
                count=len(digests),
                level=reached,
                shown=first.shown,
                near=any(match.near for match in group),
                digests=digests,
            )
        )
    return tuple(merged)


def _match(page: Page, kind: Kind, found: _Found, key: bytes) -> Match:
    values = list(found.values or ())
    reached = level(len(values))
    if kind is Kind.POSTCODE:
        # Every signature has one; only a list of them says anything.
        in_rows = _in_rows(page, values) if reached > 1 else 0
        reached = level(in_rows) if in_rows >= _FEWEST_POSTCODES else 0
    return Match(
        kind=kind,
        where=page.where,
        line=page.line(found.first),
        count=len(values),
        level=reached,
        shown=mask(kind, values[0]),
        near=found.near,
        digests=frozenset(digest(kind, value, key=key) for value in values),
    )


def _gather(page: Page, name: str, shape: _Shape, found: _Found) -> None:
    """Add the values of one shape that something speaks for."""
    assert found.values is not None  # noqa: S101 - made with a dict above
    reach = _RUN_IN_ROWS if page.rows else _RUN
    unspoken: dict[str, int] = {}  # right by format and check digit, but no word says what they are
    taken: set[str] = set()  # spellings that count already: a thread repeats its signatures
    examined = 0
    spoken_until = -1
    for start, end, text in _candidates(page, name):
        examined += 1
        if text in taken:
            continue
        value = shape.value(text)
        if not value:
            continue
        spoken = start <= spoken_until or _spoken_for(page, shape, start, end)
        if shape.against is not None:
            # A word that denies it wins when it stands right before, or when no word speaks for the value.
            nearby = page.around(start, end, REACH) if not spoken else page.lowered[max(0, start - 20) : start]
            if shape.against.search(nearby):
                continue
        if spoken:
            spoken_until = end + reach
            found.near = True
            if found.first < 0 or start < found.first:
                found.first = start
            found.values[value] = None
            taken.add(text)
            if len(found.values) >= MOST:
                return
        elif len(unspoken) < MOST:
            unspoken.setdefault(value, start)
            if not shape.share and len(unspoken) >= shape.alone:
                taken.add(text)
    if shape.alone and len(unspoken) >= shape.alone and len(unspoken) >= shape.share * examined:
        first = min(unspoken.values())
        found.first = first if found.first < 0 else min(found.first, first)
        found.values.update(dict.fromkeys(unspoken))


def _candidates(page: Page, name: str) -> Iterator[tuple[int, int, str]]:
    """What has the right shape and stands by itself: not inside a longer number, an address or a link."""
    raw = page.raw
    last = len(raw)
    for match in islice(_SIEVE.each(name, raw), EXAMINED):
        start, end = match.span()
        if start and raw[start - 1] not in _BEFORE:
            continue
        if end < last and raw[end] not in _BEHIND:
            continue
        if end + 1 < last and raw[end] == 0x2E and raw[end + 1] in _DIGITS:
            continue  # 1234567881.25 is an amount
        if start > 1 and raw[start - 1] == 0x3D and _in_link(raw, start):
            continue
        grouped = b" " in raw[start:end] or b"-" in raw[start:end]
        if grouped and raw[start] in _DIGITS and _is_in_longer_number(raw, start, end):
            continue
        yield start, end, raw[start:end].decode("ascii", "replace")


# Digits in groups that go on in more groups are a longer number; a date or an amount beside them is another.
_GOES_ON_BEFORE = re.compile(rb"(?<![\d/.:-])\d{2,6}[ -]\Z")
_GOES_ON = re.compile(rb"[ -][1-9]\d{1,5}(?![\d/.:-])")


def _is_in_longer_number(raw: bytes, start: int, end: int) -> bool:
    if _GOES_ON.match(raw, end):
        return True
    # What starts with a nought is a telephone number, and starts afresh.
    return raw[start] != 0x30 and _GOES_ON_BEFORE.search(raw, max(0, start - 8), start) is not None


def _in_link(raw: bytes, start: int) -> bool:
    token = _TOKEN.search(raw, max(0, start - 200), start)
    return token is not None and (b"://" in token[0] or token[0].startswith(b"www."))


def _spoken_for(page: Page, shape: _Shape, start: int, end: int) -> bool:
    if shape.context.search(page.around(start, end, REACH)):
        return True
    head = heading(page, start)
    return bool(head) and shape.context.search(head) is not None


_LINE = 4096  # octets of a line that are looked at for its columns
_DELIMITERS = (b"\t", b"|", b";", b",")


def heading(page: Page, start: int) -> bytes:
    """What stands above the value at ``start``, in its column of the line before, in lower case; else nothing."""
    lowered = page.lowered
    begin = lowered.rfind(b"\n", max(0, start - _LINE), start) + 1
    if not begin:
        return b""
    above_end = begin - 1
    above = lowered[lowered.rfind(b"\n", max(0, above_end - _LINE), above_end) + 1 : above_end]
    before = lowered[begin:start]
    for delimiter in _DELIMITERS:
        column = before.count(delimiter)
        if delimiter in above and (column or delimiter in lowered[start : start + REACH]):
            cells = above.split(delimiter)
            return cells[column].strip(b' "\r') if column < len(cells) else b""
    return b""


def _in_rows(page: Page, values: Collection[str]) -> int:
    """How many of the postcodes stand on lines that look like rows: every signature has one, a list has many."""
    raw = page.raw
    seen: set[str] = set()
    wanted = set(values)
    for match in islice(_SIEVE.each(_POSTCODES, raw), EXAMINED):
        start = match.start()
        begin = raw.rfind(b"\n", max(0, start - _LINE), start) + 1
        end = raw.find(b"\n", start, start + _LINE)
        line = raw[begin : end if end >= 0 else start + _LINE]
        if page.rows or b"\t" in line or b"|" in line or line.count(b",") >= 2 or line.count(b";") >= 2:
            value = match.group().decode("ascii").replace(" ", "")
            if value in wanted:
                seen.add(value)
    return len(seen)


_POSTCODES = next(name for name, shape in _BY_NAME.items() if shape.kind is Kind.POSTCODE)
