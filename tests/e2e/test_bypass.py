"""The bypass with Postfix's own postconf, and with a Postfix that runs."""

from __future__ import annotations

import json
import os
import smtplib
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.postfix import PostfixLab, postfix_lab
from support.site import Site, marking

from gatepost_milter.bypass import Bypass, BypassError, keep, trusted
from gatepost_milter.cli import main
from gatepost_milter.doctor import detour, postconf

LETTER = b"From: a@outside.example\r\nTo: x@school.example\r\nSubject: Hello\r\n\r\nA letter.\r\n"


SHAPES = {
    "shipped": [],
    "plain": ["smtpd_milters = unix:gatepost/milter.sock", "non_smtpd_milters = $smtpd_milters"],
    "between others": [
        "smtpd_milters = inet:127.0.0.1:11332,",
        "# the policy",
        "    { unix:/gatepost/milter.sock, default_action = tempfail }",
        "    unix:opendkim/opendkim.sock",
        "non_smtpd_milters =",
    ],
    "by a name": [
        "gatepost = { unix:gatepost/milter.sock, default_action=tempfail }",
        "smtpd_milters = inet:127.0.0.1:11332, $gatepost",
        "non_smtpd_milters = $gatepost",
    ],
    "inside a name": [
        "all_milters = inet:127.0.0.1:11332, unix:gatepost/milter.sock",
        "smtpd_milters = ${all_milters}",
        "non_smtpd_milters = $smtpd_milters",
    ],
    "wrongly placed": ["smtpd_milters = unix:gatepost/../gatepost/milter.sock", "non_smtpd_milters ="],
}


def shape(site: Site, lines: list[str]) -> None:
    """Write these lines in place of the shipped ones for milters; and an override of one service."""
    if lines:
        kept = (
            f"compatibility_level = 3.6\nqueue_directory = {site.home}/queue\ndata_directory = {site.home}/data\n"
        )
        (site.postfix / "main.cf").write_text(kept + "\n".join(lines) + "\n# end\n", encoding="utf-8")
        text = (site.postfix / "master.cf").read_text(encoding="utf-8")
        override = "    -o { smtpd_milters = { unix:gatepost/milter.sock, default_action = tempfail } }\n"
        (site.postfix / "master.cf").write_text(
            text.replace("    -o syslog_name=postfix/submission\n", override), encoding="utf-8"
        )
        site.cool()


@pytest.mark.parametrize("lines", SHAPES.values(), ids=SHAPES)
def test_a_bypass_takes_gatepost_out_everywhere_and_resume_restores_every_byte(
    site: Site, lines: list[str]
) -> None:
    """However the administrator has written it, comments and broken lines included; twice, to see it repeat."""
    shape(site, lines)
    before = site.files()
    others = [each.endpoint for each in postconf.read(site.postfix).milters() if "gatepost" not in each.endpoint]
    for _ in range(2):
        outcome = detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
        assert not outcome.reloaded
        assert detour.asked(site.postfix, socket=site.socket) == ()
        found = postconf.read(site.postfix)
        assert [each.endpoint for each in found.milters()] == others
        assert not any("gatepost" in each.overrides.get("smtpd_milters", "") for each in found.services)
        assert detour.end(site.state) is not None
        assert site.files() == before
        assert list(site.state.iterdir()) == []
    assert detour.end(site.state) is None


def test_a_second_bypass_only_moves_the_end(site: Site) -> None:
    """What was there first is what comes back."""
    before = site.files()
    first = detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=10, actor="me").bypass
    second = detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=300, actor="you").bypass
    assert second.changes == first.changes
    assert second.since == first.since
    assert second.until > first.until
    detour.end(site.state)
    assert site.files() == before


def test_other_changes_during_a_bypass_are_kept(site: Site) -> None:
    """Somebody may have to mend something else in that hour; only our own values go back."""
    shape(site, SHAPES["between others"])
    milters = site.postconf("-x", "smtpd_milters")
    detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
    site.postconf("-e", "message_size_limit=30000000")
    site.postconf("-P", "submission/inet/smtpd_tls_security_level=encrypt")
    detour.end(site.state)
    assert site.postconf("-x", "smtpd_milters") == milters
    assert site.postconf("-h", "message_size_limit") == "30000000\n"
    assert "encrypt" in site.postconf("-P", "submission/inet/smtpd_tls_security_level")
    assert "submission/inet/smtpd_milters" in detour.asked(site.postfix, socket=site.socket)
    assert not list(site.postfix.glob("*.before-bypass"))


def test_a_conflicting_change_is_not_overwritten(site: Site) -> None:
    """Nothing at all is changed then, and the record stays until somebody has decided."""
    detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
    site.postconf("-e", "smtpd_milters=inet:127.0.0.1:11332")
    during = site.files()
    refused = site.run("postfix", "resume", "--yes")
    assert refused.exit_code == 2
    assert "smtpd_milters was" in refused.stderr
    assert "--forget" in refused.stderr
    assert site.files() == during
    assert trusted(site.state) is not None
    assert "Changed since: smtpd_milters" in site.run("postfix", "status").stdout
    assert site.run("postfix", "resume", "--forget", "--yes").exit_code == 0
    assert trusted(site.state) is None
    assert site.postconf("-h", "smtpd_milters") == "inet:127.0.0.1:11332\n"


def test_gatepost_put_back_by_hand_is_no_conflict(site: Site) -> None:
    """Then there is nothing to restore; resume ends the alert."""
    before = site.files()
    detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
    for name in ("main.cf", "master.cf"):
        if name in before:
            (site.postfix / name).write_bytes(before[name])
    assert site.run("postfix", "resume", "--yes").exit_code == 0
    assert site.files() == before


@pytest.mark.parametrize("moment", ["record", "main.cf"])
def test_a_crash_in_the_middle_loses_nothing(site: Site, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record is written first; whatever was done after it, resume undoes and bypass completes."""
    shape(site, SHAPES["between others"])
    before = site.files()
    put = detour._put
    done: list[str] = []

    def crash(directory: Path, name: str, content: bytes, *, expected: bytes) -> None:
        if moment == "record" or done:
            raise KeyboardInterrupt
        done.append(name)
        put(directory, name, content, expected=expected)

    for complete in (False, True):
        done.clear()
        monkeypatch.setattr(detour, "_put", crash)
        with pytest.raises(KeyboardInterrupt):
            detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
        monkeypatch.setattr(detour, "_put", put)
        assert trusted(site.state) is not None
        if complete:
            detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
            assert detour.asked(site.postfix, socket=site.socket) == ()
        detour.end(site.state)
        assert site.files() == before


def test_a_copy_that_was_tampered_with_is_not_restored(site: Site) -> None:
    """The digest is on record; then only the values go back."""
    detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
    (site.postfix / "main.cf.before-bypass").write_text("alias_maps = static:evil\n", encoding="utf-8")
    detour.end(site.state)
    assert "evil" not in site.postconf("-n")
    assert "smtpd_milters" in detour.asked(site.postfix, socket=site.socket)


def test_what_is_not_there_cannot_be_bypassed(site: Site) -> None:
    """A wrong socket must not look like success."""
    with pytest.raises(BypassError, match="--socket"):
        detour.begin(site.postfix, socket="/elsewhere/milter.sock", state=site.state, minutes=60, actor="me")
    assert list(site.state.iterdir()) == []


def test_a_bypass_without_a_record_does_not_begin(site: Site) -> None:
    """The record is what resume and the alert live on."""
    before = site.files()
    with pytest.raises(BypassError, match="cannot be written"):
        detour.begin(site.postfix, socket=site.socket, state=site.home / "missing", minutes=60, actor="me")
    copies = {name for name in site.files() if name.endswith(".before-bypass")}
    assert {name: content for name, content in site.files().items() if name not in copies} == before


def test_one_record_speaks_for_one_postfix(site: Site) -> None:
    """A second instance needs its own --state."""
    detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
    with pytest.raises(BypassError, match="bypassed already"):
        detour.begin(site.home / "other", socket=site.socket, state=site.state, minutes=60, actor="me")


def test_a_linked_main_cf_stays_a_link_and_keeps_its_mode(site: Site) -> None:
    """Configuration under version control."""
    real = site.home / "versioned.cf"
    (site.postfix / "main.cf").rename(real)
    (site.postfix / "main.cf").symlink_to(real)
    real.chmod(0o640)
    before = real.read_bytes()
    detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me")
    assert (site.postfix / "main.cf").is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert real.read_bytes() != before
    detour.end(site.state)
    assert (site.postfix / "main.cf").is_symlink()
    assert real.read_bytes() == before


def test_the_command_asks_before_it_acts(site: Site) -> None:
    """No is the answer that changes nothing."""
    before = site.files()
    asked = site.run("postfix", "bypass", answer="n\n")
    assert asked.exit_code == 1
    assert "ALL MAIL PASSES UNEXAMINED" in asked.stdout
    assert site.files() == before


def test_the_commands_say_what_it_means_how_long_and_how_to_end_it(site: Site) -> None:
    """Without systemd, that nothing ends it; and doctor and status tell of it."""
    begun = site.run("postfix", "bypass", "--minutes", "30", "--yes")
    assert begun.exit_code == 0, begun.output
    assert "MAIL PASSES UNEXAMINED" in begun.stdout
    assert "gatepost postfix resume" in begun.stdout
    assert ("NOTHING ends it by itself" in begun.stdout) is not Path("/run/systemd/system").is_dir()
    shown = site.run("postfix", "status")
    assert shown.exit_code == 1
    assert "Bypassed since" in shown.stdout
    told = json.loads(site.run("postfix", "status", "--json").stdout)
    assert Bypass.from_json(told["bypass"]) == trusted(site.state)
    (attached,) = site.results("postfix.attached")
    assert attached["status"] == "fail"
    assert attached["mend"] == "gatepost postfix resume"
    ended = site.run("postfix", "resume", "--yes")
    assert ended.exit_code == 0, ended.output
    assert "does not exist" in ended.stderr or "No such file" in ended.stderr
    assert site.run("postfix", "status").exit_code == 0
    assert "no bypass to end" in site.run("postfix", "resume").stdout


def test_resume_asks_when_gatepost_does_not_answer(site: Site) -> None:
    """Put back too early, all mail would wait; that is safe, and should be a choice."""
    site.run("postfix", "bypass", "--yes")
    during = site.files()
    assert site.run("postfix", "resume", answer="n\n").exit_code == 1
    assert site.files() == during


def test_broken_settings_do_not_stand_in_the_way(site: Site) -> None:
    """At three in the morning they may be what is broken."""
    (site.home / "gatepost.yaml").write_text("skool: {}\n", encoding="utf-8")
    where = ("--socket", site.socket, "--state", str(site.state))
    begun = site.run("postfix", "bypass", "--yes", *where)
    assert begun.exit_code == 0, begun.output
    assert "skool" in begun.stderr
    assert detour.asked(site.postfix, socket=site.socket) == ()
    assert site.run("postfix", "resume", "--yes", *where).exit_code == 0


def test_a_record_that_gatepost_could_have_forged_is_refused(site: Site) -> None:
    """Root must not write what gatepost's user says."""
    bypass = detour.begin(site.postfix, socket=site.socket, state=site.state, minutes=60, actor="me").bypass
    keep(site.state, bypass)
    (site.state / "bypass.json").chmod(0o666)
    during = site.files()
    assert site.run("postfix", "resume", "--yes").exit_code == 2
    assert site.files() == during


def seen(lab: PostfixLab, address: str) -> bool:
    """Whether a letter to this address went past the filter."""
    lab.inbound(LETTER, to=[address])
    (delivery,) = lab.arrives(address)
    return b"X-Seen: yes" in delivery.content


def test_mail_is_filtered_then_bypassed_then_filtered_again(tmp_path: Path, root: Path) -> None:
    """With a Postfix that runs: each command reaches it at once; with the filter down, resume means 451."""
    socket = Path(f"/tmp/gatepost-bypass-{os.getpid()}.sock")
    state = tmp_path / "state"
    state.mkdir()
    yaml = tmp_path / "gatepost.yaml"
    yaml.write_text(
        f"school: {{name: A School, domains: [school.example]}}\nsocket: {socket}\n"
        f"store: {{url: 'sqlite:///{state}/quarantine.db'}}\n",
        encoding="utf-8",
    )
    with postfix_lab(gateway=False, milter=f"unix:{socket}") as lab:
        etc = lab.home / "etc"
        where = ["--config", str(yaml), "--postfix-config", str(etc), "--yes"]
        before = (etc / "main.cf").read_bytes()
        with marking(socket, root):
            assert seen(lab, "one@school.example")
            begun = CliRunner().invoke(main, ["postfix", "bypass", *where])
            assert begun.exit_code == 0, begun.output
            assert "Postfix does not run" not in begun.stdout
            assert not seen(lab, "two@school.example")
        assert not seen(lab, "three@school.example")
        ended = CliRunner().invoke(main, ["postfix", "resume", *where])
        assert ended.exit_code == 0, ended.output
        assert (etc / "main.cf").read_bytes() == before
        with pytest.raises(smtplib.SMTPException) as waiting:
            lab.inbound(LETTER, to=["four@school.example"])
        assert "451" in str(waiting.value)
        with marking(socket, root):
            assert seen(lab, "five@school.example")
