"""Owns the reading of Postfix's milter lists (``smtpd_milters``): which filters are named, and which one is ours.

The syntax is that of postconf(5): entries separated by commas or white space, each an endpoint
(``unix:path``, ``inet:host:port``) or, since Postfix 3.0, ``{ endpoint, name=value, ... }``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_ANY = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, never bound to


class Likeness(Enum):
    """How an entry of a milter list relates to our socket.

    ``MISPLACED`` names our socket, but smtpd will look for it elsewhere: an absolute path means one file inside
    a chroot and another one outside.
    """

    OURS = "ours"
    MISPLACED = "misplaced"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class MilterEntry:
    """One filter of a list: the entry as it is written, its endpoint, and its own settings."""

    text: str
    endpoint: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def entries(value: str) -> tuple[MilterEntry, ...]:
    """The filters that a list names, in the order in which Postfix asks them."""
    return tuple(_entry(text) for text in _split(value))


def without(value: str, unwanted: Sequence[MilterEntry]) -> str:
    """The list without these entries, in a form that both ``postconf -e`` and ``postconf -P`` take.

    ``postconf -P`` refuses white space in a value, so commas separate what is left.
    """
    dropped = {entry.text for entry in unwanted}
    return ",".join(compact(entry.text) for entry in entries(value) if entry.text not in dropped)


def compact(value: str) -> str:
    """The same list with commas where white space was; Postfix reads both alike."""
    tight = re.sub(r"\s*=\s*", "=", value.strip())
    tight = re.sub(r"\s*([{}])\s*", r"\1", tight)
    tight = re.sub(r"[\s,]+", ",", tight)
    tight = tight.replace("{,", "{").replace(",}", "}")
    return re.sub(r"\}(?=[^,}])", "},", re.sub(r"(?<=[^,{$=])\{", ",{", tight))


def likeness(entry: MilterEntry, *, socket: str, queue_directory: str, chroot: bool) -> Likeness:
    """Whether the entry is our socket, given where smtpd looks for it.

    ``socket`` is the setting of that name: an absolute path or ``inet:PORT@ADDRESS``. A relative path counts
    from the queue directory, an absolute one from the queue directory too if smtpd runs in a chroot.
    """
    kind, _, place = entry.endpoint.partition(":")
    if socket.startswith("inet:"):
        same = kind == "inet" and _same_port(place, socket.removeprefix("inet:"))
        return Likeness.OURS if same else Likeness.OTHER
    if kind not in ("unix", "local") or not place:
        return Likeness.OTHER
    wanted = os.path.normpath(socket)
    inside = os.path.normpath(f"{queue_directory}/{place}")
    seen = os.path.normpath(place) if place.startswith("/") and not chroot else inside
    if seen == wanted:
        return Likeness.OURS
    return Likeness.MISPLACED if wanted in (os.path.normpath(place), inside) else Likeness.OTHER


def _split(value: str) -> Iterator[str]:
    depth = 0
    word = ""
    for letter in value:
        if depth == 0 and (letter in ", \t\r\n"):
            if word:
                yield word
            word = ""
            continue
        word += letter
        depth += (letter == "{") - (letter == "}")
        if depth == 0 and letter == "}" and word.startswith("{"):
            yield word
            word = ""
    if word:
        yield word


def _entry(text: str) -> MilterEntry:
    if not text.startswith("{"):
        return MilterEntry(text=text, endpoint=text)
    inner = re.sub(r"\s*=\s*", "=", text.strip("{} \t\r\n"))
    endpoint, *pairs = [word for word in re.split(r"[,\s]+", inner) if word] or [""]
    options = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return MilterEntry(text=text, endpoint=endpoint, options=MappingProxyType(options))


def _same_port(place: str, socket: str) -> bool:
    """Postfix writes ``host:port``, libmilter ``port@address``."""
    host, _, port = place.rpartition(":")
    our_port, _, our_host = socket.partition("@")
    host, our_host = host.strip("[]").lower(), our_host.strip("[]").lower()
    if port != our_port:
        return False
    return host == our_host or our_host in _ANY or (host in _LOOPBACK and our_host in _LOOPBACK)
