"""Searches and lists: found is what is there, on both engines, whatever letters people type."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from support.quarantine import chunks, held, recipient

from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import Filter


def keep(store: SqlStore, name: str, **changes: object) -> HeldMessage:
    message = held(name.encode(), **changes)
    store.hold(message, content=chunks(name.encode()))
    return message


@pytest.mark.parametrize(
    ("needle", "found"),
    [
        ("half-term trip", True),
        ("HALF-TERM", True),
        ("f-t", True),
        ("lf", True),
        ("ü", True),
        ("größe", True),
        ("GRÖSSE", True),
        ("100%", True),
        ("1_0%", False),
        ('"quoted"', True),
        ('"', True),
        ("trip AND nothing", False),
        ("trip*", False),
        ("NEAR(", False),
        ("(col:x)", True),
        ("\\", True),
        ("🎒🎒🎒", True),
        ("nothing here", False),
    ],
)
def test_a_search_takes_letters_as_they_are(store: SqlStore, needle: str, found: bool) -> None:
    """Nothing that people type is an operator, and one or two letters are found too."""
    message = keep(store, "1", subject='Half-term trip Größe ü 100% "quoted" (col:x) \\ 🎒🎒🎒')
    keep(store, "2", subject="Invoice", recipients=[recipient("x@y.example")], from_header="A <a@b.example>")
    assert [each.id for each in store.list(Filter(search=needle, limit=1))] == ([message.id] if found else [])


def test_many_messages_of_one_moment_are_all_found_once(store: SqlStore) -> None:
    """The clock may stand still; the search index has a place for each of them."""
    kept = {keep(store, str(number), subject="same moment").id for number in range(12)}
    assert {each.id for each in store.list(Filter(search="same moment"))} == kept
    assert len(store.list(Filter(search="same moment", limit=5))) == 5


def test_filters_agree_whichever_index_is_used(store: SqlStore) -> None:
    """Every pair of filters gives what both allow, oldest first."""
    at = [datetime(2026, 11, day, tzinfo=UTC) for day in range(1, 9)]
    kept = []
    for number in range(8):
        message = keep(
            store,
            str(number),
            subject="alpha" if number % 2 else "beta",
            queue="office" if number % 3 else "it-support",
            received_at=at[7 - number],
            recipients=[recipient("a@school.example"), recipient("b@school.example")],
        )
        if number % 4 == 0:
            store.deny(message.id, recipients=["b@school.example"], actor="ann")
        kept.append(store.get(message.id))
    kept.sort(key=lambda each: each.received_at)
    tests: dict[str, tuple[Any, Callable[[HeldMessage], bool]]] = {
        "states": (frozenset({State.DENIED, State.EXPIRED}), lambda m: m.recipients[1].state is State.DENIED),
        "search": ("alpha", lambda m: m.subject == "alpha"),
        "queue": ("office", lambda m: m.queue == "office"),
        "since": (at[3], lambda m: m.received_at >= at[3]),
        "rule": ("executable-attachment", lambda m: True),
    }
    for one, (value, right) in tests.items():
        for other, (another, also) in tests.items():
            wanted = Filter(**{one: value, other: another})
            assert store.list(wanted) == [each for each in kept if right(each) and also(each)], (one, other)
