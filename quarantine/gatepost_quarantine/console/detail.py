"""Owns the page of one message: why it is held first, then for whom, what is in it, and what was done."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response

from gatepost_config.words import Explanation, Finding
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.console.desk import Visit
from gatepost_quarantine.console.preview import ZIP_PASSWORD
from gatepost_quarantine.console.queue import verbs
from gatepost_quarantine.console.rights import Right, is_sealed
from gatepost_quarantine.console.view import View
from gatepost_quarantine.held import State
from gatepost_quarantine.review import Item, Place, Sight

EVENT_LABELS = {
    Verb.HOLD: "Held",
    Verb.JOIN: "Sent again by its sender; joined to this one",
    Verb.RELEASE: "Release asked for",
    Verb.DELIVER: "Delivered",
    Verb.REFUSE: "Refused by the mail server",
    Verb.DENY: "Denied",
    Verb.DELETE: "Deleted",
    Verb.READ: "Message read",
    Verb.RAW: "Raw message read",
    Verb.DOWNLOAD: "File downloaded",
    Verb.DOOM: "Deletion asked for",
    Verb.SPARE: "Deletion undone",
    Verb.MARK: "Marked as false alarm",
    Verb.PASS_ON: "Passed on",
    Verb.NOTE: "Note",
    Verb.CASE_OPEN: "A case was opened about it",
    Verb.CASE_LINK: "It was added to a case",
    Verb.CONFIRM: "The sender confirmed it",
    Verb.WITHDRAW: "The sender withdrew it",
    Verb.ASK: "The sender asks for its release",
    Verb.TRY: "Tried against the policy in force",
    Verb.LEGAL_HOLD: "Put under legal hold",
    Verb.LEGAL_HOLD_ENDED: "Legal hold ended",
    Verb.NOTICE: "Notice sent",
    Verb.NOTICE_GIVEN_UP: "Notice could not be sent",
}


def page(visit: Visit) -> Response:
    """One message. Nothing of its content is shown or read here but what was recorded when it was held."""
    item = visit.item()
    who, desk = visit.who, visit.desk
    view = View.read(visit.request.query_params)
    before, after = _neighbours(visit, view, item)
    may_read = who.may_with(Right.READ, item)
    history = desk.store.events(item.held.id) if who.may_with(Right.HISTORY, item) else ()
    return visit.page(
        "detail.html",
        item=item,
        held=item.held,
        sealed=is_sealed(item),
        confidential=who.is_confidential(item),
        explanation=explanation_for(item, sight=who.sight, private=may_read),
        verbs=_possible(visit, item),
        may_read=may_read and item.stored,
        answer=desk.store.answers([item.held.id]).get(item.held.id),
        may_download=who.may_with(Right.DOWNLOAD, item) and item.stored,
        password=ZIP_PASSWORD,
        may_note=who.may_with(Right.NOTE, item),
        may_delete=who.may_with(Right.DELETE, item),
        history=history,
        may_exempt=who.may_with(Right.EXEMPT, item) and bool(item.held.explanation.acting()),
        may_block=who.may_with(Right.BLOCK, item),
        may_try=who.may_with(Right.TRY, item) and item.stored,
        may_case=who.may_with(Right.CASE_WORK, item),
        cases=desk.store.cases(sight=who.sight, held_id=item.held.id) if who.may(Right.CASES) else (),
        labels=EVENT_LABELS,
        marks=desk.review.marks(item.held.id),
        view=view,
        before=before,
        after=after,
        done=visit.query("done"),
    )


def explanation_for(item: Item, *, sight: Sight, private: bool) -> Explanation:
    """The explanation as this person may read it.

    Without the right to read the message, private evidence is left out. Who sees no confidential messages also
    does not learn what a safeguarding rule that only watches has found in an ordinary one.
    """
    whole = item.held.explanation if private else item.held.explanation.public()
    if sight.confidential:
        return whole
    shown = tuple(finding for finding in whole.findings if not _is_confidential(finding, sight))
    return replace(whole, findings=shown)


def _is_confidential(finding: Finding, sight: Sight) -> bool:
    return finding.queue in sight.safeguarding


def _possible(visit: Visit, item: Item) -> dict[str, str]:
    """The decisions that the person may make and that the message's state allows, with their labels."""
    states = {each.state for each in item.held.recipients}
    undecided, doomed = State.HELD in states, item.due_at is not None
    deletable = item.stored and not doomed and not item.legal_hold
    allowed = {
        Right.RELEASE: undecided and item.stored and not doomed,
        Right.PASS_ON: undecided and item.stored and not doomed,
        Right.DENY: undecided or State.RELEASING in states,
        Right.DELETE: deletable,
        Right.MARK: bool(item.held.explanation.acting()),
        Right.LEGAL_HOLD: not doomed,
    }
    return {verb: label for verb, label in verbs(visit, [item]).items() if allowed.get(Right(verb), True)}


def _neighbours(visit: Visit, view: View, item: Item) -> tuple[str, str]:
    """The addresses of the messages before and after this one in the view that it was opened from."""
    wanted = view.wanted(visit.desk.clock())
    place = Place(received_at=item.held.received_at, held_id=item.held.id)
    review, sight = visit.desk.review, visit.who.sight
    following = review.page(wanted, sight=sight, after=place, limit=1).items
    backwards = replace(wanted, newest_first=not wanted.newest_first)
    preceding = review.page(backwards, sight=sight, after=place, limit=1).items
    before = view.detail(preceding[0].held.id) if preceding else ""
    return before, view.detail(following[0].held.id) if following else ""
