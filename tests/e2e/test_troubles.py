"""Things that go wrong in the middle of a message: the client tries again, and nothing is lost or doubled."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import smtplib
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
from support.mails import clean, infected
from support.other_milter import BreakingWire
from support.postfix import PATIENCE, PostfixLab, postfix_lab

from gatepost_milter.demo.postfix import folder
from gatepost_quarantine.held import State

TEACHER = "t.teacher@school.example"


@pytest.fixture(scope="module")
def lab() -> Iterator[PostfixLab]:
    """A school with the default policy, and one worker to aim at."""
    with postfix_lab(logins=[TEACHER], overrides={"workers": 1}) as made:
        yield made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a story enters, left in turn when it ends."""
    with ExitStack() as entered:
        yield entered


def children(pid: int) -> list[int]:
    """The processes that this one has started and that still run."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in listed.split()]


def test_a_retry_after_a_lost_answer_is_the_same_message(stack: ExitStack) -> None:
    """The store has committed, and the answer never comes: one hold, one notice to each, after two tries."""
    home = folder()
    stack.callback(os.rmdir, home)
    path = home / "wire.sock"
    stack.callback(path.unlink)
    first = stack.enter_context(postfix_lab())
    wire = stack.enter_context(BreakingWire(path, target=first.running.socket))
    lab = stack.enter_context(postfix_lab(gateway=False, milter=wire.address))
    content = infected("Sent twice")
    with pytest.raises(smtplib.SMTPResponseException) as answer:
        lab.inbound(content, to=["retry@school.example"])
    assert (wire.broken.is_set(), answer.value.smtp_code // 100) == (True, 4)
    assert len(first.held("Sent twice")) == 1
    lab.inbound(content, to=["retry@school.example"])
    assert len(first.held("Sent twice")) == 1
    first.arrives("retry@school.example")
    first.settle()
    assert len(first.mailboxes.of("retry@school.example")) == 1
    assert lab.undelivered("retry@school.example")


def test_a_worker_killed_in_mid_message(lab: PostfixLab) -> None:
    """Its client is asked to come again; the next worker takes the message, and it is there once."""
    content = clean("Survivor")
    (worker,) = children(lab.running.milter.pid)
    with smtplib.SMTP("127.0.0.1", lab.postfix.ports.smtp, timeout=PATIENCE) as client:
        client.ehlo()
        client.mail("someone@outside.example")
        client.rcpt("survivor@school.example")
        os.kill(worker, signal.SIGKILL)
        code, _ = client.data(content)
    assert code // 100 == 4
    assert retried(lab, content, to="survivor@school.example").startswith("2.0.0")
    assert len(lab.arrives("survivor@school.example")) == 1


def retried(lab: PostfixLab, content: bytes, *, to: str) -> str:
    """What a mail server does on 4xx: send again, until it is taken or our patience ends."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return lab.inbound(content, to=[to])
        except smtplib.SMTPResponseException as answer:
            if answer.smtp_code // 100 != 4 or time.monotonic() > deadline:
                raise


def processor_ticks(pid: int) -> int:
    """What the process has used of the processor, in clock ticks; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def busy_inspector(worker: int) -> int:
    """The first inspector of the worker that has clearly begun to work on something large."""
    inspectors = [child for nursery in children(worker) for child in children(nursery)]
    idle = {each: processor_ticks(each) for each in inspectors}
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for each, ticks in idle.items():
            if processor_ticks(each) > ticks + 5:
                return each
        time.sleep(0.005)  # between two looks at /proc: what is waited for is the processor time above
    raise AssertionError("no inspector began to work")


def test_an_inspector_killed_in_mid_part(lab: PostfixLab) -> None:
    """Its part cannot be inspected, so the message is held for that; the next message is inspected as ever."""
    (worker,) = children(lab.running.milter.pid)
    with ThreadPoolExecutor(1) as client:
        answer = client.submit(lab.inbound, laborious("Inspected by nobody"), to=["inspected@school.example"])
        os.kill(busy_inspector(worker), signal.SIGKILL)
        assert answer.result(PATIENCE * 2).startswith("2.")
    (held,) = lab.held("Inspected by nobody")
    assert "could-not-be-inspected" in {finding.rule for finding in held.explanation.findings}
    lab.inbound(infected("Inspected at last"), to=["inspected@school.example"])
    (held_next,) = lab.held("Inspected at last")
    assert "executable-attachment" in {finding.rule for finding in held_next.explanation.findings}
    assert held_next.recipients[0].state is State.HELD


def laborious(subject: str) -> bytes:
    """A message whose zip takes an inspector a second or two: many members, each a little archive itself."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(f"notes-{number}.txt", f"Notes of lesson {number}\r\n" * 400)
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        for number in range(60):
            archive.writestr(f"lessons-{number}.zip", inner.getvalue())
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "s@outside.example", "inspected@school.example", subject
    message.set_content("The lessons of the year.")
    message.add_attachment(outer.getvalue(), maintype="application", subtype="zip", filename="lessons.zip")
    return message.as_bytes()


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0777", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_without_room_stops_holds_and_nothing_else(little_disk: Path) -> None:
    """The commit itself meets the end of the disk: the hold is put off whole, and clean mail passes."""
    store = {"url": f"sqlite:///{little_disk}/quarantine.db", "free_floor": 0}
    with postfix_lab(overrides={"store": store}) as lab:
        lab.inbound(infected("There was room"), to=["full@school.example"])
        (little_disk / "ballast").write_bytes(b"x" * (little_disk_room(little_disk) - 64 * 1024))
        noise = random.Random(3).randbytes(1_000_000)
        with pytest.raises(smtplib.SMTPResponseException) as answer:
            lab.inbound(infected("No room", noise), to=["full@school.example"])
        assert answer.value.smtp_code == 451
        lab.inbound(clean("Needs no room"), to=["clean@school.example"])
        assert lab.arrives("clean@school.example")
        assert lab.held("No room") == ()
        (little_disk / "ballast").unlink()
        assert retried(lab, infected("No room", noise), to="full@school.example")
        assert (len(lab.held("No room")), len(lab.held("There was room"))) == (1, 1)


def little_disk_room(place: Path) -> int:
    """Free bytes of the file system."""
    return shutil.disk_usage(place).free


def test_a_disk_below_its_floor_stops_holds_and_nothing_else() -> None:
    """Below the floor a hold is put off until there is room; clean mail, which needs none, passes."""
    with postfix_lab(overrides={"store": {"free_floor": 10**18}}) as lab:
        with pytest.raises(smtplib.SMTPResponseException) as answer:
            lab.inbound(infected("No room"), to=["full@school.example"])
        assert answer.value.smtp_code == 451
        assert lab.held() == ()
        lab.inbound(clean("Needs no room"), to=["clean@school.example"])
        assert lab.arrives("clean@school.example")
        assert lab.undelivered("full@school.example")


def test_without_gatepost_mail_waits_with_the_client(stack: ExitStack) -> None:
    """Nobody listens at the socket: milter_default_action is tempfail, so nothing passes unseen."""
    lab = stack.enter_context(postfix_lab(gateway=False, milter="unix:/nobody/listens/here.sock"))
    with pytest.raises(smtplib.SMTPResponseException) as answer:
        lab.inbound(clean("Waits"), to=["waits@school.example"])
    assert answer.value.smtp_code == 451
    assert lab.undelivered("waits@school.example")
