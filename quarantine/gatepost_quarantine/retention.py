"""Owns what happens to held mail as time goes by: reminders, expiry, and what is forgotten when.

Nothing that nobody decided about ends in silence. Its reviewers are reminded, then a deputy too, and only after
the last reminder can it expire; then a known sender is told, and its reviewers get a report. If there is no
reviewer to tell, it stays. What is under legal hold or belongs to an open case is never touched, and what is
sealed waits for a decision.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gatepost_config.settings import Keep, Settings
from gatepost_quarantine import notices
from gatepost_quarantine.held import HeldMessage, Notice, State
from gatepost_quarantine.store import Due
from gatepost_quarantine.workdays import Calendar

ACTOR = "gatepost-expire"

_LINES = 200
"""Messages that one report names; the others are counted."""

Mailboxes = Callable[[str], Sequence[str]]


class Shelf(Protocol):
    """The store, as retention needs it."""

    def waiting(self) -> Iterator[Due]: ...

    def reminded(self, counts: Sequence[tuple[str, int]], notices: Sequence[Notice], *, actor: str) -> None: ...

    def expire(self, held_id: str, *, actor: str, reason: str, notices: Sequence[Notice]) -> bool: ...

    def decided(self, *, released: bool, before: datetime) -> Iterator[Due]: ...

    def drop_bytes(self, held_id: str, *, actor: str, reason: str) -> bool: ...

    def forgettable(self, before: datetime) -> Iterator[Due]: ...

    def forget(self, held_id: str, *, actor: str, reason: str) -> bool: ...

    def purge_notices(self, before: datetime, *, dry_run: bool = False) -> int: ...

    def forget_cases(self, before: datetime, *, actor: str, reason: str, dry_run: bool = False) -> int: ...

    def erase_names(
        self, *, before: datetime | None = None, held_id: str = "", actor: str, reason: str, dry_run: bool = False
    ) -> int: ...

    def forget_history(self, *, pairs_before: int, counts_before: int, dry_run: bool = False) -> int: ...

    def forget_rulings(self, before: datetime, *, dry_run: bool = False) -> int: ...

    def heads(self) -> Sequence[tuple[str, int, str, str]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One thing that was done, or is due: ``what`` happens to ``held_id`` (or to ``many`` rows), and why.

    A dry run also tells what is ``kept`` although its time is over.
    """

    what: str
    held_id: str = ""
    many: int = 1
    why: str = ""


class Retention:
    """The daily round. ``mailboxes`` gives those of a role, none if nobody has it."""

    def __init__(
        self, store: Shelf, settings: Settings, *, mailboxes: Mailboxes, now: datetime, dry_run: bool = False
    ) -> None:
        self._store = store
        self._settings = settings
        self._mailboxes = mailboxes
        self._now = now
        self._dry_run = dry_run
        review = settings.review
        self._zone = ZoneInfo(settings.school.timezone)
        self._calendar = Calendar(
            terms=[(term.first, term.last) for term in review.terms], closed=frozenset(review.closed)
        )
        self._steps = sorted(set(review.reminders))

    def run(self) -> Iterator[Done]:
        """Do all that is due, telling each thing once it is done. Raises StoreError; run it again then."""
        yield from self._waiting()
        yield from self._decided()
        yield from self._forgotten()
        yield from self._counted()

    def _waiting(self) -> Iterator[Done]:
        """Reminders, and expiry. Whom nobody could be told about is reported to the deputy, or stays."""
        remind: dict[str, list[Due]] = defaultdict(list)
        counts: dict[str, int] = {}
        expired: dict[str, list[HeldMessage]] = defaultdict(list)
        for waits in self._store.waiting():
            step = self._step(waits)
            if step > waits.reminded:
                counts[waits.held.id] = step
                for to in self._reviewers(waits.held, last=step == len(self._steps)):
                    remind[to].append(waits)
            elif self._expires(waits) and self._reviewers(waits.held, last=True):
                if waits.kept:
                    yield from self._kept(waits)
                else:
                    expired[waits.held.queue].append(waits.held)
        yield from self._remind(remind, counts)
        for held in (each for group in expired.values() for each in group):
            yield from self._expire(held)

    def _step(self, waits: Due) -> int:
        """How many reminders are due by now."""
        arrived, today = (at.astimezone(self._zone).date() for at in (waits.held.received_at, self._now))
        days = self._calendar.days_between(arrived, today)
        return sum(days >= step for step in self._steps) if self._calendar.works(today) else waits.reminded

    def _kept(self, due: Due) -> Iterator[Done]:
        """Said in a dry run alone: the real one tells what it did."""
        if self._dry_run:
            yield Done(what="kept", held_id=due.held.id, why=due.kept)

    def _expires(self, waits: Due) -> bool:
        keep = self._settings.retention.unreviewed
        over = waits.held.received_at < self._before(keep)
        return over and not waits.held.sealed and waits.reminded >= len(self._steps)

    def _reviewers(self, held: HeldMessage, *, last: bool) -> list[str]:
        roles = {held.queue, *(finding.queue for finding in held.explanation.acting())}
        if last:
            roles.add(self._settings.review.deputy)
        mailboxes = (each for role in sorted(roles) if role for each in self._mailboxes(role))
        return list(dict.fromkeys(mailboxes))

    def _remind(self, remind: Mapping[str, Sequence[Due]], counts: Mapping[str, int]) -> Iterator[Done]:
        """One mail to each mailbox, however many messages wait."""
        if not counts:
            return
        owed = [
            self._report(
                to,
                title=f"{len(waiting)} held {'message waits' if len(waiting) == 1 else 'messages wait'} for you",
                intro="These messages were held, and nobody has decided about them yet. People may be waiting.",
                lines=[self._told(each.held) for each in waiting],
                closing="A message that nobody decides about expires after "
                f"{self._settings.retention.unreviewed.days} days; it is then reported here.",
            )
            for to, waiting in sorted(remind.items())
        ]
        if not self._dry_run:
            self._store.reminded(sorted(counts.items()), owed, actor=ACTOR)
        for held_id, count in counts.items():
            yield Done(what="reminded", held_id=held_id, why=f"reminder {count} of {len(self._steps)}")

    def _expire(self, held: HeldMessage) -> Iterator[Done]:
        keep = self._settings.retention.unreviewed
        why = f"nobody decided in {keep.days} days: {keep.reason}"
        open_for = [each.address for each in held.recipients if each.state is State.HELD]
        sender = notices.expired(held, gateway=self._settings.gateway, recipients=open_for)
        reports = [
            self._report(
                to,
                title="A held message has expired",
                intro=f"Nobody decided about it in {keep.days} days: it was not delivered and is no longer kept.",
                lines=[self._told(held)],
                closing="Its sender was told." if sender else "Its sender is not known, so nobody was told.",
            )
            for to in self._reviewers(held, last=True)
        ]
        told = [*sender, *reports]
        if self._dry_run or self._store.expire(held.id, actor=ACTOR, reason=why, notices=told):
            yield Done(what="expired", held_id=held.id, why=why)

    def _decided(self) -> Iterator[Done]:
        keeps = self._settings.retention
        for released, keep in ((True, keeps.released), (False, keeps.decided)):
            why = f"kept for {keep.days} days after the decision: {keep.reason}"
            for due in self._store.decided(released=released, before=self._before(keep)):
                if due.kept:
                    yield from self._kept(due)
                elif self._dry_run or self._store.drop_bytes(due.held.id, actor=ACTOR, reason=why):
                    yield Done(what="bytes removed", held_id=due.held.id, why=why)

    def _forgotten(self) -> Iterator[Done]:
        keep = self._settings.retention.records
        why = f"kept for {keep.days} days: {keep.reason}"
        for due in self._store.forgettable(self._before(keep)):
            if due.kept:
                yield from self._kept(due)
            elif self._dry_run or self._store.forget(due.held.id, actor=ACTOR, reason=why):
                yield Done(what="forgotten", held_id=due.held.id, why=why)

    def _counted(self) -> Iterator[Done]:
        keeps = self._settings.retention
        many = self._store.purge_notices(self._before(keeps.notices), dry_run=self._dry_run)
        if many:
            yield Done(what="notices removed", many=many, why=keeps.notices.reason)
        many = self._store.erase_names(
            before=self._before(keeps.audit), actor=ACTOR, reason=keeps.audit.reason, dry_run=self._dry_run
        )
        if many:
            yield Done(what="names erased from the audit", many=many, why=keeps.audit.reason)
        many = self._store.forget_history(
            pairs_before=self._before(keeps.correspondents).date().toordinal(),
            counts_before=self._before(keeps.counts).date().toordinal(),
            dry_run=self._dry_run,
        )
        if many:
            yield Done(what="history forgotten", many=many, why=keeps.correspondents.reason)
        many = self._store.forget_rulings(self._before(keeps.records), dry_run=self._dry_run)
        if many:
            yield Done(what="rulings forgotten", many=many, why=keeps.records.reason)
        many = self._store.forget_cases(
            self._before(keeps.cases), actor=ACTOR, reason=keeps.cases.reason, dry_run=self._dry_run
        )
        if many:
            yield Done(what="cases forgotten", many=many, why=keeps.cases.reason)

    def _before(self, keep: Keep) -> datetime:
        return self._now - timedelta(days=keep.days)

    def _told(self, held: HeldMessage) -> str:
        """One line that finds the message and gives nothing of it away."""
        rules = ", ".join(dict.fromkeys(finding.rule for finding in held.explanation.acting()))
        day = held.received_at.astimezone(self._zone).strftime("%d %B %Y")
        return f"{held.explanation.support_id or held.id}, received {day}, {rules or 'held by hand'}"

    def _report(self, to: str, *, title: str, intro: str, lines: Sequence[str], closing: str) -> Notice:
        more = [f"and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
        return notices.report(
            to,
            gateway=self._settings.gateway,
            title=title,
            intro=intro,
            lines=[*lines[:_LINES], *more],
            closing=closing,
        )


def tell_heads(
    store: Shelf, settings: Settings, *, mailboxes: Mailboxes, say: Callable[[str], None]
) -> Sequence[str]:
    """Tell the head of each audit chain to syslog (``say``) and owe it to the auditor, in mails of one line each.

    Somebody who may change the database cannot change what was told elsewhere, so a cut or a forgery shows.
    """
    lines = [
        f"gatepost audit head: gateway={gateway} events={seq} segment={segment} digest={digest}"
        for gateway, seq, digest, segment in store.heads()
    ]
    for line in lines:
        say(line)
    auditor = settings.review.auditor
    owed = [
        notices.report(
            to,
            gateway=settings.gateway,
            title="Heads of the audit",
            intro="Keep this mail. With these digests it can be shown that the audit was not changed later.",
            lines=lines,
            closing="To check: gatepost audit verify --head DIGEST",
        )
        for to in (mailboxes(auditor) if auditor and lines else ())
    ]
    store.reminded((), owed, actor=ACTOR)
    return lines
