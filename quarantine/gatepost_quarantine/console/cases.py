"""Owns cases in the console: opened from a message or by themselves, with links, notes, and an outcome."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from gatepost_quarantine.cases import Case, CaseFile, CaseKind, CaseState
from gatepost_quarantine.console.desk import ForbiddenError, Visit
from gatepost_quarantine.console.rights import Right, is_sealed
from gatepost_quarantine.store import ConflictError

KINDS = {
    CaseKind.REPORT: "Somebody reported a mail",
    CaseKind.BREACH: "The policy was broken",
    CaseKind.RECEIPT: "Mail reached the wrong person",
    CaseKind.OTHER: "Something else",
}

_MOST = 200


def listing(visit: Visit) -> Response:
    """The cases that this person may see, open ones first."""
    closed = visit.query("state") == "closed"
    state = CaseState.CLOSED if closed else CaseState.OPEN
    found = visit.desk.store.cases(sight=visit.who.sight, state=state, limit=_MOST)
    return visit.page("cases.html", cases=found, closed=closed, kinds=KINDS, done=visit.query("done"))


def page(visit: Visit) -> Response:
    """One case. Of its messages those are named that this person may see."""
    found = _file(visit)
    items = visit.desk.review.items(found.case.held, sight=visit.who.sight)
    may_work = found.case.closed_at is None and visit.who.may_about(Right.CASE_WORK, {found.case.queue})
    return visit.page(
        "case.html",
        case=found.case,
        notes=found.notes,
        items=[each for each in items if visit.who.may_with(Right.LIST, each)],
        kinds=KINDS,
        may_work=may_work,
        roles=visit.desk.in_force.roles(),
        done=visit.query("done"),
    )


def ask(visit: Visit) -> Response:
    """Open a case about a message, or let the message belong to one that is open."""
    item = visit.item(Right.CASE_WORK)
    mine = visit.desk.store.cases(sight=visit.who.sight, state=CaseState.OPEN, limit=_MOST)
    return visit.page(
        "case-open.html",
        item=item,
        title="" if is_sealed(item) else item.held.subject,
        kinds=KINDS,
        roles=visit.desk.in_force.roles(),
        cases=[each for each in mine if item.held.id not in each.held],
    )


def open_(visit: Visit) -> Response:
    """Open it. It may be given to a role whose cases this person does not see."""
    item = visit.item(Right.CASE_WORK)
    kind, queue = visit.field("kind", 20), visit.field("queue", 60)
    if kind not in set(CaseKind) or queue not in visit.desk.in_force.roles():
        raise ConflictError("Choose what it is about, and a role of the policy that looks into it.")
    try:
        case = Case(
            kind=CaseKind(kind),
            title=visit.field("title", 200),
            queue=queue,
            opened_by=visit.who.name,
            opened_at=visit.desk.clock(),
            held=(item.held.id,),
        )
    except ValueError as error:
        raise ConflictError(f"{error}.") from error
    opened = visit.desk.store.open_case(case)
    said = urlencode({"done": f"Case {opened.id} is open."})
    seen = visit.who.sight.covers(frozenset({queue}))
    return visit.go(f"/cases/{opened.id}?{said}" if seen else f"/held/{item.held.id}?{said}")


def link(visit: Visit) -> Response:
    """Let a message belong to an open case: named in the path, or by its id on the page of the case."""
    store, sight = visit.desk.store, visit.who.sight
    if "held_id" in visit.request.path_params:
        item = visit.item(Right.CASE_WORK)
        case_id = visit.field("case", 40)
        if not case_id:
            raise ConflictError("Choose a case.")
    else:
        case_id = visit.request.path_params["case_id"]
        named = visit.field("message", 500)
        held_id = visit.desk.review.find(named, sight=sight)
        if not held_id:
            raise ConflictError("No one message has this id, support id or Message-ID.")
        item = visit.item_of(held_id, Right.CASE_WORK)
    _require_work(visit, store.case(case_id, sight=sight).case)
    linked = store.link_case(case_id, item.held.id, actor=visit.who.name, sight=sight)
    return visit.go(f"/cases/{linked.id}?{urlencode({'done': 'The message belongs to this case.'})}")


def note(visit: Visit) -> Response:
    """Write something down."""
    found = _worked_on(visit)
    visit.desk.store.note_case(found.id, visit.field("note"), actor=visit.who.name, sight=visit.who.sight)
    return visit.go(f"/cases/{found.id}?{urlencode({'done': 'Your note is kept.'})}")


def pass_on(visit: Visit) -> Response:
    """Give it to another role."""
    found, queue = _worked_on(visit), visit.field("queue", 60)
    roles = visit.desk.in_force.roles()
    if queue not in roles:
        raise ConflictError("Choose a role of the policy.")
    sight, reason = visit.who.sight, visit.field("reason")
    passed = visit.desk.store.pass_case(found.id, queue=queue, actor=visit.who.name, reason=reason, sight=sight)
    done = urlencode({"done": f"Case {found.id} is now with {roles[queue]}."})
    return visit.go(f"/cases/{found.id}?{done}" if sight.covers(frozenset({passed.queue})) else f"/cases?{done}")


def close(visit: Visit) -> Response:
    """Close it with what came of it."""
    found = _worked_on(visit)
    outcome = visit.field("outcome")
    visit.desk.store.close_case(found.id, outcome=outcome, actor=visit.who.name, sight=visit.who.sight)
    return visit.go(f"/cases/{found.id}?{urlencode({'done': 'The case is closed.'})}")


def _file(visit: Visit) -> CaseFile:
    return visit.desk.store.case(visit.request.path_params["case_id"], sight=visit.who.sight)


def _worked_on(visit: Visit) -> Case:
    found = _file(visit).case
    _require_work(visit, found)
    return found


def _require_work(visit: Visit, case: Case) -> None:
    if not visit.who.may_about(Right.CASE_WORK, {case.queue}):
        raise ForbiddenError(f"Your roles do not let you do this ({Right.CASE_WORK.value}).")
