"""``gatepost policy``: what each command prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gatepost_config.documents import shipped_policies
from gatepost_milter.cli.policy import fact_rows, policy


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gatepost.yaml"
    path.write_text(
        "school: {name: Park School, domains: [school.example]}\npolicy: kings-college\n"
        "roles: {it-support: [helpdesk@school.example]}\n",
        encoding="utf-8",
    )
    return str(path)


def run(config: str, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner(env={"COLUMNS": "300"}).invoke(policy, [command, "--config", config, *rest])


def ours(tmp_path: Path, old: str, new: str) -> str:
    """A copy of the default policy with one change."""
    path = tmp_path / "ours.yaml"
    path.write_text(
        shipped_policies()["default"].read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8"
    )
    return str(path)


def test_the_list_says_which_policy_is_in_use(config: str) -> None:
    """The shipped ones, whatever the settings name."""
    rows = json.loads(run(config, "list", "--json").stdout)
    assert [row["name"] for row in rows] == sorted(shipped_policies())
    assert [row["name"] for row in rows if row["in_use"]] == ["kings-college"]
    assert {row["base"] for row in rows if row["name"] not in ("default", "kings-college")} == {"default"}
    assert "King's College School" in run(config, "list").stdout


def test_a_policy_of_ones_own_is_in_the_list(tmp_path: Path) -> None:
    """It is the one that matters."""
    ours(tmp_path, "name: default", "name: ours")
    path = tmp_path / "gatepost.yaml"
    path.write_text("school: {name: P, domains: [school.example]}\npolicy: ./ours.yaml\n", encoding="utf-8")
    rows = json.loads(run(str(path), "list", "--json").stdout)
    assert [str(tmp_path / "ours.yaml")] == [row["path"] for row in rows if row["in_use"]]


def test_show_tells_where_each_rule_is_written(config: str) -> None:
    """Of a policy that builds on another; whoever wants to change a rule has to know in which file."""
    said = run(config, "show", "kclms").stdout
    assert "kclms + default" in said
    data = json.loads(run(config, "show", "kclms", "--json").stdout)
    written = {rule["id"]: rule["from"] for rule in data["rules"]}
    assert written["source-code-from-stranger"] == ["kclms"]
    assert written["credentials"] == ["kclms", "default"]
    assert "default +" not in run(config, "show", "default").stdout


def test_show_tells_rules_roles_and_limits(config: str) -> None:
    """With the settings' own mailboxes: the answer to “who is told?”."""
    said = run(config, "show").stdout
    for expected in (
        "executable-attachment",
        "KCS 2.6",
        "helpdesk@school.example",
        "10,485,760",
        "outbound: reject",
    ):
        assert expected in said
    data = json.loads(run(config, "show", "--json").stdout)
    assert data["roles"]["it-support"]["mailboxes"] == ["helpdesk@school.example"]
    assert data["roles"]["dsl"]["mailboxes"] == ["dsl@school.example"]
    assert data["limits"]["attachment_bytes"] == 10485760


def test_show_tells_of_a_leave_from_a_rule_that_does_not_exist(tmp_path: Path) -> None:
    """With file, line and what was meant."""
    (tmp_path / "staff.csv").write_text("address\na@school.example\n", encoding="utf-8")
    (tmp_path / "exemptions.csv").write_text(
        "who,rule,until,approved_by,reason\na@school.example,parents-exposd,2026-12-31,Head,Trip\n",
        encoding="utf-8",
    )
    path = tmp_path / "gatepost.yaml"
    path.write_text("school: {name: P, domains: [school.example]}\ndirectory: .\n", encoding="utf-8")
    result = run(str(path), "show")
    assert result.exit_code == 0
    assert "exemptions.csv:2:1: the policy 'default' has no rule 'parents-exposd'" in result.stderr
    assert "did you mean 'parents-exposed'?" in result.stderr


def test_an_exemption_that_is_over_says_so(tmp_path: Path, config: str) -> None:
    """Nobody should wonder why it no longer works."""
    exemption = "{who: a@b.example, rule: executable-attachment, until: 2001-01-01, approved_by: the Head}"
    text = f"exemptions: [{exemption}]\n"
    assert "2001-01-01 (over)" in run(config, "show", ours(tmp_path, "rules:\n", text + "rules:\n")).stdout


def test_all_tests_of_shipped_policies_pass(config: str) -> None:
    """Exit code 0."""
    result = run(config, "test", *shipped_policies())
    assert result.exit_code == 0, result.stdout
    rows = json.loads(run(config, "test", "--json").stdout)
    assert all(row["passed"] and row["policy"] == "kings-college" for row in rows)


def test_a_failing_test_is_told_with_what_differs(tmp_path: Path, config: str) -> None:
    """Exit code 1: the answer is no."""
    result = run(config, "test", ours(tmp_path, "action: quarantine", "action: tag"))
    assert result.exit_code == 1
    assert "should get quarantine, gets tag (executable-attachment fired)" in result.stdout


def test_a_policy_that_cannot_be_loaded_is_another_matter(tmp_path: Path, config: str) -> None:
    """Exit code 2, and the place of the mistake."""
    result = run(config, "test", ours(tmp_path, "a.executable", "a.exectuable"))
    assert result.exit_code == 2
    assert "did you mean 'executable'?" in result.stderr


def test_facts_prints_the_whole_catalogue() -> None:
    """The page in config/README.md is held to the same rows."""
    rows = json.loads(CliRunner().invoke(policy, ["facts", "--json"]).stdout)
    assert [tuple(row.values()) for row in rows] == fact_rows()
    assert "Attachment.executable" in CliRunner(env={"COLUMNS": "200"}).invoke(policy, ["facts"]).stdout


def test_the_schema_describes_what_the_loader_takes() -> None:
    """An editor that follows it must accept an action as one word, and as one for each direction."""
    schema = json.loads(CliRunner().invoke(policy, ["schema"]).stdout)
    assert {"name", "title", "version"} == set(schema["required"])
    assert schema["if"] == {"not": {"required": ["base"]}}
    assert schema["then"]["required"] == ["rules"]
    assert set(schema["then"]["properties"]["rules"]["items"]["required"]) == {
        "id",
        "title",
        "find",
        "action",
        "say",
    }
    action = schema["$defs"]["Rule"]["properties"]["action"]
    assert len(action["anyOf"]) == 2
    assert schema["$defs"]["Rule"]["additionalProperties"] is False


@pytest.mark.parametrize("command", ["list", "show", "test", "diff", "facts", "schema"])
def test_every_command_shows_an_example(command: str) -> None:
    """--help is the first place where people look."""
    assert "Example: gatepost policy" in CliRunner().invoke(policy, [command, "--help"]).stdout
