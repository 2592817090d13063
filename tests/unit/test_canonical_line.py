"""One line for each message, with the fields that the page names, whatever strangers write into the message."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import Milter
import pytest
import structlog
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from support.gates import PARENT, Judge, Keeper, OwnMail, finding, verdict

from gatepost_config import logs, settings
from gatepost_config.words import Action, Direction, Mode
from gatepost_milter import session
from gatepost_milter.cli.ladder import parse
from gatepost_milter.gate import Gate
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Examined
from gatepost_milter.inspection.model import Inspection, Leaf
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.replies import Answer, Disposition, Event
from gatepost_milter.spool import Spool

OUTBOUND = Direction.OUTBOUND
PASSED = verdict({PARENT: (OUTBOUND, Action.PASS)})
SUPPORT = {"support_id": "SUPPORT1"}
ANSWERED = SUPPORT | {"reply_outcome": "send", "held_id": "a" * 32}
EVENTS = {each.value for each in Event}


class Hands:
    """Calls libmilter's callbacks, and does the work where it is."""

    def __init__(self, gate: Gate, directory: Path, macros: Mapping[str, str]) -> None:
        self._session = session.Session(
            gate=gate,
            spool=settings.Spool(directory=directory, memory=1 << 20, limit=1 << 20),
            clerks=self,  # type: ignore[arg-type]
        )
        self._macros = macros
        self._session._setctx(self)
        self._session.negotiate([0x1FF, 0x1FFFFF, 0, 0])

    def do(self, work: Callable[[], int], *, otherwise: int) -> int:
        return work()

    def getsymval(self, name: str) -> str | None:
        return self._macros.get(name)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None

    def send(
        self, *, client: str, helo: str, sender: bytes, recipient: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> int:
        """One session with one message."""
        it = self._session
        it.connect(client, 2, (client, 25))
        it.hello(helo)
        it.envfrom(b"<" + sender + b">")
        it.envrcpt(b"<" + recipient + b">")
        for name, value in headers:
            it.header(name, value)
        it.eoh()
        it.body(b"Hi\r\n")
        code = it.eom()
        it.close()
        return int(code)


class Nobody:
    """Finds nothing in any file."""

    def examine(self, content: Spool, leaves: Sequence[Leaf], **_: object) -> Examined:
        return Examined()


def gate(given_verdict: Verdict, *, broken: bool = False) -> Gate:
    return Gate(
        inspect=partial(inspect, inspectors=Nobody(), limits=settings.Inspection()),
        policy=Judge(given_verdict),
        store=Keeper(broken=broken),
        gateway="gw",
    )


@contextlib.contextmanager
def written(form: str = "json") -> Iterator[Callable[[], bytes]]:
    """What is written to standard output meanwhile."""
    output = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", io.TextIOWrapper(output, write_through=True))
        logs.configure(settings.Log.model_validate({"format": form}), service="milter")
        patch.setattr(session, "_log", structlog.get_logger("gatepost.session"))
        try:
            yield output.getvalue
        finally:
            structlog.reset_defaults()


hostile = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from('\n\r\0\x1b\u2028\u202e"\\{}%=<> ,:'))
)
wire = st.binary(max_size=200).map(lambda raw: raw.replace(b"\0", b""))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "text"])
@given(client=hostile, helo=hostile, login=hostile, queue_id=hostile, sender=wire, subject=wire, message_id=wire)
@hypothesis_settings(max_examples=150, deadline=None)
def test_no_message_can_forge_or_break_a_line(
    form: str,
    client: str,
    helo: str,
    login: str,
    queue_id: str,
    sender: bytes,
    subject: bytes,
    message_id: bytes,
) -> None:
    """Whoever reads the log, a person at a terminal or a program that alerts, sees one event for one message."""
    with written(form) as output:
        hands = Hands(gate(PASSED), Path("/nonexistent"), {"i": queue_id, "{auth_authen}": login})
        hands.send(
            client=client,
            helo=helo,
            sender=sender,
            recipient=PARENT.encode(),
            headers=[("Subject", subject), ("Message-ID", b" <" + message_id + b">"), ("From", sender)],
        )
        text = output()

    assert text.endswith(b"\n")
    assert len(text.splitlines()) == 1
    if form == "json":
        record = json.loads(text)
        assert record["event"] in EVENTS
        assert (record["queue_id"], record["login"], record["client"]) == (queue_id, login, client)
    else:
        line = text.decode()
        assert not [letter for letter in line.rstrip("\n") if not letter.isprintable()]
        assert line.split()[3] in EVENTS


def _fault(content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
    raise RuntimeError("a defect")


def _nothing(content: Spool, *, deadline: float, hashes: bool = False) -> Inspection:
    return Inspection(size=content.size)


def stories(directory: Path) -> Iterator[dict[str, Any]]:
    """A line for each way in which a message can end."""
    found = finding("exe", {PARENT: Action.QUARANTINE}, tell=["it-support"])
    warned = finding("warn", {PARENT: Action.WARN}, tell=["it-support"])
    quarantine = verdict({PARENT: (OUTBOUND, Action.QUARANTINE)}, found)
    gates = {
        "passed": gate(PASSED),
        "tagged": gate(verdict({PARENT: (OUTBOUND, Action.TAG)})),
        "warned": gate(verdict({PARENT: (OUTBOUND, Action.WARN)}, warned)),
        "held": gate(quarantine),
        "refused": gate(verdict({PARENT: (OUTBOUND, Action.REJECT)}, finding("no", {PARENT: Action.REJECT}))),
        "failed": gate(quarantine, broken=True),
        "released": _own(
            OwnMail(releases=Answer(disposition=Disposition.ACCEPT, event=Event.RELEASED, facts=SUPPORT))
        ),
        "answered": _own(
            OwnMail(answers=Answer(disposition=Disposition.DISCARD, event=Event.ANSWERED, facts=ANSWERED))
        ),
        "failed by a defect": Gate(inspect=_fault, policy=Judge(PASSED), store=Keeper(), gateway="gw"),
    }
    for story, each in gates.items():
        with written() as output:
            Hands(each, directory, {"i": "4QUEUE"}).send(
                client="192.0.2.1",
                helo="pc",
                sender=b"a@school.example",
                recipient=PARENT.encode(),
                headers=[("Message-ID", b" <1@school.example>")],
            )
            (line,) = output().splitlines()
        record = json.loads(line)
        assert record["event"] == story.partition(" ")[0]
        assert (record["queue_id"], len(record["support_id"])) == ("4QUEUE", 8)
        yield record


def _own(mail: OwnMail) -> Gate:
    """A gate to which mail of its own comes back."""
    return Gate(inspect=_nothing, policy=Judge(PASSED), store=Keeper(), gateway="gw", own=mail)


def test_every_end_is_one_line_and_its_fields_are_on_the_page(root: Path, tmp_path: Path) -> None:
    """What somebody searches the log by must not change without the page that promises it."""
    page = (root / "milter/README.md").read_text(encoding="utf-8")
    section = page.partition("## The log line of a message")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))

    assert {name for record in stories(tmp_path) for name in record} == told


def test_the_report_reads_the_line_of_every_end(tmp_path: Path) -> None:
    """The log is its only source, so the two must not drift apart."""
    read = [parse(json.dumps(record).encode()) for record in stories(tmp_path)]
    lines = [line for line in read if line is not None]

    assert {line.event.value for line in lines} == EVENTS
    steps = {(step.rule, step.mode, step.wanted, step.action) for line in lines for step in line.steps}
    assert ("exe", Mode.ENFORCE, Action.QUARANTINE, Action.QUARANTINE) in steps


def test_every_word_for_an_end_is_on_the_page(root: Path) -> None:
    """The words that people filter by."""
    page = (root / "milter/README.md").read_text(encoding="utf-8")
    section = page.partition("## The log line of a message")[2].partition("\n## ")[0]

    assert set(re.findall(r"^- `(\w+)`:", section, re.MULTILINE)) == EVENTS


def test_the_hands_accept_what_passes(tmp_path: Path) -> None:
    """The other tests here say something only if messages really go through."""
    with written():
        code = Hands(gate(PASSED), tmp_path, {"i": "4QUEUE"}).send(
            client="192.0.2.1", helo="pc", sender=b"a@school.example", recipient=PARENT.encode(), headers=[]
        )
    assert code == Milter.ACCEPT
