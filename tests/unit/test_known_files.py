"""A list of hashes seals: whatever the policy says, and without a word about what was found."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from support.gates import transaction

from gatepost_config import hash_lists
from gatepost_config.errors import ConfigError
from gatepost_config.settings import School, Settings, Store
from gatepost_config.words import Action, Direction
from gatepost_milter.inspection.model import Attachment, Inspection
from gatepost_milter.policy import policy
from gatepost_milter.policy.known_files import KNOWN_FILE

LISTED = hashlib.sha256(b"a file that is known").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()


def configured(folder: Path, text: str, *, policy: str = "kings-college", tell: tuple[str, ...] = ()) -> Settings:
    """Settings with one list."""
    (folder / "list.txt").write_text(text)
    return Settings(
        school=School(name="Example School", domains=["school.example"]),
        policy=policy,
        store=Store(seal_hashes=[folder / "list.txt"], seal_tell=list(tell)),
    )


def with_file(sha256: str) -> Inspection:
    file = Attachment(path="part 2 › holiday.jpg", part="2", name="holiday.jpg", sha256=sha256)
    return replace(Inspection(size=10, subject="Photos"), attachments=(file,))


def test_a_listed_file_seals_for_everybody_and_is_not_described(tmp_path: Path) -> None:
    """Also for a colleague, and whatever the document's rules say; the roles for it hear of it."""
    judge = policy.load(configured(tmp_path, f"# comment\n\n{LISTED.upper()}  holiday.jpg\r\n"), tested=False)
    message = transaction("colleague@school.example", "parent@home.example")
    verdict = judge.judge(message, with_file(LISTED))
    assert {each.action for each in verdict.explanation.outcomes} == {Action.SEAL}
    (found,) = [each for each in verdict.findings if each.rule == KNOWN_FILE]
    assert (found.evidence, found.queue, found.tell) == ((), "dsl", ("dsl",))
    assert LISTED not in repr(verdict)
    clean = judge.judge(message, with_file(OTHER))
    assert all(each.rule != KNOWN_FILE for each in clean.findings)


def test_the_roles_may_be_named(tmp_path: Path) -> None:
    named = ("head-of-computer-services", "dsl")
    judge = policy.load(configured(tmp_path, LISTED, tell=named), tested=False)
    verdict = judge.judge(transaction("parent@home.example"), with_file(LISTED))
    assert next(each.tell for each in verdict.findings if each.rule == KNOWN_FILE) == named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{LISTED}\n\n{LISTED[:-1]}\n", r"list\.txt:3:1: this is no SHA-256 sum"),
        (f"{'0' * 32}  old.jpg\n", r"list\.txt:1:1: this is an MD5 or SHA-1 sum"),
        (f"{'0' * 40}\n", r"list\.txt:1:1: this is an MD5 or SHA-1 sum"),
        (f"{LISTED}0\n", r"list\.txt:1:1: this is no SHA-256 sum"),
        ("# nothing yet\n", r"list\.txt: there is no SHA-256 in this list"),
    ],
)
def test_a_list_that_is_none_does_not_load(tmp_path: Path, text: str, said: str) -> None:
    """A list that is half read protects against half of it, and nobody would know which half."""
    with pytest.raises(ConfigError, match=said):
        policy.load(configured(tmp_path, text), tested=False)


def test_a_list_that_is_not_there_and_roles_that_are_not_there(tmp_path: Path) -> None:
    gone = configured(tmp_path, LISTED)
    (tmp_path / "list.txt").unlink()
    with pytest.raises(ConfigError, match=r"list\.txt: the list of hashes cannot be read"):
        policy.load(gone, tested=False)
    with pytest.raises(ConfigError, match=r"has no role 'dls'"):
        policy.load(configured(tmp_path, LISTED, tell=("dls",)), tested=False)
    document = tmp_path / "mine.yaml"
    document.write_text(
        "name: mine\ntitle: Mine\nversion: '1'\nroles:\n  it: {title: IT, mailboxes: ['it@{domain}']}\nrules:\n"
        "  - {id: some-rule, title: A rule, find: 'false', action: pass, say: Nothing.}\n"
    )
    with pytest.raises(ConfigError, match=r"name the roles that hear of a match"):
        policy.load(configured(tmp_path, LISTED, policy=str(document)), tested=False)


def test_every_sum_is_found_and_no_other(tmp_path: Path) -> None:
    """Found by halving: the first, the last and those between, in a list of ten thousand."""
    sums = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(10_000)]
    path = tmp_path / "many.txt"
    path.write_text("\n".join(sums))
    found = hash_lists.load([path, path])
    assert len(found) == 10_000
    assert all(each in found for each in sums)
    assert all(hashlib.sha256(f"no {number}".encode()).hexdigest() not in found for number in range(1000))
    assert not any(each in found for each in ("", "f" * 64, "0" * 64, "zz", 7))


def test_without_a_list_nothing_is_asked() -> None:
    judge = policy.load(Settings(school=School(name="Example", domains=["school.example"])), tested=False)
    assert not judge.known_files
    verdict = judge.judge(transaction("parent@home.example"), with_file(LISTED))
    assert verdict.direction is Direction.OUTBOUND
    assert all(each.rule != KNOWN_FILE for each in verdict.findings)
