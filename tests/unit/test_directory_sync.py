"""What Active Directory's answers become, and what keeps the directory's folder from harm."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ldap
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap.controls import SimplePagedResultsControl

from gatepost_config.directory_load import load_directory
from gatepost_config.directory_sync import MARK, Made, SyncError, make, plan, write
from gatepost_config.errors import ConfigError
from gatepost_config.ldap_reading import Entry, LdapError, Reader
from gatepost_config.ldap_source import LdapSource, load_source

OU = "OU=Staff,DC=school,DC=example"


class Canned:
    """Answers each search with what was put below its base."""

    def __init__(self, **answers: Sequence[Entry]) -> None:
        self._answers = answers

    def search(self, base: str, wanted: str, attributes: Sequence[str]) -> list[Entry]:
        return [*self._answers.get(base.partition(",")[0].removeprefix("OU=").lower(), ())]


def entry(dn: str, **attributes: str | list[str] | bytes) -> Entry:
    values = {
        name.lower(): tuple(
            each if isinstance(each, bytes) else each.encode()
            for each in (given if isinstance(given, list) else [given])
        )
        for name, given in attributes.items()
    }
    return Entry(dn=dn, attributes=values)


@pytest.fixture
def source(root: Path) -> LdapSource:
    """The shipped example."""
    return load_source(root / "config/directory/ldap/active-directory.yaml")


def rows(made: Made) -> list[dict[str, str]]:
    return [dict(zip(made.columns, row, strict=True)) for row in made.rows]


@pytest.mark.parametrize("name", ["active-directory", "openldap"])
def test_the_shipped_examples_load(root: Path, name: str) -> None:
    """They are what an administrator copies."""
    loaded = load_source(root / f"config/directory/ldap/{name}.yaml")
    assert loaded.bind is not None
    assert loaded.bind.password_file.is_absolute()


def test_what_active_directory_says_becomes_what_our_columns_want(source: LdapSource) -> None:
    """Addresses out of many kinds, names out of DNs, a last day out of 100 nanoseconds since 1601."""
    staff = [
        entry(
            f"CN=Anita Patel,{OU}",
            mail="a.patel@school.example",
            displayName="Anita\r\nPatel",
            sAMAccountName="apatel",
            proxyAddresses=[
                "SMTP:a.patel@school.example",
                "smtp:anita@school.example",
                "SIP:a.patel@school.example",
            ],
            memberOf=["CN=Exams\\, all,OU=Lists,DC=school,DC=example", "CN=hr,OU=Lists,DC=school,DC=example"],
            manager="cn=Head, ou=staff, dc=school, dc=example",
            accountExpires="134326908000000000",
        ),
        entry(f"CN=Head,{OU}", mail="head@school.example", accountExpires="9223372036854775807"),
        entry(f"CN=No Mail,{OU}", displayName="No Mail", sAMAccountName="nomail"),
        entry(f"CN=Odd,{OU}", mail=b"\xff\xfe", sAMAccountName="odd"),
    ]
    made = make(source, Canned(staff=staff))
    patel, head = rows(made[0])
    assert (patel["name"], patel["login"]) == ("Anita Patel", "apatel")
    assert patel["aliases"] == "a.patel@school.example;anita@school.example"
    assert patel["groups"] == "hr"
    assert (patel["supervisor"], patel["until"]) == ("head@school.example", "2026-08-31")
    assert head["until"] == ""
    assert made[0].left_out == 2


def test_a_pupil_without_mail_still_connects_the_parents(source: LdapSource) -> None:
    """By the number; a login that leads to no mailbox is left out."""
    made = make(source, Canned(pupils=[entry("CN=Ada,OU=Pupils", employeeID="P1", sAMAccountName="ada")]))
    assert rows(made[1]) == [{"address": "", "name": "", "login": "", "pupil": "P1", "year": "", "until": ""}]


def test_lists_count_everybody_once_and_a_list_in_itself_ends(source: LdapSource) -> None:
    """Aliases expand after gatepost has looked, so the sizes must be known before."""
    lists = [
        entry("CN=A,OU=Lists", mail="a@school.example", member=["CN=1,OU=S", "CN=2,OU=S", "CN=B,OU=Lists"]),
        entry("cn=b,ou=lists", mail="b@school.example", member=["cn=2, ou=S", "CN=3,OU=S", "CN=A,OU=Lists"]),
    ]
    made = make(source, Canned(lists=lists))
    assert [(row["address"], row["size"]) for row in rows(made[2])] == [
        ("a@school.example", "3"),
        ("b@school.example", "3"),
    ]


@given(
    values=st.dictionaries(
        st.sampled_from(
            ["mail", "displayname", "samaccountname", "memberof", "manager", "accountexpires", "employeeid"]
        ),
        st.lists(st.binary(max_size=30) | st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace"))),
    )
)
def test_no_value_can_break_the_file(values: Mapping[str, list[bytes]], root: Path) -> None:
    """Whatever stands in the server: one entry gives one row at most, and the row is what was meant."""
    source = load_source(root / "config/directory/ldap/active-directory.yaml")
    odd = Entry(dn="CN=x,OU=Staff", attributes={name: tuple(each) for name, each in values.items()})
    for made in make(source, Canned(staff=[odd], pupils=[odd], lists=[odd])):
        assert len(made.rows) <= 1
        assert not any(line.startswith("#") for line in made.text().splitlines()[2:])
        assert len(made.text().splitlines()) == 2 + len(made.rows)


def staff(*names: str) -> Made:
    return Made(
        file="staff-ad.csv", columns=("address",), rows=tuple((f"{name}@school.example",) for name in names)
    )


def test_a_folder_is_changed_file_by_file_and_the_rest_stays(tmp_path: Path) -> None:
    """What was written by hand, and what other systems put there."""
    (tmp_path / "approved.csv").write_text("who\ncoaches.example\n", encoding="utf-8")
    write(plan(tmp_path, [staff("a", "b")]))
    assert (tmp_path / "staff-ad.csv").read_text(encoding="utf-8").startswith(MARK)
    before = (tmp_path / "staff-ad.csv").stat().st_ino
    same = plan(tmp_path, [staff("b", "a")])
    assert not same.differs
    write(same)
    assert (tmp_path / "staff-ad.csv").stat().st_ino == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["approved.csv", "staff-ad.csv"]
    assert len(load_directory(tmp_path).people) == 2


def test_a_result_that_could_not_be_loaded_is_never_written(tmp_path: Path) -> None:
    """More bad rows than good ones: told of the file that it would have been."""
    bad = Made(file="staff-ad.csv", columns=("address",), rows=(("no address",), ("nor this",)))
    with pytest.raises(ConfigError) as raised:
        plan(tmp_path, [bad])
    assert all(problem.path == tmp_path / "staff-ad.csv" for problem in raised.value.problems)


def test_a_crash_before_the_first_rename_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else behind: the disk is full while the second file is written."""
    write(plan(tmp_path, [staff("a")]))
    old = (tmp_path / "staff-ad.csv").read_bytes()
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr("gatepost_config.durable.os.fsync", full)
    pupils = Made(file="pupils-ad.csv", columns=("address",), rows=(("p@school.example",),))
    planned = plan(tmp_path, [staff("a", "b"), pupils])
    with pytest.raises(OSError, match="No space"):
        write(planned)
    assert [each.name for each in tmp_path.iterdir()] == ["staff-ad.csv"]
    assert (tmp_path / "staff-ad.csv").read_bytes() == old


def test_shrinking_is_measured_over_all_files(tmp_path: Path) -> None:
    """Somebody who moves from one file to the other is not lost; a file that becomes empty is not believed."""
    pupils = Made(file="pupils-ad.csv", columns=("address",), rows=(("p@school.example",),))
    write(plan(tmp_path, [staff("a", "b", "c", "d"), pupils]))
    assert plan(tmp_path, [staff("a", "b", "c"), pupils]).too_small(shrink=20) == ""
    assert "2 of 5 addresses" in plan(tmp_path, [staff("a", "b"), pupils]).too_small(shrink=20)
    moved = Made(file="pupils-ad.csv", columns=("address",), rows=())
    everybody = staff("a", "b", "c", "d", "p")
    assert "nothing would be left in pupils-ad.csv" in plan(tmp_path, [everybody, moved]).too_small(shrink=100)


def test_a_file_that_somebody_else_wrote_is_not_replaced(tmp_path: Path) -> None:
    """Its first line is not ours."""
    (tmp_path / "staff-ad.csv").write_text("address\nhead@school.example\n", encoding="utf-8")
    with pytest.raises(SyncError, match="was not written by gatepost directory sync"):
        plan(tmp_path, [staff("a")])


class Ranging:
    """A connection to a server that gives a group's members three at a time, as Active Directory gives 1,500."""

    def __init__(self, count: int, *, broken: bool = False) -> None:
        self._members = [f"CN={number},OU=Staff".encode() for number in range(count)]
        self._broken = broken

    def search_ext(self, *_: object, **__: object) -> int:
        return 1

    def result3(self, *_: object, **__: object) -> tuple[int, list[tuple[str | None, Any]], int, list[Any]]:
        values = {"member": [], "member;range=0-2": self._members[:3], "mail": [b"all@school.example"]}
        referral: tuple[None, list[str]] = (None, ["ldap://elsewhere.example"])
        return 1, [("CN=all", values), referral], 1, []

    def search_ext_s(
        self, dn: str, scope: int, wanted: str, attributes: list[str], **_: object
    ) -> list[tuple[str, dict[str, list[bytes]]]]:
        (asked,) = attributes
        start = int(asked.partition("=")[2].partition("-")[0])
        if self._broken:
            return [(dn, {})]
        rest = self._members[start : start + 3]
        end = "*" if start + 3 >= len(self._members) else str(start + 2)
        return [(dn, {f"Member;Range={start}-{end}": rest})]


def test_all_members_of_a_large_group_are_fetched() -> None:
    """Active Directory gives them in ranges; a referral to another server is not followed."""
    (found,) = Reader(Ranging(10), page=5, timeout=5).search("DC=x", "(mail=*)", ["member"])
    assert len(found.attributes["member"]) == 10
    with pytest.raises(LdapError, match="does not give the rest of member"):
        Reader(Ranging(10, broken=True), page=5, timeout=5).search("DC=x", "(mail=*)", ["member"])


def test_an_answer_that_is_not_whole_is_an_error() -> None:
    """A size limit must not look like people who have left."""

    class Limited(Ranging):
        def result3(self, *_: object, **__: object) -> tuple[int, list[tuple[str | None, Any]], int, list[Any]]:
            raise ldap.SIZELIMIT_EXCEEDED({"desc": "Size limit exceeded"})

    with pytest.raises(LdapError, match="Size limit exceeded"):
        Reader(Limited(1), page=5, timeout=5).search("DC=x", "(mail=*)", ["member"])


def test_a_server_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says after each page that there is one more."""
    again = SimplePagedResultsControl(True, size=5, cookie=b"more")

    class Endless(Ranging):
        def result3(self, *_: object, **__: object) -> tuple[int, list[tuple[str | None, Any]], int, list[Any]]:
            return 1, [("CN=x", {})], 1, [again]

    monkeypatch.setattr("gatepost_config.ldap_reading.MOST", 20)
    with pytest.raises(LdapError, match="more than 20 entries"):
        Reader(Endless(1), page=5, timeout=5).search("DC=x", "(mail=*)", ["mail"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("uri: http://x", "uri"),
        ("uri: ldaps://x ldap://y", "mixed"),
        ("uri: ldaps://x,ldap://y", "mixed"),
        ("uri: ldap://x\nstart_tls: false", "start_tls"),
        ("uri: ldap://x\nshrink: 200", "100"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: str, said: str) -> None:
    """There is no key with which a password would travel in clear."""
    path = tmp_path / "sync.yaml"
    people = "people:\n  - {file: staff.csv, base: dc=x, filter: (a=b), columns: {address: mail}}\n"
    path.write_text(f"{change}\n{people}", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_source(path)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("address: mail", "adress: mail", "there is no column 'adress'"),
        ("address: mail", "address: 'ma il'", "no name of an LDAP attribute"),
        ("file: staff.csv", "file: ../staff.csv", "file"),
        ("people:", "groups: [{base: x, filter: (a=b), file: staff.csv}]\npeople:", "file"),
    ],
)
def test_a_search_that_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """A file outside the folder, a column that does not exist."""
    text = "uri: ldap://x\npeople:\n  - {file: staff.csv, base: dc=x, filter: (a=b), columns: {address: mail}}\n"
    path = tmp_path / "sync.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_source(path)
    assert said in str(raised.value)
