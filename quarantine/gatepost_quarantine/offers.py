"""Owns what the notice of a hold offers to the sender who is asked: the link, and the address to reply to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from gatepost_config.settings import Settings
from gatepost_quarantine.choices import choices
from gatepost_quarantine.held import Choice, HeldMessage, Notice, NoticeKind
from gatepost_quarantine.notices import Offer
from gatepost_quarantine.store import NotFoundError
from gatepost_quarantine.tokens import LINK_KEY, REPLY_KEY, Claim, Links, ReplyAddresses

_OFFERED = 50
"""Messages of a digest that links are made for; a longer list is for the help desk."""


class Keys(Protocol):
    """The store, as an offer needs it."""

    def get(self, held_id: str) -> HeldMessage: ...

    def key(self, name: str) -> bytes: ...


def offer(notice: Notice, *, store: Keys, settings: Settings) -> Offer | None:
    """What this notice offers; nothing where its addressee has no choice, or no way is set. Raises StoreError."""
    pages = settings.sender_pages
    if notice.kind is not NoticeKind.HELD_SENDER or not (pages.public_url or pages.reply_address):
        return None
    try:
        held = store.get(notice.held_id)
    except NotFoundError:
        return None
    may = choices(held)
    if not may or held.sender.casefold() != notice.to.casefold():
        return None
    until = ends(held, settings=settings)
    link = ""
    if pages.public_url:
        token = Links(store.key(LINK_KEY)).make(Claim(held_id=held.id, sender=held.sender), until=until)
        link = f"{pages.public_url}/{token}"
    reply_to = ""
    if pages.reply_address:
        reply_to = ReplyAddresses(store.key(REPLY_KEY), mailbox=pages.reply_address).make(held)
    return Offer(
        link=link,
        reply_to=reply_to,
        may_send=Choice.SEND in may,
        until=until,
    )


def of_digest(notice: Notice, *, store: Keys, settings: Settings) -> dict[str, Offer]:
    """What a digest offers about each of its messages that its addressee may answer. Raises StoreError."""
    found = {}
    for entry in notice.context.get("entries", ())[:_OFFERED] if notice.kind is NoticeKind.DIGEST else ():
        if entry["kind"] == NoticeKind.HELD_SENDER.value and entry["held_id"]:
            asked = replace(notice, kind=NoticeKind.HELD_SENDER, held_id=entry["held_id"])
            offered = offer(asked, store=store, settings=settings)
            if offered is not None:
                found[entry["held_id"]] = offered
    return found


def ends(held: HeldMessage, *, settings: Settings) -> datetime:
    """When link and reply address of this message are no longer good."""
    return held.received_at + timedelta(days=settings.sender_pages.link_days)
