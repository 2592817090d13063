"""Owns which notices wait for others: above a limit, and to roles that want a digest; then one stands for all.

A person who is told too often reads nothing any more, and a flood of mail must not become a flood of notices.
Nothing is left out: what waits is in the digest. Reports and digests themselves never wait, and what a role is
told of sealed mail waits for no digest, and does not wait because ordinary mail was told of before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gatepost_config.settings import Settings
from gatepost_config.words import Action
from gatepost_quarantine import notices
from gatepost_quarantine.held import Notice, NoticeKind
from gatepost_quarantine.store import OwedNotice

WINDOW = timedelta(hours=1)
"""In which the limits count, and after which what waits goes out."""

_ALONE = frozenset({NoticeKind.REPORT, NoticeKind.DIGEST})


class Outbox(Protocol):
    """The store, as gathering needs it."""

    def told(self, address: str, *, since: datetime) -> int: ...

    def gather(self, rows: Sequence[int], *, worker: str, due_at: datetime) -> None: ...

    def merge(self, rows: Sequence[int], notice: Notice, *, worker: str) -> bool: ...


def gathered(
    owed: Sequence[OwedNotice], *, store: Outbox, settings: Settings, worker: str, now: datetime
) -> set[int]:
    """The claimed rows that are not to be sent now: they wait, or one digest is owed in their place.

    Raises StoreError. What was rendered before was tried before, and goes out as it is.
    """
    kept: set[int] = set()
    by_addressee: dict[str, list[OwedNotice]] = defaultdict(list)
    for each in owed:
        if not each.rendered and each.notice.kind not in _ALONE:
            by_addressee[each.notice.to].append(each)
    for to, waiting in by_addressee.items():
        together = [each for each in waiting if each.gathers]
        fresh = [each for each in waiting if not each.gathers]
        if len(together) > 1:
            kept.update(_merge(together, store=store, settings=settings, worker=worker))
        if fresh:
            kept.update(_wait(to, fresh, store=store, settings=settings, worker=worker, now=now))
    return kept


def _merge(together: Sequence[OwedNotice], *, store: Outbox, settings: Settings, worker: str) -> Sequence[int]:
    try:
        digest = notices.digest(
            [each.notice for each in together],
            gateway=settings.gateway,
            owed_at=[each.owed_at for each in together],
        )
    except notices.NoticeError:
        return ()  # each goes alone, and the one that cannot be written shows
    rows = [each.row for each in together]
    store.merge(rows, digest, worker=worker)
    return rows


def _wait(
    to: str, fresh: Sequence[OwedNotice], *, store: Outbox, settings: Settings, worker: str, now: datetime
) -> set[int]:
    """Let those wait that a digest is wanted for, or that are above the limit; the others go out as they are."""
    due: dict[datetime, list[int]] = defaultdict(list)
    limits = settings.notices
    told = store.told(to, since=now - WINDOW)
    for each in fresh:
        role = each.notice.kind is NoticeKind.ROLE
        sealed = role and _is_sealed(each.notice)
        limit = limits.role_limit if role else limits.person_limit
        how = limits.digests.get(str(each.notice.context.get("role", ""))) if role and not sealed else None
        if how is not None:
            due[_next(how, settings=settings, now=now)].append(each.row)
        elif told >= (2 * limit if sealed else limit):
            due[now + WINDOW].append(each.row)
        else:
            told += 1
    for at, rows in due.items():
        store.gather(rows, worker=worker, due_at=at)
    return {row for rows in due.values() for row in rows}


def _is_sealed(notice: Notice) -> bool:
    outcomes = notice.context.get("explanation", {}).get("outcomes", ())
    return any(each.get("action") == Action.SEAL.value for each in outcomes)


def _next(how: str, *, settings: Settings, now: datetime) -> datetime:
    """When the next digest goes out: at the full hour, or at the hour of the day, in the school's time zone."""
    local = now.astimezone(ZoneInfo(settings.school.timezone))
    hour = local.replace(minute=0, second=0, microsecond=0)
    if how == "hourly":
        return hour + timedelta(hours=1)
    today = hour.replace(hour=settings.notices.digest_hour)
    return today if today > local else today + timedelta(days=1)
