"""Owns the words in which the doctor speaks: a diagnosis says what is, and which command mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")


class Status(StrEnum):
    """How a check went. Only ``fail`` is a fault; a warning is something to know and decide about."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One line of what is, and the command (or the place in a file) that mends it; empty when nothing is to do."""

    status: Status
    says: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A diagnosis with the name of the check that made it."""

    check: str
    status: Status
    says: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        """A plain dictionary for ``--json``."""
        return {"check": self.check, "status": self.status.value, "says": self.says, "mend": self.mend}


def ok(says: str) -> Diagnosis:
    """All is well here."""
    return Diagnosis(status=Status.OK, says=says)


def warn(says: str, *, mend: str = "") -> Diagnosis:
    """Works, but somebody should know and decide."""
    return Diagnosis(status=Status.WARN, says=says, mend=mend)


def fail(says: str, *, mend: str) -> Diagnosis:
    """A fault: mail is not examined, is refused, or is in danger of being lost. A fault always has a remedy."""
    return Diagnosis(status=Status.FAIL, says=says, mend=mend)


def skipped(says: str) -> Diagnosis:
    """Could not be looked at, and why."""
    return Diagnosis(status=Status.SKIPPED, says=says)


def or_ok(found: Iterable[Diagnosis], says: str) -> Iterator[Diagnosis]:
    """What was found; if that is nothing, that all is well, in the words of ``says``."""
    nothing = True
    for each in found:
        nothing = False
        yield each
    if nothing:
        yield ok(says)


def otherwise(says: str) -> Callable[[Callable[P, Iterator[Diagnosis]]], Callable[P, Iterator[Diagnosis]]]:
    """For a check that tells faults only: where it finds none, it says that all is well, in these words."""

    def decorate(check: Callable[P, Iterator[Diagnosis]]) -> Callable[P, Iterator[Diagnosis]]:
        @wraps(check)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Iterator[Diagnosis]:
            return or_ok(check(*args, **kwargs), says)

        return checked

    return decorate


def size(octets: int) -> str:
    """A number of bytes for the eye, exact enough to compare: ``25,000,000 bytes``."""
    return f"{octets:,} bytes"
