"""What is remembered of mail that went through, on both engines and from several gateways."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.quarantine import Clock

from gatepost_config import settings
from gatepost_quarantine.history import Batch
from gatepost_quarantine.sql import SqlStore, open_store

DAY = 739_000
ANN, BOB = b"a" * 12, b"b" * 12


@pytest.fixture
def other(configured: settings.Store, store: SqlStore, clock: Clock) -> Iterator[SqlStore]:
    """A second gateway on the same database."""
    opened = open_store(configured, gateway="mx2.school.example", clock=clock)
    yield opened
    opened.close()


def test_a_pair_keeps_the_last_day_written_and_the_first_day_heard(store: SqlStore) -> None:
    """Whether somebody is new depends on the first day; whether they may be forgotten on the last."""
    store.remember(Batch(heard={ANN: DAY + 3}))
    store.remember(Batch(heard={ANN: DAY + 1}))
    store.remember(Batch(wrote={ANN: DAY}))
    store.remember(Batch(wrote={ANN: DAY + 2}, heard={ANN: DAY + 5}))
    assert store.recall(0, day=DAY).pairs == [(ANN, DAY + 2, DAY + 1, DAY + 5)]


def test_tallies_of_all_gateways_add_up(store: SqlStore, other: SqlStore) -> None:
    """Who sends by two gateways has sent the sum; a day before is another count."""
    store.remember(Batch(tallies={(DAY, "sent", ANN): 3, (DAY, "private", ANN): 1}))
    other.remember(Batch(tallies={(DAY, "sent", ANN): 4, (DAY - 1, "sent", ANN): 9}))
    assert sorted(store.recall(0, day=DAY).tallies) == [(DAY, "private", ANN, 1), (DAY, "sent", ANN, 7)]


def test_contents_count_each_recipient_once(store: SqlStore, other: SqlStore) -> None:
    """The same letter twice to one address is not a mass mail."""
    store.remember(Batch(contents={(DAY, b"letter", ANN)}))
    other.remember(Batch(contents={(DAY, b"letter", ANN), (DAY, b"letter", BOB)}))
    assert sorted(store.recall(0, day=DAY).contents) == [(DAY, b"letter", ANN), (DAY, b"letter", BOB)]


def test_who_has_read_up_to_a_number_gets_only_what_came_after(store: SqlStore, other: SqlStore) -> None:
    """Workers read along every two seconds: all of it each time would be all they do."""
    store.remember(Batch(wrote={ANN: DAY}, tallies={(DAY, "sent", ANN): 1}))
    seen = store.recall(0, day=DAY).seq
    assert (store.recall(seen, day=DAY).pairs, store.recall(seen, day=DAY).tallies) == ([], [])
    other.remember(Batch(wrote={BOB: DAY}, tallies={(DAY, "sent", ANN): 1}))
    after = store.recall(seen, day=DAY)
    assert [pair for pair, *_ in after.pairs] == [BOB]
    assert after.tallies == [(DAY, "sent", ANN, 2)]


@pytest.mark.slow
def test_gateways_that_write_at_once_lose_nothing_and_a_reader_misses_nothing(
    store: SqlStore, other: SqlStore
) -> None:
    """Numbers are given in the order of the commits, so nobody can come in behind a reader."""
    read: dict[bytes, int] = {}

    def write(each: SqlStore, name: int) -> None:
        for number in range(20):
            each.remember(Batch(wrote={bytes([name, number]): DAY}, tallies={(DAY, "sent", ANN): 1}))

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(write, store, 1), pool.submit(write, other, 2)]
        seen = 0
        while not all(each.done() for each in done):
            recalled = store.recall(seen, day=DAY)
            seen = recalled.seq
            read.update((pair, wrote) for pair, wrote, _, _ in recalled.pairs)
        for each in done:
            each.result()
    read.update((pair, wrote) for pair, wrote, _, _ in store.recall(seen, day=DAY).pairs)
    assert len(read) == 40
    assert store.recall(0, day=DAY).tallies == [(DAY, "sent", ANN, 40)]


def test_the_first_note_says_since_when_there_is_a_memory(store: SqlStore, clock: Clock) -> None:
    """Until it is old enough, everybody would seem new."""
    assert store.recall(0, day=DAY).started == 0
    store.remember(Batch())
    assert store.recall(0, day=DAY).started == 0
    store.remember(Batch(wrote={ANN: DAY}))
    first = clock().date().toordinal()
    clock.move(days=3)
    store.remember(Batch(wrote={BOB: DAY}))
    assert store.recall(0, day=DAY).started == first


def test_the_key_is_the_same_for_every_gateway(store: SqlStore, other: SqlStore) -> None:
    """With two keys one gateway's correspondents would be strangers to the other."""
    assert len(store.history_key()) == 32
    assert store.history_key() == other.history_key() == store.history_key()


def test_what_is_old_is_forgotten_and_what_is_not_stays(store: SqlStore) -> None:
    """Nothing about people is kept for ever; a dry run says how much would go."""
    store.remember(Batch(wrote={ANN: DAY}, tallies={(DAY, "sent", ANN): 1}, contents={(DAY, b"x", ANN)}))
    store.remember(Batch(wrote={BOB: DAY + 9}, tallies={(DAY + 9, "sent", BOB): 1}))
    assert store.forget_history(pairs_before=DAY + 9, counts_before=DAY + 9, dry_run=True) == 3
    assert store.forget_history(pairs_before=DAY + 9, counts_before=DAY + 9) == 3
    left = store.recall(0, day=DAY)
    assert ([pair for pair, *_ in left.pairs], left.contents) == ([BOB], [])
    assert left.tallies == [(DAY + 9, "sent", BOB, 1)]
