"""Owns what is inside a message: its text, its HTML in a frame where nothing runs, its raw form, its files.

Opening any of it is an event, written before the first byte is shown.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import IO

from starlette.background import BackgroundTask
from starlette.responses import HTMLResponse, Response, StreamingResponse

from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.console import preview
from gatepost_quarantine.console.desk import Visit
from gatepost_quarantine.console.guard import FRAME_CSP, FRAME_STYLE
from gatepost_quarantine.console.preview import Preview, UnreadableError
from gatepost_quarantine.console.rights import Right
from gatepost_quarantine.review import Item
from gatepost_quarantine.store import NotFoundError

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_PIECE = 64 * 1024


def fragment(visit: Visit) -> Response:
    """The message as text, its files, its parts and its header; raw if it cannot be read."""
    item = visit.item(Right.READ)
    _record(visit, Verb.READ, item.held.id)
    content = visit.desk.store.content(item.held.id)
    found: Preview | None = None
    refusal, text, cut = "", "", False
    try:
        found = visit.desk.reader.preview(content)
    except UnreadableError as error:
        refusal = str(error)
        text, cut = preview.raw(visit.desk.store.content(item.held.id))
    whole = visit.request.headers.get("hx-request") != "true"
    return visit.page(
        "body-page.html" if whole else "body.html",
        item=item,
        preview=found,
        refusal=refusal,
        raw=text,
        cut=cut,
        may_download=visit.who.may_with(Right.DOWNLOAD, item),
        password=preview.ZIP_PASSWORD,
    )


def html(visit: Visit) -> Response:
    """One HTML text, cleaned, under a policy of its own that lets nothing run or load."""
    item = visit.item(Right.READ)
    index = int(visit.request.path_params["index"])
    _record(visit, Verb.READ, item.held.id, form="html")
    try:
        found = visit.desk.reader.preview(visit.desk.store.content(item.held.id))
    except UnreadableError as error:
        return HTMLResponse(f"<p>It cannot be shown: {error}.", headers={"Content-Security-Policy": FRAME_CSP})
    if not 0 <= index < len(found.texts) or not found.texts[index].html:
        raise NotFoundError("no such text")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Message</title>'
        f"<style>{FRAME_STYLE}</style></head><body>{found.texts[index].clean}</body></html>"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": FRAME_CSP})


def raw(visit: Visit) -> Response:
    """The first bytes of the message as they were held."""
    item = visit.item(Right.READ)
    _record(visit, Verb.RAW, item.held.id)
    text, cut = preview.raw(visit.desk.store.content(item.held.id))
    return visit.page("raw.html", item=item, raw=text, cut=cut)


def download(visit: Visit) -> Response:
    """One part of the message, in a zip with a password."""
    item = visit.item(Right.DOWNLOAD)
    index = int(visit.request.path_params["index"])
    _record(visit, Verb.DOWNLOAD, item.held.id, file=visit.field("name", 100), index=str(index))
    take = functools.partial(visit.desk.reader.part, index=index)
    return _packed(visit, item, take, name=visit.field("name", 100) or f"part-{index}")


def member(visit: Visit) -> Response:
    """One file that was found when the message was inspected, also inside archives, in a zip with a password.

    It is named by its digest, and only one that was found then is looked for: what comes out is what was judged.
    """
    item = visit.item(Right.DOWNLOAD)
    sha256 = visit.field("sha256", 64)
    names = [str(each.get("name", "")) for each in item.held.attachments if each.get("sha256") == sha256]
    if not sha256 or not names:
        raise NotFoundError("no such file")
    _record(visit, Verb.DOWNLOAD, item.held.id, file=names[0][:100], sha256=sha256)
    take = functools.partial(visit.desk.reader.member, sha256=sha256)
    return _packed(visit, item, take, name=names[0] or sha256[:12])


def _packed(visit: Visit, item: Item, take: Callable[[Iterator[bytes]], IO[bytes]], *, name: str) -> Response:
    """What was taken out of the message, as a zip under a name that leads nowhere."""
    safe = _NOT_IN_A_NAME.sub("_", name[:100]).strip("._") or "file"
    try:
        with take(visit.desk.store.content(item.held.id)) as content:
            packed = preview.as_zip(content, safe)
    except UnreadableError as error:
        return visit.page("error.html", status=422, heading="It cannot be taken out", text=f"Reason: {error}.")
    return StreamingResponse(
        _pieces(packed),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{item.held.id[:8]}-{safe}.zip"'},
        background=BackgroundTask(packed.close),
    )


def _pieces(content: IO[bytes]) -> Iterator[bytes]:
    while piece := content.read(_PIECE):
        yield piece


def _record(visit: Visit, verb: Verb, held_id: str, **details: str) -> None:
    visit.desk.store.record(
        Event(verb=verb, actor=visit.who.name, held_id=held_id, details=details, at=visit.desk.clock())
    )
