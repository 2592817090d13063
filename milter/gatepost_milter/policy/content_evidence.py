"""Owns the evidence of what a message says: where it stands and what it is, and never a value that was matched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gatepost_config.words import Evidence
from gatepost_milter.detect.exports import Form
from gatepost_milter.policy.texts import harmless

_FORMS = {
    Form.TRANSFER: "a statutory transfer file",
    Form.REPORT: "a report of the information system",
    Form.EXAMINATION: "an examination file",
    Form.TABLE: "a table about pupils",
}
_SECRETS = {
    "password": "a password",
    "login": "a user name with its password",
    "login-offered": "an offer of somebody's own log-in",
    "door-or-alarm-code": "a code of a door or an alarm",
    "private-key": "a private key",
    "token": "a key to a service",
}


def _place(where: str, line: int) -> str:
    place = harmless(where, length=400)
    return f"{place}, line {line}" if line else place


def _identifier(item: Any) -> Evidence:
    how_many = "one" if item.count == 1 else f"{item.count:,} different"
    return Evidence(
        kind="identifier",
        name=item.title,
        where=_place(item.where, item.line),
        details={"found": item.count, "shown": item.shown, "reason": f"{item.title}: {how_many}"},
    )


def _export(item: Any) -> Evidence:
    form = _FORMS[Form(item.form)]
    details: dict[str, str | int | bool] = {"reason": f"{form} of {item.rows:,} rows" if item.rows else form}
    details |= {key: " · ".join(value) for key, value in (("heads", item.heads),) if value}
    details |= {"program": item.program} if item.program else {}
    return Evidence(kind="export", name=form, where=_place(item.where, item.line), details=details)


def _secret(item: Any) -> Evidence:
    what = _SECRETS.get(item.kind, item.kind)
    details: dict[str, str | int | bool] = {"found": item.count, "weight": item.weight, "reason": what}
    return Evidence(kind="secret", name=item.shown or what, where=_place(item.where, item.line), details=details)


def _listed(item: Any) -> Evidence:
    details: dict[str, str | int | bool] = {
        "list": item.list,
        "score": item.score,
        "threshold": item.threshold,
        "terms": harmless(" · ".join(item.terms), length=400),
    }
    place = _place(item.where, item.line)
    return Evidence(kind="phrases", name=item.title, where=place, details=details, private=item.private)


def _written(item: Any) -> Evidence:
    """An address in the text is somebody's data and no part of the envelope: only those who may see content."""
    return Evidence(
        kind="address", name=harmless(item.address), where=harmless(item.where, length=400), private=True
    )


def _invitation(item: Any) -> Evidence:
    details: dict[str, str | int | bool] = {"invited": item.people, "hours ahead": item.hours_ahead}
    name = f"the meeting of {harmless(item.organiser)}" if item.organiser else "a meeting"
    return Evidence(kind="invitation", name=name, where=harmless(item.where, length=400), details=details)


def _near_miss(item: Any) -> Evidence:
    where = "envelope" if item.where == "recipient" else item.where
    details: dict[str, str | int | bool] = {"reason": f"{harmless(item.domain)} is nearly {item.known}"}
    details["how"] = item.how
    return Evidence(kind="near miss", name=harmless(item.address), where=where, details=details)


def _link(item: Any) -> Evidence:
    what = {
        "meeting-room": f"a link to {item.name}",
        "program": f"a link to a program ({item.name})",
        "disguised": f"a link that shows {harmless(item.name)}",
    }[item.kind]
    return Evidence(
        kind="link", name=harmless(item.host), where=_place(item.where, item.line), details={"reason": what}
    )


def _host(item: Any) -> Evidence:
    host = harmless(item.host)
    return Evidence(kind="link", name=host, where="", details={"reason": f"a link to {host}"})


def _writing(item: Any) -> Evidence:
    counts = {
        "forwarded": item.forwards,
        "earlier messages": item.earlier,
        "earlier recipients": item.quoted_recipients,
        "capitals in per cent": item.capitals,
        "addresses": item.addresses,
    }
    shown = {name: value for name, value in counts.items() if value}
    reason = ", ".join(f"{name}: {value:,}" for name, value in shown.items())
    return Evidence(kind="writing", name="the text", where="", details={**shown, "reason": reason})


def _encrypted(item: Any) -> Evidence:
    how = "strongly encrypted" if item.strong else "encrypted in a way that is broken in minutes"
    name = "the whole message" if item.whole else harmless(item.path.rpartition("›")[2].strip())
    return Evidence(kind="encrypted", name=name, where=harmless(item.path, length=400), details={"reason": how})


def _malware(item: Any) -> Evidence:
    return Evidence(kind="malware", name=harmless(item.name), where="message")


CONTENT_PIECES: Mapping[str, Callable[[Any], Evidence]] = {
    "Identifier": _identifier,
    "Export": _export,
    "Secret": _secret,
    "Listed": _listed,
    "Written": _written,
    "Invitation": _invitation,
    "NearMiss": _near_miss,
    "Link": _link,
    "Host": _host,
    "Writing": _writing,
    "Encrypted": _encrypted,
    "Malware": _malware,
}
"""How each kind of thing that a condition gives becomes evidence."""
