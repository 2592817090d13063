"""Owns the queue page: what waits first, searched on the server, filtered in the address, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from starlette.responses import Response

from gatepost_quarantine.console import shown
from gatepost_quarantine.console.desk import Visit
from gatepost_quarantine.console.rights import VERB_LABELS, Right
from gatepost_quarantine.held import State
from gatepost_quarantine.review import Item, Place, Tally, Wanted

PAGE = 50
"""Messages of one page."""

_LIVE = 100
"""Rows whose state a page may ask about."""

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
    def of(visit: Visit) -> View:
        """The view that the query of this request names; what is unknown is left out."""
        tab, since, sort = visit.query("tab"), visit.query("since"), visit.query("sort")
        return View(
            tab=tab if tab in TABS else "waiting",
            search=visit.query("q").strip(),
            rule=visit.query("rule"),
            queue=visit.query("queue"),
            since=since if since in SINCE else "",
            sort=sort if sort in ("oldest", "newest") else "",
            after=visit.query("after"),
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


def page(visit: Visit) -> Response:
    """The queue. A support id, Message-ID or queue id that is pasted in opens its message."""
    view = View.of(visit)
    sight, review = visit.who.sight, visit.desk.review
    if view.search and visit.query("go"):
        found = review.find(view.search, sight=sight)
        if found:
            return visit.go(f"/held/{found}")
    now = visit.desk.clock()
    listed = review.page(view.wanted(now), sight=sight, after=place_of(view.after), limit=PAGE)
    last = listed.items[-1] if listed.items else None
    return visit.page(
        "queue.html",
        view=view,
        tabs=TABS,
        since=SINCE,
        items=listed.items,
        next_page=view.but(after=name_of(last)) if listed.more and last is not None else "",
        waiting=review.waiting(sight=sight),
        rules=_rules(visit),
        queues=_queues(visit),
        newest_stamp=stamp(now),
        verbs=verbs(visit, listed.items),
    )


def news(visit: Visit) -> Response:
    """What has changed since a page was loaded: how many came in, and where its rows stand now."""
    review, sight = visit.desk.review, visit.who.sight
    since = _moment(visit.query("since"))
    # The ids are the page's own, but the page may be older than a right that was taken away.
    items = review.items(visit.request.query_params.getlist("shown")[:_LIVE], sight=sight)
    newer = review.newer(since, sight=sight) if since is not None else Tally(count=0)
    return visit.page("news.html", newer=newer, waiting=review.waiting(sight=sight), items=items)


def verbs(visit: Visit, items: Sequence[Item]) -> dict[str, str]:
    """The decisions that the person may make about at least one of the messages, with their labels."""
    return {
        right.value: label
        for right, label in VERB_LABELS.items()
        if any(_applies(right, item) and visit.who.may_with(right, item) for item in items)
    }


def _applies(right: Right, item: Item) -> bool:
    """A legal hold is set where there is none, and ended where there is one."""
    if right in (Right.LEGAL_HOLD, Right.END_LEGAL_HOLD):
        return bool(item.legal_hold) == (right is Right.END_LEGAL_HOLD)
    return True


def place_of(name: str) -> Place | None:
    """The place that an address names; None if it names none."""
    stamp, _, held_id = name.partition("-")
    at = _moment(stamp)
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


def _moment(text: str) -> datetime | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    return _EPOCH + timedelta(microseconds=int(text))


def _rules(visit: Visit) -> list[str]:
    return list(visit.desk.review.rules(sight=visit.who.sight))


def _queues(visit: Visit) -> list[str]:
    return list(visit.desk.review.queues(sight=visit.who.sight))
