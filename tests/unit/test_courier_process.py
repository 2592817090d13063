"""The courier as a process: killed at any moment it loses nothing; signals end it, or load its settings again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.couriers import GATEWAY, released, settings_for
from support.quarantine import held, notice, recipient
from support.smtp import Sink
from support.stores import new_store

from gatepost_config.settings import Settings, Store
from gatepost_quarantine.audit import verify
from gatepost_quarantine.held import State
from gatepost_quarantine.sql import open_store
from gatepost_quarantine.store import Filter


@pytest.fixture
def configured(tmp_path: Path) -> Store:
    """A store's settings."""
    return Store(url=new_store(tmp_path / "quarantine.db"), free_floor=0)


_COURIER = """
import signal
import sys
from pathlib import Path
from gatepost_config.documents import load_settings
from gatepost_quarantine import courier
from gatepost_quarantine.sql import open_store

settings = load_settings(Path(sys.argv[1]))
store = open_store(settings.store, gateway=settings.gateway)
stop = courier.StopSignal()
signal.signal(signal.SIGTERM, stop.handle)
courier.smtp.FINAL_TIMEOUT = 1
courier.run(settings, store, stop=stop, lease=0.3)
"""


def write_settings(settings: Settings, path: Path) -> Path:
    path.write_text(json.dumps(json.loads(settings.model_dump_json(exclude_defaults=True))), encoding="utf-8")
    return path


@pytest.fixture
def start() -> Iterator[Callable[[Path], subprocess.Popen[bytes]]]:
    """Starts couriers as processes; none is left behind, whatever a test finds."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(path: Path) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", _COURIER, str(path)], stdout=subprocess.DEVNULL))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["MAIL", "DATA", ".", "taken"])
def test_a_courier_that_is_killed_loses_nothing(
    configured: Store, tmp_path: Path, where: str, start: Callable[[Path], subprocess.Popen[bytes]]
) -> None:
    """Killed at each step in turn; the next one sends everything. Twice only if the server had taken it."""
    store = open_store(configured, gateway=GATEWAY)
    reached = threading.Event()
    killed = threading.Event()

    def answer(verb: str, argument: str) -> str | None:
        if verb == where and not reached.is_set():
            reached.set()
            killed.wait(30)
        return None

    with Sink(answer=answer) as sink:
        settings = settings_for(configured, sink.address, sink.address)
        settings = settings.model_copy(
            update={"courier": settings.courier.model_copy(update={"timeout": 1, "retry": [0.1]})}
        )
        path = write_settings(settings, tmp_path / "gatepost.yaml")
        people = [f"r{number}@school.example" for number in range(5)]
        for person in people:
            released(store, held(key=person, recipients=[recipient(person)]))
        store.owe([notice("told@school.example")], key="k")
        first = start(path)
        assert reached.wait(30)
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        killed.set()
        second = start(path)
        wanted = {(each,) for each in (*people, "told@school.example")}
        sink.wait_until(lambda now: {mail.recipients for mail in now.mails} == wanted, seconds=30)
        if where == "taken":
            # What the first one had sent comes again, once its lease is over.
            sink.wait_until(lambda now: len(now.mails) == 7, seconds=30)
        second.terminate()
        assert second.wait(30) == 0
        mails = sink.mails
    assert len(mails) == (7 if where == "taken" else 6)
    assert len({mail.content for mail in mails if mail.recipients == mails[0].recipients}) == 1
    assert {each.recipients[0].state for each in store.list(Filter())} == {State.RELEASED}
    assert store.counts().owed == 0
    assert verify(store.chain(GATEWAY)) == ""
    store.close()


KILLS = int(os.environ.get("GATEPOST_KILLS", "4"))
"""How often the courier is killed at random; 100 take two minutes."""


@pytest.mark.slow
def test_a_courier_that_is_killed_at_random_sends_twice_only_what_was_taken_and_not_recorded(
    configured: Store, tmp_path: Path, start: Callable[[Path], subprocess.Popen[bytes]]
) -> None:
    """Nothing is lost. All that is sent again was the last mail that a killed courier had handed over."""
    store = open_store(configured, gateway=GATEWAY)
    chance = random.Random(KILLS)
    people = [f"r{number}@school.example" for number in range(8 * KILLS)]
    for person in people:
        released(store, held(key=person, recipients=[recipient(person)]))
    running: list[subprocess.Popen[bytes]] = []
    steps = [0]
    taken: list[tuple[int, str]] = []

    def answer(verb: str, _argument: str) -> str | None:
        steps[0] -= 1
        if steps[0] == 0:
            # Between two commands as well as in the midst of one.
            threading.Timer(chance.uniform(0, 0.02), running[-1].kill).start()
        return None

    with Sink(answer=answer) as sink:
        settings = settings_for(configured, sink.address, sink.address)
        path = write_settings(
            settings.model_copy(
                update={"courier": settings.courier.model_copy(update={"timeout": 1, "retry": [0.1]})}
            ),
            tmp_path / "gatepost.yaml",
        )
        for life in range(KILLS):
            steps[0] = chance.randrange(1, 25)
            running.append(start(path))
            assert running[-1].wait(60) == -signal.SIGKILL
            taken += [(life, mail.recipients[0]) for mail in sink.mails[len(taken) :]]
        running.append(start(path))
        sink.wait_until(lambda now: {mail.recipients[0] for mail in now.mails} == set(people), seconds=60)
        running[-1].terminate()
        assert running[-1].wait(30) == 0
        taken += [(KILLS, mail.recipients[0]) for mail in sink.mails[len(taken) :]]
    assert {each.recipients[0].state for each in store.list(Filter(limit=len(people)))} == {State.RELEASED}
    assert (store.counts().owed, verify(store.chain(GATEWAY))) == (0, "")
    left = Counter(person for _, person in taken)
    last_of_life = dict(taken)
    for life, person in taken:
        left[person] -= 1
        if left[person]:
            assert (life < KILLS, last_of_life[life]) == (True, person), (
                f"{person}: twice without a kill to explain"
            )
    store.close()


@pytest.mark.slow
def test_the_service_reloads_at_sighup_and_ends_at_sigterm(configured: Store, tmp_path: Path) -> None:
    """As the service manager runs it. A template that is broken meanwhile changes nothing but the log."""
    settings = settings_for(configured, "127.0.0.1:1", "127.0.0.1:1")
    (tmp_path / "mine").mkdir()
    settings = settings.model_copy(
        update={"notices": settings.notices.model_copy(update={"templates": tmp_path / "mine"})}
    )
    path = write_settings(settings, tmp_path / "gatepost.yaml")
    program = "from gatepost_milter.cli import courier_main; courier_main()"
    service = subprocess.Popen(
        [sys.executable, "-c", program, "--config", str(path)], stdout=subprocess.PIPE, text=True
    )
    assert service.stdout is not None
    with service.stdout as said:
        assert json.loads(said.readline())["event"] == "started"
        service.send_signal(signal.SIGHUP)
        assert json.loads(said.readline())["event"] == "reloaded"
        (tmp_path / "mine" / "notice.txt").write_text("{{ nothing }}")
        service.send_signal(signal.SIGHUP)
        failed = json.loads(said.readline())
        assert (failed["event"], "notice.txt:1:1" in failed["error"]) == ("reload-failed", True)
        service.terminate()
        assert json.loads(said.readlines()[-1])["event"] == "stopped"
    assert service.wait(30) == 0


@pytest.mark.slow
def test_the_service_says_what_is_wrong_with_its_settings(tmp_path: Path) -> None:
    """Exit status 2, and the reason on standard error."""
    program = "from gatepost_milter.cli import courier_main; courier_main()"
    service = subprocess.run(
        [sys.executable, "-c", program, "--config", str(tmp_path / "nothing.yaml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (service.returncode, "cannot be read" in service.stderr) == (2, True)
