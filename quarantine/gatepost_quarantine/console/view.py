"""Owns what an address of the console asks for: which view of the queue, and which place in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from gatepost_quarantine.console import shown
from gatepost_quarantine.held import State
from gatepost_quarantine.review import Item, Place, Wanted

TABS = {
    "waiting": ("Needs review", frozenset({State.HELD})),
    "under-way": ("Being released", frozenset({State.RELEASING})),
    "released": ("Released", frozenset({State.RELEASED})),
    "refused": ("Denied or deleted", frozenset({State.DENIED, State.DELETED, State.WITHDRAWN, State.EXPIRED})),
    "all": ("All", frozenset[State]()),
}
SINCE = {"24h": ("24 hours", 1), "7d": ("7 days", 7), "14d": ("14 days", 14), "30d": ("30 days", 30)}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the address asks for. The same words name it everywhere: queue, detail, and back again."""

    tab: str = "waiting"
    search: str = ""
    rule: str = ""
    queue: str = ""
    since: str = ""
    sort: str = ""
    after: str = ""

    @staticmethod
    def read(query: Mapping[str, str]) -> View:
        """The view that a query names; what is unknown is left out."""
        values = {name: query.get(name, "")[:500] for name in ("tab", "since", "sort", "rule", "queue", "after")}
        return View(
            tab=values["tab"] if values["tab"] in TABS else "waiting",
            search=query.get("q", "")[:500].strip(),
            rule=values["rule"],
            queue=values["queue"],
            since=values["since"] if values["since"] in SINCE else "",
            sort=values["sort"] if values["sort"] in ("oldest", "newest") else "",
            after=values["after"],
        )

    @property
    def newest_first(self) -> bool:
        """What waits is shown oldest first, all else newest first, unless the address says otherwise."""
        return self.sort == "newest" if self.sort else self.tab != "waiting"

    @property
    def query(self) -> str:
        """The view as a query string; what is usual is left out."""
        values = {
            "tab": self.tab if self.tab != "waiting" else "",
            "q": self.search,
            "rule": self.rule,
            "queue": self.queue,
            "since": self.since,
            "sort": self.sort,
            "after": self.after,
        }
        return urlencode({name: value for name, value in values.items() if value})

    def but(self, **changes: str) -> str:
        """The address of the first page of this view with changes."""
        query = replace(self, **{"after": "", **changes}).query
        return f"/queue?{query}" if query else "/queue"

    def detail(self, held_id: str) -> str:
        """The address of a message, which remembers the view."""
        query = self.query
        return f"/held/{held_id}?{query}" if query else f"/held/{held_id}"

    def wanted(self, now: datetime) -> Wanted:
        """What the store is asked for."""
        return Wanted(
            states=TABS[self.tab][1],
            search=self.search,
            rule=self.rule,
            queue=self.queue,
            since=now - timedelta(days=SINCE[self.since][1]) if self.since else None,
            newest_first=self.newest_first,
        )

    def chips(self) -> Iterator[tuple[str, str]]:
        """Each filter in words, with the address without it."""
        if self.search:
            yield f"“{self.search}”", self.but(search="")
        if self.rule:
            yield f"Rule: {shown.rule(self.rule)}", self.but(rule="")
        if self.queue:
            yield f"Reviewed by: {shown.role(self.queue)}", self.but(queue="")
        if self.since:
            yield f"Last {SINCE[self.since][0]}", self.but(since="")


def place_of(name: str) -> Place | None:
    """The place that an address names; None if it names none."""
    stamp, _, held_id = name.partition("-")
    at = moment(stamp)
    return Place(received_at=at, held_id=held_id) if at is not None and held_id else None


def name_of(item: Item | None) -> str:
    """A place as an address names it."""
    if item is None:
        return ""
    return f"{_micros(item.held.received_at)}-{item.held.id}"


def stamp(at: datetime) -> str:
    """A time as an address names it."""
    return str(_micros(at))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(text: str) -> datetime | None:
    """The time of a number of microseconds since 1970, as addresses of pages give it; None if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    return _EPOCH + timedelta(microseconds=int(text))
