"""Messages, and what inspection and policy say of them: one folder for each case, file beside file.

A folder holds ``message.eml``, ``verdict.json`` (what ``gatepost check --json`` prints, without the time it
took), and ``arguments`` where the envelope is not what the header says. ``pytest tests/golden --rewrite-golden``
writes the verdicts anew; read the difference before keeping it. Large messages are made here, not kept.
"""

from __future__ import annotations

import json
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gatepost_milter.cli.check import check

HERE = Path(__file__).parent
CASES = sorted(path.name for path in HERE.iterdir() if (path / "message.eml").exists())
LIMIT = 10 * 1024 * 1024


def verdict_on(message: Path, *arguments: str) -> tuple[dict[str, Any], int]:
    """What the command prints for one message, and its exit code."""
    config = str(HERE / "gatepost.yaml")
    result = CliRunner().invoke(check, ["--json", "--config", config, *arguments, str(message)])
    assert result.stderr == ""
    return json.loads(result.stdout), result.exit_code


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_the_one_that_was_read_and_kept(case: str, request: pytest.FixtureRequest) -> None:
    """Every change of a verdict must be seen by a person."""
    folder = HERE / case
    arguments = folder / "arguments"
    said, code = verdict_on(
        folder / "message.eml", *(arguments.read_text().splitlines() if arguments.exists() else ())
    )
    said["file"] = "message.eml"
    assert said.pop("took_ms") > 0
    expected = folder / "verdict.json"
    if request.config.getoption("--rewrite-golden"):
        expected.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert said == json.loads(expected.read_text(encoding="utf-8"))
    assert code == int(said["verdict"] in ("confirm", "reject", "quarantine", "seal"))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize(
    ("size", "login", "recipient", "verdict"),
    [
        (LIMIT, "teacher", "friend@outside.example", "pass"),
        (LIMIT + 1, "teacher", "friend@outside.example", "reject"),
        (LIMIT + 1, "teacher", "head@school.example", "reject"),
        (LIMIT + 1, "", "head@school.example", "tag"),
    ],
    ids=["at-the-limit", "over-outbound", "over-internal", "over-inbound"],
)
def test_the_decoded_size_decides(
    tmp_path: Path, encoding: str, size: int, login: str, recipient: str, verdict: str
) -> None:
    """“Greater than 10 MB” is about the file, not about its base64 (KCS 2.10)."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "t@school.example", recipient, "Slides"
    message.set_content("Please see attached.\n")
    data = (b"slide " * (size // 6 + 1))[: size - 1] + b"\n"
    name = "slides.dat"
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name, cte=encoding)
    path = tmp_path / "large.eml"
    path.write_bytes(message.as_bytes())
    said, _ = verdict_on(path, "--login", login)
    assert [size] == [each["size"] for each in said["attachments"]]
    assert verdict == said["verdict"]
    assert (["attachment-too-large"] if verdict != "pass" else []) == [each["rule"] for each in said["findings"]]


def test_there_are_cases() -> None:
    """A runner that finds no case proves nothing."""
    assert len(CASES) >= 15
