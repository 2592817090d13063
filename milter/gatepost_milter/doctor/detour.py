"""Owns the bypass itself: taking gatepost out of Postfix, and putting back exactly what was there.

The change is rehearsed on a copy of Postfix's files, then the record is written, then the files are put in
place one by one; after a crash anywhere both commands can be run again. If nobody has touched a file since, the
way back restores it byte for byte; else it restores the values it changed, unless somebody changed those too.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from gatepost_milter import bypass as records
from gatepost_milter.bypass import Bypass, BypassError, Change, File
from gatepost_milter.doctor import postconf
from gatepost_milter.doctor.milters import Likeness, MilterEntry, compact, entries, likeness, without
from gatepost_milter.doctor.postconf import Postfix

_NAMES = ("smtpd_milters", "non_smtpd_milters")
_FILES = ("main.cf", "master.cf")
_LONG_AGO = (1_000_000_000, 1_000_000_000)
_COOL = 3.0
"""Postfix waits about two seconds before it reads a file that was written just now, lest it be half written.
Ours are put in place whole, so they are made to look older: rehearsals long ago, real ones by these seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a bypass would change: the values, and each changed file as it is and as it would be."""

    changes: tuple[Change, ...]
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was done: the bypass as it is on record, and whether a running Postfix has read its files again."""

    bypass: Bypass
    reloaded: bool


def plan(directory: Path, *, socket: str) -> Plan:
    """What must change so that nothing in Postfix asks gatepost. Changes nothing; raises PostconfError."""
    with tempfile.TemporaryDirectory(prefix="gatepost-bypass-") as folder:
        scratch = Path(folder)
        before = _copy(directory, scratch)
        changes = []
        for service, parameter in _places(postconf.read(scratch)):
            value = _expanded(scratch, service, parameter)
            if not _ours(value, scratch, socket):
                continue
            written = postconf.raw(scratch, parameter, service=service)
            wanted = without(written, _ours(written, scratch, socket))
            _rehearse(scratch, service, parameter, wanted)
            left = _expanded(scratch, service, parameter)
            if _ours(left, scratch, socket):
                # Ours comes by way of a $name: write what that name stands for, without ours.
                wanted = without(left, _ours(left, scratch, socket))
                _rehearse(scratch, service, parameter, wanted)
            changes.append(Change(service=service, parameter=parameter, before=written, after=wanted))
        after = {name: (scratch / name).read_bytes() for name in before}
    changed = [name for name in before if before[name] != after[name]]
    return Plan(
        changes=tuple(changes),
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )


def begin(directory: Path, *, socket: str, state: Path, minutes: int, actor: str) -> Outcome:
    """Take gatepost out of Postfix, or move the end of a bypass that is in force. Safe to run again.

    Raises BypassError when there is nothing to take out, PostconfError when Postfix refuses.
    """
    old = records.trusted(state)
    if old is not None and old.directory != directory:
        raise BypassError(
            f"the Postfix of {old.directory} is bypassed already; first run: "
            f"gatepost postfix resume --postfix-config {old.directory}"
        )
    planned = plan(directory, socket=socket)
    standing = _standing(old) if old is not None else ()
    if not planned.changes and not standing:
        raise BypassError(_nothing_to_take_out(directory, socket, old))
    moment = records.now()
    new = Bypass(
        directory=directory,
        since=old.since if old is not None and standing else moment,
        until=moment + timedelta(minutes=minutes),
        actor=actor,
        socket=socket,
        changes=_merged(standing, planned.changes),
        files=_merged_files(old, standing, planned),
    )
    for name, content in planned.before.items():
        _keep_copy(directory, name, content)
    records.keep(state, new)
    for name, content in planned.after.items():
        _put(directory, name, content, expected=planned.before[name])
    return Outcome(bypass=new, reloaded=reload(directory))


def remember_timer(state: Path, outcome: Outcome, *, armed: bool) -> Outcome:
    """Put on record whether a timer will end the bypass."""
    told = replace(outcome.bypass, timer=armed)
    records.keep(state, told)
    return replace(outcome, bypass=told)


def end(state: Path) -> Outcome | None:
    """Put back what the bypass on record took out; None when there is no record. Safe to run again.

    Raises BypassError, having changed nothing, when somebody changed the same values in between.
    """
    old = records.trusted(state)
    if old is None:
        return None
    if found := conflicts(old):
        raise BypassError(
            "Postfix's configuration was changed during the bypass, and nothing was put back:\n"
            + "\n".join(f"  {each}" for each in found)
            + "\nWrite the value that you want with postconf -e (in main.cf) or postconf -P (in master.cf), "
            "reload Postfix, then run: gatepost postfix resume --forget"
        )
    for name in _FILES:
        _restore(old, name)
    reloaded = reload(old.directory)
    drop(state, old)
    return Outcome(bypass=old, reloaded=reloaded)


def drop(state: Path, bypass: Bypass) -> None:
    """Forget the bypass without touching Postfix's configuration; the copies go too."""
    records.forget(state)
    for each in bypass.files:
        (bypass.directory / each.copy).unlink(missing_ok=True)


def conflicts(bypass: Bypass) -> tuple[str, ...]:
    """The values that somebody changed since: neither what was there before nor what the bypass wrote."""
    found = []
    for change in bypass.changes:
        now = postconf.raw(bypass.directory, change.parameter, service=change.service)
        if compact(now) not in (compact(change.before), compact(change.after)):
            found.append(f"{change} was {change.before!r}, the bypass wrote {change.after!r}, now it is {now!r}")
    return tuple(found)


def asked(directory: Path, *, socket: str) -> tuple[str, ...]:
    """The places in Postfix's configuration that name gatepost: ``smtpd_milters``, ``smtp/inet/smtpd_milters``."""
    postfix = postconf.read(directory)
    return tuple(
        f"{service}/{parameter}" if service else parameter
        for service, parameter in _places(postfix)
        if _ours(_value(postfix, service, parameter), directory, socket, postfix=postfix)
    )


def reload(directory: Path) -> bool:
    """Let a running Postfix read its files again; False when it does not run. Raises PostconfError."""
    try:
        postconf.run("postfix", directory, "status")
    except postconf.PostconfError:
        return False
    postconf.run("postfix", directory, "reload")
    return True


def _nothing_to_take_out(directory: Path, socket: str, old: Bypass | None) -> str:
    if old is not None:
        return f"a bypass is on record, but others changed {directory} since; run: gatepost postfix status"
    named = ", ".join(entry.endpoint for entry in postconf.read(directory).milters()) or "no filter at all"
    return (
        f"nothing in {directory} asks gatepost at {socket}; smtpd_milters names {named}. "
        "If one of these is gatepost, name it: --socket PATH"
    )


def _copy(directory: Path, scratch: Path) -> dict[str, bytes]:
    content = {}
    for name in _FILES:
        try:
            content[name] = (directory / name).read_bytes()
        except OSError as error:
            raise postconf.PostconfError(f"{directory / name} cannot be read: {error.strerror}") from error
        (scratch / name).write_bytes(content[name])
        os.utime(scratch / name, _LONG_AGO)
    return content


def _places(postfix: Postfix) -> tuple[tuple[str, str], ...]:
    """Where filters can be named: main.cf first, since services and non_smtpd_milters may refer to it."""
    overridden = (
        (service.key, name) for service in postfix.services for name in _NAMES if name in service.overrides
    )
    return (*(("", name) for name in _NAMES), *overridden)


def _value(postfix: Postfix, service: str, parameter: str) -> str:
    if not service:
        return postfix.value(parameter)
    return next((each.overrides.get(parameter, "") for each in postfix.services if each.key == service), "")


def _expanded(directory: Path, service: str, parameter: str) -> str:
    return _value(postconf.read(directory), service, parameter)


def _ours(value: str, directory: Path, socket: str, *, postfix: Postfix | None = None) -> Sequence[MilterEntry]:
    """The entries that name our socket in any reading: in a chroot or outside, rightly placed or not."""
    if not value:
        return ()
    queue_directory = (postfix or postconf.read(directory)).queue_directory
    return tuple(
        entry
        for entry in entries(value)
        if any(
            likeness(entry, socket=socket, queue_directory=queue_directory, chroot=chroot) is not Likeness.OTHER
            for chroot in (True, False)
        )
    )


def _set(directory: Path, service: str, parameter: str, value: str) -> None:
    if service:
        # postconf -P refuses white space in a value; commas say the same.
        postconf.run("postconf", directory, "-P", f"{service}/{parameter}={compact(value)}")
    else:
        postconf.run("postconf", directory, "-e", f"{parameter}={value}")


def _rehearse(scratch: Path, service: str, parameter: str, value: str) -> None:
    _set(scratch, service, parameter, value)
    for name in _FILES:
        os.utime(scratch / name, _LONG_AGO)


def _file_of(change: Change) -> str:
    return "master.cf" if change.service else "main.cf"


def _standing(old: Bypass) -> tuple[Change, ...]:
    """The changes of an earlier bypass that are still in force."""
    return tuple(
        change
        for change in old.changes
        if compact(postconf.raw(old.directory, change.parameter, service=change.service)) == compact(change.after)
    )


def _merged(standing: Iterable[Change], fresh: Iterable[Change]) -> tuple[Change, ...]:
    """Both, each place once; what was there first is what will be put back."""
    merged = {str(change): change for change in standing}
    for change in fresh:
        first = merged.get(str(change))
        merged[str(change)] = change if first is None else replace(change, before=first.before)
    return tuple(merged.values())


def _merged_files(old: Bypass | None, standing: Sequence[Change], planned: Plan) -> tuple[File, ...]:
    """The files that can be restored byte for byte: those that only one bypass has changed."""
    touched = {_file_of(change) for change in standing}
    kept = [
        each
        for each in (old.files if old is not None else ())
        if each.name not in planned.after and _digest((old.directory if old else Path()) / each.name) == each.after
    ]
    fresh = [
        File(
            name=name,
            before=hashlib.sha256(planned.before[name]).hexdigest(),
            after=hashlib.sha256(planned.after[name]).hexdigest(),
            copy=f"{name}.before-bypass",
        )
        for name in planned.after
        if name not in touched
    ]
    return (*kept, *fresh)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _keep_copy(directory: Path, name: str, content: bytes) -> None:
    found = (directory / name).stat()
    copy = directory / f"{name}.before-bypass"
    records.replace_file(copy, content, mode=found.st_mode & 0o7777, owner=(found.st_uid, found.st_gid))


def _put(directory: Path, name: str, content: bytes, *, expected: bytes) -> None:
    # A main.cf that is a link (kept under version control) stays one.
    path = (directory / name).resolve()
    if path.read_bytes() != expected:
        raise BypassError(f"{path} was changed at this very moment; run the command again")
    found = path.stat()
    records.replace_file(path, content, mode=found.st_mode & 0o7777, owner=(found.st_uid, found.st_gid), age=_COOL)


def _restore(old: Bypass, name: str) -> None:
    path = old.directory / name
    whole = next((each for each in old.files if each.name == name), None)
    if whole is not None:
        copy = old.directory / whole.copy
        now = _digest(path)
        if now == whole.after and _digest(copy) == whole.before:
            _put(old.directory, name, copy.read_bytes(), expected=path.read_bytes())
            return
    for change in old.changes:
        if _file_of(change) != name:
            continue
        now = postconf.raw(old.directory, change.parameter, service=change.service)
        if compact(now) != compact(change.before):
            _set(old.directory, change.service, change.parameter, change.before)
