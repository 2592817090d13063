"""The people directory from a real LDAP server: encrypted, verified, page by page, and all of it or nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support.certificates import Authority

from gatepost_config.directory_load import load_directory
from gatepost_milter.cli import main

SLAPD = shutil.which("slapd", path="/usr/sbin:/usr/libexec")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(SLAPD is None, reason="slapd is not installed"),
]
PASSWORD = "a word of the tests"
BASE = "dc=school,dc=example"
STAFF = 25
HOST = "127.0.0.1"
"""Not localhost, for which libldap puts the machine's own name before it looks at the certificate."""

CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {home}/slapd.pid
TLSCertificateFile {chain}
TLSCertificateKeyFile {key}
sizelimit size=unlimited size.pr=unlimited
security simple_bind=128
database mdb
suffix "{base}"
rootdn "cn=reader,{base}"
rootpw "{password}"
directory {home}/db
access to * by * none
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running slapd, and what trusts it. ``port`` is for StartTLS, ``tls_port`` for TLS from the start."""

    home: Path
    authority: Path
    port: int
    tls_port: int

    def modify(self, ldif: str) -> None:
        """Change what it holds."""
        command = ["ldapmodify", "-x", "-ZZ", "-H", f"ldap://{HOST}:{self.port}", "-D", f"cn=reader,{BASE}"]
        subprocess.run(
            [*command, "-w", PASSWORD],
            input=ldif,
            text=True,
            check=True,
            capture_output=True,
            env={**os.environ, "LDAPTLS_CACERT": str(self.authority)},
        )


def entries() -> str:
    """A small school in LDIF: staff, one of them without mail, pupils, a list, and a list of lists."""
    made = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: school\no: School"]
    made += [f"dn: ou={each},{BASE}\nobjectClass: organizationalUnit" for each in ("staff", "pupils", "lists")]
    for number in range(STAFF):
        made.append(
            f"dn: uid=t{number},ou=staff,{BASE}\nobjectClass: inetOrgPerson\nsn: T\ncn: Teacher {number}\n"
            f"mail: t{number}@school.example\nmanager: UID=t0, ou=Staff, {BASE}\ndepartmentNumber: Maths"
        )
    made.append(f"dn: uid=cleaner,ou=staff,{BASE}\nobjectClass: inetOrgPerson\nsn: C\ncn: No Mail")
    made.append(
        f"dn: uid=p1,ou=pupils,{BASE}\nobjectClass: inetOrgPerson\nsn: B\ncn: Ada Brook\nemployeeNumber: P1"
    )
    lists = {
        "maths": [f"uid=t{number},ou=staff,{BASE}" for number in range(3)],
        "all": [f"cn=maths,ou=lists,{BASE}", f"uid=t2,ou=staff,{BASE}", f"uid=t9,ou=staff,{BASE}"],
    }
    for name, members in lists.items():
        lines = "\n".join(f"member: {each}" for each in members)
        made.append(
            f"dn: cn={name},ou=lists,{BASE}\nobjectClass: groupOfNames\nobjectClass: extensibleObject\n"
            f"mail: {name}@school.example\n{lines}"
        )
    return "\n\n".join(made) + "\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """slapd on free ports of the loopback, with a certificate of an authority of our own."""
    assert SLAPD is not None
    home = tmp_path_factory.mktemp("slapd")
    (home / "db").mkdir()
    authority = Authority(home)
    chain, key = authority.issue(HOST)
    conf = home / "slapd.conf"
    conf.write_text(CONF.format(home=home, chain=chain, key=key, base=BASE, password=PASSWORD), encoding="utf-8")
    loaded = subprocess.run(
        [Path(SLAPD).with_name("slapadd"), "-f", conf],
        input=entries(),
        text=True,
        capture_output=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    plain, encrypted = _free_port(), _free_port()
    addresses = f"ldap://127.0.0.1:{plain} ldaps://127.0.0.1:{encrypted}"
    with subprocess.Popen([SLAPD, "-d", "0", "-f", conf, "-h", addresses]) as process:
        try:
            _wait(process, plain)
            yield Server(home=home, authority=authority.certificate, port=plain, tls_port=encrypted)
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "slapd ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    pytest.fail("slapd does not answer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The directory's folder, with a file of parents that was written by hand."""
    made = tmp_path / "directory"
    made.mkdir()
    (made / "parents.csv").write_text("address,pupil\nbrook@gmail.com,P1\n", encoding="utf-8")
    return made


@pytest.fixture
def run(server: Server, folder: Path, tmp_path: Path) -> Callable[..., Result]:
    """Run the command with the shipped example, at this server; keywords replace keys of the example."""
    from ruamel.yaml import YAML

    example = Path(__file__).resolve().parents[2] / "config/directory/ldap/openldap.yaml"
    (tmp_path / "directory-password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    settings = tmp_path / "gatepost.yaml"
    settings.write_text(f"school: {{name: P, domains: [school.example]}}\ndirectory: {folder}\n", encoding="utf-8")

    def command(*arguments: str, **changes: object) -> Result:
        document = YAML(typ="safe").load(example)
        document |= {
            "uri": f"ldap://{HOST}:{server.port}",
            "ca_file": str(server.authority),
            "page": 4,
            **changes,
        }
        (tmp_path / "sync.yaml").write_text(json.dumps(document), encoding="utf-8")
        options = ["--config", str(settings), "--from", str(tmp_path / "sync.yaml")]
        return CliRunner().invoke(main, ["directory", "sync", *options, *arguments])

    return command


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_folder_is_filled_and_the_gateway_reads_it(
    run: Callable[..., Result], folder: Path, server: Server
) -> None:
    """Over StartTLS and over TLS from the start; with managers, and lists whose sizes add up, each once."""
    first = answer(run("--json"))
    assert (first["written"], [each["rows"] for each in first["files"]]) == (True, [STAFF, 1, 2])
    known = load_directory(folder)
    teacher = known.by_login("t7")
    assert teacher is not None
    assert (teacher.name, teacher.department, teacher.supervisors) == (
        "Teacher 7",
        "Maths",
        ("t0@school.example",),
    )
    assert known.group_size("maths@school.example") == 3
    assert known.group_size("all@school.example") == 4
    assert known.person("brook@gmail.com") is not None
    assert (folder / "staff-ldap.csv").stat().st_mode & 0o777 == 0o640
    again = answer(run("--json", uri=f"ldaps://{HOST}:{server.tls_port}"))
    assert (again["written"], again["problems"]) == (False, [])
    assert sorted(each.name for each in folder.iterdir()) == [
        "groups-ldap.csv", "parents.csv", "pupils-ldap.csv", "staff-ldap.csv",
    ]  # fmt: skip


def test_a_dry_run_shows_the_difference_and_writes_nothing(
    run: Callable[..., Result], folder: Path, server: Server
) -> None:
    """And the real run afterwards writes just that."""
    answer(run("--json"))
    before = (folder / "staff-ldap.csv").read_bytes()
    dn = f"dn: uid=t24,ou=staff,{BASE}\nchangetype: modify\nreplace: cn\ncn: "
    server.modify(f"{dn}New Name\n")
    try:
        shown = run("--dry-run")
        assert "staff-ldap.csv: 25 rows" in shown.stdout
        assert "1 rows come, 1 go" in shown.stdout
        assert "+ address t24@school.example, name New Name" in shown.stdout
        assert (folder / "staff-ldap.csv").read_bytes() == before
        assert answer(run("--json"))["written"]
        assert b"New Name" in (folder / "staff-ldap.csv").read_bytes()
    finally:
        server.modify(f"{dn}Teacher 24\n")


def test_a_directory_that_shrinks_too_much_is_refused_unless_forced(
    run: Callable[..., Result], folder: Path
) -> None:
    """Somebody moved a branch of the tree, and no rule would know the staff any more."""
    answer(run("--json"))
    before = (folder / "staff-ldap.csv").read_bytes()
    fewer = [{"file": "staff-ldap.csv", "base": BASE, "filter": "(uid=t1*)", "columns": {"address": "mail"}}]
    refused = run(people=fewer, groups=[])
    assert refused.exit_code == 1
    assert "14 of 25 addresses would go, more than 20 per cent" in refused.stderr
    assert (folder / "staff-ldap.csv").read_bytes() == before
    assert answer(run("--json", "--force", people=fewer, groups=[]))["files"][0]["rows"] == 11


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ca_file": None}, "is ca_file its authority?"),
        ({"bind": {"dn": f"cn=reader,{BASE}", "password_file": "wrong"}}, "Invalid credentials"),
        ({"bind": {"dn": f"cn=reader,{BASE}", "password_file": "empty"}}, "is empty"),
        ({"bind": {"dn": f"cn=reader,{BASE}", "password_file": "missing"}}, "No such file"),
        ({"bind": None}, "No such object"),
        (
            {"people": [{"file": "staff.csv", "base": BASE, "filter": "((", "columns": {"address": "mail"}}]},
            "filter",
        ),
        ({"uri": "http://localhost"}, "uri"),
    ],
)
def test_what_goes_wrong_is_told_and_nothing_is_written(
    run: Callable[..., Result], folder: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    """A certificate that nobody vouches for, a password that is wrong, a filter that is none (exit code 2)."""
    (tmp_path / "wrong").write_text("wrong\n", encoding="utf-8")
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    result = run(**changes)
    assert (result.exit_code, result.exception.__class__) == (2, SystemExit), result.output
    assert said in result.stderr
    assert [each.name for each in folder.iterdir()] == ["parents.csv"]


def test_a_server_of_another_name_is_not_believed(run: Callable[..., Result], server: Server) -> None:
    """Its certificate is for an address, and not for the name that was asked for."""
    result = run(uri=f"ldaps://localhost:{server.tls_port}")
    assert result.exit_code == 2
    assert "Can't contact LDAP server" in result.stderr


def test_a_file_that_was_written_by_hand_is_left_alone(run: Callable[..., Result], folder: Path) -> None:
    """Even if it has the name that the sync would use."""
    (folder / "staff-ldap.csv").write_text("address\nhead@school.example\n", encoding="utf-8")
    result = run()
    assert result.exit_code == 2
    assert "was not written by gatepost directory sync" in result.stderr
    assert "head@school.example" in (folder / "staff-ldap.csv").read_text(encoding="utf-8")
