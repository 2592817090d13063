"""The commands about keeping: ``quarantine seal|hold|expire|export|backup``, ``audit``, ``subject``, ``seal``."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.quarantine import MESSAGE, chunks, held, hold_event, recipient
from support.senders import LETTER, TEACHER, waiting

from gatepost_config.settings import Store
from gatepost_milter.cli import main
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.cases import EVERYTHING, Case, CaseKind
from gatepost_quarantine.held import Choice, HeldMessage, SenderAnswer, State
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.sql import SqlStore, open_store

GATEWAY = "mx1.school.example"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, store: SqlStore) -> Run:
    """Run a command with the settings at the end."""

    def run_it(*arguments: str, said: str = "", seal_keys: tuple[str, ...] = ()) -> Result:
        document = {
            "school": {"name": "Example School", "domains": ["school.example"]},
            "gateway": GATEWAY,
            "store": {
                "url": f"sqlite:///{tmp_path / 'quarantine.db'}",
                "free_floor": 0,
                "seal_keys": list(seal_keys),
            },
        }
        config = tmp_path / "gatepost.yaml"
        config.write_text(json.dumps(document), encoding="utf-8")
        return CliRunner().invoke(main, [*arguments, "--config", str(config)], input=said)

    return run_it


def keep(store: SqlStore, content: bytes = MESSAGE, **changes: object) -> HeldMessage:
    message = held(content, **changes)
    store.hold(message, content=chunks(content), events=[hold_event(message)])
    return message


def test_a_message_is_sealed_and_opened_by_two_roles(run: Run, store: SqlStore, tmp_path: Path) -> None:
    """From the making of the key to the file that a court gets, every step as a person does it."""
    made = CliRunner().invoke(
        main,
        ["seal", "new-key", "--role", "headteacher", "--role", "safeguarding", "--into", str(tmp_path)],
        input="too short\ntoo short\nhorse battery 1\nhorse battery 1\nstaple correct 2\nstaple correct 2\n",
    )
    assert made.exit_code == 0, made.output
    key = made.stdout.split("seal_keys: [")[1].split("]")[0]
    shares = [tmp_path / f"seal-share-{role}.json" for role in ("headteacher", "safeguarding")]
    assert [share.stat().st_mode & 0o777 for share in shares] == [0o600, 0o600]
    message = keep(store, subject="private")
    assert run("quarantine", "seal", message.id, "--reason", "x").exit_code == 1
    assert run("quarantine", "seal", message.id, "--reason", "x", seal_keys=(key,)).exit_code == 0
    refused = run("quarantine", "export", message.id, "--output", str(tmp_path / "no.eml"), "--reason", "x")
    assert (refused.exit_code, (tmp_path / "no.eml").exists()) == (1, False)
    open_it = ["quarantine", "unseal-export", message.id, "--share", str(shares[0]), "--share", str(shares[1])]
    open_it += ["--output", str(tmp_path / "m.eml"), "--reason", "order 12"]
    assert run(*open_it, said="horse battery 1\nwrong\n").exit_code == 2
    opened = run(*open_it, said="horse battery 1\nstaple correct 2\n")
    assert opened.exit_code == 0, opened.output
    assert (tmp_path / "m.eml").read_bytes() == MESSAGE
    assert json.loads((tmp_path / "m.eml.json").read_text())["subject"] == "private"
    assert run(*open_it, said="horse battery 1\nstaple correct 2\n").exit_code == 2  # never over a file
    verbs = [event.verb for event in store.events(message.id)]
    assert verbs == [Verb.HOLD, Verb.SEAL, Verb.UNSEAL]


def test_the_same_role_twice_makes_no_key(tmp_path: Path) -> None:
    """Two halves with one person are one person's key."""
    for roles in (["--role", "head"], ["--role", "head", "--role", "Head"], ["--role", "a", "--role", "../b"]):
        assert CliRunner().invoke(main, ["seal", "new-key", *roles, "--into", str(tmp_path)]).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_legal_hold_is_begun_and_ended(run: Run, store: SqlStore) -> None:
    """And in between nothing is deleted."""
    message = keep(store)
    assert run("quarantine", "hold", message.id[:8], "--reason", "police").exit_code == 0
    assert run("quarantine", "delete", message.id, "--yes").exit_code == 1
    assert run("quarantine", "hold", message.id, "--off", "--reason", "closed").exit_code == 0
    assert run("quarantine", "delete", message.id, "--yes").exit_code == 0


def test_expire_says_what_is_due_and_then_does_it(run: Run, store: SqlStore) -> None:
    """A dry run changes nothing; the roles' mailboxes come from the policy."""
    message = keep(store, received_at=datetime.now(UTC) - timedelta(days=400))
    store.legal_hold(
        keep(store, b"2", received_at=datetime.now(UTC) - timedelta(days=400)).id, actor="a", reason="r"
    )
    for _ in range(2):
        dry = run("quarantine", "expire", "--dry-run", "--json")
        assert dry.exit_code == 0, dry.output
    assert store.counts().owed == 0
    store.reminded([(message.id, 3)], [], actor="test")
    done = run("quarantine", "expire", "--json")
    assert done.exit_code == 0, done.output
    assert [each["what"] for each in map(json.loads, done.stdout.splitlines()) if each["id"] == message.id] == [
        "expired"
    ]
    assert store.get(message.id).recipients[0].state is State.EXPIRED
    assert store.counts().owed > 0


def test_an_export_is_the_message_and_an_event(run: Run, store: SqlStore, tmp_path: Path) -> None:
    """Byte for byte, for its owner only, and never over a file that is there."""
    message, output = keep(store), tmp_path / "out.eml"
    wanted = ("quarantine", "export", message.id, "--output", str(output), "--reason", "vendor", "--actor", "ann")
    assert run(*wanted).exit_code == 0
    assert (output.read_bytes(), output.stat().st_mode & 0o777) == (MESSAGE, 0o600)
    last = store.events(message.id)[-1]
    assert (last.verb, last.actor, last.reason) == (Verb.EXPORT, "ann", "vendor")
    assert run(*wanted).exit_code == 2


def test_a_backup_is_a_store_that_opens(run: Run, store: SqlStore, tmp_path: Path) -> None:
    """While the store is in use; and damage in the bytes of a message is found."""
    message = keep(store)
    copy = tmp_path / "copy.db"
    assert run("quarantine", "backup", str(copy)).exit_code == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert run("quarantine", "backup", str(copy)).exit_code == 2
    opened = open_store(Store(url=f"sqlite:///{copy}", free_floor=0), gateway=GATEWAY)
    assert b"".join(opened.content(message.id)) == MESSAGE
    assert list(opened.damage()) == []
    opened.close()
    assert run("quarantine", "check").exit_code == 0
    with sqlite3.connect(tmp_path / "quarantine.db") as database:
        database.execute("UPDATE chunk SET data = zeroblob(length(data))")
    damaged = run("quarantine", "check")
    assert (damaged.exit_code, message.id in damaged.output) == (1, True)


def test_the_audit_is_listed_and_checked(run: Run, store: SqlStore, tmp_path: Path) -> None:
    """An edit, a gap and a cut tail are found; erased names are not a fault."""
    assert run("audit", "verify").stdout == "No event is recorded yet.\n"
    first = keep(store, b"1")
    keep(store, b"2")
    store.deny(first.id, actor="ann", reason="spam")
    (_gateway, count, head, segment) = store.heads()[0]
    assert count == 3
    listed = [json.loads(line) for line in run("audit", "list", "--json").stdout.splitlines()]
    assert [(each["seq"], each["verb"], each["actor"]) for each in listed][-1] == (3, "held:deny", "ann")
    assert run("audit", "verify", "--head", head).exit_code == 0
    assert run("audit", "verify", "--head", "f" * 64).exit_code == 1
    assert run("audit", "verify", "--segment", segment).exit_code == 0
    assert run("audit", "erase", first.id, "--reason", "request").exit_code == 0
    erased = run("audit", "verify", "--head", head)
    assert (erased.exit_code, "names erased in 2" in erased.output) == (0, True)
    for damage in (
        "UPDATE event SET reason = 'other' WHERE seq = 4",
        "UPDATE event SET held_id = 'x' WHERE seq = 1",
        "DELETE FROM event WHERE seq = 2",
        "DELETE FROM event WHERE seq >= 3",
    ):
        copy = tmp_path / "copy.db"
        store.backup(copy, actor="test")
        with sqlite3.connect(copy) as database:
            database.execute("DROP TRIGGER event_no_update")
            database.execute("DROP TRIGGER event_no_delete")
            database.execute(damage)
        config = tmp_path / "copy.yaml"
        config.write_text(
            json.dumps(
                {
                    "school": {"name": "S", "domains": ["school.example"]},
                    "store": {"url": f"sqlite:///{copy}", "free_floor": 0},
                }
            )
        )
        found = CliRunner().invoke(main, ["audit", "verify", "--config", str(config)])
        assert found.exit_code == 1, damage
        copy.unlink()


def test_everything_about_one_person_in_a_zip(run: Run, store: SqlStore, tmp_path: Path) -> None:
    """What names the address exactly, with hashes that hold and everybody else in a list; nothing sealed."""
    pat = "pat@family.example"
    mine = keep(store, b"to pat", recipients=[recipient(pat), recipient("sam@family.example")])
    gone = keep(store, b"from pat", sender="Pat@Family.example")
    keep(store, b"other", recipients=[recipient("not-" + pat)])
    store.delete(gone.id, actor="ann")
    until = datetime.now(UTC) + timedelta(days=1)
    for who in ("Pat@family.example", "@family.example"):
        store.add_ruling(Ruling(kind=RulingKind.BLOCK, sender=who, reason="spam?", actor="ann", expires_at=until))
    output = tmp_path / "pat.zip"
    made = run("subject", "export", pat, "--output", str(output), "--reason", "request 9")
    assert made.exit_code == 0, made.output
    with zipfile.ZipFile(output) as archive:
        assert archive.testzip() is None
        index = json.loads(archive.read("index.json"))
        lines = [line.split("  ") for line in archive.read("SHA256SUMS").decode().splitlines()]
        sums = {name: digest for digest, name in lines}
        assert {name: hashlib.sha256(archive.read(name)).hexdigest() for name in sums} == sums
        assert set(archive.namelist()) == {*sums, "SHA256SUMS"}
        assert archive.read(f"messages/{mine.id}.eml") == b"to pat"
        others = json.loads(archive.read("third-parties.json"))
    kept = {each["id"]: each["file"] is not None for each in index["messages"]}
    assert kept == {mine.id: True, gone.id: False}
    assert [(each["kind"], each["reason"]) for each in index["rulings"]] == [("block", "spam?")]
    assert {(each["id"], each["answer"]) for each in index["messages"]} == {(mine.id, None), (gone.id, None)}
    assert index["cases"] == []
    assert set(others) == {"sam@family.example", "sales@supplier.example", "teacher@school.example"}
    (event,) = [link.event for link in store.chain(GATEWAY) if link.event.verb is Verb.SUBJECT_EXPORT]
    assert (event.recipient, event.reason) == (pat, "request 9")


def test_a_persons_cases_and_answers_are_part_of_everything(run: Run, store: SqlStore, tmp_path: Path) -> None:
    """What they said about their own mail, what was looked into because of it, and what they reported."""
    mine, pat = waiting(), TEACHER
    store.hold(mine, content=chunks(LETTER), events=[hold_event(mine)])
    other = keep(store, b"other", recipients=[recipient("else@school.example")])
    store.answer(SenderAnswer(held_id=mine.id, choice=Choice.ASK, sender=pat, reason="Is it safe?", via="page"))
    about = store.open_case(
        Case(kind=CaseKind.BREACH, title="A list", queue="it-support", opened_by="ann", held=(mine.id, other.id))
    )
    store.note_case(about.id, "Spoke to Pat", actor="ann", sight=EVERYTHING)
    reported = store.open_case(Case(kind=CaseKind.REPORT, title="Odd", queue="it-support", opened_by=pat))
    store.open_case(Case(kind=CaseKind.OTHER, title="Else", queue="it-support", opened_by="ann", held=(other.id,)))
    output = tmp_path / "pat.zip"
    made = run("subject", "export", pat, "--output", str(output), "--reason", "request 10")
    assert made.exit_code == 0, made.output
    with zipfile.ZipFile(output) as archive:
        index = json.loads(archive.read("index.json"))
    answers = {each["id"]: each["answer"] for each in index["messages"]}
    assert (answers[mine.id]["what"], answers[mine.id]["reason"]) == ("ask", "Is it safe?")
    cases = {each["id"]: each for each in index["cases"]}
    assert set(cases) == {about.id, reported.id}
    assert cases[about.id]["messages"] == [mine.id]
    assert [each["text"] for each in cases[about.id]["notes"]] == ["Spoke to Pat"]
