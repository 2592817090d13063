"""The doctor with Postfix's own postconf, and with a Postfix that runs.

Each remedy that the doctor names is run as it stands, and must mend what was broken.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.doctor import settings
from support.postfix import postfix_lab
from support.site import MASTER, Site, marking

from gatepost_milter.cli import main
from gatepost_milter.doctor.examination import CHECKS


def test_the_shipped_lines_are_what_the_doctor_wants(site: Site) -> None:
    """Example and doctor must not contradict each other; that local users reach the listeners is always told."""
    found = site.results("postfix", "release")
    assert {each["check"] for each in found if each["status"] == "warn"} <= {"release.reach"}
    assert {each["check"]: each["says"] for each in found if each["status"] == "fail"} == {}
    assert {each["check"] for each in found} == {
        name for name in CHECKS if name.startswith(("postfix.", "release."))
    }


BREAKS = [
    ("postfix.attached", ["-e", "smtpd_milters="]),
    ("postfix.attached", ["-e", "smtpd_milters=unix:opendkim/opendkim.sock"]),
    ("postfix.attached", ["-P", "submission/inet/smtpd_milters="]),
    ("postfix.attached", ["-P", "smtp/inet/receive_override_options=no_milters"]),
    ("postfix.attached", ["-P", "smtp/inet/smtpd_proxy_filter=127.0.0.1:10024"]),
    ("postfix.attached", ["-F", "smtp/inet/chroot=n", "submission/inet/chroot=n"]),
    ("postfix.double", ["-P", "smtp/inet/smtpd_milters=unix:gatepost/milter.sock,unix:gatepost/milter.sock"]),
    ("postfix.order", ["-P", "smtp/inet/smtpd_milters=unix:gatepost/milter.sock,inet:127.0.0.1:11332"]),
    ("postfix.default-action", ["-e", "smtpd_milters={ unix:/gatepost/milter.sock, default_action = accept }"]),
    (
        "postfix.default-action",
        ["-e", "milter_default_action=reject", "smtpd_milters=unix:/gatepost/milter.sock"],
    ),
    ("postfix.protocol", ["-e", "milter_protocol=2"]),
    ("postfix.protocol", ["-e", "milter_mail_macros=i"]),
    ("postfix.protocol", ["-e", "milter_end_of_data_macros="]),
    ("postfix.protocol", ["-e", "smtpd_milters={ unix:/gatepost/milter.sock, content_timeout=5s }"]),
    ("postfix.non-smtpd", ["-e", "non_smtpd_milters="]),
    ("postfix.non-smtpd", ["-e", "internal_mail_filter_classes=bounce"]),
    ("postfix.message-size", ["-e", "message_size_limit=10240000"]),
    ("postfix.mailbox-size", ["-e", "mailbox_size_limit=51200"]),
    ("postfix.original-recipient", ["-e", "enable_original_recipient=no"]),
    ("postfix.original-recipient", ["-P", "cleanup/unix/enable_original_recipient=no"]),
    ("postfix.bcc", ["-e", "always_bcc=archive@school.example"]),
    ("postfix.bcc", ["-P", "cleanup/unix/recipient_bcc_maps=static:archive"]),
    ("postfix.queue-ids", ["-e", "enable_long_queue_ids=no"]),
    ("postfix.oddities", ["-e", "header_size_limit=4000"]),
    ("postfix.oddities", ["-e", "message_strip_characters="]),
    ("postfix.oddities", ["-e", "message_strip_characters=\\0\\r"]),
    ("release.inbound", ["-P", "127.0.0.1:10025/inet/receive_override_options=no_address_mappings"]),
    ("release.inbound", ["-P", "127.0.0.1:10025/inet/local_header_rewrite_clients=permit_inet_interfaces"]),
    ("release.inbound", ["-P", "127.0.0.1:10025/inet/content_filter=amavis:[127.0.0.1]:10024"]),
    ("release.inbound", ["-P", "127.0.0.1:10025/inet/smtpd_authorized_xforward_hosts="]),
    ("release.inbound", ["-P", "127.0.0.1:10025/inet/smtpd_milters=unix:gatepost/milter.sock"]),
    ("release.outbound", ["-P", "127.0.0.1:10026/inet/smtpd_milters=unix:/gatepost/milter.sock,unix:dkim.sock"]),
    ("release.outbound", ["-P", "127.0.0.1:10026/inet/smtpd_tls_security_level=encrypt"]),
]


@pytest.mark.parametrize(("check", "broken"), BREAKS, ids=[f"{name} {words[-1]}" for name, words in BREAKS])
def test_every_fault_is_found_and_its_remedy_mends_it(site: Site, check: str, broken: list[str]) -> None:
    """Broken by postconf, found by the doctor, mended by running what the doctor says, until nothing is left."""
    site.postconf(*broken)
    found = [each for each in site.results(check) if each["status"] in ("warn", "fail")]
    assert found
    for _ in range(4):
        for each in found:
            command, _, reload = each["mend"].partition(" && ")
            assert reload == f"postfix -c {site.postfix} reload"
            subprocess.run(["/bin/sh", "-c", command], check=True, timeout=60, env=os.environ | {"LC_ALL": "C"})
            site.cool()
        found = [each for each in site.results(check) if each["status"] in ("warn", "fail")]
        if not found:
            return
    pytest.fail(f"still broken: {found}")


def test_a_misspelt_parameter_is_found(site: Site) -> None:
    """Postfix would ignore it in silence."""
    with (site.postfix / "main.cf").open("a", encoding="utf-8") as stream:
        stream.write("smtpd_miltres = unix:x\n")
    site.cool()
    (found,) = site.results("postfix.spelling")
    assert found["status"] == "warn"
    assert "smtpd_miltres" in found["says"]


def test_missing_listeners_are_found(site: Site) -> None:
    """And the remedy, the shipped file, brings them back."""
    (site.postfix / "master.cf").write_text(MASTER, encoding="utf-8")
    assert [each["status"] for each in site.results("release.inbound", "release.outbound")] == ["fail", "fail"]


def test_a_configuration_that_postfix_cannot_read_is_a_fault(site: Site) -> None:
    """Told in Postfix's words, once for all checks, and not as a crash."""
    (site.postfix / "master.cf").write_text("smtp inet n\n", encoding="utf-8")
    first, *others = site.results("postfix")
    assert (first["status"], {each["status"] for each in others}) == ("fail", {"skipped"})
    assert "master.cf" in first["says"]


def test_the_exit_code_tells_whether_there_is_a_fault(site: Site) -> None:
    """0 for warnings, 1 for a fault, 2 for what cannot be run."""
    assert site.run("doctor", "--only", "postfix.queue-ids").exit_code == 0
    site.postconf("-e", "enable_long_queue_ids=no")
    warned = site.run("doctor", "--only", "postfix.queue-ids")
    assert warned.exit_code == 0
    assert "0 faults, 1 warning" in warned.stdout
    site.postconf("-e", "enable_original_recipient=no")
    faulty = site.run("doctor", "--only", "postfix.original-recipient", "--quiet")
    assert faulty.exit_code == 1
    assert f"    postconf -c {site.postfix} -e enable_original_recipient=yes && " in faulty.stdout
    assert site.run("doctor", "--only", "postfix.nothing").exit_code == 2
    (site.postfix / "main.cf").unlink()
    assert site.run("doctor").exit_code == 2


def test_settings_that_do_not_load_are_the_one_fault(site: Site) -> None:
    """Everything else depends on them."""
    (site.home / "gatepost.yaml").write_text("skool: {}\n", encoding="utf-8")
    found = site.results()
    assert {each["check"] for each in found if each["status"] == "fail"} == {"settings"}
    assert {each["status"] for each in found if each["check"] != "settings"} == {"skipped"}


def test_a_policy_that_the_next_reload_would_refuse_is_a_fault(site: Site) -> None:
    """With file, line and column, before somebody reloads."""
    assert [each["status"] for each in site.results("policy")] == ["ok"]
    with (site.home / "gatepost.yaml").open("a", encoding="utf-8") as stream:
        stream.write("policy: ./ours.yaml\n")
    (site.home / "ours.yaml").write_text("name: ours\nrulez: []\n", encoding="utf-8")
    found = site.results("policy")
    assert {each["status"] for each in found} == {"fail"}
    assert any(f"{site.home}/ours.yaml:2:1: 'rulez'" in each["says"] for each in found)


def test_the_doctor_changes_nothing(site: Site) -> None:
    """Not a file of Postfix's, not one of gatepost's."""

    def everything() -> dict[str, tuple[int, float]]:
        return {str(path): (path.stat().st_size, path.stat().st_mtime) for path in sorted(site.home.rglob("*"))}

    before = everything()
    assert len(site.results()) >= len(CHECKS)
    assert everything() == before


def test_the_doctor_finds_the_lab_s_postfix_well(tmp_path: Path, root: Path) -> None:
    """A running gateway, looked at whole: socket, negotiation and listeners."""
    socket = Path(f"/tmp/gatepost-doctor-{os.getpid()}.sock")
    with postfix_lab(gateway=False, milter=f"unix:{socket}") as lab, marking(socket, root):
        chosen = settings(
            socket=str(socket),
            courier={
                "inbound": f"127.0.0.1:{lab.postfix.ports.inbound}",
                "outbound": f"127.0.0.1:{lab.postfix.ports.outbound}",
            },
        )
        yaml = tmp_path / "gatepost.yaml"
        yaml.write_text(json.dumps(chosen.model_dump(mode="json")), encoding="utf-8")
        words = ["--config", str(yaml), "--postfix-config", str(lab.home / "etc")]
        groups = ["--only", "postfix", "--only", "release", "--only", "socket"]
        done = CliRunner().invoke(main, ["doctor", "--json", *groups, *words])
        found = {
            each["check"]: each for each in json.loads(done.stdout) if each["status"] not in ("ok", "skipped")
        }
        # The lab's filter is open to everybody, since it is nobody's in particular.
        assert set(found) <= {"release.reach", "socket"}, found
        assert all(each["status"] == "warn" for each in found.values())
        assert done.exit_code == 0
