"""Each check of the gateway's own side is shown to be quiet when all is well, and to fire when it is broken."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.doctor import assert_broken, assert_ok, only, settings

from gatepost_config.errors import Problem
from gatepost_config.settings import School, SenderPages, Settings
from gatepost_config.words import PolicyRef
from gatepost_milter.doctor import gateway_checks as checks
from gatepost_milter.doctor import gateway_facts as facts
from gatepost_milter.doctor.diagnosis import Status
from gatepost_milter.doctor.gateway_facts import (
    Answer,
    Clock,
    DirectoryFacts,
    Disk,
    Entry,
    Located,
    StoreFacts,
    Unit,
    User,
)
from gatepost_quarantine.sql import open_store

WARN, FAIL, SKIPPED = Status.WARN, Status.FAIL, Status.SKIPPED
POSTFIX = User(name="postfix", uid=102, gids=frozenset({105}))
GATEPOST = User(name="gatepost", uid=990, gids=frozenset({990, 105}))
ADDRESS = "/var/spool/postfix/gatepost/milter.sock"
GIB = 1024**3


def at(path: str, mode: int, *, uid: int = 990, gid: int = 990, folders: tuple[Entry, ...] = ()) -> Located:
    """An entry at a place."""
    return Located(entry=Entry(path=Path(path), mode=mode, uid=uid, gid=gid), folders=folders)


def folder(path: str, mode: int, *, uid: int = 0, gid: int = 0) -> Entry:
    """A folder on the way."""
    return Entry(path=Path(path), mode=stat.S_IFDIR | mode, uid=uid, gid=gid)


WAY = (folder("/", 0o755), folder("/var/spool/postfix/gatepost", 0o2750, uid=990, gid=105))
SOUND = at(ADDRESS, stat.S_IFSOCK | 0o660, gid=105, folders=WAY)
QUICK = Answer(version=6, seconds=0.001)


def test_a_socket_that_answers_is_well() -> None:
    """As the shipped tmpfiles and units make it."""
    assert_ok(checks.milter_socket(ADDRESS, SOUND, QUICK, POSTFIX))
    assert_ok(checks.milter_socket("inet:8891@127.0.0.1", None, QUICK, None))


@pytest.mark.parametrize(
    ("found", "answer", "status", "says", "mend"),
    [
        (
            Located(entry=Entry(path=Path(ADDRESS))),
            None,
            FAIL,
            "does not exist",
            "systemctl start gatepost-milter",
        ),
        (at(ADDRESS, stat.S_IFREG | 0o660), QUICK, FAIL, "is not a socket", f"rm {ADDRESS}"),
        (
            at(ADDRESS, stat.S_IFSOCK | 0o660, gid=990, folders=WAY),
            QUICK,
            FAIL,
            "may not connect",
            "chgrp postfix",
        ),
        (at(ADDRESS, stat.S_IFSOCK | 0o640, gid=105, folders=WAY), QUICK, FAIL, "may not connect", "chmod 660"),
        (
            at(ADDRESS, stat.S_IFSOCK | 0o660, gid=105, folders=(folder("/run/gatepost", 0o750),)),
            QUICK,
            FAIL,
            "may not enter /run/gatepost",
            "chmod g+x /run/gatepost",
        ),
        (at(ADDRESS, stat.S_IFSOCK | 0o666, gid=105, folders=WAY), QUICK, WARN, "any local user", "chmod o-rwx"),
        (
            SOUND,
            Answer(problem="Connection refused"),
            FAIL,
            "Connection refused",
            "systemctl restart gatepost-milter",
        ),
        (SOUND, Answer(version=2, seconds=0.1), FAIL, "protocol 2", "ss -lxp"),
        (SOUND, Answer(version=6, seconds=3.0), WARN, "no worker is free", "workers"),
    ],
)
def test_a_broken_socket_is_found(
    found: Located, answer: Answer | None, status: Status, says: str, mend: str
) -> None:
    """Each way in which Postfix could not talk to gatepost."""
    assert_broken(checks.milter_socket(ADDRESS, found, answer, POSTFIX), status, says=says, mend=mend)


@pytest.mark.parametrize(
    ("user", "mode", "uid", "gid", "expected"),
    [
        (User(name="root", uid=0, gids=frozenset()), 0o000, 5, 5, True),
        (POSTFIX, 0o600, 102, 0, True),
        (POSTFIX, 0o060, 102, 105, False),
        (POSTFIX, 0o060, 0, 105, True),
        (POSTFIX, 0o606, 0, 105, False),
        (POSTFIX, 0o006, 0, 0, True),
        (POSTFIX, 0o004, 0, 0, False),
    ],
)
def test_rights_are_read_as_the_kernel_reads_them(
    user: User, mode: int, uid: int, gid: int, expected: bool
) -> None:
    """The first class that fits decides: an owner without rights is not helped by his group's."""
    assert checks.may(user, Entry(path=Path("/x"), mode=mode, uid=uid, gid=gid), os.R_OK | os.W_OK) is expected


CONFIG = at(
    "/etc/gatepost/gatepost.yaml", stat.S_IFREG | 0o644, uid=0, gid=0, folders=(folder("/etc/gatepost", 0o755),)
)
DATABASE = at("/var/lib/gatepost/quarantine.db", stat.S_IFREG | 0o600, folders=(folder("/", 0o755),))


def test_the_shipped_permissions_are_well() -> None:
    """Root's settings, gatepost's store."""
    missing = Located(entry=Entry(path=Path("/var/lib/gatepost/spool")))
    assert_ok(checks.permissions(authority=[CONFIG], private=[DATABASE, missing], service=GATEPOST, secret=False))


@pytest.mark.parametrize(
    ("broken", "status", "says", "mend"),
    [
        (at("/e/g.yaml", stat.S_IFREG | 0o646, uid=0), FAIL, "any local user can change", "chmod o-w /e/g.yaml"),
        (
            at("/e/g.yaml", stat.S_IFREG | 0o644, uid=0, folders=(folder("/e", 0o777),)),
            FAIL,
            "any local user can change /e",
            "chmod o-w /e",
        ),
        (at("/e/g.yaml", stat.S_IFREG | 0o664, uid=0, gid=4242), WARN, "the group 4242 can change", "chmod g-w"),
        (at("/e/g.yaml", stat.S_IFREG | 0o644, uid=4242, gid=0), WARN, "neither root nor gatepost", "chown root"),
        (at("/e/g.yaml", stat.S_IFREG | 0o600, uid=0, gid=0), FAIL, "gatepost cannot read", "chgrp gatepost"),
        (
            at("/e/g.yaml", stat.S_IFREG | 0o644, uid=0, folders=(folder("/e", 0o700),)),
            FAIL,
            "gatepost cannot read",
            "chmod g+r",
        ),
    ],
)
def test_settings_that_others_rule_are_found(broken: Located, status: Status, says: str, mend: str) -> None:
    """Whoever can write the policy decides what passes."""
    found = checks.permissions(authority=[broken], private=[DATABASE], service=GATEPOST, secret=False)
    assert_broken(found, status, says=says, mend=mend)


@pytest.mark.parametrize(
    ("broken", "says", "mend"),
    [
        (at("/v/q.db", stat.S_IFREG | 0o644), "other users", "chmod o-rwx /v/q.db"),
        (at("/v/spool", stat.S_IFDIR | 0o701), "other users", "chmod o-rwx /v/spool"),
        (at("/v/q.db", stat.S_IFREG | 0o600, uid=0, gid=0), "cannot write", "chown gatepost: /v/q.db"),
        (at("/v/spool", stat.S_IFDIR | 0o600), "cannot write", "chmod u+rwX /v/spool"),
    ],
)
def test_a_store_that_others_read_or_gatepost_cannot_write_is_found(broken: Located, says: str, mend: str) -> None:
    """Held mail is what nobody else should see; run once as root, a store may belong to root."""
    found = checks.permissions(authority=[CONFIG], private=[broken], service=GATEPOST, secret=False)
    assert_broken(found, FAIL, says=says, mend=mend)


def test_a_password_in_open_settings_is_found() -> None:
    """Only if there is one."""
    found = checks.permissions(authority=[CONFIG], private=[], service=GATEPOST, secret=True)
    assert_broken(found, FAIL, says="password", mend="chmod o-r /etc/gatepost/gatepost.yaml")
    assert checks.needs_password(settings(store={"url": "postgresql+psycopg://gatepost:secret@db/gatepost"}))
    assert not checks.needs_password(settings(store={"url": "postgresql+psycopg://gatepost@db:5432/gatepost"}))
    assert not checks.needs_password(settings())


GOOD_STORE = StoreFacts(place="/v/q.db", revision="0007", wanted="0007", checked="ok", owed=2, overdue=1, oldest=9)


def test_a_whole_store_is_well() -> None:
    """Also one that is too large to be walked in a few seconds."""
    assert_ok(checks.store(GOOD_STORE))
    assert_ok(checks.outbox(GOOD_STORE))
    assert_ok(checks.store(StoreFacts(place="/v/q.db", revision="0007", wanted="0007", checked="")))


@pytest.mark.parametrize(
    ("broken", "status", "says", "mend"),
    [
        (StoreFacts(place="/v/q.db", problem="unable to open database file"), FAIL, "unable to open", "backup"),
        (StoreFacts(place="/v/q.db", exists=False), WARN, "does not exist yet", "systemctl start"),
        (StoreFacts(place="/v/q.db", revision="0006", wanted="0007", checked="ok"), FAIL, "0006", "restart"),
        (StoreFacts(place="/v/q.db", wanted="0007", checked="ok"), FAIL, "revision none", "restart"),
        (
            StoreFacts(place="/v/q.db", revision="0007", wanted="0007", checked="row 3 missing from index"),
            FAIL,
            "row 3 missing",
            "restore /v/q.db",
        ),
    ],
)
def test_a_broken_store_is_found(broken: StoreFacts, status: Status, says: str, mend: str) -> None:
    """Mail that must be held would be temp-failed, or lost."""
    assert_broken(checks.store(broken), status, says=says, mend=mend)


def test_an_outbox_that_does_not_move_is_found() -> None:
    """No courier; or one whose mails are refused again and again."""
    late = StoreFacts(place="q", owed=7, overdue=900, oldest=900)
    assert_broken(checks.outbox(late), FAIL, says="15 minutes", mend="systemctl restart gatepost-courier")
    tried = StoreFacts(place="q", owed=1, overdue=0, oldest=10_000)
    assert_broken(checks.outbox(tried), WARN, says="again and again", mend="journalctl -u gatepost-courier")
    assert only(checks.outbox(StoreFacts(place="q", problem="gone"))).status is SKIPPED


def disk(purpose: str, free: int, inodes: int = 10**6) -> Disk:
    """A disk with so much room."""
    return Disk(purpose=purpose, path=Path(f"/{purpose}"), free=free, inodes=inodes)


@pytest.mark.parametrize(
    ("broken", "status", "says"),
    [
        (disk("store", GIB - 1), FAIL, "held is temp-failed"),
        (disk("store", 2 * GIB - 1), WARN, "near the floor"),
        (disk("spool", GIB - 1), FAIL, "large mail is temp-failed"),
        (disk("queue", 59_999_999), FAIL, "(452)"),
        (disk("queue", 60_000_000), WARN, "60,000,000"),
        (disk("store", 9 * GIB, inodes=3), FAIL, "3 more files"),
    ],
)
def test_a_full_disk_is_found(broken: Disk, status: Status, says: str) -> None:
    """The floor is the setting; Postfix wants one and a half messages."""
    found = checks.disks([broken], floor=GIB, message_size=40_000_000)
    assert_broken(found, status, says=says, mend=f"/{broken.purpose}")


def test_room_is_well() -> None:
    """Also where inodes are not counted (btrfs)."""
    assert_ok(checks.disks([disk("store", 2 * GIB, inodes=-1)], floor=GIB, message_size=0))


def test_a_wrong_clock_is_found() -> None:
    """A file from the future means that the clock was set back; NTP would have said so."""
    assert_ok(checks.clock(Clock(now=1000.0, synchronised=True, newest={"/e": 1060.0})))
    assert_broken(
        checks.clock(Clock(now=1000.0, synchronised=True, newest={"/e": 9000.0})),
        FAIL,
        says="/e was written 2 hours in the future",
        mend="timedatectl",
    )
    assert_broken(
        checks.clock(Clock(now=1000.0, synchronised=False, newest={})), WARN, says="no NTP", mend="set-ntp true"
    )
    assert only(checks.clock(Clock(now=1.0, synchronised=None, newest={}))).status is SKIPPED


@pytest.mark.parametrize(
    ("broken", "status", "says", "mend"),
    [
        (
            Unit(name="u", load="not-found", active="", enabled=""),
            FAIL,
            "not installed",
            "systemctl enable --now u",
        ),
        (
            Unit(name="u", load="loaded", active="failed", enabled="enabled"),
            FAIL,
            "is failed",
            "systemctl start u",
        ),
        (
            Unit(name="u", load="loaded", active="active", enabled="disabled"),
            WARN,
            "at boot",
            "systemctl enable u",
        ),
        (
            Unit(name="u", load="loaded", active="active", enabled="enabled", restarts=4),
            WARN,
            "4 times",
            "journalctl -u u",
        ),
    ],
)
def test_a_unit_that_is_not_well_is_found(broken: Unit, status: Status, says: str, mend: str) -> None:
    """Not installed, not running, not enabled, or falling over again and again."""
    assert_broken(checks.units([broken]), status, says=says, mend=mend)


def test_units_that_run_are_well() -> None:
    """And a machine without systemd is not blamed for it."""
    assert_ok(checks.units([Unit(name="u", load="loaded", active="active", enabled="enabled")]))
    assert only(checks.units(None)).status is SKIPPED


def test_every_problem_of_a_document_is_told_with_its_place() -> None:
    """File, line, column and remedy, as ConfigError has them."""
    problem = Problem(Path("/e/g.yaml"), 3, 5, "'skool' is not a key that is known here", "did you mean 'school'?")
    found = checks.settings(Path("/e/g.yaml"), [problem], found=False)
    assert_broken(found, FAIL, says="/e/g.yaml:3:5: 'skool'", mend="did you mean 'school'?")
    whole = Problem(Path("/e/g.yaml"), 0, 0, "is empty")
    assert_broken(checks.policy(None, [whole]), FAIL, says="/e/g.yaml: is empty", mend="edit /e/g.yaml")
    assert_ok(checks.settings(Path("/e/g.yaml"), [], found=True))
    assert_ok(checks.policy(PolicyRef(name="n", version="1", digest="0" * 64), []))


def test_what_a_policy_can_live_with_is_a_warning() -> None:
    """An exemption from a rule that does not exist: the policy is fit, but somebody waits for it in vain."""
    ref = PolicyRef(name="default", version="1", digest="0" * 64)
    doubt = Problem(Path("exemptions.csv"), 3, 1, "there is no such rule", "did you mean 'programs'?")
    fine, warned = checks.policy(ref, (), [doubt])
    assert_ok([fine])
    assert_broken([warned], WARN, says="exemptions.csv:3:1: there is no", mend="did you mean 'programs'?")


PEOPLE = Entry(path=Path("/etc/gatepost/directory"), mode=stat.S_IFDIR | 0o750)
ROW = Problem(Path("/d/staff.csv"), 7, 2, "'a@b' is not an address")


@pytest.mark.parametrize(
    ("broken", "status", "says", "mend"),
    [
        (DirectoryFacts(folder=PEOPLE, faults=(ROW,)), FAIL, "/d/staff.csv:7:2", "gatepost directory check"),
        (DirectoryFacts(folder=PEOPLE, left_out=(ROW, ROW)), WARN, "2 rows", "gatepost directory check"),
        (DirectoryFacts(folder=PEOPLE, age=40 * 86400), WARN, "40 days ago", "export the people"),
        (
            DirectoryFacts(folder=Entry(path=Path("/d"), mode=stat.S_IFDIR | 0o755)),
            WARN,
            "people's data",
            "chmod o-rwx /d",
        ),
    ],
)
def test_a_directory_that_is_not_well_is_found(
    broken: DirectoryFacts, status: Status, says: str, mend: str
) -> None:
    """Who is whose parent, and who has left, is only known from a directory that is whole and fresh."""
    assert_broken(checks.directory(broken), status, says=says, mend=mend)


def test_a_whole_directory_is_well(tmp_path: Path) -> None:
    """Real files; a folder without people is a fault; and a school without a directory is not blamed."""
    assert only(checks.directory(None)).status is SKIPPED
    tmp_path.chmod(0o750)
    assert only(checks.directory(facts.directory(tmp_path)[0])).status is FAIL
    (tmp_path / "people.csv").write_text("name,address,kind\nA Person,a@school.example,staff\n", encoding="utf-8")
    found, loaded = facts.directory(tmp_path)
    assert loaded is not None
    assert (found.people, found.left_out) == (1, ())
    assert_ok(checks.directory(found))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """A Unix socket that a test answers on as it likes."""
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(tmp_path / "m.sock"))
        made.listen()
        made.settimeout(20)
        yield made


def answering(listener: socket.socket, reply: bytes) -> tuple[Answer, bytes]:
    """What the doctor makes of this reply, and what it sent."""
    received = bytearray()

    def serve() -> None:
        # A reset only says that the doctor left without reading all of a reply that was none.
        with suppress(ConnectionResetError), closing(listener.accept()[0]) as connection:
            connection.settimeout(20)
            received.extend(connection.recv(17))
            if reply:
                connection.sendall(reply)
                while piece := connection.recv(100):
                    received.extend(piece)

    server = threading.Thread(target=serve)
    server.start()
    answer = facts.answer(listener.getsockname())
    server.join(20)
    assert not server.is_alive()
    return answer, bytes(received)


def test_a_milter_that_negotiates_answers(listener: socket.socket) -> None:
    """The doctor begins as Postfix does, and leaves with SMFIC_QUIT: no session is left behind."""
    answer, sent = answering(listener, b"\0\0\0\x0dO\0\0\0\x06\0\0\0\0\0\0\0\0")
    assert (answer.problem, answer.version) == ("", 6)
    assert sent.startswith(b"\0\0\0\x0dO\0\0\0\x06")
    assert sent.endswith(b"\0\0\0\x01Q")


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"", "hangs up"),
        (b"220 mail.school.example ESMTP\r\n", "does not speak"),
        (b"\xff\xff\xff\xffO", "does not speak"),
        (b"\0\0\0\x01O", "does not speak"),
    ],
)
def test_what_is_not_a_milter_is_told_apart(listener: socket.socket, reply: bytes, problem: str) -> None:
    """Another program on the socket, a wrong port, hostile lengths."""
    assert problem in answering(listener, reply)[0].problem


def test_a_socket_that_nobody_serves_is_refused(tmp_path: Path) -> None:
    """A stale socket file after a crash."""
    with closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(str(tmp_path / "m.sock"))
    assert facts.answer(str(tmp_path / "m.sock")).problem == "Connection refused"


def test_a_store_is_read_without_a_trace(tmp_path: Path) -> None:
    """The doctor, who runs as root, must leave no files that gatepost's user could not write."""
    url = f"sqlite:///{tmp_path}/q.db"
    chosen = settings(store={"url": url, "free_floor": 0})
    assert facts.store(chosen).exists is False
    assert list(tmp_path.iterdir()) == []
    open_store(chosen.store, gateway="mx.school.example").close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    seen = facts.store(chosen)
    assert_ok(checks.store(seen))
    assert_ok(checks.outbox(seen))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_store_that_is_in_use_is_read_with_what_was_just_written(tmp_path: Path) -> None:
    """While gatepost runs, the newest rows are in the write-ahead log."""
    chosen = settings(store={"url": f"sqlite:///{tmp_path}/q.db", "free_floor": 0})
    open_store(chosen.store, gateway="mx.school.example").close()
    with closing(sqlite3.connect(tmp_path / "q.db", isolation_level=None)) as writer:
        writer.execute(
            "INSERT INTO outbox (kind, state, message_id, recipient, notice, attempts, created_at, due_at, "
            "lease_owner, reply) VALUES ('notice', 'owed', '', 'a@b.example', '{}', 0, 0, 0, '', '')"
        )
        seen = facts.store(chosen)
        assert seen.owed == 1
        assert only(checks.outbox(seen)).status is FAIL


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 100, b""])
def test_a_file_that_is_no_store_is_a_fault(tmp_path: Path, content: bytes) -> None:
    """Truncated, overwritten, or somebody else's."""
    (tmp_path / "q.db").write_bytes(content)
    seen = facts.store(settings(store={"url": f"sqlite:///{tmp_path}/q.db"}))
    assert only(checks.store(seen)).status is FAIL


def test_a_damaged_store_is_a_fault(tmp_path: Path) -> None:
    """A page in the middle is overwritten, as a failing disk would."""
    chosen = settings(store={"url": f"sqlite:///{tmp_path}/q.db", "free_floor": 0})
    open_store(chosen.store, gateway="mx.school.example").close()
    content = bytearray((tmp_path / "q.db").read_bytes())
    for page in range(8192, len(content), 8192):
        content[page : page + 64] = b"\xff" * 64
    (tmp_path / "q.db").write_bytes(content)
    assert only(checks.store(facts.store(chosen))).status is FAIL


def test_a_store_url_that_names_nothing_is_a_fault() -> None:
    """And no password of it is told."""
    found = facts.store(settings(store={"url": "mysql://user:secret@host/x"}))
    assert only(checks.store(found)).status is FAIL
    assert "secret" not in only(checks.store(found)).says


def test_facts_of_this_machine_can_be_gathered(tmp_path: Path) -> None:
    """What the pure tests above take for granted: that real files, disks and clocks give such facts."""
    found = facts.located(tmp_path)
    assert found.entry.exists
    assert found.folders[0].path == Path("/")
    assert not facts.located(tmp_path / "missing").entry.exists
    room = facts.disk("store", tmp_path / "not" / "yet" / "made")
    assert room is not None
    assert room.free > 0
    assert facts.clock({}).synchronised in (True, False, None)
    assert facts.user("root") == User(name="root", uid=0, gids=frozenset(os.getgrouplist("root", 0)))
    assert facts.user("nobody-of-this-name") is None


def test_senders_who_are_asked_can_answer() -> None:
    """A link that opens nothing, or travels in clear, is told; and a policy that asks without a way to answer."""
    asks, tls = ["parents-exposed"], SenderPages(public_url="https://mail.school.example/held")
    assert_ok(checks.sender_pages(tls, asks, answers=True))
    assert only(checks.sender_pages(SenderPages(), [], answers=False)).status is SKIPPED
    silent = checks.sender_pages(SenderPages(), asks, answers=False)
    assert_broken(silent, WARN, says="(parents-exposed)", mend="sender_pages.public_url")
    by_mail = SenderPages(reply_address="gatepost@school.example")
    assert_broken(
        checks.sender_pages(by_mail, asks, answers=False), WARN, says="only by a reply", mend="public_url"
    )
    assert_broken(
        checks.sender_pages(tls, asks, answers=False), FAIL, says="127.0.0.1:8026", mend="gatepost-pages"
    )
    clear = SenderPages(public_url="http://mail.school.example")
    assert [each.status for each in checks.sender_pages(clear, asks, answers=True)] == [WARN, Status.OK]


def test_a_listener_is_seen_and_its_absence_too() -> None:
    """On a port of this machine."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        assert facts.listens(place)
    assert not facts.listens(place)


def test_an_optional_unit_is_asked_about_only_where_it_is_used() -> None:
    """The console may run on another machine; where it is enabled here, it has to run."""
    runs = Unit(name="gatepost-milter.service", load="loaded", active="active", enabled="enabled")
    absent = Unit(name="gatepost-console.service", load="not-found", active="inactive", enabled="", optional=True)
    assert_ok(checks.units([runs, absent]))
    dead = replace(absent, load="loaded", enabled="enabled", active="failed")
    assert_broken(
        checks.units([runs, dead]),
        FAIL,
        says="gatepost-console.service is failed",
        mend="systemctl start gatepost-console.service",
    )


def test_what_is_sealed_needs_a_key() -> None:
    """Without one such mail is kept in clear: never shown, but there for whoever reads the disk."""
    bare = Settings(school=School(name="S", domains=["school.example"]))
    keyed = bare.model_copy(update={"store": bare.store.model_copy(update={"seal_keys": ["k"]})})
    assert_broken(checks.seal(bare, ["abuse"]), FAIL, says="abuse would seal mail", mend="gatepost seal new-key")
    assert_ok(checks.seal(keyed, ["abuse"]))
    assert only(checks.seal(bare, [])).status is SKIPPED


def test_templates_that_do_not_load_are_told_with_their_place() -> None:
    """The courier would not start with them after its next restart."""
    school = Settings(school=School(name="S", domains=["school.example"]))
    problem = Problem(Path("/etc/gatepost/templates/notice.txt"), 3, 1, "'sbject' is undefined")
    assert_broken(checks.notices(school, [problem]), FAIL, says="notice.txt:3:1", mend="gatepost notice preview")
    assert_ok(checks.notices(school, []))
