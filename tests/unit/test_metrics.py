"""Numbers outlive the process that counted them, and cost no more with every process that ever was."""

from __future__ import annotations

import fcntl
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from support.counting import (
    count_as_many,
    count_before_and_after_a_fork,
    count_nowhere,
    count_once,
    in_a_process,
)
from support.daemons import samples

from gatepost_milter import metrics

pytestmark = pytest.mark.slow  # most of them start processes


def scrape(directory: Path) -> dict[str, float]:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))
    return samples(generate_latest(registry).decode())


def test_fifty_lives_in_one_slot_cost_what_one_costs(tmp_path: Path) -> None:
    """Files named by pid grow with every restart, and with them the time of a scrape."""
    in_a_process(partial(count_once, tmp_path, "0"))
    before = {each.name: each.stat().st_size for each in tmp_path.iterdir()}
    series = scrape(tmp_path).keys()
    in_a_process(partial(count_as_many, tmp_path, 1))

    assert {each.name: each.stat().st_size for each in tmp_path.iterdir()} == before
    after = scrape(tmp_path)
    assert after.keys() == series
    assert after['gatepost_findings_total{mode="monitor",rule="exe"}'] == 51
    assert after['gatepost_stage_seconds_bucket{le="0.025",stage="inspect"}'] == 51
    assert after['gatepost_stage_seconds_sum{stage="inspect"}'] == pytest.approx(51 * 0.02)


def test_slots_are_added_up(tmp_path: Path) -> None:
    """Whichever worker counted it."""
    in_a_process(partial(count_as_many, tmp_path, 5))

    assert scrape(tmp_path)['gatepost_findings_total{mode="monitor",rule="exe"}'] == 50


def test_a_gauge_ends_with_its_process(tmp_path: Path) -> None:
    """Sessions of a worker that was killed are not open, while what it counted stays counted."""
    in_a_process(partial(count_once, tmp_path, "0"))
    in_a_process(partial(count_once, tmp_path, "1"))
    assert scrape(tmp_path)["gatepost_sessions_open"] == 2
    metrics.forget(tmp_path, "0")

    found = scrape(tmp_path)
    assert found["gatepost_sessions_open"] == 1
    assert found['gatepost_findings_total{mode="monitor",rule="exe"}'] == 2


def test_what_a_parent_counted_is_not_counted_again(tmp_path: Path) -> None:
    """A worker is a copy of the master, memory and all."""
    in_a_process(partial(count_before_and_after_a_fork, tmp_path))

    assert scrape(tmp_path)['gatepost_findings_total{mode="monitor",rule="exe"}'] == 2


def test_without_room_on_the_disk_the_process_counts_for_itself(tmp_path: Path) -> None:
    """Numbers are never worth a worker."""
    in_a_process(partial(count_nowhere, tmp_path / "missing"))


def test_a_daemon_removes_its_folder_and_those_of_the_dead(tmp_path: Path) -> None:
    """A killed daemon cannot tidy up; its workers may still count, and are left alone while they do."""
    dead, draining = tmp_path / "metrics-dead", tmp_path / "metrics-draining"
    for each in (dead, draining):
        each.mkdir()
        (each / "counter_0.db").touch()
    lock = os.open(draining, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    with metrics.folder(tmp_path) as own:
        assert not dead.exists()
        assert (draining / "counter_0.db").exists()
        assert own.stat().st_mode & 0o077 == 0
    os.close(lock)

    assert not own.exists()
    with metrics.folder(tmp_path):
        assert not draining.exists()
    shutil.rmtree(draining, ignore_errors=True)


def test_daemons_that_start_at_once_leave_each_others_folders_alone(tmp_path: Path) -> None:
    """Between making a folder and locking it, another daemon could have taken it for a dead one's."""

    def live(_: int) -> bool:
        with metrics.folder(tmp_path) as own:
            return own.exists()

    with ThreadPoolExecutor(8) as daemons:
        assert all(daemons.map(live, range(400)))


def test_everybody_counts_through_the_slots(root: Path) -> None:
    """A metric that is declared before ``metrics`` is imported would be lost in its process."""
    owners = {"metrics.py", "scrape.py"}
    found = [
        path.name
        for path in (root / "milter/gatepost_milter").rglob("*.py")
        if "prometheus_client" in path.read_text(encoding="utf-8") and path.name not in owners
    ]
    assert found == []
