"""Owns the wiring of the milter: the one file where settings, policy, inspection, store and gate meet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import structlog

from gatepost_config.documents import load_settings
from gatepost_config.errors import ConfigError, Problem
from gatepost_config.settings import Inspection as InspectionLimits
from gatepost_config.settings import Settings
from gatepost_milter import daemon
from gatepost_milter.bypass import BypassError, bypass_active, state_directory
from gatepost_milter.followers import HISTORY, RULINGS, Follower, HistoryFollower, RulingsFollower
from gatepost_milter.gate import Deadlines, Gate, Keeper, expect_findings
from gatepost_milter.inspection.inspect import inspect
from gatepost_milter.inspection.inspectors import Inspectors
from gatepost_milter.inspection.model import Inspection
from gatepost_milter.policy import policy
from gatepost_milter.policy.history import History
from gatepost_milter.policy.notes import Notes
from gatepost_milter.policy.past import NO_PAST
from gatepost_milter.policy.policy import Policy
from gatepost_milter.policy.standing import Memory, Standing
from gatepost_milter.returns import Desk, Returns
from gatepost_milter.scrape import Sources
from gatepost_milter.spool import Spool
from gatepost_quarantine import samples
from gatepost_quarantine.history import Histories
from gatepost_quarantine.rulings import Rulings
from gatepost_quarantine.sql import open_store
from gatepost_quarantine.store import Store

_log = structlog.get_logger("gatepost.compose")
_TOLD = 20
"""Problems of the directory that are logged one by one; `gatepost directory check` shows them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the settings file says and what it leads to, checked and ready."""

    settings: Settings
    policy: Policy


def load(path: Path) -> Loaded:
    """The settings at ``path`` and the policy that they name. Raises ConfigError with every problem found.

    Templates are the courier's, but what is broken should show before a sender waits for a notice.
    """
    settings = load_settings(path)
    if settings.notices.templates is not None or settings.notices.logo is not None:
        samples.load(settings)
    return Loaded(settings=settings, policy=policy.load(settings))


class Kept(Keeper, Desk, Rulings, Histories, Protocol):
    """The store, as a worker needs it."""


@contextmanager
def open_gate(loaded: Loaded, *, store: Kept, standing: Standing, key: bytes) -> Iterator[Gate]:
    """A gate with inspectors of its own. Call it while the process is single-threaded: it forks.

    ``standing`` are the rulings until the store has been asked again, ``key`` is what history is keyed with.
    Raises InspectorsError if no inspector can be started.
    """
    settings = loaded.settings
    limits = settings.inspection
    zone = ZoneInfo(settings.school.timezone)
    history = History(key=key, learn=settings.history.learn)
    notes = Notes(loaded.policy, history)
    memory = Memory(standing=standing, past=history if notes.wanted else NO_PAST)
    expect_findings((each.rule.id, each.rule.mode) for each in loaded.policy.rules)
    inspectors = Inspectors(limits, settings.spool.directory)
    followers = [Follower(RULINGS, RulingsFollower(store, memory, zone=zone).look)]
    if notes.wanted:
        today = partial(datetime.now, zone)
        followers.append(Follower(HISTORY, HistoryFollower(store, history, today=today).look))
    try:
        for each in followers:
            each.start()
        yield Gate(
            inspect=partial(
                _inspect,
                inspectors=inspectors,
                limits=limits,
                memory=memory,
                texts=loaded.policy.reads_files,
                known_files=bool(loaded.policy.known_files),
            ),
            policy=loaded.policy.remembering(memory),
            store=store,
            gateway=settings.gateway,
            deadlines=Deadlines(login=limits.deadline_login, other=limits.deadline),
            note=notes.note,
            own=Returns(settings, store),
        )
    finally:
        for each in followers:
            each.end()
        inspectors.close()


def _inspect(
    content: Spool,
    *,
    deadline: float,
    hashes: bool = False,
    inspectors: Inspectors,
    limits: InspectionLimits,
    memory: Memory,
    texts: bool,
    known_files: bool,
) -> Inspection:
    """Inspection, with hashes also while a ruling or a list is about files: they cost a look at every byte.

    ``texts`` says whether the words of files are read, since some rule asks for them.
    """
    wanted = hashes or known_files or memory.standing.names_files
    return inspect(content, deadline=deadline, hashes=wanted, inspectors=inspectors, limits=limits, texts=texts)


def plan(path: Path) -> daemon.Plan:
    """What one generation of workers runs. Raises ConfigError and StoreError, so that a bad one never starts."""
    loaded = load(path)
    _tell_left_out(loaded.policy)
    settings = loaded.settings
    _prepare(settings.spool.directory, settings_path=path)
    # No connection stays open, so the workers may have it; and one that is replaced needs no database to start.
    store = open_store(settings.store, gateway=settings.gateway)
    standing = Standing.of(store.rulings(), ZoneInfo(settings.school.timezone))
    key = store.history_key()
    store.close()
    return daemon.Plan(
        address=settings.socket,
        mode=int(settings.socket_mode, 8),
        workers=settings.workers,
        drain=settings.drain,
        spool=settings.spool,
        open_gate=partial(open_gate, loaded, store=store, standing=standing, key=key),
        sources=_sources(loaded, store=store),
    )


def _sources(loaded: Loaded, *, store: Store) -> Sources:
    """What Prometheus is told beside what the workers count."""
    settings, policy = loaded.settings, loaded.policy
    return Sources(
        listen=settings.metrics.listen,
        policy=policy.ref,
        counts=store.counts,
        bypassed=partial(_bypassed, state_directory(settings.store.url)),
        queues=tuple(dict.fromkeys(each.rule.queue for each in policy.rules if each.rule.queue)),
        directory_problems=len(policy.directory.problems) if policy.directory is not None else 0,
    )


def _bypassed(state: Path) -> bool:
    try:
        return bypass_active(state) is not None
    except BypassError:
        return True  # a record that cannot be read was written by a bypass


def serve(path: Path) -> int:
    """Run the milter until it is told to stop; the exit code. Raises ConfigError, StoreError, ListenError."""
    return daemon.run(partial(plan, path))


def _tell_left_out(judge: Policy) -> None:
    """Log the directory's rows that count for nothing, the first of them one by one."""
    problems = (*(judge.directory.problems if judge.directory is not None else ()), *judge.problems)
    for problem in problems[:_TOLD]:
        _log.warning("row left out", problem=str(problem))
    if len(problems) > _TOLD:
        _log.warning("more rows left out", count=len(problems) - _TOLD)


def _prepare(directory: Path, *, settings_path: Path) -> None:
    """Make the spool folder, for our user alone; its parent is the packager's or the administrator's."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            Problem(
                settings_path,
                0,
                0,
                f"spool.directory: {directory} cannot be made: {error.strerror}",
                "Make the folder, owned by the user that gatepost-milter runs as.",
            )
        ) from error
