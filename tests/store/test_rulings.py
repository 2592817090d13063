"""Blocks and exemptions, on both engines: what was ruled stays on record, and every change shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.quarantine import Clock

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import ConflictError, NotFoundError

GATEWAY = "mx1.school.example"


def ruling(clock: Clock, **changes: Any) -> Ruling:
    """An exemption of two hours; what is not given is ordinary."""
    values: dict[str, Any] = {
        "kind": RulingKind.EXEMPT,
        "rule": "attachment-too-large",
        "sender": "art@school.example",
        "reason": "The exhibition's catalogue",
        "actor": "ann",
        "made_at": clock(),
        "expires_at": clock() + timedelta(hours=2),
    }
    return Ruling(**{**values, **changes})


def block(clock: Clock, **changes: Any) -> Ruling:
    return ruling(clock, kind=RulingKind.BLOCK, rule="", **changes)


def test_a_ruling_comes_back_as_it_was_made(store: SqlStore, clock: Clock) -> None:
    """Every field is somebody's answer to “why did this pass?” a year later."""
    made = ruling(clock, recipient="@printer.example", sha256="ab" * 32, reason="Größe \0 agreed")
    store.add_ruling(made)
    (found,) = store.rulings()
    assert (found.id, found.rule, found.sender, found.recipient, found.sha256) == (
        made.id,
        "attachment-too-large",
        "art@school.example",
        "@printer.example",
        "ab" * 32,
    )
    assert (found.reason, found.actor) == ("Größe \N{REPLACEMENT CHARACTER} agreed", "ann")
    assert (found.made_at, found.expires_at) == (made.made_at, made.expires_at)


def test_a_ruling_ends_by_itself_and_stays_on_record(store: SqlStore, clock: Clock) -> None:
    """Nobody has to remember to take it back; what was allowed is still known."""
    made = ruling(clock)
    store.add_ruling(made)
    clock.move(hours=2)
    assert list(store.rulings()) == []
    assert [each.id for each in store.rulings(over=True)] == [made.id]


def test_somebody_can_end_it_before_its_time(store: SqlStore, clock: Clock) -> None:
    """A block by mistake must not last until its day; ending it twice keeps the first word."""
    made = block(clock)
    store.add_ruling(made)
    clock.move(minutes=1)
    ended = store.end_ruling(made.id, kind=RulingKind.BLOCK, actor="bob", reason="a mistake")
    assert (ended.ended_by, ended.ended_at) == ("bob", clock())
    clock.move(minutes=1)
    assert store.end_ruling(made.id, kind=RulingKind.BLOCK, actor="eve", reason="again") == ended
    assert list(store.rulings()) == []


def test_only_what_is_there_can_be_ended_and_only_as_what_it_is(store: SqlStore, clock: Clock) -> None:
    """`gatepost exemption end` must not end somebody's block."""
    made = block(clock)
    store.add_ruling(made)
    for wanted, kind in ((made.id, RulingKind.EXEMPT), ("nothing", RulingKind.BLOCK)):
        with pytest.raises(NotFoundError):
            store.end_ruling(wanted, kind=kind, actor="bob", reason="")
    assert [each.id for each in store.rulings(kind=RulingKind.BLOCK)] == [made.id]
    assert list(store.rulings(kind=RulingKind.EXEMPT)) == []


def test_every_change_shows_in_the_revision_and_nothing_else_does(store: SqlStore, clock: Clock) -> None:
    """Workers ask for this number every two seconds: a change that it misses would reach nobody."""
    seen = [store.ruling_revision()]
    made = ruling(clock)
    store.add_ruling(made)
    seen.append(store.ruling_revision())
    store.end_ruling(made.id, kind=RulingKind.EXEMPT, actor="bob", reason="")
    seen.append(store.ruling_revision())
    store.end_ruling(made.id, kind=RulingKind.EXEMPT, actor="bob", reason="")
    store.rulings(over=True)
    assert seen[0] < seen[1] < seen[2] == store.ruling_revision()


def test_who_ruled_what_and_why_is_in_the_audit(store: SqlStore, clock: Clock) -> None:
    """A ruling switches a control off: the record is what makes that answerable."""
    made = ruling(clock)
    store.add_ruling(made)
    store.end_ruling(made.id, kind=RulingKind.EXEMPT, actor="bob", reason="no longer needed")
    blocked = block(clock)
    store.add_ruling(blocked)
    events = [link.event for link in store.chain(GATEWAY)]
    assert [each.verb for each in events] == [Verb.EXEMPT, Verb.RULING_ENDED, Verb.BLOCK]
    assert [each.actor for each in events] == ["ann", "bob", "ann"]
    assert [each.reason for each in events][:2] == ["The exhibition's catalogue", "no longer needed"]
    assert events[0].details["rule"] == "attachment-too-large"
    assert events[2].details["ruling"] == blocked.id


def test_a_ruling_that_is_over_already_is_refused(store: SqlStore, clock: Clock) -> None:
    """Somebody who mistypes the year should hear of it, and not find out from the mail that did not pass."""
    with pytest.raises(ConflictError):
        store.add_ruling(ruling(clock, expires_at=clock()))
    assert list(store.rulings(over=True)) == []


@pytest.mark.parametrize(
    "changes",
    [{"sender": ""}, {"rule": ""}, {"kind": RulingKind.BLOCK}, {"reason": "  "}],
    ids=["about nobody", "from no rule", "a block of a rule", "for no reason"],
)
def test_a_ruling_that_says_nothing_cannot_be_made(clock: Clock, changes: dict[str, Any]) -> None:
    """An exemption of everybody, or from everything, is not one."""
    with pytest.raises(ValueError, match=r"ruling|exemption"):
        ruling(clock, **changes)


def test_a_ruling_is_forgotten_when_it_has_been_over_for_long(store: SqlStore, clock: Clock) -> None:
    """It names people and says why; what is in force is never forgotten, however old it is."""
    over, ended, lasting = ruling(clock), block(clock), ruling(clock, expires_at=clock() + timedelta(days=999))
    for each in (over, ended, lasting):
        store.add_ruling(each)
    store.end_ruling(ended.id, kind=RulingKind.BLOCK, actor="bob", reason="a mistake")
    clock.move(days=400)
    assert store.forget_rulings(clock() - timedelta(days=401)) == 0
    assert store.forget_rulings(clock() - timedelta(days=365), dry_run=True) == 2
    assert store.forget_rulings(clock() - timedelta(days=365)) == 2
    assert [each.id for each in store.rulings(over=True)] == [lasting.id]
