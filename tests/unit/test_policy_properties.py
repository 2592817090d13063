"""What must hold for every message and every document, however odd: tried on many, chosen by machine."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st
from support.mail import attachment, inspection, policy, settings, transaction

from gatepost_config.documents import load_policy
from gatepost_config.errors import ConfigError
from gatepost_config.phrase_lists import load_lists, shipped_lists
from gatepost_config.words import Action
from gatepost_milter.inspection.model import Attachment, Defect, FileClass, Inspection, Text
from gatepost_milter.policy.policy import Policy, load

ACTIONS = [each for each in Action if each is not Action.CONFIRM]
WORDS = st.text(max_size=60) | st.sampled_from(["{school}", "a\r\nb", "\u202e", "x" * 5000, "\udc80", ""])


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return load(settings(policy="kings-college"))


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A policy with one rule for each action, which fires for recipients in the domain of that name."""
    return policy(tmp_path_factory.mktemp("ladder"), "rules:\n" + "".join(rungs()))


def rungs() -> Iterator[str]:
    for action in ACTIONS:
        yield f"""
  - id: {action}
    title: {action}
    find: attachments
    when: recipient.domain == '{action}.example'
    action: {action}
    queue: it-support
    reply: No.
    say: "{{names}}"
"""


@trials(max_examples=300, deadline=None)
@given(asked=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5))
def test_what_recipients_get_can_be_said_in_one_smtp_reply(ladder: Policy, asked: list[Action]) -> None:
    """Refused are all or nobody; sealed are all or nobody; nobody ever gets less than a rule asks for."""
    recipients = [f"r{number}@{action}.example" for number, action in enumerate(asked)]
    verdict = ladder.judge(transaction(*recipients), inspection(attachment("a.txt")))
    got = [outcome.action for outcome in verdict.outcomes]
    assert got.count(Action.REJECT) in (0, len(got))
    assert got.count(Action.SEAL) in (0, len(got))
    assert all(each.strictness >= wanted.strictness for each, wanted in zip(got, asked, strict=True))
    assert [outcome.recipient for outcome in verdict.outcomes] == recipients
    assert (verdict.refusal is not None) is (verdict.action is Action.REJECT)


SAID = [
    *(test.text for each in load_lists(list(shipped_lists())) for test in each.tests),
    "Her UPN is K801000025001.",
    "The password is Blue7Whale.",
    "Join me at https://zoom.us/j/12345, or write to mum@gmail.com.",
    "Surname\tForename\tUPN\tFSM\nLark\tSam\tK801000025001\tY",
]


@pytest.fixture(scope="module")
def thorough(shipped: Policy) -> Policy:
    """The same policy without a glance and without a shortcut: it weighs every phrase and evaluates every rule."""
    other = copy.copy(shipped)
    other._detectors = replace(shipped._detectors, in_letters=None, in_files=None)
    other.rules = tuple(replace(each, lists=None, looks=()) for each in shipped.rules)
    other._plans = {}
    return other


@trials(max_examples=60, deadline=None)
@given(
    own=st.lists(st.sampled_from(SAID), max_size=3),
    quoted=st.lists(st.sampled_from(SAID), max_size=2),
    filed=st.lists(st.sampled_from(SAID), max_size=3),
    classes=st.frozensets(st.sampled_from(FileClass), max_size=2),
)
def test_shortcuts_change_no_verdict(
    shipped: Policy,
    thorough: Policy,
    own: list[str],
    quoted: list[str],
    filed: list[str],
    classes: frozenset[FileClass],
) -> None:
    """Most mail is judged by a look at a few lists; the verdict is that of a judge who evaluates everything."""
    letter = "\n".join([*own, "", "On Monday, A. Bell wrote:", *(f"> {each}" for each in quoted)])
    texts = (Text(where="part 1", text=letter), Text(where="part 2", text="\n".join(filed), of_file=True))
    seen = replace(inspection(attachment("a.csv", *classes)), texts=texts)
    for sent in (transaction("t@school.example"), transaction("p@gmail.com", "t@school.example", login="teacher")):
        assert shipped.judge(sent, seen) == thorough.judge(sent, seen)


@trials(max_examples=300, deadline=None)
@given(
    names=st.lists(WORDS, max_size=4),
    classes=st.frozensets(st.sampled_from(FileClass), max_size=4),
    size=st.integers(min_value=-1, max_value=2**70),
    codes=st.lists(WORDS, max_size=3),
    address=WORDS,
)
def test_no_message_makes_the_judge_fail(
    shipped: Policy, names: list[str], classes: frozenset[FileClass], size: int, codes: list[str], address: str
) -> None:
    """An exception would be a temp-fail for ever; a program must be held whatever else is odd."""
    files = tuple(
        Attachment(
            path=f"part {name}", part="2", name=name, names=(name,), size=size, classes=classes, reason=name
        )
        for name in names
    )
    seen = Inspection(
        size=1, subject=address, attachments=files, defects=tuple(Defect(code=each) for each in codes)
    )
    verdict = shipped.judge(transaction(address, sender=address), seen)
    if files and FileClass.EXECUTABLE in classes:
        assert verdict.action is Action.QUARANTINE
    for finding in verdict.findings:
        finding.say.encode()
        assert not set(finding.say) & set("\r\u202e\x1b\x00")
        assert len(finding.say) < 5000


@trials(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(raw=st.binary(max_size=200) | st.text(alphabet="ab:{}[]&*!|>'\"#-?%@`,\n \t0", max_size=60).map(str.encode))
def test_no_document_makes_the_loader_fail(tmp_path: Path, raw: bytes) -> None:
    """Whatever is in the file, the answer is a list of problems and never a traceback."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        load_policy(path)
        raise AssertionError("a document of noise was taken for a policy")
