"""``gatepost quarantine``: what a reviewer at a terminal sees, decides, and is told."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.quarantine import MESSAGE, chunks, explanation, finding, held, hold_event, recipient
from support.senders import LETTER, waiting

from gatepost_config.words import Action, Direction, Evidence
from gatepost_milter.cli import main
from gatepost_quarantine.audit import Verb
from gatepost_quarantine.cases import Case, CaseKind
from gatepost_quarantine.held import Choice, HeldMessage, HeldRecipient, NoticeKind, SenderAnswer, State
from gatepost_quarantine.sql import SqlStore
from gatepost_quarantine.store import NotFoundError, OwedNotice, OwedRelease, StoreError

TEACHER = "teacher@school.example"
HEAD = "head@school.example"
Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "gatepost.yaml"
    document = {
        "school": {"name": "Example School", "domains": ["school.example"]},
        "gateway": "mx1.school.example",
        "store": {"url": f"sqlite:///{tmp_path / 'quarantine.db'}", "free_floor": 0},
    }
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.fixture
def run(config: Path, store: SqlStore) -> Run:
    """Run ``gatepost quarantine``."""

    def invoke(*arguments: str, said: str = "") -> Result:
        return CliRunner().invoke(main, ["quarantine", *arguments, "--config", str(config)], input=said)

    return invoke


def keep(store: SqlStore, content: bytes = MESSAGE, **changes: Any) -> HeldMessage:
    """Hold a message."""
    message = held(content, **changes)
    store.hold(message, content=chunks(content), events=[hold_event(message)])
    return message


def lines(result: Result) -> list[dict[str, Any]]:
    """The JSON lines of the output."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_empty_quarantine_says_so(run: Run) -> None:
    """And is no failure."""
    assert (run("list").stdout.strip(), run("list").exit_code) == ("Nothing is held.", 0)
    assert run("list", "--rule", "x").stdout.strip() == "Nothing is held that matches."
    assert run("list", "--json").stdout == ""


def test_list_shows_what_a_reviewer_chooses_by(run: Run, store: SqlStore) -> None:
    """Age, state, who, what and why, with an id that is long enough to act on."""
    message = keep(store, recipients=[recipient(TEACHER), recipient(HEAD)])
    result = run("list")
    assert result.exit_code == 0
    for said in (message.id[:8], "held", "Supplier", f"{TEACHER} +1", "Invoice", "executable-attachment"):
        assert said in result.stdout


def test_list_passes_its_filters_on(run: Run, store: SqlStore) -> None:
    """Each option reaches the store."""
    first = keep(store, b"1", subject="Trip")
    second = keep(store, b"2", queue="safeguarding")
    store.deny(second.id, actor="ann")

    def ids(*options: str) -> list[str]:
        return [each["id"] for each in lines(run("list", "--json", *options))]

    assert set(ids()) == {first.id, second.id}
    assert ids("--state", "held") == [first.id]
    assert ids("--state", "denied", "--state", "released") == [second.id]
    assert ids("--search", "TRIP") == [first.id]
    assert ids("--queue", "safeguarding") == [second.id]
    assert ids("--rule", "other") == []
    assert len(ids("--limit", "1")) == 1
    assert "there may be more" in run("list", "--limit", "1").stdout


def test_show_says_why_first(run: Run, store: SqlStore) -> None:
    """Then for whom, what is in it, and what was done; private evidence is for the console's break-glass only."""
    found = finding(
        [TEACHER],
        evidence=(
            Evidence(kind="attachment", name="setup.exe", where="part 2 › setup.exe"),
            Evidence(kind="text", name="Blue7Whale", where="part 1", private=True),
        ),
    )
    message = keep(
        store,
        explanation=explanation([TEACHER], findings=(found,)),
        attachments=({"path": "part 2 › setup.exe", "detected": "application/x-dosexec", "size": 12345},),
    )
    result = run("show", message.id[:6])
    assert result.exit_code == 0
    parts = ["Why it is held", "is a Windows program", "KCS 2.6", "Recipients", TEACHER, "Attachments", "12.3 kB"]
    places = [result.stdout.index(part) for part in [*parts, "History", "held:hold"]]
    assert places == sorted(places)
    assert "Blue7Whale" not in result.stdout + run("show", message.id, "--json").stdout


def test_show_says_what_keeps_it(run: Run, store: SqlStore) -> None:
    """Who looks at an old message should know why it is still there."""
    message = keep(store)
    assert "Does not expire" not in run("show", message.id).stdout
    store.legal_hold(message.id, actor="ann", reason="claim of 3 May")
    opened = store.open_case(
        Case(kind=CaseKind.BREACH, title="A", queue="it-support", opened_by="ann", held=(message.id,))
    )
    said = " ".join(run("show", message.id).stdout.split())
    assert f"Does not expire legal hold (claim of 3 May); open case {opened.id}" in said
    (told,) = lines(run("show", "--json", message.id))
    assert (told["legal_hold"], told["open_cases"]) == ("claim of 3 May", [opened.id])


def test_show_json_is_one_object(run: Run, store: SqlStore) -> None:
    """With the explanation that every other surface shows."""
    message = keep(store)
    (shown,) = lines(run("show", "7kq-2mx", "--json"))
    assert shown["id"] == message.id
    assert shown["explanation"] == message.explanation.public().to_json()
    assert [event["verb"] for event in shown["history"]] == [Verb.HOLD.value]


def test_a_sealed_message_shows_its_frame_only(run: Run, store: SqlStore) -> None:
    """KCS 1.10: no program of ours shows it, whatever was written down about it."""
    sealed = HeldRecipient(address=TEACHER, direction=Direction.INBOUND, action=Action.SEAL)
    message = keep(
        store, recipients=[sealed], subject="Secret words", attachments=({"path": "secret.jpg", "size": 1},)
    )
    for options in (["list"], ["list", "--json"], ["show", message.id], ["show", message.id, "--json"]):
        said = run(*options).stdout
        assert message.id[:8] in said
        assert not [word for word in ("Secret words", "secret.jpg", "Windows program", "Supplier") if word in said]
    assert lines(run("list", "--json", "--search", "secret")) == []


def test_what_came_with_a_message_cannot_act_on_the_terminal(run: Run, store: SqlStore) -> None:
    """Escape sequences, markup and text that runs backwards are shown as letters or not at all."""
    message = keep(
        store,
        subject="\x1b[2J\x1b]0;owned\x07 [bold red]x[/] \u202egpj.exe",
        from_header="a\nb\x9b31m",
        message_id="<\x1b[31m>",
    )
    for result in (run("list"), run("show", message.id), run("release", message.id)):
        assert not set(result.stdout) & set("\x1b\x07\x9b\u202e")
        assert result.exit_code == 0
    assert "[bold red]x[/]" in run("list").stdout


def test_release_owes_the_message_to_the_courier(run: Run, store: SqlStore) -> None:
    """With who and why on record; the actor is whoever is logged in."""
    message = keep(store)
    result = run("release", message.id[:7], "--reason", "expected")
    assert result.exit_code == 0
    assert "releasing" in result.stdout
    after = store.get(message.id).recipients[0]
    assert (after.decided_by, after.reason) == (pwd.getpwuid(os.getuid()).pw_name, "expected")
    (row,) = store.claim(worker="w", lease=60)
    assert isinstance(row, OwedRelease)


def test_behind_sudo_the_person_is_named(run: Run, store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """“root did it” is no record; and without root the variable proves nothing."""
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    first = keep(store, b"1")
    run("release", first.id)
    assert store.get(first.id).recipients[0].decided_by == "ann"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    second = keep(store, b"2")
    run("release", second.id)
    assert store.get(second.id).recipients[0].decided_by != "ann"


def test_releasing_twice_gives_the_first_answer(run: Run, store: SqlStore) -> None:
    """The second reviewer learns who was first, and the exit code is that of success."""
    message = keep(store)
    run("release", message.id, "--actor", "ann")
    again = run("release", message.id, "--actor", "bob", "--json")
    assert again.exit_code == 0
    assert lines(again)[0]["recipients"][0]["decided_by"] == "ann"
    assert len(store.claim(worker="w", lease=60)) == 1


def test_one_recipient_or_another_address(run: Run, store: SqlStore) -> None:
    """A copy for IT Support is one recipient's copy."""
    message = keep(store, recipients=[recipient(TEACHER), recipient(HEAD)])
    refused = run("release", message.id, "--to", "it@school.example")
    assert (refused.exit_code, "name the one recipient" in refused.stdout) == (1, True)
    assert run("release", message.id, "--recipient", HEAD, "--to", "it@school.example").exit_code == 0
    after = store.get(message.id).recipients
    assert [(each.state, each.released_to) for each in after] == [
        (State.HELD, ""),
        (State.RELEASING, "it@school.example"),
    ]


def test_several_ids_each_get_an_answer(run: Run, store: SqlStore) -> None:
    """One that cannot be done stops none of the others, and shows in the exit code."""
    good = [keep(store, str(number).encode()) for number in range(12)]
    denied = keep(store, b"denied")
    store.deny(denied.id, actor="ann")
    ids = [*(each.id for each in good), "nothing", denied.id]
    result = run("release", "--json", *ids)
    assert result.exit_code == 1
    answers = lines(result)
    assert [answer["done"] for answer in answers] == [True] * 12 + [False, False]
    assert "no held message" in answers[-2]["error"]
    assert "denied" in answers[-1]["error"]
    assert store.counts().owed == 12
    shown = run("release", "nothing", denied.id, good[0].id, good[0].id)
    assert shown.exit_code == 1
    table, *refused, summary = shown.stdout.rsplit("\n", 4)[:-1]
    assert table.count(good[0].id[:8]) == 1  # named twice, told once
    assert refused[0] == "not done: there is no held message nothing"
    assert refused[1].startswith(f"not done: nothing of {denied.id} is held (denied)")
    assert summary == "1 of 3 released, or on the way."


def test_what_a_list_finds_can_be_decided_about(run: Run, store: SqlStore) -> None:
    """The filters of list serve every decision; ids from anywhere else come one a line."""
    spam = [keep(store, str(number).encode(), subject="Cheap pills") for number in range(3)]
    other = keep(store, b"other")
    found = run("list", "--search", "pills", "--json").stdout
    denied = run("deny", "-", "--reason", "spam", said=found)
    assert (denied.exit_code, "3 of 3 denied." in denied.stdout) == (0, True)
    assert {store.get(each.id).recipients[0].state for each in spam} == {State.DENIED}
    assert run("deny", "-", said=f"\n{other.id[:6]}\r\n\n{other.id[:6]}\n").stdout.endswith("1 of 1 denied.\n")
    nothing = run("deny", "-", said="")
    assert (nothing.exit_code, nothing.stdout) == (0, "No message was named.\n")
    for bad in ("{}", "{", '{"id": 1', '{"id":' + "[" * 100_000):
        refused = run("release", "-", said=f"{other.id}\n{bad}\n")
        assert (refused.exit_code, "neither an id a line nor what list --json" in refused.stderr) == (2, True)


def test_a_release_that_came_back_is_marked_in_the_list(run: Run, store: SqlStore) -> None:
    """The second look objects once: who releases it again should have seen that, and may be somebody else."""
    message, other = keep(store), keep(store, b"other")
    store.release(message.id, actor="ann")
    (row,) = store.claim(worker="t", lease=60)
    store.hold_again(row.row, reason="Not sent: the policy has changed since.", actor="courier")
    rows = {line.split()[0]: line for line in run("list").stdout.splitlines()[1:]}
    assert "held, came back" in rows[message.id[:8]]
    assert "came back" not in rows[other.id[:8]]
    run("release", message.id)
    assert "came back" not in run("list").stdout


def test_a_release_that_waits_is_taken_back_by_naming_whose(run: Run, store: SqlStore) -> None:
    """A bulk denial must not undo what a colleague has just released; one who names the recipient means it."""
    message = keep(store)
    store.release(message.id, actor="ann")
    assert run("deny", message.id).exit_code == 1
    assert run("deny", message.id, "--recipient", TEACHER).exit_code == 0
    assert store.get(message.id).recipients[0].state is State.DENIED


def test_what_was_done_is_told_also_if_the_store_goes_away(
    run: Run, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees only the failure would not know where to go on."""
    kept = [keep(store, str(number).encode()) for number in range(3)]
    deny = SqlStore.deny

    def failing(self: SqlStore, held_id: str, **options: Any) -> HeldMessage:
        if held_id == kept[1].id:
            raise StoreError("the disk is full")
        return deny(self, held_id, **options)

    monkeypatch.setattr(SqlStore, "deny", failing)
    ids = [each.id for each in kept]
    result = run("deny", *ids)
    assert result.exit_code == 2
    assert kept[0].id[:8] in result.stdout
    assert "1 of 3 denied." in result.stdout
    assert "the disk is full" in result.stderr
    again = run("deny", "--json", *ids)
    assert [each["done"] for each in lines(again)] == [True]


def test_deny_tells_a_known_sender_what_it_is_told_to(run: Run, store: SqlStore) -> None:
    """The reason for the record is not in the notice."""
    message = keep(store, sender="ann@school.example")
    assert run("deny", message.id, "--reason", "malware", "--tell", "Use the portal.").exit_code == 0
    assert store.get(message.id).recipients[0].state is State.DENIED
    (row,) = store.claim(worker="w", lease=60)
    assert isinstance(row, OwedNotice)
    assert (row.notice.kind, row.notice.to) == (NoticeKind.DENIED, "ann@school.example")
    assert "Use the portal." in str(row.notice.context)
    assert "malware" not in str(row.notice.context)


@pytest.mark.parametrize(
    ("sender", "options"), [("", []), ("ann@school.example", ["--no-notice"])], ids=["unknown", "quietly"]
)
def test_deny_may_tell_nobody(run: Run, store: SqlStore, sender: str, options: list[str]) -> None:
    """An unknown sender never hears of it, and sometimes a known one must not."""
    message = keep(store, sender=sender)
    assert run("deny", message.id, *options).exit_code == 0
    assert store.counts().owed == 0


def test_delete_removes_the_bytes(run: Run, store: SqlStore) -> None:
    """Without a terminal there is nobody to ask."""
    message = keep(store)
    asked = run("delete", message.id)
    assert (asked.exit_code, "say --yes" in asked.stderr) == (2, True)
    assert run("delete", message.id, "--reason", "asked for", "--yes").exit_code == 0
    assert store.get(message.id).recipients[0].state is State.DELETED
    with pytest.raises(NotFoundError):
        list(store.content(message.id))


def test_show_of_nothing_is_a_no(run: Run) -> None:
    """Exit code 1: the answer is no."""
    result = run("show", "nothing")
    assert (result.exit_code, result.stderr) == (1, "gatepost: there is no held message nothing\n")


@pytest.mark.parametrize(
    "command", [["list"], ["show", "x"], ["release", "x"], ["deny", "x"], ["delete", "x", "--yes"]]
)
def test_without_settings_or_store_it_cannot(tmp_path: Path, command: list[str]) -> None:
    """Exit code 2, and the reason."""
    missing = CliRunner().invoke(main, ["quarantine", *command, "--config", str(tmp_path / "no.yaml")])
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)
    path = tmp_path / "gatepost.yaml"
    school = {"name": "X", "domains": ["school.example"]}
    store = {"url": f"sqlite:///{tmp_path}/missing/quarantine.db"}
    path.write_text(json.dumps({"school": school, "store": store}), encoding="utf-8")
    away = CliRunner().invoke(main, ["quarantine", *command, "--config", str(path)])
    assert (away.exit_code, "store's folder must exist" in away.stderr) == (2, True)


def test_what_a_sender_asked_is_in_the_list_and_on_the_sheet(run: Run, store: SqlStore) -> None:
    """Until somebody decides; and a program reads it as well."""
    message = waiting()
    store.hold(message, content=chunks(LETTER), events=[hold_event(message)])
    assert lines(run("list", "--json"))[0]["sender_answer"] is None
    store.answer(
        SenderAnswer(
            held_id=message.id,
            choice=Choice.ASK,
            sender=message.sender,
            reason="May I,\x1b[31m please?",
            via="page",
        )
    )
    assert "held, asked" in run("list").stdout
    assert "Asks a reviewer" in run("show", message.id).stdout
    assert "\x1b[31m" not in run("show", message.id).stdout
    (listed,) = lines(run("list", "--json"))
    assert (listed["sender_answer"]["choice"], listed["sender_answer"]["via"]) == ("ask", "page")
    store.deny(message.id, actor="rita")
    assert "asked" not in run("list").stdout
