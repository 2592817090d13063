"""Broken settings and policies, and the words that say what is wrong: one folder for each mistake.

A folder holds ``gatepost.yaml`` or ``policy.yaml`` and ``expected-error``; ``<file>`` in it is the path.
``pytest tests/bad_config --rewrite-golden`` writes what is said now; read the difference before keeping it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost_config.documents import load_policy, load_settings
from gatepost_config.errors import ConfigError
from gatepost_config.settings import School, Settings
from gatepost_milter.policy.policy import load, prepare

HERE = Path(__file__).parent
CASES = sorted(path.name for path in HERE.iterdir() if path.is_dir() and path.name[0].isdigit())


def load_case(folder: Path) -> None:
    """Load what lies in the folder, as the daemon would when it starts."""
    if (folder / "gatepost.yaml").exists():
        load(load_settings(folder / "gatepost.yaml"))
    else:
        school = School(name="Park School", domains=["school.example"])
        prepare(load_policy(folder / "policy.yaml"), Settings(school=school))


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_told_with_place_and_remedy(case: str, request: pytest.FixtureRequest) -> None:
    """An administrator must be able to mend the file from the message alone: file, line, column, remedy."""
    folder = HERE / case
    with pytest.raises(ConfigError) as caught:
        load_case(folder)
    said = str(caught.value).replace(f"{folder}/", "<file>/") + "\n"
    expected = folder / "expected-error"
    if request.config.getoption("--rewrite-golden"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


def test_there_are_cases() -> None:
    """A runner that finds no case proves nothing."""
    assert len(CASES) >= 30
