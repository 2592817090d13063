"""Owns the school's working days: reviewers are reminded on days when somebody is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Monday to Friday, inside ``terms`` where any are given, and never on a day in ``closed``.

    Terms are (first day, last day). Outside all of them no day is a working day, so mail that is held in the
    holidays waits for the term; past the last term every Monday to Friday counts again, so that a calendar that
    nobody kept up does not silence the reminders.
    """

    terms: Sequence[tuple[date, date]] = ()
    closed: frozenset[date] = frozenset()

    def works(self, day: date) -> bool:
        """Whether it is a working day."""
        if day.weekday() >= 5 or day in self.closed:
            return False
        if not self.terms or day > max(last for _, last in self.terms):
            return True
        return any(first <= day <= last for first, last in self.terms)

    def days_between(self, earlier: date, later: date) -> int:
        """Working days after ``earlier`` up to and with ``later``."""
        span = (later - earlier).days
        return sum(self.works(earlier + timedelta(days=number)) for number in range(1, span + 1))
