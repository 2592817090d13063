"""Owns the answer to a subject access request: everything that is held about one person, as a zip.

It is made for a data protection officer, who redacts it before it is handed out: messages are whole, and each
names the other people in it. Sealed mail is not in it, nor found by it; that is said in the index.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import getaddresses
from itertools import chain
from typing import IO, Any, Protocol

from gatepost_config.addresses import normalise
from gatepost_quarantine.audit import Event, Verb
from gatepost_quarantine.cases import EVERYTHING, Case, CaseFile
from gatepost_quarantine.held import HeldMessage, SenderAnswer
from gatepost_quarantine.review import Sight
from gatepost_quarantine.rulings import Ruling
from gatepost_quarantine.store import Filter, NotFoundError

_MANY = 1_000_000


class Shelf(Protocol):
    """The store, as the export needs it."""

    def list(self, wanted: Filter) -> Sequence[HeldMessage]: ...

    def content(self, held_id: str) -> Iterator[bytes]: ...

    def events(self, held_id: str) -> Sequence[Event]: ...

    def record(self, event: Event) -> None: ...

    def rulings(self, *, over: bool = False) -> Sequence[Ruling]: ...

    def answers(self, ids: Sequence[str]) -> Mapping[str, SenderAnswer]: ...

    def cases(self, *, sight: Sight, limit: int = 100) -> Sequence[Case]: ...

    def case(self, case_id: str, *, sight: Sight) -> CaseFile: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was found: messages, those of them whose bytes were still there, and other people's addresses."""

    messages: int
    with_bytes: int
    third_parties: int


@dataclass(slots=True)
class _Zip:
    """A zip that notes the SHA-256 of every file in it."""

    archive: zipfile.ZipFile
    hashes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, pieces: Iterator[bytes]) -> str:
        """A file from pieces; its digest."""
        digest = hashlib.sha256()
        with self.archive.open(name, "w", force_zip64=True) as file:
            for piece in pieces:
                digest.update(piece)
                file.write(piece)
        self.hashes[name] = digest.hexdigest()
        return self.hashes[name]

    def add_json(self, name: str, value: Any) -> None:
        """A file of JSON for people: indented, letters as they are."""
        self.add(name, iter([json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "replace")]))


def export(store: Shelf, address: str, file: IO[bytes], *, actor: str, reason: str, now: datetime) -> Exported:
    """Write the zip to ``file``. That it was made is on record before it is."""
    store.record(Event(verb=Verb.SUBJECT_EXPORT, actor=actor, recipient=address, reason=reason, at=now))
    found = [each for each in store.list(Filter(search=address, limit=_MANY)) if _concerns(each, address)]
    answers = store.answers([each.id for each in found])
    third_parties: dict[str, list[str]] = {}
    entries, with_bytes = [], 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        made = _Zip(archive)
        for held in found:
            others = sorted(_people(held) - {address.casefold()})
            for other in others:
                third_parties.setdefault(other, []).append(held.id)
            entry = _entry(store, held, others) | {"answer": _answer(answers.get(held.id))}
            pieces = _content(store, held.id)
            if pieces is None:
                entry |= {"file": None, "note": "the message itself is no longer kept"}
            else:
                name = f"messages/{held.id}.eml"
                entry |= {"file": name, "sha256": made.add(name, pieces)}
                with_bytes += 1
            entries.append(entry)
        made.add_json("third-parties.json", third_parties)
        rulings = [_ruling(each) for each in store.rulings(over=True) if _names(each, address)]
        cases = _cases(store, address, {each.id for each in found})
        index = _index(address, entries, reason=reason, actor=actor, now=now)
        made.add_json("index.json", index | {"rulings": rulings, "cases": cases})
        sums = "".join(f"{digest}  {name}\n" for name, digest in sorted(made.hashes.items()))
        archive.writestr("SHA256SUMS", sums)
    return Exported(messages=len(found), with_bytes=with_bytes, third_parties=len(third_parties))


def _content(store: Shelf, held_id: str) -> Iterator[bytes] | None:
    """The bytes, or None if they are gone; that shows at the first piece."""
    pieces = store.content(held_id)
    try:
        first = next(pieces, b"")
    except NotFoundError:
        return None
    return chain([first], pieces)


def _index(
    address: str, entries: Sequence[dict[str, Any]], *, reason: str, actor: str, now: datetime
) -> dict[str, Any]:
    return {
        "subject": address,
        "made_at": now.isoformat(),
        "made_by": actor,
        "reason": reason,
        "what_is_here": "Held messages that name this address as sender or recipient, with their "
        "decisions and what the sender answered; cases about them, or opened by this address; blocks and "
        "exemptions of the address.",
        "what_is_not": "Sealed mail, which is not searched; mail that was never held; addresses inside texts.",
        "before_handing_out": "Redact the people in third-parties.json where their rights outweigh the request. "
        "Ask the role that a case belongs to before anything of it is handed out.",
        "messages": list(entries),
    }


def _entry(store: Shelf, held: HeldMessage, others: Sequence[str]) -> dict[str, Any]:
    return {
        "id": held.id,
        "received_at": held.received_at.isoformat(),
        "subject": held.subject,
        "from": held.from_header,
        "sender": held.sender or held.envelope.sender,
        "recipients": [
            {"address": each.address, "state": each.state.value, "reason": each.reason} for each in held.recipients
        ],
        "attachments": [str(each.get("name", "")) for each in held.attachments],
        "why": [
            {"rule": each.rule, "clause": each.clause, "say": each.say}
            for each in held.explanation.public().acting()
        ],
        "third_parties": list(others),
        "history": [
            {"at": each.at.isoformat(), "what": each.verb.value, "who": each.actor, "reason": each.reason}
            for each in store.events(held.id)
        ],
    }


def _answer(answer: SenderAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"at": answer.at.isoformat(), "what": answer.choice.value, "reason": answer.reason, "via": answer.via}


def _cases(store: Shelf, address: str, found: set[str]) -> list[dict[str, Any]]:
    """The cases that one of the messages belongs to, and those that the person opened, with their notes."""
    mine = normalise(address)
    every = store.cases(sight=EVERYTHING, limit=_MANY)
    wanted = [each for each in every if found & set(each.held) or normalise(each.opened_by) == mine]
    return [
        {
            "id": case.id,
            "kind": case.kind.value,
            "title": case.title,
            "role": case.queue,
            "opened_by": case.opened_by,
            "opened_at": case.opened_at.isoformat(),
            "messages": [each for each in case.held if each in found],
            "notes": [
                {"at": note.at.isoformat(), "who": note.actor, "text": note.text}
                for note in store.case(case.id, sight=EVERYTHING).notes
            ],
            "outcome": case.outcome,
            "closed_at": case.closed_at.isoformat() if case.closed_at else None,
        }
        for case in wanted
    ]


def _names(ruling: Ruling, address: str) -> bool:
    return normalise(address) in {normalise(each) for each in (ruling.sender, ruling.recipient) if each}


def _ruling(ruling: Ruling) -> dict[str, Any]:
    return {
        "kind": ruling.kind.value,
        "rule": ruling.rule,
        "made_at": ruling.made_at.isoformat(),
        "until": (ruling.ended_at or ruling.expires_at).isoformat(),
        "who": ruling.actor,
        "reason": ruling.reason,
    }


def _concerns(held: HeldMessage, address: str) -> bool:
    return not held.sealed and address.casefold() in _people(held)


def _people(held: HeldMessage) -> set[str]:
    """Every address that the store knows of the message, case-folded."""
    known = [held.sender, held.envelope.sender, *(each.address for each in held.recipients)]
    known += [address for _, address in getaddresses([held.from_header])]
    return {each.casefold() for each in known if each}
