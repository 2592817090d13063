"""Identifiers in texts: what counts, what only looks like one, and that no value is ever kept."""

from __future__ import annotations

import random
import time
from datetime import date

import pytest
import stdnum.gb.nhs
import stdnum.gb.upn
import stdnum.iban
import stdnum.luhn
from hypothesis import given
from hypothesis import strategies as st

from gatepost_milter.detect import checkdigits
from gatepost_milter.detect.births import births
from gatepost_milter.detect.identifiers import Kind, Match, digest, find, level, national, total
from gatepost_milter.detect.pages import Page

KEY = b"a key of this installation"
TODAY = date(2026, 11, 22)


def _found(text: str | Page, **options: object) -> dict[str, int]:
    page = Page(text) if isinstance(text, str) else text
    return {match.kind.value: match.count for match in find(page, key=KEY, **options)}  # type: ignore[arg-type]


def _born(text: str | Page) -> Match | None:
    return births(Page(text) if isinstance(text, str) else text, key=KEY, today=TODAY)


def _upn(number: int) -> str:
    tail = f"801{number:08d}"
    value = sum(weight * int(digit) for weight, digit in enumerate(tail + "0", 2))
    return f"{'ABCDEFGHJKLMNPQRTUVWXYZ'[value % 23]}{tail}0"


def _nhs(number: int) -> str | None:
    base = f"{number:09d}"
    check = -sum(weight * int(digit) for weight, digit in zip(range(10, 1, -1), base, strict=True)) % 11
    return None if check == 10 else f"{base}{check}"


# Check digits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "valid", "invalid"),
    [
        (
            checkdigits.is_upn,
            ["K801000025001", "K80100002500B", "J942999925001", "P001999900123", "Z660999925010"],
            ["Z801000025001", "K801000025002", "K80100002500I", "K80100002500", "I801000025001", ""],
        ),
        (
            checkdigits.is_uln,
            ["1234567899", "9000000008", "9100000034", "9276308686"],
            ["1234567890", "9999999999", "0234567899", "123456789", "943476587O", ""],
        ),
        (
            checkdigits.is_nhs,
            ["9990000018", "9991111115", "9990000204", "9434765870", "9434765919"],
            ["9991234560", "0000000000", "999123456", ""],
        ),
        (
            checkdigits.is_nino,
            ["AB123456C", "AB123456D"],
            ["QQ123456C", "GB123456A", "AO123456A", "AB123456E", "OO123456A", "AB12345", ""],
        ),
        (
            checkdigits.is_uci,
            ["999990260001T", "681990012058G", "689990980001D"],
            ["999990260001A", "999990260001", "999991260001T", ""],
        ),
        (
            checkdigits.is_iban,
            ["GB82WEST12345698765432", "GB94BARC10201530093459"],
            ["GB82WEST12345698765431", "GB00WEST12345698765432", "GB82WEST1234569876543", "GB82", ""],
        ),
        (
            checkdigits.is_card,
            ["4111111111111111", "5555555555554444", "378282246310005"],
            ["4111111111111112", "0000000000000000", "9780306406157000", "411111111111", ""],
        ),
        (
            checkdigits.is_mrz,
            ["L898902C36UTO7408122F1204159ZE184226B<<<<<10", "9999999997GBR1201310F3101311<<<<<<<<<<<<<<00"],
            ["L898902C36UTO7408122F1204159ZE184226B<<<<<11", "<" * 44, ""],
        ),
    ],
    ids=["upn", "uln", "nhs", "nino", "uci", "iban", "card", "mrz"],
)
def test_published_examples(check: object, valid: list[str], invalid: list[str]) -> None:
    """The examples of IDENTIFIERS and of the bodies that issue the numbers."""
    assert callable(check)
    assert [value for value in valid if not check(value)] == []
    assert [value for value in invalid if check(value)] == []


def test_check_digits_agree_with_stdnum() -> None:
    """Another hand's arithmetic over thousands of values; its list of authorities is of 2011, so ours is wider."""
    generator = random.Random(20261122)
    agreed = 0
    for _ in range(4000):
        ten = f"{generator.randrange(10**10):010d}"
        assert checkdigits.is_nhs(ten) == stdnum.gb.nhs.is_valid(ten), ten
        sixteen = f"4{generator.randrange(10**15):015d}"
        assert checkdigits.is_card(sixteen) == stdnum.luhn.is_valid(sixteen), sixteen
        upn = f"{generator.choice('ABCDEFGHJKLMNPQRTUVWXYZ')}801{generator.randrange(10**9):09d}"
        assert checkdigits.is_upn(upn) == stdnum.gb.upn.is_valid(upn), upn
        digits = f"{generator.randrange(10**14):014d}"
        iban = f"GB{generator.randrange(100):02d}WEST{digits}"
        assert checkdigits.is_iban(iban) == stdnum.iban.is_valid(iban), iban
        agreed += checkdigits.is_nhs(ten) + checkdigits.is_card(sixteen) + checkdigits.is_upn(upn)
    assert agreed > 500  # both sides said yes often enough for the comparison to mean something


@given(st.integers(0, 10**10 - 1))
def test_no_number_is_both_nhs_and_uln(number: int) -> None:
    """Both have ten digits; the weighted sums cannot both be right."""
    value = f"{number:010d}"
    assert not (checkdigits.is_nhs(value) and checkdigits.is_uln(value))


# What is found --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("His UPN is K801000025001.", {"upn": 1}),
        ("k801000025001", {"upn": 1}),
        ("NHS number 943 476 5870", {"nhs-number": 1}),
        ("NHS: 943-476-5870 and 9434765919", {"nhs-number": 2}),
        ("ULN 9276308686", {"uln": 1}),
        ("ULN: 1234567899\n     9000000008\n     9100000034", {"uln": 3}),
        ("Her NI number is AB 12 34 56 C", {"national-insurance": 1}),
        ("UCI 999990260001T", {"uci": 1}),
        ("IBAN GB82 WEST 1234 5698 7654 32", {"iban": 1}),
        ("My card is 4111 1111 1111 1111, expires 09/28", {"payment-card": 1}),
        ("card number 5555555555554444", {"payment-card": 1}),
        (
            "P<GBRSAMPLE<<TEST<PUPIL<<<<<<<<<<<<<<<<<<<<<\n9999999997GBR1201310F3101311<<<<<<<<<<<<<<00",
            {"passport": 1},
        ),
        ("Passport number: 123456789", {"passport": 1}),
        ("Sort code 12-34-56, account number 12345678", {"bank-account": 1}),
        ("ring me on 07700 900123", {"mobile": 1}),
        ("+44 (0)7700 900 123 or 0044 7700-900-123", {"mobile": 1}),
        ("(07700) 900123", {"mobile": 1}),
        ("07624 900123", {"mobile": 1}),
        ("Tel. 020 7946 0018 or 0161 496 0000", {"landline": 2}),
        ("(01632) 960123", {"landline": 1}),
        ("+44 20 7946 0018", {"landline": 1}),
        ("Anna\u00a0– NHS\u00a0943\u2009476\u20095870", {"nhs-number": 1}),
        ("ＮＨＳ ９４３４７６５８７０", {"nhs-number": 1}),
    ],
)
def test_an_identifier_with_its_word_counts(text: str, expected: dict[str, int]) -> None:
    """Format, check digit and context together (IDENTIFIERS 0), however the digits are grouped."""
    assert _found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Please quote 9434765870 when you ring",  # passes the NHS check by chance
        "Your order 9276308686 has been dispatched",  # passes the ULN check by chance
        "ULN 9999999999",  # the filler for an unknown ULN
        "NHS 0000000000",
        "NHS number 943 476 5871",
        "ISBN 9780306406157",
        "ISBN-13: 978-0-306-40615-7",
        "Tracking number 4111111111111111",
        "parcel 4111 1111 1111 1111",
        "IMEI 354111111111111",
        "Message-ID: <4111111111111111.9434765870@mail.example>",
        "https://shop.example/card/4111111111111111?nhs=9434765870",
        "https://shop.example/?card=4111111111111111",
        "4111111111111111",  # one number in sixteen digits, and nothing that says card
        "card 41111111111111112222",
        "card 4111 1111 1111 1111 2222",
        "GB82 WEST 1234 5698 7654 31",
        "Call Samaritans on 116 123, Childline on 0800 1111, or 101, 111 and 999",
        "Order no 0161 496 0000",
        "01632960123",  # in one piece it could be any number
        "070 1234 5678",  # a personal number, not a mobile
        "07601 234567",  # a pager
        "0770090012",
        "0770 09001234567",
        "part number AB123456C",
        "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "3f1c2b9e-943476-5870-9434765870ab",
        "On 12-11-26 we sold 12345678 tickets",  # the shape of sort code and account
        "£9434765870.25 to the NHS",
        "Room B12 3rd floor at 10 4PM",
        "ZZ99 3VZ",  # 'unknown' in health data
        "999990260001A",
        "Passport office: bring your passport. Number 5 is the last in the queue.",
        "The lesson is about check digits: 9434765870 is a multiple of eleven, in weights.",
    ],
)
def test_what_only_looks_like_an_identifier_does_not_count(text: str) -> None:
    """Tracking numbers, ISBN, Message-IDs, links, helplines, amounts: everyday mail holds such numbers."""
    assert _found(text) == {}


def test_a_list_of_right_numbers_speaks_for_itself() -> None:
    """Twelve numbers that all pass are no accident; random ones pass one time in eleven, and stay unspoken."""
    right = [value for number in range(943476500, 943476513) if (value := _nhs(number))]
    assert _found("\n".join(right)) == {"nhs-number": len(right)}
    generator = random.Random(7)
    numbers = "\n".join(f"{generator.randrange(10**9, 10**10)}" for _ in range(300))
    assert _found(numbers) == {}


def test_a_column_heading_speaks_for_its_column_only() -> None:
    """In an export the word stands at the top, far from the values; and only above its own column."""
    row = (
        "{name},House A with a long note that keeps the words apart by far more than sixty letters,{value},{other}"
    )
    head = row.format(name="Name", value="NHS Number", other="Locker")
    right = [value for number in range(943476500, 943476505) if (value := _nhs(number))][:2]
    rows = [row.format(name="A", value=value, other="4") for value in right]
    assert _found("\n".join([head, *rows])) == {"nhs-number": 2}
    elsewhere = head.replace("NHS Number", "Ticket")
    assert _found("\n".join([elsewhere, *rows])) == {}


def test_a_sheet_with_numbers_is_read_by_its_headings() -> None:
    """Sheets hold ULN and NHS numbers as numbers, and dates of birth as days since 1900 (IDENTIFIERS 0, 11)."""
    page = Page("Name\tULN\tD.O.B.\nA\t1234567899\t41640\nB\t9000000008\t41641", rows=True)
    assert _found(page) == {"uln": 2}
    born = _born(page)
    assert born is not None
    assert (born.count, born.near, born.line) == (2, True, 2)


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (1, 1), (2, 1), (3, 2), (9, 2), (10, 3), (1000, 3)])
def test_levels(count: int, expected: int) -> None:
    """One or two are everyday work, three to nine deserve a warning, ten are an export (IDENTIFIERS 0)."""
    assert level(count) == expected


def test_different_values_count_and_repeated_ones_do_not() -> None:
    """A thread quotes the same UPN in every reply."""
    assert _found("UPN K801000025001\n" * 40) == {"upn": 1}
    many = [_upn(number) for number in range(0, 28_000, 1000)]
    (match,) = find(Page("\n".join(many)), key=KEY)
    assert (match.count, match.level, match.line) == (28, 3, 1)


def test_two_readings_of_one_letter_are_counted_once() -> None:
    """Plain text and HTML of one message hold the same pupils."""
    plain_part = find(Page("UPN K801000025001 and J942999925001", where="part 1"), key=KEY)
    html_part = find(Page("UPN K801000025001 and P001999900123", where="part 2"), key=KEY)
    (match,) = total([*plain_part, *html_part])
    assert (match.count, match.level, match.where) == (3, 2, "part 1")


def test_postcodes_amount_to_something_only_in_tables() -> None:
    """Every signature has a postcode; a list of homes has one on each line."""
    codes = [
        "SW1A 1AA",
        "M1 1AE",
        "CR2 6XH",
        "DN55 1PT",
        "W1A 0AX",
        "EC1A 1BB",
        "B33 8TH",
        "SE1 7PB",
        "N1 9GU",
        "E2 6AA",
    ]
    letter = "\n\n".join(f"Kind regards\nThe School, {code}" for code in codes)
    (signatures,) = find(Page(letter), key=KEY)
    assert (signatures.kind, signatures.count, signatures.level) == (Kind.POSTCODE, 10, 0)
    assert total([signatures])[0].level == 0
    (homes,) = find(Page("\n".join(f"Smith,Anna,1 High Street,{code}" for code in codes)), key=KEY)
    assert (homes.count, homes.level) == (10, 3)


def test_the_schools_own_numbers_are_nobodys() -> None:
    """The trip phone may be given to pupils (IDENTIFIERS 5)."""
    text = "On the trip ring 07700 900123; my own number is 07700 900456"
    assert _found(text, numbers=["+44 7700 900123"]) == {"mobile": 1}
    assert _found("ring 07700 900123", numbers=["07700900123"]) == {}


@pytest.mark.parametrize("number", ["07700 900123", "+44 7700 900123", "+44 (0)7700-900-123", "0044 7700900123"])
def test_one_telephone_number_in_its_spellings(number: str) -> None:
    """Different spellings are one number."""
    assert national(number) == "07700900123"


def test_only_what_is_asked_for_is_looked_for() -> None:
    """A rule about private numbers does not need to know about cards."""
    assert _found("UPN K801000025001, mobile 07700 900123", kinds=[Kind.MOBILE]) == {"mobile": 1}


# Dates of birth -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("DOB: 12/03/2014", 1),
        ("Date of birth 12 March 2014", 1),
        ("she was born on 3rd May 2013", 1),
        ("D.O.B. 2014-03-12", 1),
        ("DOB 12.03.14", 1),
        ("Surname,Forename,DOB,Form\nA,B,12/03/2014,7C\nC,D,13/03/2014,7C", 2),
        ("\n".join(f"Anna Smith {day}/03/2014" for day in range(1, 8)), 7),
        ("\n".join(f"Smith, Anna; {day} March 2014" for day in range(1, 6)), 5),
    ],
)
def test_dates_of_birth(text: str, count: int) -> None:
    """Named as such, or beside names on line after line."""
    born = _born(text)
    assert born is not None
    assert born.count == count


@pytest.mark.parametrize(
    "text",
    [
        "The trip is on 12/03/2027 and the deadline 01/02/2027.",
        "Term dates\nAutumn 2024: 02/09/2024 to 20/12/2024\nSpring: 06/01/2025",
        "Exam timetable\n" + "\n".join(f"Maths Paper {day}/06/2027" for day in range(1, 12)),
        "Mock examinations\n" + "\n".join(f"Maths Paper {day}/06/2023" for day in range(1, 12)),
        "Fixtures\n" + "\n".join(f"Wimbledon Dulwich {day}/06/2022" for day in range(1, 12)),
        "Staff,Start date\n" + "\n".join(f"Anna Smith,0{day}/09/2012" for day in range(1, 9)),
        "\n".join(f"Anna Smith {day}/03/2014" for day in range(1, 5)),  # four are no list
        "\n".join(f"Anna Smith <a@x.example>  Wed, {day} Mar 2014 10:00" for day in range(1, 9)),  # a thread
        "\n".join(f"Anna Smith {day} March 2014 10:00" for day in range(1, 9)),
        "\n".join(f"Anna Smith wrote on Friday, {day} March 2014" for day in range(1, 9)),
        "DOB: 12/03/1961",  # grown up
        "DOB: 31/02/2014",
        "Born in 2014, she likes maths.",
        "The Act was passed on 12/03/2014. It was amended on 13/03/2015, 14/03/2016, 15/03/2017 and 16/03/2018.",
        "Version 1.2.2014",
        "The date of birth of the term: 12 March",
    ],
)
def test_other_dates_are_not_dates_of_birth(text: str) -> None:
    """Terms, examinations, fixtures and years of service (IDENTIFIERS 11)."""
    assert _born(text) is None


# Privacy and hostility ------------------------------------------------------------------------------------------


def test_no_value_is_kept() -> None:
    """Matches are logged and stored with the verdict; the values must not be in them but as keyed hashes."""
    text = (
        "UPN K801000025001, NHS number 943 476 5870, ULN 9276308686, NI number AB123456C, UCI 999990260001T, "
        "IBAN GB94BARC10201530093459, card 4111 1111 1111 1111, passport number 123456789, "
        "sort code 12-34-56 account 12345678, mobile 07700 900123, tel 020 7946 0018, SW1A 1AA, DOB 12/03/2014"
    )
    page = Page(text)
    matches = [*find(page, key=KEY), births(page, key=KEY, today=TODAY)]
    assert len(matches) == 13
    shown = repr(matches).replace(" ", "")
    for secret in (
        "01000025001", "9434765870", "9276308686", "123456C", "260001T", "BARC1020", "41111111", "123456789",
        "12345678", "900123", "79460018", "A1AA", "2014",
    ):  # fmt: skip
        assert secret not in shown
    assert "payment card ••••••••••••1111" in repr(matches)


def test_hashes_need_the_key() -> None:
    """Ten digits are quickly tried out; without the installation's key a hash says nothing."""
    (match,) = find(Page("NHS number 943 476 5870"), key=KEY)
    assert match.digests == {digest(Kind.NHS, "9434765870", key=KEY)}
    assert match.digests != {digest(Kind.NHS, "9434765870", key=b"another installation")}
    assert match.digests != {digest(Kind.ULN, "9434765870", key=KEY)}


@given(st.text(alphabet="0123456789 -+()/.,;\tAKNHSUPLGB07<>=\nx", max_size=400))
def test_whatever_stands_there_nothing_raises_and_counts_hold(text: str) -> None:
    """Every count has as many hashes, a level to match, and a line that exists."""
    page = Page(text)
    born = births(page, key=KEY, today=TODAY)
    for match in (*find(page, key=KEY), *([born] if born else [])):
        assert match.count == len(match.digests) >= 1
        assert match.level <= level(match.count)
        assert 1 <= match.line <= text.count("\n") + 1


@given(st.text(alphabet="0123456789-/. janfebmrdy\n", max_size=200))
def test_every_shape_of_date_is_read_without_a_fault(text: str) -> None:
    """Impossible days and months are no dates, and never an error."""
    born = births(Page(text), key=KEY, today=TODAY)
    assert born is None or born.count >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        "9434765870 ", "9434765871 ", "4111 1111 1111 1112 ", "07700 900123 ", "0", "1", "1-", "AB 12 34 56 ",
        "K80100002500", "P<GBR<", "<<<<", "12-34-56 ", "12/03/2014 ", "GB82 ", "(((0", "dob 12/03/2014,",
        "\n,9434765871",
    ],
)  # fmt: skip
def test_five_megabytes_of_near_misses_take_linear_time(unit: str) -> None:
    """A hostile text costs a second or two at worst; anything quadratic would take hours."""
    page = Page(unit * (5_000_000 // len(unit)))
    started = time.process_time()
    find(page, key=KEY)
    births(page, key=KEY, today=TODAY)
    assert time.process_time() - started < 10
