"""Owns what the tests of the courier share: settings that send to sinks, releases, and one batch of work."""

from __future__ import annotations

import threading
from typing import Any

from support.quarantine import MESSAGE, Clock, chunks, hold_event

from gatepost_config.settings import Courier as CourierSettings
from gatepost_config.settings import School, Settings, Store
from gatepost_quarantine.courier import Courier
from gatepost_quarantine.held import HeldMessage, State
from gatepost_quarantine.sql import SqlStore

GATEWAY = "mx1.school.example"


def settings_for(store: Store, inbound: str, outbound: str) -> Settings:
    return Settings(
        school=School(name="Example School", domains=["school.example"]),
        gateway=GATEWAY,
        store=store,
        # The messages of these tests were held by a policy that is in no file.
        courier=CourierSettings(
            inbound=inbound, outbound=outbound, timeout=10, poll=0.05, retry=[30, 300], rescan=False
        ),
    )


def released(store: SqlStore, message: HeldMessage, **how: Any) -> HeldMessage:
    """Hold the message and ask for its release."""
    store.hold(message, content=chunks(MESSAGE), events=[hold_event(message)])
    return store.release(message.id, actor="ann", **how)


def work(settings: Settings, store: Any) -> None:
    """One batch."""
    Courier(settings, store, worker="test").work(threading.Event())


def states(store: SqlStore, message: HeldMessage) -> list[State]:
    return [each.state for each in store.get(message.id).recipients]


def at(clock: Clock, settings: Settings, store: SqlStore) -> None:
    """One batch, by the same clock as the store's."""
    Courier(settings, store, worker="test", clock=clock).work(threading.Event())
