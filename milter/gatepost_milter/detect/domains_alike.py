"""Owns near misses of domains: an address that looks like one the school knows, and is not (KCS 2.10a, 2.9).

A slip of the finger, a letter that looks like another, another ending. Look-ups take time in proportion to the
name, however many domains are known: for each known name, the names with one letter left out are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import idna

from gatepost_config.addresses import DOMAIN_LIMIT, ascii_domain
from gatepost_milter.detect.pages import plain

SHORTEST = 6
"""Letters that a name needs before one wrong letter says anything: bbc and abc are both right."""

# Endings under which the public registers names; what stands before one is the name itself.
_ENDINGS = frozenset(
    f"{second}.uk"
    for second in ("co", "sch", "org", "ac", "gov", "nhs", "ltd", "plc", "me", "net", "police", "mod")
) | {"com.au", "co.nz", "co.za", "com.cn", "co.jp", "com.br", "com.tr", "co.in"}

# What people take for one letter (after Unicode TS 39, in the order of replacing).
_ALIKE = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"), ("-", ""))


class How(StrEnum):
    """In which way a name is near a known one."""

    LOOKS = "looks"
    """Letters that look alike: ``klngs`` for ``kings``, letters of other scripts, a hyphen more or less."""
    SLIP = "slip"
    """One letter more, less, other or swapped."""
    ENDING = "ending"
    """The same name with another ending: ``.com`` for ``.sch.uk``."""
    BELOW = "below"
    """A known name in front of a stranger's: ``school.sch.uk.mail-login.com``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A domain that is not known, and the known one that it could be taken for."""

    domain: str
    known: str
    how: How


class Alike:
    """The domains that the school knows.

    ``known`` are all that are right, consumer domains included, so that none of them is taken for a slip of
    another; ``guarded`` are those whose imitation matters (default: all).
    """

    __slots__ = ("_endings", "_known", "_looks", "_names", "_slips")

    def __init__(self, known: Iterable[str], *, guarded: Iterable[str] | None = None) -> None:
        self._known = frozenset(ascii_domain(domain) for domain in known)
        wanted = self._known if guarded is None else {ascii_domain(domain) for domain in guarded}
        self._known |= frozenset(wanted)
        self._names: dict[str, str] = {}
        self._endings: dict[str, str] = {}
        self._looks: dict[str, str] = {}
        self._slips: dict[str, list[str]] = {}
        for domain in sorted(wanted):
            name, ending = split(domain)
            self._looks.setdefault(f"{_skeleton(name)}.{ending}", domain)
            if len(name) < SHORTEST:
                continue
            self._endings.setdefault(name, domain)
            self._names.setdefault(domain, name)
            for less in (name, *_left_out(name)):
                self._slips.setdefault(f"{less}.{ending}", []).append(domain)

    def near(self, domain: str) -> NearMiss | None:
        """The known domain that ``domain`` could be taken for.

        None if it is known itself, lies below a known one, or is like none.
        """
        domain = ascii_domain(domain)
        if not domain or len(domain) > DOMAIN_LIMIT or self._is_known(domain):
            return None
        found = self._find(domain)
        if found is None and domain.endswith(".sch.uk") and domain.count(".") >= 3:
            found = self._find(domain.partition(".")[2])  # mail.school.sch.uk, and not a school called mail
        if found is None:
            return None
        known, how = found
        return NearMiss(domain=domain, known=known, how=how)

    def _is_known(self, domain: str) -> bool:
        while domain:
            if domain in self._known:
                return True
            domain = domain.partition(".")[2]
        return False

    def _find(self, domain: str) -> tuple[str, How] | None:
        name, ending = split(domain)
        looked = self._looks.get(f"{_skeleton(name)}.{ending}")
        if looked is not None:
            return looked, How.LOOKS
        if len(name) >= SHORTEST - 1:
            for less in (name, *_left_out(name)):
                for known in self._slips.get(f"{less}.{ending}", ()):
                    if _one_apart(name, self._names[known]):
                        return known, How.SLIP
        named = self._endings.get(name)
        # Every council has a St Mary's.
        if named is not None and not (named.endswith(".sch.uk") and ending.endswith(".sch.uk")):
            return named, How.ENDING
        labels = domain.split(".")
        for first in range(len(labels) - 1):
            for last in range(len(labels) - 1, first + 1, -1):
                inner = ".".join(labels[first:last])
                if inner in self._names:
                    return inner, How.BELOW
            if first >= 8:
                break
        return None


def split(domain: str) -> tuple[str, str]:
    """The name and its ending: ``mail.school.sch.uk`` has ``school`` and ``sch.uk``; a school under its council
    (``school.surrey.sch.uk``) has ``school`` and ``surrey.sch.uk``."""
    labels = domain.split(".")
    if len(labels) < 2:
        return domain, ""
    two = ".".join(labels[-2:])
    if two == "sch.uk" and len(labels) >= 4:
        return labels[-4], ".".join(labels[-3:])
    if two in _ENDINGS and len(labels) >= 3:
        return labels[-3], two
    return labels[-2], labels[-1]


def _skeleton(name: str) -> str:
    """What a name looks like: letters of other scripts as Latin ones, look-alikes as one of them."""
    if name.startswith("xn--"):
        try:
            name = idna.decode(name)
        except UnicodeError:  # idna.IDNAError is one
            pass
        else:
            # A name in another script only is one that imitates: look at it beside a Latin letter.
            name = plain(f"a{name}")[1:].lower()
    for seen, taken in _ALIKE:
        name = name.replace(seen, taken)
    return name


def _left_out(name: str) -> list[str]:
    return [name[:at] + name[at + 1 :] for at in range(min(len(name), 63))]


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter more, less or other, or two neighbours swapped, makes one name the other."""
    if one == other or abs(len(one) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    left, right = one[start:], other[start:]
    if len(left) == len(right):
        return left[1:] == right[1:] or (left[:2] == right[1::-1] and left[2:] == right[2:])
    return left[1:] == right or left == right[1:]
