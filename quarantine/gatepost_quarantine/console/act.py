"""Owns deciding: one page that asks, one that carries out, for one message or many, with an answer for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

import structlog
from starlette.responses import Response

from gatepost_quarantine import notices
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.console.desk import ForbiddenError, Visit, own_path
from gatepost_quarantine.console.rights import VERB_LABELS, Right
from gatepost_quarantine.held import State
from gatepost_quarantine.review import Item, Mark, Review
from gatepost_quarantine.store import ConflictError, NotFoundError, Store

MOST = 200
"""Messages of one decision."""

_ACTOR = "gatepost-console"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one message: what to tell, and whether it was done."""

    held_id: str
    subject: str
    done: bool
    said: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision that can be made: the right it needs, what carries it out, and what to know before."""

    right: Right
    carry_out: Callable[[Visit, Item], str]
    warning: str

    @property
    def title(self) -> str:
        """What it is called, on the page and on its button."""
        return VERB_LABELS[self.right]


def ask(visit: Visit) -> Response:
    """Ask before deciding: which messages, for whom, why. Nothing happens on this page."""
    decision = _decision(visit.query("verb"))
    ids = _ids(visit.request.query_params.getlist("id"))
    if not ids:
        raise ConflictError("No message was chosen. Tick some in the queue first.")
    items, refused = _split(visit, ids, decision)
    if not items and len(refused) == 1:
        raise ForbiddenError(refused[0].said)
    return visit.page(
        "act.html",
        decision=decision,
        verb=decision.right.value,
        items=items,
        refused=refused,
        one=items[0] if len(items) == 1 else None,
        undecided=[each for each in items[0].held.recipients if each.state is State.HELD] if items else [],
        roles=visit.desk.in_force.roles() if decision.right is Right.PASS_ON else {},
        undo=visit.desk.settings.console.undo_minutes,
        back=own_path(visit.query("back") or "/queue"),
    )


def carry_out(visit: Visit) -> Response:
    """Decide about each message, whatever becomes of the others."""
    decision = _decision(visit.field("verb", 20))
    ids = _ids(visit.form.get("id", ()))
    items, verdicts = _split(visit, ids, decision)
    for item in items:
        try:
            said = decision.carry_out(visit, item)
            verdicts.append(Verdict(held_id=item.held.id, subject=_subject(item), done=True, said=said))
        except (ConflictError, NotFoundError) as error:
            verdicts.append(Verdict(held_id=item.held.id, subject=_subject(item), done=False, said=str(error)))
    back = own_path(visit.field("back", 500) or "/queue")
    if len(ids) == 1 and len(verdicts) == 1 and verdicts[0].done:
        return visit.go(_with_done(back, verdicts[0]))
    dooms = [each.held_id for each in verdicts if each.done] if decision.right is Right.DELETE else []
    return visit.page("results.html", title=decision.title, verdicts=verdicts, back=back, undoable=dooms)


def note(visit: Visit) -> Response:
    """Keep a note in the history."""
    item = visit.item(Right.NOTE)
    text = visit.field("note")
    if text:
        visit.desk.store.record(
            Event(verb=Verb.NOTE, actor=visit.who.name, held_id=item.held.id, reason=text, at=visit.desk.clock())
        )
    return visit.go(f"/held/{item.held.id}?{urlencode({'done': 'Your note is kept.'})}#history")


def spare(visit: Visit) -> Response:
    """Undo a deletion, while its time is not over."""
    item = visit.item(Right.DELETE)
    if not visit.desk.review.spare(item.held.id, actor=visit.who.name):
        raise ConflictError("There is no deletion to undo any more.")
    return visit.go(f"/held/{item.held.id}?{urlencode({'done': 'The deletion is undone.'})}")


def undo(visit: Visit) -> Response:
    """Undo the deletions of a whole decision."""
    items, verdicts = _split(visit, _ids(visit.form.get("id", ())), DECISIONS[Right.DELETE])
    for item in items:
        spared = visit.desk.review.spare(item.held.id, actor=visit.who.name)
        said = "The deletion is undone." if spared else "There is no deletion to undo any more."
        verdicts.append(Verdict(held_id=item.held.id, subject=_subject(item), done=spared, said=said))
    back = own_path(visit.field("back", 500) or "/queue")
    return visit.page("results.html", title="Undo", verdicts=verdicts, back=back, undoable=[])


def sweep(store: Store, review: Review, *, now: datetime) -> None:
    """Delete what is due. What is being released by then is spared. Raises StoreError."""
    for held_id, actor, reason in review.doomed(now):
        held = store.get(held_id)
        if any(each.state is State.RELEASING for each in held.recipients):
            review.spare(held_id, actor=_ACTOR)
            continue
        try:
            store.delete(held_id, actor=actor, reason=reason)
        except ConflictError as error:
            log.warning("deletion-given-up", held_id=held_id, reason=str(error))
            review.spare(held_id, actor=_ACTOR)
            continue
        review.forget_doom(held_id)


# What each decision does


def _release(visit: Visit, item: Item) -> str:
    _require_not_doomed(item)
    recipients, to = _chosen(visit), visit.field("to", 320)
    if to and not notices.answerable(to):
        raise ConflictError(f"“{to}” is not an address that mail can be sent to")
    held = visit.desk.store.release(
        item.held.id, recipients=recipients, to=to, actor=visit.who.name, reason=visit.field("reason")
    )
    going = [each for each in held.recipients if each.state in (State.RELEASING, State.RELEASED)]
    where = to or (going[0].address if len(going) == 1 else f"{len(going)} recipients")
    return f"Released to {where}. The courier sends it now."


def _deny(visit: Visit, item: Item) -> str:
    recipients, tell = _chosen(visit), visit.field("tell")
    owed = notices.denied(item.held, gateway=visit.desk.settings.gateway, recipients=recipients, told=tell)
    telling = bool(visit.field("notice")) and bool(owed)
    visit.desk.store.deny(
        item.held.id,
        recipients=recipients,
        actor=visit.who.name,
        reason=visit.field("reason"),
        notices=owed if telling else (),
    )
    return "Denied; the sender will be told." if telling else "Denied. Nobody is told."


def _delete(visit: Visit, item: Item) -> str:
    minutes = visit.desk.settings.console.undo_minutes
    due = visit.desk.clock() + timedelta(minutes=minutes)
    visit.desk.review.doom(item.held.id, actor=visit.who.name, reason=visit.field("reason"), due_at=due)
    return f"It will be deleted in {minutes:g} minutes. Until then you can undo it."


def _mark(visit: Visit, item: Item) -> str:
    acting = [finding.rule for finding in item.held.explanation.acting()]
    wanted = [each for each in visit.form.get("rule", ()) if each in acting] or list(dict.fromkeys(acting))
    new = [
        rule
        for rule in wanted
        if visit.desk.review.mark(
            Mark(
                held_id=item.held.id,
                rule=rule,
                actor=visit.who.name,
                note=visit.field("reason"),
                at=visit.desk.clock(),
            )
        )
    ]
    return "Marked as a false alarm." if new else "It was marked as a false alarm before."


def _pass_on(visit: Visit, item: Item) -> str:
    _require_not_doomed(item)
    queue = visit.field("queue", 100)
    roles = visit.desk.in_force.roles()
    if queue not in roles:
        raise ConflictError("choose a role of the policy")
    visit.desk.review.pass_on(item.held.id, queue=queue, actor=visit.who.name, reason=visit.field("reason"))
    return f"Passed on to {roles[queue]}."


def _legal_hold(visit: Visit, item: Item) -> str:
    _require_not_doomed(item)
    if item.legal_hold:
        raise ConflictError(f"it is under legal hold already: {item.legal_hold}")
    visit.desk.store.legal_hold(item.held.id, actor=visit.who.name, reason=visit.field("reason"))
    return "Under legal hold: it is kept until the hold is ended."


def _end_legal_hold(visit: Visit, item: Item) -> str:
    reason = visit.field("reason")
    if not item.legal_hold:
        raise ConflictError("it is not under legal hold")
    if not reason:
        raise ConflictError("say why the legal hold ends")
    visit.desk.store.end_legal_hold(item.held.id, actor=visit.who.name, reason=reason)
    return "The legal hold is ended; the retention applies again."


DECISIONS = {
    each.right.value: each
    for each in (
        Decision(Right.RELEASE, _release, "It is delivered exactly as it was sent. This cannot be taken back."),
        Decision(Right.DENY, _deny, "It is never delivered. This cannot be taken back."),
        Decision(
            Right.DELETE,
            _delete,
            "Its bytes are removed for good when the time to undo is over; what it was stays on record.",
        ),
        Decision(Right.MARK, _mark, "It counts in the statistics of the rule. Nothing happens to the message."),
        Decision(
            Right.PASS_ON,
            _pass_on,
            "Only the role that you choose reviews it from now on. You may not see it any more.",
        ),
        Decision(
            Right.LEGAL_HOLD,
            _legal_hold,
            "It and its record are kept until the hold is ended: nothing expires, and nobody can delete it.",
        ),
        Decision(
            Right.END_LEGAL_HOLD,
            _end_legal_hold,
            "From now on it is kept only as long as the retention says. That may be over already.",
        ),
    )
}


def _decision(verb: str) -> Decision:
    found = DECISIONS.get(verb)
    if found is None:
        raise ConflictError("There is no such decision.")
    return found


def _ids(given: Sequence[str]) -> list[str]:
    """The ids that a form names, each once, as many as one decision takes."""
    return list(dict.fromkeys(each[:40] for each in given))[:MOST]


def _split(visit: Visit, ids: Sequence[str], decision: Decision) -> tuple[list[Item], list[Verdict]]:
    """The messages that the decision may be made about, and an answer for each of the others."""
    items, refused = [], []
    for held_id in ids:
        try:
            items.append(visit.item_of(held_id, decision.right))
        except ForbiddenError as error:
            refused.append(Verdict(held_id=held_id, subject="", done=False, said=str(error)))
        except NotFoundError:
            refused.append(Verdict(held_id=held_id, subject="", done=False, said="It is not there, or not yours."))
    return items, refused


def _chosen(visit: Visit) -> list[str]:
    """The recipients that were ticked; none means all that are undecided."""
    return [each[:320] for each in visit.form.get("recipient", ())]


def _require_not_doomed(item: Item) -> None:
    if item.due_at is not None:
        raise ConflictError("it is about to be deleted; undo that first")


def _subject(item: Item) -> str:
    sealed = any(each.action.value == "seal" for each in item.held.recipients)
    return "(sealed)" if sealed else item.held.subject


def _with_done(back: str, verdict: Verdict) -> str:
    parts = urlsplit(back)
    query = "&".join(each for each in (parts.query, urlencode({"done": verdict.said})) if each)
    return f"{parts.path}?{query}"
