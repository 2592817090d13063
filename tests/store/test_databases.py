"""What the engines themselves have to do: migrate, fork, run out of room, be killed, refuse to forget."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from support.quarantine import MESSAGE, Clock, chunks, held, hold_event, notice

from gatepost_config import settings
from gatepost_quarantine import sql
from gatepost_quarantine.audit import Event, Verb, verify
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sql import SqlStore, open_store, records
from gatepost_quarantine.sql.console_schema import metadata
from gatepost_quarantine.sql.database import Database
from gatepost_quarantine.sql.migrate import HEAD, _make_file, migrate
from gatepost_quarantine.store import Filter, StoreError

GATEWAY = "mx1.school.example"


@pytest.fixture
def with_tables() -> bool:
    """Databases come empty here."""
    return False


def sqlite_settings(folder: Path, *, floor: int = 0) -> settings.Store:
    return settings.Store(url=f"sqlite:///{folder / 'quarantine.db'}", free_floor=floor)


# Migrations


def _is_ours(_item: object, name: str | None, *_: object) -> bool:
    """The search index is each engine's own: on SQLite a family of tables that SQLite itself keeps."""
    return not str(name).startswith("message_search")


def test_migrations_make_exactly_the_tables_that_the_code_knows(url: str) -> None:
    """A column in only one of the two places would be found by a user, not by us."""
    database = Database(url, floor=0)
    migrate(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _is_ours})
        differences = compare_metadata(context, metadata)
    database.close()
    assert differences == []


def test_the_newest_revision_is_the_one_that_is_asked_for() -> None:
    """``HEAD`` spares loading Alembic; forgotten, a new migration would never run."""
    config = Config()
    config.set_main_option("script_location", str(Path(sql.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


@pytest.mark.slow
def test_many_processes_may_open_a_new_store_at_once(url: str) -> None:
    """Milter, courier and console start together on a new machine."""
    program = (
        "import sys; from gatepost_config import settings; from gatepost_quarantine.sql import open_store\n"
        "from gatepost_quarantine.audit import Event, Verb\n"
        "store = open_store(settings.Store(url=sys.argv[1], free_floor=0), gateway='mx1.school.example')\n"
        "store.record(Event(verb=Verb.READ, actor='x'))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    errors = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], errors
    store = open_store(settings.Store(url=url, free_floor=0), gateway=GATEWAY)
    assert [link.seq for link in store.chain(GATEWAY)] == [1, 2, 3, 4]
    store.close()


def test_what_was_held_before_the_index_was_made_is_found(
    url: str, configured: settings.Store, clock: Clock
) -> None:
    """An upgrade fills the index, the times beside states and rules, and the places."""
    database = Database(url, floor=0)
    if database.on_sqlite:
        _make_file(database.path)
    config = Config()
    config.set_main_option("script_location", str(Path(sql.__file__).parent / "migrations"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        for number in range(3):
            _old_message(connection, held(str(number).encode(), subject=f"old letter {number}"))
    database.close()
    store = open_store(configured, gateway="mx1.school.example", clock=clock)
    (found,) = store.list(Filter(search="old letter 1"))
    assert found.subject == "old letter 1"
    assert len(store.list(Filter(states=frozenset({State.HELD}), since=found.received_at))) == 3
    assert len(store.list(Filter(rule="executable-attachment", since=found.received_at))) == 3
    new = held(b"new", subject="old letter 4")
    store.hold(new, content=chunks(b"new"))
    assert new.id in {each.id for each in store.list(Filter(search="old letter"))}
    store.close()


def _old_message(connection: Connection, message: HeldMessage) -> None:
    """The rows as the first revisions had them."""
    new = ("seal", "legal_hold", "reminded", "place", "received_at")
    for table, row, left_out in (
        ("message", records.message_row(message), new[:4]),
        ("recipient", records.recipient_row(message, 0, message.recipients[0]), new),
        ("message_rule", {"message_id": message.id, "rule": "executable-attachment"}, ()),
    ):
        kept = {name: value for name, value in row.items() if name not in left_out}
        columns, values = ", ".join(kept), ", ".join(f":{name}" for name in kept)
        connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), kept)  # noqa: S608 - our own names


def test_a_database_of_a_newer_gatepost_is_left_alone(url: str, configured: settings.Store) -> None:
    """After a downgrade, say so instead of guessing at tables."""
    database = Database(url, floor=0)
    migrate(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match="another version of gatepost"):
        open_store(configured, gateway=GATEWAY)


def test_events_can_only_be_added(url: str, configured: settings.Store) -> None:
    """The database itself refuses, so that a slip in our own code cannot rewrite the record."""
    store = open_store(configured, gateway=GATEWAY)
    store.record(Event(verb=Verb.READ, actor="ann"))
    store.close()
    database = Database(url, floor=0)
    for change in ("UPDATE event SET actor = 'bob'", "DELETE FROM event"):
        with pytest.raises(StoreError, match="append-only"), database.write() as connection:
            connection.execute(text(change))
    database.close()


# Errors


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("quarantine.db", "is not a URL"),
        ("mysql://somewhere/db", "is not sqlite or postgresql"),
        ("sqlite://", "names no file"),
        ("sqlite:////nowhere/at/all/quarantine.db", "the store's folder must exist"),
        ("sqlite:////proc/quarantine.db", "the store's folder must let gatepost"),
        ("postgresql+psycopg://gatepost:hunter2@/x?host=/nowhere", "the database cannot do it now"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(url: str, said: str) -> None:
    """As StoreError, and without the password that a URL may hold."""
    with pytest.raises(StoreError, match=said) as caught:
        open_store(settings.Store(url=url), gateway=GATEWAY)
    assert "hunter2" not in str(caught.value)


def test_below_the_floor_nothing_is_held_and_the_rest_works(tmp_path: Path) -> None:
    """Held mail must never fill the disk; what is there can still be reviewed."""
    disk = os.statvfs(tmp_path)
    floor = disk.f_blocks * disk.f_frsize
    store = open_store(sqlite_settings(tmp_path, floor=floor), gateway=GATEWAY)
    with pytest.raises(StoreError, match="must stay free"):
        store.hold(held(), content=chunks(MESSAGE))
    assert store.list(Filter()) == []
    assert store.counts().floor == floor
    assert store.owe([notice()], key="k") is True
    store.close()


def test_a_full_database_is_a_store_error_and_leaves_nothing(tmp_path: Path) -> None:
    """SQLite says “full” in the middle of the pieces; all that came before is gone again."""
    store = open_store(sqlite_settings(tmp_path), gateway=GATEWAY)
    store.record(Event(verb=Verb.READ, actor="ann"))
    with store._database.write() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
    store.close()
    content = os.urandom(3_000_000)
    with store._database.write() as connection:
        connection.execute(text(f"PRAGMA max_page_count = {pages + 100}"))
    with pytest.raises(StoreError, match="full"):
        store.hold(held(content), content=chunks(content))
    assert store.list(Filter()) == []
    assert verify(store.chain(GATEWAY)) == ""
    store.close()


def test_damaged_bytes_are_noticed_before_they_are_sent(tmp_path: Path) -> None:
    """Each piece has a checksum: a flipped bit on the disk is an error, not a changed message."""
    store = open_store(sqlite_settings(tmp_path), gateway=GATEWAY)
    message = held()
    store.hold(message, content=chunks(MESSAGE))
    store.close()
    plain = sqlite3.connect(tmp_path / "quarantine.db")
    data = bytearray(plain.execute("SELECT data FROM chunk").fetchone()[0])
    data[-1] ^= 1
    plain.execute("UPDATE chunk SET data = ?", (bytes(data),))
    plain.commit()
    plain.close()
    with pytest.raises(StoreError, match="damaged"):
        list(store.content(message.id))
    store.close()


def test_a_missing_piece_is_noticed(tmp_path: Path) -> None:
    """A message that ends early must not go out as if it were whole."""
    store = open_store(sqlite_settings(tmp_path), gateway=GATEWAY)
    message = held()
    store.hold(message, content=chunks(MESSAGE))
    with store._database.write() as connection:
        connection.execute(text("DELETE FROM chunk"))
    with pytest.raises(StoreError, match="not whole"):
        list(store.content(message.id))
    store.close()


def test_the_file_is_nobody_elses_business(tmp_path: Path) -> None:
    """Held mail is private: the file, its log and its index are for their owner only."""
    store = open_store(sqlite_settings(tmp_path), gateway=GATEWAY)
    store.record(Event(verb=Verb.READ, actor="ann"))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    store.close()
    assert set(modes) == {"quarantine.db", "quarantine.db-wal", "quarantine.db-shm"}
    assert set(modes.values()) == {0o600}


def test_sqlite_runs_as_the_design_says(tmp_path: Path) -> None:
    """Durable at commit, deleted means overwritten, and freed pages can be given back."""
    store = open_store(sqlite_settings(tmp_path), gateway=GATEWAY)
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "auto_vacuum": 2, "foreign_keys": 1}
    with store._database.read() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in wanted}
    store.close()
    assert found == wanted


# Threads and forks


def test_many_threads_hold_at_once(store: SqlStore) -> None:
    """libmilter gives every session a thread; more of them than there are connections."""
    together = threading.Barrier(24)

    def hold(number: int) -> str:
        content = MESSAGE + str(number).encode()
        message = held(content)
        together.wait(timeout=30)
        store.hold(message, content=chunks(content), notices=[notice()], events=[hold_event(message)])
        return message.id

    with ThreadPoolExecutor(24) as pool:
        ids = list(pool.map(hold, range(24)))
    assert {each.id for each in store.list(Filter())} == set(ids)
    assert verify(store.chain(GATEWAY)) == ""


def test_a_store_in_use_may_be_forked(store: SqlStore) -> None:
    """Parent and child go on, each with connections of its own, even if the parent was in the middle of one."""
    first = held(b"parent")
    store.hold(first, content=chunks(b"parent"), events=[hold_event(first)])
    context = multiprocessing.get_context("fork")

    def child() -> None:
        for number in range(5):
            content = f"child {os.getpid()} {number}".encode()
            message = held(content)
            store.hold(message, content=chunks(content), events=[hold_event(message)])
        store.close()
        os._exit(0)

    with store._database.read():
        children = [context.Process(target=child) for _ in range(3)]
        for process in children:
            process.start()
        for process in children:
            process.join(60)
    assert [process.exitcode for process in children] == [0, 0, 0]
    last = held(b"parent again")
    store.hold(last, content=chunks(b"parent again"), events=[hold_event(last)])
    assert len(store.list(Filter())) == 17
    assert verify(store.chain(GATEWAY)) == ""


# Kill -9

_HOLDER = """
import sys
from support.quarantine import chunks, held, hold_event, notice
from gatepost_config import settings
from gatepost_quarantine.sql import open_store

store = open_store(settings.Store(url=sys.argv[1], free_floor=0), gateway="mx1.school.example")
print("ready", flush=True)
number = 0
while True:
    content = f"{number:08d}".encode() * 100_000
    message = held(content, message_id=f"<{number}>")
    store.hold(message, content=chunks(content), notices=[notice()], events=[hold_event(message)])
    print(message.id, flush=True)
    number += 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_a_hold_that_is_killed_is_there_whole_or_not_at_all(
    url: str, configured: settings.Store, root: Path, after: int
) -> None:
    """Everything that was answered for is there, with its notice and its event; of the rest, nothing in part."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root / "tests")},
        text=True,
    )
    try:
        assert holder.stdout is not None
        with holder.stdout as said:
            assert said.readline() == "ready\n"
            answered = [said.readline().strip() for _ in range(after)]
            holder.send_signal(signal.SIGKILL)
            answered += said.read().split()
    finally:
        holder.kill()
        holder.wait(30)
    store = open_store(configured, gateway=GATEWAY)
    kept = {each.id: each for each in store.list(Filter(limit=1000))}
    assert set(answered) <= set(kept)
    assert len(kept) <= len(answered) + 1
    for message in kept.values():
        number = int(message.message_id.strip("<>"))
        assert b"".join(store.content(message.id)) == f"{number:08d}".encode() * 100_000
        assert [event.verb for event in store.events(message.id)] == [Verb.HOLD]
    assert store.counts().owed == len(kept)
    assert verify(store.chain(GATEWAY)) == ""
    store.close()
