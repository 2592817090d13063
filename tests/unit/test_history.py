"""The past in memory: what is noted counts at once and is written once, whatever the store does meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from support.mail import DAY, attachment, inspection, policy, transaction

from gatepost_config.words import Action
from gatepost_milter.followers import RULINGS, Follower, HistoryFollower, RulingsFollower
from gatepost_milter.policy.history import DROPPED, History
from gatepost_milter.policy.notes import COUNTS, MASS, PAIRS, Notes
from gatepost_milter.policy.policy import Policy
from gatepost_milter.policy.standing import Memory
from gatepost_quarantine.history import Batch, Recalled
from gatepost_quarantine.rulings import Ruling, RulingKind
from gatepost_quarantine.store import StoreError

KEY = b"k" * 32
TODAY = DAY.date().toordinal()
WHO = ("ann@school.example", "bob@school.example")
THEY = ("x@firm.example", "y@firm.example", "z@firm.example")


@dataclass
class Shelf:
    """A store in memory, shared by several workers; ``away`` makes every call fail."""

    away: bool = False
    seq: int = 0
    started: int = 0
    pairs: dict[bytes, tuple[int, int, int, int]] = field(default_factory=dict)
    tallies: dict[tuple[int, str, bytes], tuple[int, int]] = field(default_factory=dict)
    contents: dict[tuple[int, bytes, bytes], int] = field(default_factory=dict)
    given: list[Ruling] = field(default_factory=list)
    revision: int = 0

    def remember(self, batch: Batch) -> None:
        self._ask()
        self.seq += 1
        self.started = self.started or TODAY
        for pair in batch.wrote.keys() | batch.heard.keys():
            wrote, heard, seen, _ = self.pairs.get(pair, (0, 0, 0, 0))
            new = (batch.wrote.get(pair, 0), batch.heard.get(pair, 0))
            first = min(each for each in (heard, new[1]) if each) if heard or new[1] else 0
            self.pairs[pair] = (max(wrote, new[0]), first, max(seen, *new), self.seq)
        for tally, count in batch.tallies.items():
            self.tallies[tally] = (self.tallies.get(tally, (0, 0))[0] + count, self.seq)
        for each in batch.contents:
            self.contents.setdefault(each, self.seq)

    def recall(self, after: int, *, day: int) -> Recalled:
        self._ask()
        return Recalled(
            seq=self.seq,
            started=self.started,
            pairs=[(pair, *found[:3]) for pair, found in self.pairs.items() if found[3] > after],
            tallies=[(*key, count) for key, (count, seq) in self.tallies.items() if seq > after and key[0] >= day],
            contents=[key for key, seq in self.contents.items() if seq > after and key[0] >= day],
        )

    def history_key(self) -> bytes:
        return KEY

    def forget_history(self, *, pairs_before: int, counts_before: int, dry_run: bool = False) -> int:
        raise NotImplementedError

    def forget_rulings(self, before: datetime, *, dry_run: bool = False) -> int:
        raise NotImplementedError

    def ruling_revision(self) -> int:
        self._ask()
        return self.revision

    def rulings(self, *, kind: RulingKind | None = None, over: bool = False) -> Sequence[Ruling]:
        self._ask()
        return list(self.given)

    def add_ruling(self, ruling: Ruling) -> None:
        self.given.append(ruling)
        self.revision += 1

    def end_ruling(self, ruling_id: str, *, kind: RulingKind, actor: str, reason: str) -> Ruling:
        raise NotImplementedError

    def _ask(self) -> None:
        if self.away:
            raise StoreError("away")


class Worker:
    """One worker's history and the follower of it."""

    def __init__(self, shelf: Shelf, *, learn: int = 0, room: int = 1000, crowd: int = 1000) -> None:
        self.history = History(key=KEY, learn=learn, room=room, crowd=crowd)
        self._follower = HistoryFollower(shelf, self.history, today=lambda: DAY)

    def round(self) -> bool:
        try:
            self._follower.look()
        except StoreError:
            return False
        return True

    def sent(self, who: str) -> int:
        return self.history.sent(who, day=TODAY)

    def knows(self, ours: str, theirs: str, *, day: int = TODAY + 1) -> bool:
        return self.history.acquaintance(ours, theirs, day=day).known


_Step = tuple[str, int, str, object]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sent"), st.integers(0, 1), st.sampled_from(WHO), st.booleans()),
        st.tuples(st.just("wrote"), st.integers(0, 1), st.sampled_from(WHO), st.sampled_from(THEY)),
        st.tuples(st.just("content"), st.integers(0, 1), st.sampled_from(WHO), st.sampled_from(THEY)),
        st.tuples(st.just("round"), st.integers(0, 1), st.just(""), st.just("")),
        st.tuples(st.just("away"), st.integers(0, 1), st.just(""), st.just("")),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
def test_every_note_counts_at_once_and_in_the_end_once_everywhere(steps: list[_Step]) -> None:
    """Whatever order messages, rounds and outages of the store come in: nothing is lost, nothing counts twice."""
    shelf = Shelf()
    workers = [Worker(shelf), Worker(shelf)]
    all_sent: Counter[tuple[str, bool]] = Counter()
    own_sent: Counter[tuple[int, str]] = Counter()
    pairs: set[tuple[str, object]] = set()
    contents: dict[str, set[object]] = {each: set() for each in WHO}
    for what, number, who, other in steps:
        history = workers[number].history
        match what:
            case "sent":
                history.note_sent(who, private=bool(other), day=TODAY)
                all_sent[who, bool(other)] += 1
                own_sent[number, who] += 1
                assert workers[number].sent(who) >= own_sent[number, who]
            case "wrote":
                history.note_wrote(who, str(other), day=TODAY)
                pairs.add((who, other))
                assert workers[number].knows(who, str(other)) or not shelf.started
            case "content":
                history.note_content(who, ["hello"], [str(other)], day=TODAY)
                contents[who].add(other)
            case "round":
                workers[number].round()
            case "away":
                shelf.away = not shelf.away
    shelf.away = False
    for each in (*workers, *workers):
        assert each.round()
    for each in workers:
        for who in WHO:
            assert each.sent(who) == all_sent[who, True] + all_sent[who, False]
            assert each.history.private(who, day=TODAY) == all_sent[who, True]
            assert each.history.alike(who, ["hello"], [], day=TODAY).earlier == len(contents[who])
            for they in THEY:
                assert each.knows(who, they) is ((who, they) in pairs)
    assert not workers[0].history.take()


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 60), room=st.integers(1, 30))
def test_what_has_no_room_is_dropped_and_counted_and_no_message_waits(count: int, room: int) -> None:
    """A store that is away for a day must cost memory that is known beforehand."""
    worker = Worker(Shelf(away=True), room=room)
    before = DROPPED._value.get()
    for number in range(count):
        worker.history.note_wrote(WHO[0], f"{number}@firm.example", day=TODAY)
        if number % 3 == 0:
            worker.round()
    assert len(worker.history.take().wrote) == min(count, room)
    assert DROPPED._value.get() - before == max(0, count - room)


def test_invented_senders_fill_no_memory_and_our_own_correspondents_are_kept() -> None:
    """Who sends from a new address each time would otherwise cost every worker memory for more than a year."""
    worker = Worker(Shelf(), crowd=2)
    before = DROPPED._value.get()
    for number in range(5):
        worker.history.note_heard(WHO[0], f"{number}@spam.example", day=TODAY)
        assert worker.round()
    assert DROPPED._value.get() - before == 3
    assert worker.knows(WHO[0], "1@spam.example")
    assert not worker.knows(WHO[0], "2@spam.example"), "still a first contact: the strict side"
    worker.history.note_wrote(WHO[0], THEY[0], day=TODAY)
    assert worker.round()
    assert worker.knows(WHO[0], THEY[0])


def test_a_worker_that_starts_later_knows_what_was_before(tmp_path: Path) -> None:
    """A reload or a crash makes new workers; a correspondent of ten years is no stranger to them."""
    shelf = Shelf()
    first = Worker(shelf)
    first.history.note_wrote("Ann@School.example", "x+news@firm.example", day=TODAY)
    first.history.note_heard("bob@school.example", "x@firm.example", day=TODAY)
    assert first.round()
    later = Worker(shelf)
    assert later.knows(WHO[0], "x@firm.example"), "until it has read, nobody is new"
    assert later.round()
    assert later.knows(WHO[0], "x@firm.example", day=TODAY)
    assert later.knows(WHO[1], "x@firm.example")
    assert not later.knows(WHO[1], "x@firm.example", day=TODAY), "a second mail on the first day is still new"
    assert not later.knows(WHO[0], "y@firm.example")


def test_while_it_learns_nobody_is_new() -> None:
    """On the first day everybody would be, and a school would learn to ignore the mark."""
    shelf = Shelf()
    worker = Worker(shelf, learn=14)
    worker.round()
    assert worker.knows(WHO[0], "x@firm.example")
    worker.history.note_wrote(WHO[0], "y@firm.example", day=TODAY)
    worker.round()
    worker.round()
    assert worker.knows(WHO[0], "x@firm.example", day=TODAY + 13)
    assert not worker.knows(WHO[0], "x@firm.example", day=TODAY + 14)


def test_a_pair_that_is_in_use_is_noted_again_before_it_would_be_forgotten() -> None:
    """Noting it with every mail would be a write for every mail; never again, and it would expire."""
    shelf = Shelf()
    worker = Worker(shelf)
    worker.history.note_wrote(WHO[0], THEY[0], day=TODAY)
    worker.round()
    worker.history.note_wrote(WHO[0], THEY[0], day=TODAY + 6)
    assert not worker.history.take()
    worker.history.note_wrote(WHO[0], THEY[0], day=TODAY + 7)
    assert list(worker.history.take().wrote.values()) == [TODAY + 7]


# What is noted of a message

RULES = """
rules:
  - {id: one, title: One, find: first_contacts, action: tag, say: New.}
  - {id: two, title: Two, find: "private_senders.filter(s, s.private_today > 1)", action: tag, say: Much.}
  - {id: three, title: Three, find: "mass.filter(m, m.recipients > 2)", action: tag, say: Many.}
"""


@dataclass(slots=True)
class Judged:
    """A policy with a memory, and a way to send mail through it."""

    folder: Path
    rules: str = RULES
    history: History = field(default_factory=lambda: History(key=KEY, learn=0))
    judge: Policy = field(init=False)

    def send(self, *to: str, login: str = "", author: str = "", files: int = 0, subject: str = "s") -> list[str]:
        """The rules that fired for this mail; then it has gone."""
        message = transaction(*to, login=login)
        seen = inspection(*[attachment("a.txt")] * files, author=author, subject=subject)
        verdict = self.judge.judge(message, seen)
        Notes(self.judge, self.history).note(message, seen, verdict)
        return [each.rule for each in verdict.findings]

    def __post_init__(self) -> None:
        self.judge = policy(self.folder, self.rules).remembering(Memory(past=self.history))
        self.history.recalled(Recalled(seq=0, started=TODAY - 1, pairs=[], tallies=[], contents=[]), day=TODAY)


def test_only_what_rules_ask_about_is_noted(tmp_path: Path) -> None:
    """What nobody needs is not collected: not even as digests."""
    history = History(key=KEY, learn=0)
    assert Notes(policy(tmp_path, RULES), history).wanted == {PAIRS, COUNTS, MASS}
    off = RULES.replace("Many.", "Many., mode: 'off'").replace("first_contacts", "attachments")
    assert Notes(policy(tmp_path, off), history).wanted == {COUNTS}
    plain = policy(tmp_path, "rules: [{id: a, title: A, find: attachments, action: tag, say: A}]")
    nothing = Notes(plain, history)
    message, seen = transaction("x@gmail.com", login="ann"), inspection()
    nothing.note(message, seen, policy(tmp_path, RULES).judge(message, seen))
    assert not history.take()


def test_somebody_is_new_until_we_have_written_to_them(tmp_path: Path) -> None:
    """And for the one who wrote only: what one colleague knows does not vouch to another."""
    judged = Judged(tmp_path)
    assert judged.send("ann@school.example", author="X <x@firm.example>") == ["one"]
    assert judged.send("ann@school.example", author="x@firm.example") == ["one"]
    judged.send("x@firm.example", login="ann")
    assert judged.send("ann@school.example", author="x@firm.example") == []
    assert judged.send("bob@school.example", author="x@firm.example") == ["one"]


def test_private_mail_of_a_day_is_counted_and_work_is_not(tmp_path: Path) -> None:
    """Mail to firms is work, and so is what is not sent at all."""
    judged = Judged(tmp_path)
    for subject in "abc":
        assert judged.send("x@firm.example", login="ann", subject=subject) == []
    assert [judged.send("friend@gmail.com", login="ann", subject=each) for each in "def"] == [[], [], ["two"]]


def test_a_mass_mail_in_many_transactions_shows(tmp_path: Path) -> None:
    """One mail to each of fifty people is a mass mail as much as one to fifty."""
    judged = Judged(tmp_path)
    fired = [judged.send(f"{each}@firm.example", login="ann") for each in "abcd"]
    assert fired == [[], [], ["three"], ["three"]]
    assert judged.send("e@firm.example", login="ann", subject="another") == []
    assert judged.send("e@firm.example", login="bob") == []


def test_what_was_held_has_not_gone(tmp_path: Path) -> None:
    """Nobody is known by a letter that never arrived."""
    held = (
        RULES
        + "  - {id: four, title: F, find: \"direction == 'outbound'\", action: quarantine, say: F., queue: dsl}\n"
    )
    judged = Judged(tmp_path, rules=held)
    assert judged.send("x@firm.example", login="ann") == ["four"]
    assert not judged.history.take()


# Followers


def test_rulings_are_read_when_their_number_has_changed_and_kept_when_the_store_is_away() -> None:
    """An outage of the database must not lift a block, nor an exemption."""
    shelf, memory = Shelf(), Memory()
    follower = RulingsFollower(shelf, memory, zone=UTC)
    follower.look()
    assert memory.standing.blocks == ()
    until = datetime.now(UTC) + timedelta(hours=1)
    block = Ruling(kind=RulingKind.BLOCK, sender=WHO[0], reason="r", actor="a", expires_at=until)
    shelf.add_ruling(block)
    follower.look()
    standing = memory.standing
    assert standing.blocks == (block,)
    follower.look()
    assert memory.standing is standing, "nothing has changed, so nothing is read"
    shelf.away = True
    with pytest.raises(StoreError):
        follower.look()
    assert memory.standing is standing


def test_a_follower_looks_at_once_and_once_more_when_it_ends() -> None:
    """A new worker must not take mail without the blocks; one that stops must not lose its last notes."""
    shelf = Shelf()
    worker = Worker(shelf)
    worker.history.note_wrote(WHO[0], THEY[0], day=TODAY)
    follower = Follower("history", HistoryFollower(shelf, worker.history, today=lambda: DAY).look, every=3600)
    follower.start()
    assert len(shelf.pairs) == 1
    worker.history.note_wrote(WHO[0], THEY[1], day=TODAY)
    follower.end()
    assert len(shelf.pairs) == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_follower_that_a_defect_ends_is_seen_to_be_gone() -> None:
    """Its worker goes on with what was known last; nobody would know that no block reaches it any more."""
    fine = Follower(RULINGS, lambda: None, every=3600)
    fine.start()
    fine.end()
    assert REGISTRY.get_sample_value("gatepost_followed", {"what": RULINGS}) == 1

    def look() -> None:
        raise ValueError("a ruling that nobody can read")

    broken = Follower(RULINGS, look)
    broken.start()
    broken.end()
    assert REGISTRY.get_sample_value("gatepost_followed", {"what": RULINGS}) == 0


def test_a_follower_goes_on_when_the_store_comes_back() -> None:
    """It is told once that it is away, and asked again and again."""
    shelf = Shelf(away=True)
    worker = Worker(shelf)
    worker.history.note_wrote(WHO[0], THEY[0], day=TODAY)
    follower = Follower("history", HistoryFollower(shelf, worker.history, today=lambda: DAY).look, every=3600)
    follower.start()
    assert shelf.pairs == {}
    shelf.away = False
    follower.end()
    assert len(shelf.pairs) == 1


def test_the_action_of_a_rule_can_look_back(tmp_path: Path) -> None:
    """Evidence says what was counted, so that a person can see why it fired."""
    judged = Judged(tmp_path)
    for each in "ab":
        judged.send(f"{each}@gmail.com", login="ann", subject=each)
    verdict = judged.judge.judge(transaction("c@gmail.com", login="ann"), inspection(subject="c"))
    (finding,) = verdict.findings
    assert finding.evidence[0].details == {"private_today": 2}
    assert verdict.action is Action.TAG
