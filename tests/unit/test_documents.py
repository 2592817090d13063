"""Reading YAML documents: places, bounds, names of policies."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost_config import documents
from gatepost_config.documents import check, load_policy, load_settings, read, shipped_policies
from gatepost_config.errors import ConfigError
from gatepost_config.settings import Settings
from gatepost_config.source import Place
from gatepost_config.spelling import nearest, suggestion

SCHOOL = "school: {name: Park School, domains: [School.Example]}\n"


def write(folder: Path, text: str | bytes, name: str = "gatepost.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_only_the_school_must_be_said(tmp_path: Path) -> None:
    """Two lines are enough to start; all else has a default."""
    settings = load_settings(write(tmp_path, SCHOOL))
    assert settings.school.domains == ["school.example"]
    assert settings.policy == "default"


def test_off_and_no_and_dates_are_read_as_people_mean_them(tmp_path: Path) -> None:
    """In YAML 1.1 ``off`` is a boolean, and a rule's mode would be lost."""
    data, _ = read(write(tmp_path, "mode: off\ncountry: no\nday: 2027-01-31\nversion: '1.0'\n"))
    assert data["mode"] == "off"
    assert data["country"] == "no"
    assert data["day"].isoformat() == "2027-01-31"
    assert data["version"] == "1.0"


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Windows editors write one."""
    assert load_settings(write(tmp_path, b"\xef\xbb\xbf" + SCHOOL.encode())).school.name == "Park School"


def test_a_relative_policy_counts_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service manager starts us in another folder."""
    monkeypatch.chdir("/")
    settings = load_settings(write(tmp_path, SCHOOL + "policy: ./ours.yaml\n"))
    assert str(tmp_path / "ours.yaml") == settings.policy


def test_a_missing_file_is_told_with_its_name(tmp_path: Path) -> None:
    """Nothing else would say which of several files it was."""
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "nowhere.yaml")


def test_a_folder_is_not_read_as_a_file(tmp_path: Path) -> None:
    """A slip in a path must not become a traceback."""
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/zero, or a mailbox named by mistake, must not fill the memory."""
    monkeypatch.setattr(documents, "SIZE_LIMIT", 1000)
    with pytest.raises(ConfigError, match="is larger than 1,000 bytes"):
        read(write(tmp_path, "a: " + "x" * 1000))


def test_deep_nesting_is_refused_in_words(tmp_path: Path) -> None:
    """Nesting beyond Python's stack must be an error of the file, not of the program."""
    with pytest.raises(ConfigError, match="is nested too deeply"):
        read(write(tmp_path, "[\n" * 5_000 + "]\n" * 5_000))


def test_an_alias_may_be_used(tmp_path: Path) -> None:
    """Aliases are bounded, not forbidden."""
    data, _ = read(write(tmp_path, "a: &a [1, 2]\nb: *a\n"))
    assert data == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "line", "column", "expected"),
    [
        ("key: a + b\n", 1, 5, Place(1, 10)),
        ("key: 'a + b'\n", 1, 5, Place(1, 11)),
        ("key: |\n  a +\n  bcd\n", 2, 2, Place(3, 4)),
        ("key: |\n\n  a\n", 2, 1, Place(3, 3)),
        ("key: >\n  a +\n  bcd\n", 1, 7, Place(1, 6)),
    ],
    ids=["plain", "quoted", "literal", "literal-after-an-empty-line", "folded"],
)
def test_a_place_inside_a_text_is_found_in_the_file(
    tmp_path: Path, text: str, line: int, column: int, expected: Place
) -> None:
    """A misspelt fact is told at its own column, however the condition is written."""
    _, source = read(write(tmp_path, text))
    place = source.place_inside(("key",), line, column)
    assert (expected.line, expected.column) == (place.line, place.column)


def test_a_number_out_of_bounds_is_told_in_words(tmp_path: Path) -> None:
    """Bounds are part of the settings page."""
    data, source = read(write(tmp_path, SCHOOL + "workers: 0\nspool: {limit: -5}\n"))
    with pytest.raises(ConfigError) as caught:
        check(Settings, data, source)
    first, second = caught.value.problems
    assert first.message == "workers: must be at least 1, not 0"
    assert (first.line, first.column) == (2, 10)
    assert second.message == "spool.limit: must be at least 1, not -5"


def test_nearest_is_silent_when_nothing_is_near() -> None:
    """A wild guess would send people the wrong way."""
    assert nearest("Quarantaine", ["quarantine", "pass"]) == "quarantine"
    assert nearest("zebra", ["quarantine", "pass"]) == ""


def test_a_suggestion_is_the_near_word_or_all_that_there_are() -> None:
    """The remedy of an error: never a guess where nothing is like it."""
    known = ["quarantine", "pass"]
    assert suggestion("Quarantaine", known, what="actions") == "did you mean 'quarantine'?"
    assert suggestion("zebra", known, what="actions") == "actions: quarantine, pass"
    assert suggestion("zebra", known) == ""


@pytest.mark.parametrize("name", sorted(shipped_policies()))
def test_a_shipped_policy_has_the_name_of_its_file(name: str) -> None:
    """Explanations carry the name inside, people write the name outside."""
    assert name == load_policy(name).name


def test_a_policy_by_path_is_found_from_a_folder(tmp_path: Path) -> None:
    """``relative_to`` is what the settings' folder is given as."""
    copy = write(tmp_path, shipped_policies()["default"].read_bytes(), "ours.yaml")
    document = load_policy("./ours.yaml", relative_to=tmp_path)
    assert copy == document.source.path
    assert len(document.source.digest) == 64


def test_an_unknown_shipped_policy_lists_those_there_are() -> None:
    """Whoever asks for one that is not there wants to know which are."""
    with pytest.raises(ConfigError, match=f"shipped policies: {', '.join(shipped_policies())}"):
        load_policy("zebra")
