"""Owns the queue page: what waits first, searched on the server, filtered in the address, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from gatepost_quarantine.console import choices
from gatepost_quarantine.console.desk import Visit
from gatepost_quarantine.console.rights import VERB_LABELS, Right
from gatepost_quarantine.console.view import SINCE, TABS, View, moment, name_of, place_of, stamp
from gatepost_quarantine.held import SenderAnswer
from gatepost_quarantine.review import Item, Tally

PAGE = 50
"""Messages of one page."""

_ASKED = 500
"""Requests of senders that are looked at, for those that this person may see."""

_LIVE = 100
"""Rows whose state a page may ask about."""


def page(visit: Visit) -> Response:
    """The queue. A support id, Message-ID or queue id that is pasted in opens its message."""
    view = View.read(visit.request.query_params)
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
        rules=review.rules(sight=sight),
        queues=review.queues(sight=sight),
        newest_stamp=stamp(now),
        verbs=verbs(visit, listed.items),
        requests=_requests(visit) if view == View(sort=view.sort) else [],
        done=visit.query("done"),
        all_columns=choices.COLUMNS,
        columns=choices.columns(visit),
        filters=choices.filters(visit),
    )


def _requests(visit: Visit) -> list[tuple[SenderAnswer, Item]]:
    """What senders asked about messages that this person may see, the longest wait first."""
    asked = visit.desk.store.requests(limit=_ASKED)
    items = {
        each.held.id: each
        for each in visit.desk.review.items([each.held_id for each in asked], sight=visit.who.sight)
        if visit.who.may_with(Right.LIST, each)
    }
    return [(each, items[each.held_id]) for each in asked if each.held_id in items]


def news(visit: Visit) -> Response:
    """What has changed since a page was loaded: how many came in, and where its rows stand now."""
    review, sight = visit.desk.review, visit.who.sight
    since = moment(visit.query("since"))
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
