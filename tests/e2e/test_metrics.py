"""What Prometheus reads from the real milter is what was sent, before and after reloads and dead workers."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.daemons import samples, until
from support.mails import clean, infected
from support.milters import configured, running

from gatepost_milter.demo.gateway import Process
from gatepost_milter.demo.milter_client import MilterClient, Outcome
from gatepost_milter.gate import Step
from gatepost_milter.replies import Event

pytestmark = pytest.mark.slow

LOG_LINES = frozenset(Event)


@pytest.fixture
def milter(tmp_path: Path) -> Iterator[Process]:
    """``gatepost milter`` with two workers and metrics on a free port, all in one folder."""
    shipped = Path(__file__).parents[2] / "config/policies/default.yaml"
    policy = tmp_path / "policy.yaml"
    policy.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    store = {"url": f"sqlite:///{tmp_path}/store.db", "free_floor": 4096}
    config = configured(tmp_path, policy=str(policy), store=store, metrics={"listen": "127.0.0.1:0"})
    with running(config, event="metrics are served") as process:
        yield process


@pytest.fixture
def read(milter: Process) -> Callable[[], dict[str, float]]:
    """Reads the metrics as Prometheus would."""
    (address,) = (line["address"] for line in milter.lines() if line["event"] == "metrics are served")

    def scrape() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
            return samples(answer.read().decode())

    return scrape


@pytest.fixture
def send(tmp_path: Path) -> Callable[[bytes], Outcome]:
    """Sends one inbound message, in a session of its own."""

    def deliver(message: bytes) -> Outcome:
        with MilterClient(str(tmp_path / "milter.sock"), timeout=60) as client:
            client.connect("mail.outside.example", "192.0.2.1")
            client.helo("mail.outside.example")
            return client.message(
                message,
                sender="someone@outside.example",
                recipients=["t.teacher@school.example"],
                queue_id="4QUEUE",
            )

    return deliver


def test_what_is_read_is_what_was_sent(
    milter: Process,
    read: Callable[[], dict[str, float]],
    send: Callable[[bytes], Outcome],
    tmp_path: Path,
) -> None:
    """Messages, findings, replies, steps, what waits, hashes of what is held, and the log lines: one story."""
    for number in range(7):
        assert send(clean(f"clean {number}")).disposition == "accept"
    for number in range(3):
        assert send(infected(f"infected {number}")).disposition == "discard"
    assert send(infected("infected 2")).disposition == "discard"
    found = read()

    assert found['gatepost_messages_total{action="pass",direction="inbound"}'] == 7
    assert found['gatepost_messages_total{action="quarantine",direction="inbound"}'] == 4
    assert found['gatepost_findings_total{mode="enforce",rule="executable-attachment"}'] == 4
    assert found['gatepost_findings_total{mode="enforce",rule="attachment-too-large"}'] == 0
    assert found['gatepost_replies_total{reply="accept"}'] == 7
    assert found['gatepost_replies_total{reply="discard"}'] == 4
    assert found["gatepost_joins_total"] == 1
    assert found['gatepost_stage_seconds_count{stage="hold"}'] == 4
    for stage in (Step.INSPECT, Step.JUDGE, "total"):
        assert found[f'gatepost_stage_seconds_count{{stage="{stage}"}}'] == 11
    assert found["gatepost_message_bytes_count"] == 11
    assert found['gatepost_held{queue="it-support"}'] == 3
    assert 0 < found["gatepost_oldest_unreviewed_seconds"] < 60
    assert found['gatepost_outbox_depth{kind="notice"}'] >= 3
    assert found["gatepost_store_free_bytes"] > found["gatepost_store_floor_bytes"] == 4096
    assert found["gatepost_bypass_active"] == 0
    with closing(sqlite3.connect(tmp_path / "store.db")) as store:
        records = [json.loads(row[0]) for row in store.execute("select record from message")]
    assert all(len(each["sha256"]) == 64 for record in records for each in record["attachments"])
    told = [line["event"] for line in milter.lines() if line["event"] in LOG_LINES]
    assert sorted(told) == ["held"] * 4 + ["passed"] * 7


def test_counts_go_on_over_a_reload_and_a_dead_worker(
    milter: Process,
    read: Callable[[], dict[str, float]],
    send: Callable[[bytes], Outcome],
    tmp_path: Path,
) -> None:
    """And the policy that is shown is the one in force."""
    send(clean("one"))
    send(infected("two"))
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    seen = len(milter.lines())
    milter.signal(signal.SIGHUP)
    assert milter.wait_for(lambda line: line.get("event") == "ready", after=seen, seconds=30), milter.tail()
    send(clean("three"))
    workers = [each for each in _children(milter.pid) if _children(each)]  # those that have inspectors
    for pid in workers:
        with suppress(ProcessLookupError):  # one of the old generation may just have ended by itself
            os.kill(pid, signal.SIGKILL)
    until(lambda: len([each for each in _children(milter.pid) if _children(each)]) >= 2, "new workers")
    until(lambda: read()["gatepost_workers"] == 2, "workers that are ready")
    send(clean("four"))
    found = read()

    assert found['gatepost_messages_total{action="pass",direction="inbound"}'] == 3
    assert found['gatepost_messages_total{action="quarantine",direction="inbound"}'] == 1
    assert found['gatepost_reloads_total{result="ok"}'] == 1
    assert len([name for name in found if name.startswith("gatepost_policy_info")]) == 1


def test_a_bypass_is_shown_also_when_its_record_is_damaged(
    milter: Process, read: Callable[[], dict[str, float]], tmp_path: Path
) -> None:
    """The alarm must not go quiet because a file is half written."""
    assert read()["gatepost_bypass_active"] == 0
    (tmp_path / "bypass.json").write_text("{")

    assert read()["gatepost_bypass_active"] == 1


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
