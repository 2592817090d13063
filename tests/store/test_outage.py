"""Two gateways and two couriers on one PostgreSQL that crashes under load: nothing lost, nothing twice."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.quarantine import chunks, held, hold_event, notice
from support.smtp import Sink

from gatepost_config.settings import Courier, School, Settings, Store
from gatepost_quarantine.audit import Verb, verify
from gatepost_quarantine.courier import run
from gatepost_quarantine.sql import SqlStore, open_store
from gatepost_quarantine.store import Filter, StoreError

GATEWAYS = ("mx1.school.example", "mx2.school.example")
OUTAGE = 10.0
"""Seconds that the database is away."""

LEASE = 12.0
"""Seconds that a claim lasts: what a courier claimed as the database fell is free soon after it is back."""

EACH = 40
"""Messages that each of four clients brings."""


@dataclass
class Client:
    """A mail server that brings messages and, answered 4xx, brings them again, to the other gateway."""

    number: int
    stores: list[SqlStore]
    go_on: threading.Event
    half: threading.Barrier
    refused: int = 0
    slowest: float = 0.0
    answered: list[str] = field(default_factory=list)

    def bring(self) -> None:
        for number in range(EACH):
            if number == EACH // 2:
                self.half.wait(60)
            self._bring_one(f"{self.number}-{number}")

    def _bring_one(self, name: str) -> None:
        content = f"Subject: {name}\r\n\r\n".encode() + f"{name}\r\n".encode() * 2000
        key = hashlib.sha256(content).hexdigest()
        for attempt in range(2000):
            message = held(content, key=key, message_id=f"<{name}@client.example>", gateway=GATEWAYS[attempt % 2])
            owed = notice(f"told-{name}@school.example", message_id=f"<{name}@mx.school.example>")
            begun = time.monotonic()
            try:
                self.stores[attempt % 2].hold(
                    message, content=chunks(content), notices=[owed], events=[hold_event(message)]
                )
            except StoreError:
                self.refused += 1
                self.slowest = max(self.slowest, time.monotonic() - begun)
                self.go_on.wait(0.05)  # as a mail server does; it is set when the test gives up
                continue
            self.answered.append(name)
            return
        raise AssertionError(f"{name} was never taken")


@pytest.mark.slow
@pytest.mark.e2e
def test_a_database_that_crashes_under_load_loses_nothing_and_doubles_nothing(own_postgres: Any) -> None:
    """Ten seconds without a database: gateways answer “try again”, couriers wait, and all recover alone."""
    server = own_postgres
    configured = Store(url=server.new_database(), free_floor=0)
    stores = [open_store(configured, gateway=gateway) for gateway in GATEWAYS]
    give_up, half = threading.Event(), threading.Barrier(5)
    clients = [Client(number, stores, give_up, half) for number in range(4)]
    stop = threading.Event()
    with Sink() as sink, ThreadPoolExecutor(8) as pool:
        settings = [
            Settings(
                school=School(name="Example School", domains=["school.example"]),
                gateway=gateway,
                store=configured,
                courier=Courier(inbound=sink.address, outbound=sink.address, poll=0.1, retry=[0.5], timeout=10),
            )
            for gateway in GATEWAYS
        ]
        couriers = [
            pool.submit(run, each, store, stop=stop, lease=LEASE)
            for each, store in zip(settings, stores, strict=True)
        ]
        bringing = [pool.submit(client.bring) for client in clients]
        try:
            half.wait(120)
            server.halt()
            give_up.wait(OUTAGE)
            server.resume()
            for each in bringing:
                each.result(timeout=120)
            brought = len(clients) * EACH
            _wait_for(sink, brought, stores[0])
            _release_all(stores[0])
            _wait_for(sink, 2 * brought, stores[0])
        finally:
            give_up.set()
            stop.set()
        for each in couriers:
            each.result(timeout=60)
        mails = sink.mails
    assert sum(client.refused for client in clients) > 0
    assert max(client.slowest for client in clients) < 25
    kept = stores[1].list(Filter(limit=1000))
    assert Counter(each.message_id for each in kept) == Counter(
        f"<{name}@client.example>" for client in clients for name in client.answered
    )
    assert len(mails) == 2 * brought
    assert set(Counter(mail.content for mail in mails).values()) == {1}
    for message in kept:
        assert len(b"".join(stores[0].content(message.id))) == message.size
        verbs = Counter(event.verb for event in stores[0].events(message.id))
        assert (verbs[Verb.HOLD], verbs[Verb.RELEASE], verbs[Verb.DELIVER]) == (1, 1, 1)
    assert stores[0].counts().owed == 0
    for gateway, store in zip(GATEWAYS, stores, strict=True):
        assert verify(store.chain(gateway)) == ""
        store.close()


def _release_all(store: SqlStore) -> None:
    for message in store.list(Filter(limit=1000)):
        store.release(message.id, actor="ann")


def _wait_for(sink: Sink, many: int, store: SqlStore) -> None:
    """Wait until so many mails have come, and until the store knows that they were sent."""
    deadline = time.monotonic() + 90
    again = threading.Event()
    while len(sink.mails) < many or store.counts().owed:
        assert time.monotonic() < deadline, (len(sink.mails), many, store.counts())
        again.wait(0.1)
