"""Owns the gathering of facts about this machine: sockets, files, store, disks, clock and units.

Nothing is judged here and nothing is changed. Every look has a bound in time.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import shutil
import socket
import sqlite3
import stat
import struct
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatepost_config.directory import Directory
from gatepost_config.directory_load import load_directory
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.settings import Settings
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.migrate import HEAD
from gatepost_quarantine.store import StoreError

SERVICE_USER = "gatepost"
UNITS = ("gatepost-milter.service", "gatepost-courier.service", "gatepost-expire.timer")
OPTIONAL_UNITS = ("gatepost-console.service", "gatepost-pages.service")
"""Which may run on another machine, or not at all."""
_PATIENCE = 5.0
"""Seconds for one look: a connection, a command, a walk through the database."""

_TIME_ERROR = 5
"""What adjtimex(2) answers while the clock is not held by NTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user by whose rights a file is looked at."""

    name: str
    uid: int
    gids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, folder or socket, or where one should be (``mode`` is 0 then). ``mode`` has the type bits too."""

    path: Path
    mode: int = 0
    uid: int = 0
    gid: int = 0
    modified: float = 0.0

    @property
    def exists(self) -> bool:
        """Whether there is anything at the path."""
        return self.mode != 0

    @property
    def permissions(self) -> str:
        """The permission bits as chmod takes them: ``640``."""
        return f"{stat.S_IMODE(self.mode):o}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """An entry with the folders that lead to it, outermost first."""

    entry: Entry
    folders: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the milter socket answered to a negotiation; ``problem`` is empty if it answered well."""

    problem: str = ""
    version: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """The store as it can be seen without changing it. Ages are in seconds; None means that nothing is owed.

    ``overdue`` counts from when the first owed mail was due, ``oldest`` from when it was first owed.
    ``checked`` is what SQLite's quick_check said, empty when it was not or not fully done.
    """

    place: str
    exists: bool = True
    problem: str = ""
    revision: str = ""
    wanted: str = HEAD
    checked: str = ""
    owed: int = 0
    overdue: float | None = None
    oldest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryFacts:
    """The people directory: how many people it has, the rows left out, and what made it unusable altogether.

    ``age`` is how long ago, in seconds, any of its files was written.
    """

    folder: Entry
    people: int = 0
    left_out: tuple[Problem, ...] = ()
    faults: tuple[Problem, ...] = ()
    age: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Room in a file system: bytes that an ordinary user may still use; ``inodes`` is -1 if unlimited."""

    purpose: str
    path: Path
    free: int
    inodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The clock; ``synchronised`` is None where the kernel does not tell. ``newest`` are files' times."""

    now: float
    synchronised: bool | None
    newest: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit, in systemd's own words. Where an optional one is not installed, nothing is wrong."""

    name: str
    load: str
    active: str
    enabled: str
    restarts: int = 0
    optional: bool = False


def user(name: str) -> User | None:
    """The user of that name with all groups, None if there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(name=name, uid=found.pw_uid, gids=frozenset(os.getgrouplist(name, found.pw_gid)))


def service_user() -> User:
    """The user that gatepost runs as: ``gatepost``, or whoever runs this where that user does not exist."""
    found = user(SERVICE_USER)
    if found is not None:
        return found
    mine = pwd.getpwuid(os.geteuid()).pw_name
    return User(name=mine, uid=os.geteuid(), gids=frozenset([os.getegid(), *os.getgroups()]))


def group_name(gid: int) -> str:
    """The name of a group, or its number."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def located(path: Path) -> Located:
    """The entry at ``path`` and the folders that lead to it."""
    return Located(
        entry=_entry(path), folders=tuple(_entry(parent) for parent in reversed(path.absolute().parents))
    )


def listens(place: str) -> bool:
    """Whether somebody takes connections at HOST:PORT."""
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError):
        return False
    return True


def answer(address: str) -> Answer:
    """Negotiate with the milter at ``address`` (the setting ``socket``), as Postfix begins, and leave again."""
    began = time.monotonic()
    try:
        with closing(_connect(address)) as connection:
            # SMFIC_OPTNEG: version 6, every action, no protocol step declined.
            connection.sendall(struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0))
            head = _exactly(connection, 5)
            length, command = struct.unpack("!Ic", head)
            if command != b"O" or not 13 <= length <= 4096:
                return Answer(problem="what answers there does not speak the milter protocol")
            (version,) = struct.unpack_from("!I", _exactly(connection, length - 1))
            connection.sendall(struct.pack("!Ic", 1, b"Q"))
    except TimeoutError:
        return Answer(problem=f"does not answer within {_PATIENCE:g} s")
    except OSError as error:
        return Answer(problem=error.strerror or str(error))
    return Answer(version=version, seconds=time.monotonic() - began)


def store(settings: Settings) -> StoreFacts:
    """The store, looked at by reading alone; a database that is missing is not made."""
    try:
        database = Database(settings.store.url, floor=settings.store.free_floor)
    except StoreError as error:
        return StoreFacts(place="store.url", problem=str(error))
    try:
        if database.on_sqlite:
            return _sqlite(database.path)
        return _server(database)
    finally:
        database.close()


def directory(folder: Path) -> tuple[DirectoryFacts, Directory | None]:
    """The people directory in ``folder``, and what is to be known about it."""
    entry = _entry(folder)
    try:
        loaded = load_directory(folder)
    except ConfigError as error:
        return DirectoryFacts(folder=entry, faults=error.problems), None
    newest = max((_entry(report.path).modified for report in loaded.files), default=0.0)
    facts = DirectoryFacts(
        folder=entry,
        people=len(loaded.people),
        left_out=loaded.problems,
        age=max(0.0, time.time() - newest),
    )
    return facts, loaded


def disk(purpose: str, path: Path) -> Disk | None:
    """The room where ``path`` is or will be made; None when it cannot be known."""
    for candidate in (path, *path.absolute().parents):
        try:
            found = os.statvfs(candidate)
        except OSError:
            continue
        inodes = found.f_favail if found.f_files else -1
        return Disk(purpose=purpose, path=path, free=found.f_bavail * found.f_frsize, inodes=inodes)
    return None


def clock(newest: Mapping[str, float]) -> Clock:
    """The clock, as the kernel sees it."""
    return Clock(now=time.time(), synchronised=_synchronised(), newest=newest)


def units() -> tuple[Unit, ...] | None:
    """gatepost's units; None where systemd does not run."""
    if not Path("/run/systemd/system").is_dir():
        return None
    return tuple(_unit(name) for name in (*UNITS, *OPTIONAL_UNITS))


def firewall() -> str:
    """The rule set of nftables as text, empty where there is none or it may not be read."""
    return _output("nft", "list", "ruleset")


def _entry(path: Path) -> Entry:
    try:
        found = path.stat()
    except OSError:
        return Entry(path=path)
    return Entry(path=path, mode=found.st_mode, uid=found.st_uid, gid=found.st_gid, modified=found.st_mtime)


def _connect(address: str) -> socket.socket:
    if address.startswith("inet:"):
        port, _, host = address.removeprefix("inet:").partition("@")
        return socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout=_PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(address)
    except BaseException:  # whatever ends this, a signal too, must not leave the socket open
        connection.close()
        raise
    return connection


def _exactly(connection: socket.socket, size: int) -> bytes:
    deadline = time.monotonic() + _PATIENCE
    received = b""
    while len(received) < size:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        piece = connection.recv(size - len(received))
        if not piece:
            raise ConnectionResetError(0, "hangs up instead of answering")
        received += piece
    return received


def _sqlite(path: Path) -> StoreFacts:
    if not path.exists():
        return StoreFacts(place=str(path), exists=False)
    # Without a write-ahead log nobody has the database open, and reading must not make one: immutable.
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=_PATIENCE)
        ) as connection:
            revision = connection.execute(_REVISION).fetchone()
            owed = connection.execute(_OWED).fetchone()
            return _facts(str(path), revision=revision, owed=owed, checked=_quick_check(connection))
    except sqlite3.Error as error:
        return StoreFacts(place=str(path), problem=str(error))


def _server(database: Database) -> StoreFacts:
    place = database.url.render_as_string(hide_password=True)
    try:
        with database.read() as connection:
            revision = connection.exec_driver_sql(_REVISION).fetchone()
            owed = connection.exec_driver_sql(_OWED).fetchone()
            return _facts(place, revision=revision, owed=owed, checked="ok")
    except StoreError as error:
        return StoreFacts(place=place, problem=str(error))


_REVISION = "SELECT version_num FROM alembic_version"
_OWED = "SELECT count(*), min(due_at), min(created_at) FROM outbox WHERE state = 'owed'"


def _facts(place: str, *, revision: Any, owed: Any, checked: str) -> StoreFacts:
    """What the two rows say; times in the store are microseconds since 1970."""
    number, due, created = owed
    now = time.time()
    return StoreFacts(
        place=place,
        revision=str(revision[0]) if revision is not None else "",
        checked=checked,
        owed=number,
        overdue=None if due is None else max(0.0, now - due / 1e6),
        oldest=None if created is None else max(0.0, now - created / 1e6),
    )


def _quick_check(connection: sqlite3.Connection) -> str:
    """What SQLite finds wrong (``ok`` for nothing), empty when the database is too large to walk in time."""
    deadline = time.monotonic() + _PATIENCE
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline), 10_000)
    try:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return ""
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _synchronised() -> bool | None:
    """Whether NTP holds the clock, by adjtimex(2) with no change asked (``modes`` 0); None if not allowed."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def _unit(name: str) -> Unit:
    text = _output("systemctl", "show", name, "--property=LoadState,ActiveState,UnitFileState,NRestarts")
    told = dict(line.partition("=")[::2] for line in text.splitlines())
    restarts = told.get("NRestarts", "")
    return Unit(
        name=name,
        load=told.get("LoadState", ""),
        active=told.get("ActiveState", ""),
        enabled=told.get("UnitFileState", ""),
        restarts=int(restarts) if restarts.isdigit() else 0,
        optional=name in OPTIONAL_UNITS,
    )


def _output(program: str, *arguments: str) -> str:
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
