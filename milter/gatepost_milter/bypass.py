"""Owns the record of a bypass: that gatepost was taken out of Postfix, since when, by whom, and what was there.

Light on purpose (the standard library and ``durable``): the metric ``gatepost_bypass_active`` reads it on every
scrape. Taking out and putting back is in ``doctor.detour``.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gatepost_config import durable

DEFAULT_STATE = Path("/var/lib/gatepost")
RECORD = "bypass.json"
_SIZE_LIMIT = 1024 * 1024
_PARAMETERS = frozenset({"smtpd_milters", "non_smtpd_milters"})


class BypassError(Exception):
    """The record cannot be read, written or trusted; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that was changed: in main.cf, or for one ``service`` (``smtp/inet``) of master.cf.

    ``before`` and ``after`` are as Postfix's files have them, ``$names`` and all.
    """

    service: str
    parameter: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.service}/{self.parameter}" if self.service else self.parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of Postfix's that was changed: SHA-256 before and after, and the copy that was kept beside it."""

    name: str
    before: str
    after: str
    copy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """A bypass that is in force. Times are aware UTC; ``until`` is when somebody meant it to end."""

    directory: Path
    since: datetime
    until: datetime
    actor: str
    socket: str
    changes: tuple[Change, ...]
    files: tuple[File, ...] = ()
    timer: bool = False

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that ``from_json`` reads back."""
        data = asdict(self)
        data["directory"] = str(self.directory)
        data["since"], data["until"] = self.since.isoformat(), self.until.isoformat()
        return data

    @staticmethod
    def from_json(data: Any) -> Bypass:
        """The bypass that ``to_json`` wrote. Raises BypassError for anything else."""
        try:
            bypass = Bypass(
                directory=Path(data["directory"]),
                since=datetime.fromisoformat(data["since"]),
                until=datetime.fromisoformat(data["until"]),
                actor=str(data["actor"]),
                socket=str(data["socket"]),
                changes=tuple(Change(**each) for each in data["changes"]),
                files=tuple(File(**each) for each in data["files"]),
                timer=bool(data["timer"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BypassError(f"the record of the bypass is damaged: {error}") from error
        if not all(_sound(bypass)):
            raise BypassError("the record of the bypass names what a bypass never changes")
        return bypass


def bypass_active(state_directory: Path) -> Bypass | None:
    """The bypass that is on record, or None. Raises BypassError when there is a record that cannot be read.

    Whoever only asks whether it is active should take a damaged record for a yes: it was written by a bypass.
    """
    return _read(state_directory / RECORD, mine=False)


def trusted(state_directory: Path) -> Bypass | None:
    """The bypass on record, if the record was written by the user who now acts on it.

    The folder belongs to gatepost's own user, and root acts on the record: a record that gatepost's user could
    have written must not tell root what to write into Postfix's configuration. Raises BypassError.
    """
    return _read(state_directory / RECORD, mine=True)


def keep(state_directory: Path, bypass: Bypass) -> None:
    """Write the record so that a crash leaves the old one or the new one. Raises BypassError."""
    text = json.dumps(bypass.to_json(), indent=2) + "\n"
    replace_file(state_directory / RECORD, text.encode(), mode=0o644)


def forget(state_directory: Path) -> None:
    """Remove the record: the bypass is over. Raises BypassError."""
    path = state_directory / RECORD
    try:
        path.unlink(missing_ok=True)
        durable.sync(state_directory)
    except OSError as error:
        raise BypassError(f"{path} cannot be removed: {error.strerror}") from error


def state_directory(store_url: str) -> Path:
    """Where gatepost keeps its state: the folder of an SQLite store, else /var/lib/gatepost."""
    prefix = "sqlite:///"
    if store_url.startswith(prefix):
        path = Path(store_url.removeprefix(prefix).partition("?")[0])
        if path.is_absolute():
            return path.parent
    return DEFAULT_STATE


def replace_file(
    path: Path, content: bytes, *, mode: int, owner: tuple[int, int] | None = None, age: float = 0.0
) -> None:
    """Put a file in place as ``durable.replace_file`` does, but raise BypassError."""
    try:
        durable.replace_file(path, content, mode=mode, owner=owner, age=age)
    except OSError as error:
        raise BypassError(f"{path} cannot be written: {error.strerror}") from error


def now() -> datetime:
    """This moment, aware, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def _read(path: Path, *, mine: bool) -> Bypass | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BypassError(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BypassError(f"{path} is not a file")
        if mine and (found.st_uid != os.geteuid() or found.st_mode & 0o022):
            raise BypassError(
                f"{path} was not written by this user, or others can write it. Put Postfix right by hand "
                f"(BYPASS.md says how), then: rm {path}"
            )
        raw = stream.read(_SIZE_LIMIT)
    try:
        return Bypass.from_json(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise BypassError(f"{path} is damaged: {error}") from error


def _sound(bypass: Bypass) -> list[bool]:
    """Only two parameters are ever changed, and copies lie beside the files: nothing else is believed."""
    words: list[Any] = [word for each in bypass.changes for word in (each.service, each.before, each.after)]
    return [
        bypass.since.tzinfo is not None and bypass.until.tzinfo is not None,
        all(change.parameter in _PARAMETERS for change in bypass.changes),
        all(isinstance(word, str) and "\n" not in word and "\r" not in word for word in words),
        all(each.name in ("main.cf", "master.cf") for each in bypass.files),
        all(each.copy == f"{each.name}.before-bypass" for each in bypass.files),
    ]
