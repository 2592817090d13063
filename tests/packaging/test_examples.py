"""The files that an administrator copies agree with gatepost's defaults, with each other, and with Postfix."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest
from click.testing import CliRunner
from support.postfix import EXAMPLES, example_parameters, example_release_options

from gatepost_config.settings import School, Settings
from gatepost_milter.cli import main
from gatepost_quarantine.smtp import FINAL_TIMEOUT

DEFAULTS = Settings(school=School(name="King's School", domains=["school.example"]))
CHROOT = "/var/spool/postfix"
UNITS = (
    "gatepost-milter.service",
    "gatepost-courier.service",
    "gatepost-console.service",
    "gatepost-directory.service",
    "gatepost-pages.service",
)


def _unit(root: Path, name: str) -> str:
    return (root / "systemd" / name).read_text(encoding="utf-8")


def test_postfix_connects_where_gatepost_listens() -> None:
    """Seen from inside Debian's chroot."""
    (socket,) = re.findall(r"unix:(\S+?),", example_parameters("unix:/gatepost/milter.sock")["smtpd_milters"])
    assert CHROOT + socket == DEFAULTS.socket


def test_the_folder_of_the_socket_is_made(root: Path) -> None:
    """With the set-group-id bit, which gives Postfix the socket."""
    tmpfiles = (root / "systemd" / "gatepost.tmpfiles.conf").read_text(encoding="utf-8")
    folder = PurePosixPath(DEFAULTS.socket).parent
    assert re.search(rf"^d {folder} 2750 gatepost postfix -$", tmpfiles, re.MULTILINE)
    assert re.search(rf"^d {DEFAULTS.spool.directory} 0700 gatepost gatepost -$", tmpfiles, re.MULTILINE)


def test_the_courier_sends_to_the_release_listeners() -> None:
    """Inbound and outbound each have their own."""
    ports = [int(each.rpartition(":")[2]) for each in (DEFAULTS.courier.inbound, DEFAULTS.courier.outbound)]
    assert ports == list(example_release_options())


def test_the_spool_takes_what_postfix_takes() -> None:
    """Else a message that Postfix accepts would be refused by gatepost for its size alone."""
    limit = int(example_parameters("")["message_size_limit"])
    assert 25_000_000 <= limit <= DEFAULTS.spool.limit


def test_a_milter_that_is_down_lets_nothing_pass() -> None:
    """Nowhere in the example may Postfix be told to accept unseen mail."""
    parameters = example_parameters("unix:/gatepost/milter.sock")
    assert parameters["milter_default_action"] == "tempfail"
    assert "default_action=tempfail" in parameters["smtpd_milters"]
    assert parameters["non_smtpd_milters"] == "$smtpd_milters"


def test_the_lines_in_the_readme_are_those_of_the_example(root: Path) -> None:
    """Whoever pastes from the front page must not get an older truth."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    (pasted,) = re.findall(r"In `/etc/postfix/main\.cf`:\n\n```\n(.*?)```", readme, re.DOTALL)
    example = (EXAMPLES / "main.cf").read_text(encoding="utf-8").splitlines()
    assert [line for line in pasted.splitlines() if line not in example] == []


@pytest.mark.skipif(shutil.which("postconf", path="/usr/sbin:/usr/bin") is None, reason="Postfix is not installed")
def test_postfix_understands_every_line(tmp_path: Path) -> None:
    """``postconf`` warns of parameters that Postfix does not know, in either file."""
    proto = Path("/usr/share/postfix/master.cf.dist").read_text(encoding="utf-8")
    (tmp_path / "main.cf").write_bytes(b"compatibility_level = 3.6\n" + (EXAMPLES / "main.cf").read_bytes())
    (tmp_path / "master.cf").write_text(proto + (EXAMPLES / "master.cf").read_text(encoding="utf-8"))
    shutil.copy("/etc/postfix/dynamicmaps.cf", tmp_path)
    for question in ("-n", "-Mf", "-P"):
        asked = subprocess.run(
            ["/usr/sbin/postconf", "-c", str(tmp_path), question], capture_output=True, text=True, check=True
        )
        assert asked.stderr == ""


@pytest.mark.parametrize("name", UNITS)
def test_the_service_manager_understands_the_unit(root: Path, tmp_path: Path, name: str) -> None:
    """Unknown or misspelt settings are warnings to systemd, and would silently protect nothing."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", _unit(root, name), flags=re.MULTILINE)
    (tmp_path / name).write_text(text, encoding="utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if name in line]) == (0, [])


@pytest.mark.parametrize("name", UNITS)
def test_the_units_run_as_the_user_that_is_made(root: Path, name: str) -> None:
    """And nobody else: a unit without User= would run the gateway as root."""
    made = re.findall(r"^u (\S+)", (root / "systemd" / "gatepost.sysusers.conf").read_text(), re.MULTILINE)
    assert re.findall(r"^User=(.*)$", _unit(root, name), re.MULTILINE) == made


@pytest.mark.parametrize("name", UNITS)
def test_the_units_start_commands_that_exist(root: Path, name: str) -> None:
    """A program that no wheel brings would only be missed at the first start."""
    (line,) = re.findall(r"^ExecStart=(.*)$", _unit(root, name), re.MULTILINE)
    program, *arguments = line.split()
    assert program == "/opt/gatepost/bin/gatepost"
    asked = CliRunner().invoke(main, [*arguments[: arguments.index("--config")], "--help"])
    assert (asked.exit_code, "--config" in asked.output) == (0, True)


def test_the_service_manager_waits_for_the_drain(root: Path) -> None:
    """A stop must not cut short what ``drain`` allows open sessions."""
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", _unit(root, UNITS[0]), re.MULTILINE)
    assert int(stop) > DEFAULTS.drain


def test_the_service_manager_waits_for_the_last_answer_to_the_courier(root: Path) -> None:
    """Killed between the final dot and its answer, the courier would send that mail twice."""
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", _unit(root, "gatepost-courier.service"), re.MULTILINE)
    assert int(stop) > FINAL_TIMEOUT
