"""Owns what people choose for their own queue: its columns, and filters that they use again.

Both are kept in the store, not in the browser: they follow a person from one machine to another, and what
somebody searches for may be a name, which does not belong into a cookie on a shared one.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlencode

from starlette.responses import Response

from gatepost_quarantine.console.desk import Visit, own_path
from gatepost_quarantine.console.view import View
from gatepost_quarantine.store import ConflictError

COLUMNS = {
    "to": "To",
    "why": "Why it is held",
    "status": "Status",
    "size": "Size",
    "waiting": "Waiting",
    "received": "Received",
    "reviewers": "Reviewed by",
    "clause": "Clause",
    "support": "Support id",
}
"""What the queue can show besides the message itself, in this order."""

USUAL = ("to", "why", "status", "size", "waiting")

_COLUMNS, _FILTERS = "columns", "filter"
_NAME = 60


def columns(visit: Visit) -> list[str]:
    """The columns that this person wants."""
    chosen = visit.desk.review.choices(visit.identity, _COLUMNS).get("queue", "")
    wanted = chosen.split() if chosen else USUAL
    return [each for each in COLUMNS if each in wanted]


def filters(visit: Visit) -> Mapping[str, str]:
    """This person's saved filters: name and address."""
    saved = visit.desk.review.choices(visit.identity, _FILTERS)
    return {name: f"/queue?{query}" for name, query in saved.items()}


def choose_columns(visit: Visit) -> Response:
    """Keep the columns; none at all, or the usual ones, are the usual ones."""
    wanted = [each for each in COLUMNS if each in visit.form.get("column", ())]
    value = "" if not wanted or tuple(wanted) == USUAL else " ".join(wanted)
    visit.desk.review.choose(visit.identity, _COLUMNS, "queue", value)
    return visit.go(own_path(visit.field("back", 2000)))


def save_filter(visit: Visit) -> Response:
    """Keep the filter in use under a name; one of that name is replaced."""
    name = " ".join(visit.field("name", _NAME).split())
    if not name:
        raise ConflictError("Give the filter a name.")
    # Taken apart and put together again: what is kept is a view of the queue and nothing else.
    view = View.read({key: values[0] for key, values in parse_qs(visit.field("query", 4000)).items()})
    query = view.but().partition("?")[2]
    visit.desk.review.choose(visit.identity, _FILTERS, name, query or "tab=waiting")
    return visit.go(
        "/queue?" + "&".join(each for each in (query, urlencode({"done": f"Saved as “{name}”."})) if each)
    )


def remove_filter(visit: Visit) -> Response:
    """Forget a saved filter."""
    visit.desk.review.choose(visit.identity, _FILTERS, visit.field("name", _NAME), "")
    return visit.go(own_path(visit.field("back", 2000)))
