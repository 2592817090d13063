"""How CSV files become a directory: what is understood, what is left out, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepost_config.directory import Directory, Kind, Span
from gatepost_config.directory_load import load_directory
from gatepost_config.errors import ConfigError

Load = Callable[..., Directory]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a folder with the given files; an empty ``people.csv`` is there unless given."""

    def with_files(**files: str | bytes) -> Directory:
        files.setdefault("people", "address,kinds\n")
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (tmp_path / f"{name}.csv").write_bytes(data)
        return load_directory(tmp_path)

    return with_files


def problems(directory: Directory) -> list[str]:
    """The problems as people read them, without the folder and the remedies."""
    return [f"{each.path.name}:{each.line}:{each.column}: {each.message}" for each in directory.problems]


@pytest.mark.parametrize(
    ("encode", "encoding"),
    [
        (lambda text: text.encode(), "UTF-8"),
        (lambda text: text.encode("utf-8-sig"), "UTF-8 with byte order mark"),
        (lambda text: text.encode("cp1252"), "Windows-1252"),
        (lambda text: text.encode("utf-16"), "UTF-16"),
    ],
)
@pytest.mark.parametrize(("separator", "named"), [(",", "comma"), (";", "semicolon"), ("\t", "tab")])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_file_is_read_as_excel_and_others_write_it(
    load: Load, encode: Callable[[str], bytes], encoding: str, separator: str, named: str, newline: str
) -> None:
    """Administrators export from what they have; how it was read is reported, not guessed in silence."""
    text = newline.join(
        separator.join(cells)
        for cells in (["address", "name", "groups"], ["zoe@school.example", "Zoë Ünal", '"a;b,c"'], [])
    )
    directory = load(staff=encode(text))
    person = directory.person("zoe@school.example")
    assert person is not None
    assert person.name == "Zoë Ünal"
    assert person.groups == {"a", "b", "c"}
    assert directory.problems == ()
    report = next(each for each in directory.files if each.path.name == "staff.csv")
    assert (report.encoding, report.separator, report.rows, report.loaded) == (encoding, named, 1, 1)


def test_every_column_reaches_the_person(load: Load) -> None:
    """A column that is read and dropped would be a rule that never fires."""
    directory = load(
        people=(
            "Address,Name,Kinds,Login,Aliases,Groups,Department,Pupil,Household,Year,Section,"
            "Personal Addresses,From,Until,Supervisor,Delegates\n"
            "A@school.example, Ann   Lee ,Staff;Parent,ALee b,a2@school.example,HR | Form  Tutors,Maths,1;2,H1,9,"
            "Senior,x@gmail.com y@gmail.com,2026-09-01,31/07/2027,s@school.example,d@school.example\n"
        )
    )
    (person,) = directory.people
    span = Span(starts=date(2026, 9, 1), ends=date(2027, 7, 31))
    assert person.address == "A@school.example"
    assert person.name == "Ann Lee"
    assert person.roles == ((Kind.STAFF, span), (Kind.PARENT, span))
    assert person.logins == ("alee", "b")
    assert person.aliases == ("a2@school.example",)
    assert person.groups == {"hr", "form tutors"}
    assert (person.department, person.year, person.section) == ("Maths", "9", "senior")
    assert person.pupils == {"1", "2"}
    assert person.ties == {"pupil 1", "pupil 2", "household h1"}
    assert person.personal == ("x@gmail.com", "y@gmail.com")
    assert person.supervisors == ("s@school.example",)
    assert person.delegates == ("d@school.example",)
    assert person.source == "people.csv:2"


def test_rows_of_one_address_become_one_person(load: Load) -> None:
    """An export of contacts has a row for each child; a teacher may be a parent in another file."""
    directory = load(
        parents="address,name,pupil\nmum@home.example,Jo Lee,1\nMum@Home.example,J Lee,2\n",
        staff="address,login,until\nmum@home.example,jlee,2026-08-31\n",
    )
    (person,) = directory.people
    assert person.name == "Jo Lee"
    assert person.pupils == {"1", "2"}
    assert person.logins == ("jlee",)
    assert person.kinds_at(date(2026, 11, 22)) == {Kind.PARENT}
    assert person.kinds == {Kind.PARENT, Kind.STAFF}


def test_a_pupils_row_names_the_parents(load: Load) -> None:
    """Many exports have one row for each pupil with the contacts' addresses in it."""
    directory = load(
        pupils="address,pupil,parent_addresses\n"
        "p1@school.example,1,mum@a.example; dad@b.example\n"
        ",2,mum@a.example\n"
        ",3,n/a\n"
    )
    mum, dad = directory.person("mum@a.example"), directory.person("dad@b.example")
    assert mum is not None
    assert dad is not None
    assert mum.kinds == dad.kinds == {Kind.PARENT}
    assert mum.pupils == {"1", "2"}
    assert directory.household("dad@b.example") == directory.household("p1@school.example") == "pupil 1"
    report = next(each for each in directory.files if each.path.name == "pupils.csv")
    assert (report.rows, report.loaded, report.left_out, report.unaddressed) == (3, 2, 0, 1)


def test_pupils_without_mail_still_tie_families_together(load: Load) -> None:
    """In a primary school no pupil has an address, and the household is in the pupils' file only."""
    directory = load(
        pupils="pupil,household,address\n1,H1,\n2,H1,\n3,H2,\n",
        parents="address,pupil\na@a.example,1\nb@b.example,2\nc@c.example,3\n",
    )
    assert directory.household("a@a.example") == directory.household("b@b.example") == "household h1"
    assert directory.household("c@c.example") == "household h2"


def test_numberings_of_two_systems_never_meet(load: Load) -> None:
    """Admission number 7 and Bromcom's student 7 are two pupils; joining them would hide an exposure."""
    directory = load(
        parents="Admission Number,Email\n7,a@a.example\n",
        **{"parents-bromcom": "StudentID,Home Email\n7,b@b.example\n"},
    )
    assert directory.household("a@a.example") != directory.household("b@b.example")


def test_a_file_with_both_numberings_joins_them(load: Load) -> None:
    """The pupils' export says which two numbers are one pupil."""
    directory = load(
        pupils="StudentID,AdmissionNumber,Email\n7,A1,\n",
        parents="Admission Number,Email\na1,a@a.example\n",
        **{"parents-bromcom": "StudentID,Home Email\n7,b@b.example\n"},
    )
    assert directory.household("a@a.example") == directory.household("b@b.example")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("bad@school,,,", "3:1: “bad@school” is not a mail address: The part after the @-sign is not valid."),
        ("x@school.example,,tomorrow,", "3:19: “tomorrow” is not a date"),
        ("x@school.example,,09/13/2026,", "3:19: “09/13/2026” is not a date"),
        ("x@school.example,,2026-09-01,2026-08-31", "3:30: it ends (2026-08-31) before it begins (2026-09-01)"),
        ("x@school.example,good,,", "3:18: the login “good” already belongs to good@school.example (staff.csv:2)"),
        (",lonely,,", "3:2: a login without an address leads to no mailbox"),
        ("x@school.example,,,,surplus", "3:21: the row has 5 cells, the head 4"),
        ('"x@school\n.example",,,', "3:1: “x@school\n.example” is not a mail address"),
    ],
)
def test_a_bad_row_is_left_out_and_named(load: Load, row: str, problem: str) -> None:
    """Whoever mends the export needs the very cell; everybody else's rules go on meanwhile."""
    directory = load(
        staff=f"address,login,from,until\ngood@school.example,good,,\n{row}\nlast@school.example,,,\n"
    )
    assert [person.address for person in directory.people] == ["good@school.example", "last@school.example"]
    (found,) = problems(directory)
    assert found.startswith(f"staff.csv:{problem}")
    report = next(each for each in directory.files if each.path.name == "staff.csv")
    assert (report.rows, report.loaded, report.left_out, report.unaddressed) == (3, 2, 1, 0)


def test_the_place_of_a_fault_is_right_after_quoted_cells(load: Load) -> None:
    """Quoted separators and line breaks shift what a naive count would say."""
    directory = load(
        staff='address,name,from\na@school.example,A,\n"b@school.example","Lee, ""B""\nJr",soon\n'
        "c@school.example,C,\n"
    )
    assert problems(directory) == ["staff.csv:4:5: “soon” is not a date"]


@pytest.mark.parametrize(
    ("cell", "remedy"),
    [("staf", "did you mean “staff”?"), ("wizard", "kinds are staff, pupil, parent")],
)
def test_an_unknown_kind_gets_a_suggestion(load: Load, cell: str, remedy: str) -> None:
    """Kinds are a closed list: a mistyped one would be a person to whom no rule applies."""
    directory = load(people=f"address,kinds\na@school.example,staff\nb@school.example,{cell}\n")
    (problem,) = directory.problems
    assert problem.message == f"“{cell}” is no kind of person"
    assert problem.remedy.startswith(remedy)


def test_a_school_address_is_no_private_account(load: Load) -> None:
    """Declared as private, it would make every internal mail to that person a breach."""
    directory = load(
        staff="address,personal_addresses\na@school.example,a2@school.example\nb@school.example,b@gmail.com\n",
        governors="address,personal_addresses\ng@gmail.com,g2@gmail.com\n",
    )
    (found,) = problems(directory)
    assert found.startswith("staff.csv:2:18: “a2@school.example” is at the domain of the person's own mailbox")
    assert directory.owners_of_personal("g2@gmail.com") == (directory.person("g@gmail.com"),)


@pytest.mark.parametrize(
    ("head", "column", "remedy"),
    [
        ("logn", 9, "did you mean “login”?"),
        ("personal_adresses", 9, "did you mean “personal_addresses”?"),
        ("shoe size", 9, "people file has the columns address, name"),
    ],
)
def test_an_unknown_column_is_reported(load: Load, head: str, column: int, remedy: str) -> None:
    """A mistyped column would be data that silently never counts."""
    directory = load(staff=f"address,{head}\na@school.example,x\n")
    (problem,) = directory.problems
    assert (problem.line, problem.column) == (1, column)
    assert problem.message == f"there is no column “{head}”"
    assert problem.remedy.startswith(remedy)
    assert len(directory.people) == 1


def test_an_export_may_have_columns_we_have_no_use_for(load: Load) -> None:
    """They are listed, so that the school can leave such data out of the export; near misses are reported."""
    directory = load(
        pupils="Adno,Email,Dinner Money,SEN Status,parent_adresses\n1,p@school.example,x,K,m@a.example\n"
    )
    report = next(each for each in directory.files if each.path.name == "pupils.csv")
    assert report.layout == "SIMS"
    assert report.ignored == ("SEN Status", "Dinner Money")
    assert problems(directory) == ["pupils.csv:1:36: there is no column “parent_adresses”"]


def test_a_column_that_is_there_twice_is_read_once(load: Load) -> None:
    """Which of the two is meant, nobody knows; the first counts and the second is reported."""
    directory = load(staff="address,name,Name\na@school.example,A,B\n")
    assert problems(directory) == ["staff.csv:1:14: the column “Name” is here twice"]
    assert directory.people[0].name == "A"


def test_a_file_of_unknown_purpose_is_reported(load: Load) -> None:
    """A mistyped file name must not mean a school without exemptions."""
    directory = load(exemtions="who,rule\n")
    (problem,) = directory.problems
    assert "is not read" in problem.message
    assert problem.remedy == "did you mean “exemptions”?"


def test_a_spreadsheet_is_reported_not_overlooked(load: Load, tmp_path: Path) -> None:
    """Saved in the wrong format, a file of parents must not just be missing."""
    (tmp_path / "parents.xlsx").write_bytes(b"PK")
    (tmp_path / "README.md").write_text("not a table")
    (tmp_path / "parents.csv.bak").write_text("not a table")
    (problem,) = load().problems
    assert problem.path.name == "parents.xlsx"
    assert "no CSV file" in problem.message


def test_an_agency_or_a_placeholder_makes_no_household(load: Load) -> None:
    """“none@school.example” entered for two hundred families would otherwise make the school one household."""
    rows = "".join(f"agency@guardians.example,{n}\np{n}@home.example,{n}\n" for n in range(13))
    directory = load(parents=f"address,pupil\n{rows}")
    assert len({directory.household(f"p{n}@home.example") for n in range(13)}) == 13
    assert directory.household("agency@guardians.example") == ""
    agency = directory.person("agency@guardians.example")
    assert agency is not None
    assert len(agency.pupils) == 13
    fewer = load(parents="address,pupil\n" + "".join(f"big@home.example,{n}\n" for n in range(12)))
    assert fewer.household("big@home.example") == "pupil 0"


def test_leading_zeros_of_an_id_do_not_matter(load: Load) -> None:
    """A spreadsheet turns 004211 into 4211 in the one file that somebody opened and saved."""
    directory = load(
        pupils="Adno,Email\n004211,p@school.example\n000,z@school.example\n",
        parents="Adno,Email\n4211,m@home.example\n0,y@home.example\n",
    )
    assert directory.household("p@school.example") == directory.household("m@home.example") != ""
    assert directory.household("z@school.example") == directory.household("y@home.example") != ""


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"people": ""}, "people.csv: the file is empty"),
        ({"people": "address,name\n"}, "people.csv:1:1: nothing says what these people are"),
        ({"staff": "name,login\n"}, "staff.csv:1:1: there is no column with addresses"),
        ({"groups": "name,size\n"}, "groups.csv:1:1: the column address is missing"),
        ({"exemptions": "who,rule,until\n"}, "exemptions.csv:1:1: the column approved_by, reason is missing"),
        ({"staff": b"address,name\na@b.example,\x81\x8d\n"}, "staff.csv: is neither UTF-8 nor Windows-1252 text"),
        ({"staff": 'address,name\na@b.example,"lost\nb@b.example,B\n'}, "staff.csv:2:1: the row that begins here"),
        ({"staff": 'address,name\na@b.example,"A" B\n'}, "staff.csv:2:1: the row that begins here is not CSV"),
        ({"staff": "address\nx\ny\nz@b.example\n"}, "staff.csv: 2 of 3 rows are bad, so the file is not believed"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(load: Load, files: dict[str, str], fault: str) -> None:
    """Half a directory would silently switch rules off; the old one stays in force instead."""
    with pytest.raises(ConfigError) as raised:
        load(**files)
    assert fault in str(raised.value)


def test_a_refusal_names_all_faults_and_bad_rows(load: Load) -> None:
    """One round of mending, not five."""
    with pytest.raises(ConfigError) as raised:
        load(staff="", groups="size\n", parents="address\na@a.example\nbad\nb@b.example\n")
    places = [(each.path.name, each.line) for each in raised.value.problems]
    assert places == [("groups.csv", 1), ("staff.csv", 0), ("parents.csv", 3)]


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    """A wrong path in the settings must not look like a school without people."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_directory(tmp_path / "nowhere")
    (tmp_path / "groups.csv").write_text("address\n")
    with pytest.raises(ConfigError, match="there are no people in this folder"):
        load_directory(tmp_path)


def test_groups_are_read(load: Load) -> None:
    """The size is what the mass-mail rule goes by, “agreed” what the parents rule goes by."""
    directory = load(
        groups="address,name,size,members,agreed,until\n"
        "All@school.example,Everybody,400,,,\n"
        ",Committee,,a@a.example; B@b.example,Yes,2027-08-31\n"
        ",Nobody,,,yes,\n"
        "x@school.example,,many,,,\n"
        "y@school.example,,,,perhaps,\n"
        "z@school.example,,,,no,\n"
    )
    assert directory.group_size("all@school.example") == 400
    (committee,) = directory.agreed_groups(date(2027, 8, 31))
    assert committee.members == {"a@a.example", "b@b.example"}
    assert directory.agreed_groups(date(2027, 9, 1)) == ()
    assert problems(directory) == [
        "groups.csv:4:1: a list needs its address, an agreed group at least its members",
        "groups.csv:5:19: “many” is not a number of people",
        "groups.csv:6:21: “perhaps” is neither yes nor no",
    ]


def test_approvals_are_read(load: Load) -> None:
    """A whole webmail provider cannot be approved: that would approve everybody."""
    directory = load(
        approved="who,purpose,until\n"
        "*.Bulk.example,bulk-mail,\n"
        "T.utor@gmail.com,examiner,2026-07-31\n"
        "coaches.example,transport,\n"
        "gmail.com,,\n"
        "not a domain,,\n"
        "a b@gmail.com,,\n"
    )
    at = date(2026, 7, 31)
    bulk = directory.approved("x@mail.bulk.example", at)
    assert bulk is not None
    assert bulk.purpose == "bulk-mail"
    assert directory.approved("tutor@googlemail.com", at) is not None
    assert directory.approved("tutor@gmail.com", date(2026, 8, 1)) is None
    assert [each.split(": ", 1)[0] for each in problems(directory)] == [
        "approved.csv:5:1",
        "approved.csv:6:1",
        "approved.csv:7:1",
    ]


def test_an_exemption_needs_an_end_a_reason_and_somebody_who_gave_it(load: Load) -> None:
    """CLAUSES D12: who, what, until when, approved by whom. Anything less is a hole, not an exemption."""
    good = "Head@school.example,big-file,2026-12-31,Bursar,Prospectus\n"
    directory = load(
        exemptions="who,rule,until,approved_by,reason\n"
        + good * 9
        + "a@school.example,big-file,,Bursar,r\n"
        + "a@school.example,big-file,2026-12-31,,r\n"
        + "a@school.example,big-file,2026-12-31,Bursar,\n"
        + "a@school.example,*,2026-12-31,Bursar,r\n"
        + "kind:wizard,big-file,2026-12-31,Bursar,r\n"
        + "@gmail.com,big-file,2026-12-31,Bursar,r\n"
        + "n/a,big-file,2026-12-31,Bursar,r\n"
        + ",big-file,2026-12-31,Bursar,r\n"
    )
    assert directory.exempt("big-file", "head@school.example", date(2026, 12, 31)) is not None
    assert directory.exempt("big-file", "head@school.example", date(2027, 1, 1)) is None
    assert directory.exempt("big-file", "a@school.example", date(2026, 1, 1)) is None
    assert [each.split(": ", 1)[0].removeprefix("exemptions.csv:") for each in problems(directory)] == [
        "11:27",
        "12:38",
        "13:45",
        "14:18",
        "15:1",
        "16:1",
        "17:1",
        "18:1",
    ]


def test_an_exemption_says_for_which_party_it_is(load: Load) -> None:
    """Whoever may send a program may not therefore be sent one by strangers."""
    head = "who,rule,party,until,approved_by,reason\n"
    row = "head@school.example,big-file,{},2026-12-31,Bursar,r\n"
    directory = load(exemptions=head + "".join(row.format(each) for each in ("", "Recipient", "recipent")))
    assert [each.party for each in directory.exemptions] == ["sender", "recipient"]
    day = date(2026, 12, 31)
    found = directory.exempt("big-file", "head@school.example", day, party="recipient")
    assert found is directory.exemptions[1]
    (problem,) = directory.problems
    assert str(problem).endswith(
        "exemptions.csv:4:30: “recipent” is neither sender nor recipient\n    did you mean “recipient”?"
    )


def test_comments_and_empty_rows_are_no_rows(load: Load) -> None:
    """Spreadsheets end in rows of bare commas, and people leave notes."""
    directory = load(staff="# a note\naddress,name\n\n,,\n# another, note\na@school.example,A\n , \n")
    assert directory.problems == ()
    assert [person.source for person in directory.people] == ["staff.csv:6"]
    assert next(each for each in directory.files if each.path.name == "staff.csv").rows == 1


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
)
@given(
    content=st.one_of(st.binary(max_size=200), st.text('address,kinds"\n;\tpstaff@.example#\x00é', max_size=200))
)
def test_any_file_loads_or_is_refused_in_plain_words(tmp_path: Path, content: bytes | str) -> None:
    """Whatever an export tool writes: every row is accounted for, or the file is refused with its name."""
    data = content if isinstance(content, bytes) else f"address,kinds\n{content}".encode()
    (tmp_path / "people.csv").write_bytes(data)
    try:
        directory = load_directory(tmp_path)
    except ConfigError as error:
        refused = error.problems
    else:
        refused = ()
    assert {"people.csv"} >= {problem.path.name for problem in refused}
    if refused:
        return
    (report,) = directory.files
    assert report.rows == report.loaded + report.left_out + report.unaddressed
    assert len(directory.problems) >= report.left_out
