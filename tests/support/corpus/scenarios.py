"""The scenarios of the school's policy, line by line: mails, and the verdicts that the policy leads to.

Where our verdict is another than the one that was proposed, ``differs`` says why.
"""

from __future__ import annotations

import io

import docx
from support.corpus import office, packers
from support.corpus.scenes import Scenario, attached
from support.corpus.school import COMMITTEE, PARENTS
from support.files import windows_program
from support.messages import b64

from gatepost_config.words import Action

MB = 1024 * 1024


def document(text: str) -> bytes:
    """A Word document with these words."""
    made, out = docx.Document(), io.BytesIO()
    made.add_paragraph(text)
    made.save(out)
    return out.getvalue()


def upn(serial: int) -> str:
    """A made-up unique pupil number with the right check letter."""
    digits = f"80100002{serial:04d}"
    total = sum(weight * int(digit) for weight, digit in enumerate(digits, 2))
    return "ABCDEFGHJKLMNPQRTUVWXYZ"[total % 23] + digits


def invitation(*attendees: str) -> bytes:
    """An invitation by the teacher, for a week later."""
    lines = [f"ATTENDEE{each}" for each in attendees]
    calendar = "\r\n".join(
        [
            *("BEGIN:VCALENDAR", "VERSION:2.0", "METHOD:REQUEST", "BEGIN:VEVENT"),
            *("ORGANIZER:mailto:teacher@school.example", *lines, "DTSTART:20261109T120000Z", "SUMMARY:Catch-up"),
            *("END:VEVENT", "END:VCALENDAR", ""),
        ]
    )
    return b"Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n" + calendar.encode()


EXE = windows_program()
EHCP = (
    "Education, health and care plan (draft). Name of child: Sam Lark. Section F: special educational provision."
)
HOAX = "The worst virus ever! It will burn the whole hard disk. Warn everyone."
LOGINS = "Name\tUsername\tPassword\n" + "".join(f"Pupil {n}\tpupil{n}\totter{n}x\n" for n in range(10, 40))
MARKS = "UPN,Mark\n" + "".join(f"{upn(number)},{number % 9}\n" for number in range(1, 29))
PARTIAL = b'Content-Type: message/partial; id="a@b"; number=2; total=3\r\n\r\n' + b64(EXE)
PUPIL, HOD = ":mailto:pupil@school.example", ";ROLE=OPT-PARTICIPANT:mailto:hod@school.example"

SCENARIOS = (
    Scenario(
        number=1,
        title="a supplier sends a program",
        parts=[attached("setup.exe", EXE)],
        verdict=Action.QUARANTINE,
        rule="executable-attachment",
        tells=["it-support", "recipients"],
    ),
    Scenario(
        number=2,
        title="a vendor sends a patch to IT Support, who release it themselves",
        to=["it.support@school.example"],
        parts=[attached("patch.exe", EXE)],
        verdict=Action.QUARANTINE,
        rule="executable-attachment",
    ),
    Scenario(
        number=4,
        title="a pupil hands in Python homework",
        login="pupil",
        parts=[attached("homework.py", b"print('hello')\n", "text/x-python")],
        verdict=Action.TAG,
        rule="script-inside",
    ),
    Scenario(
        number=5,
        title="a stranger sends a script",
        new=True,
        parts=[attached("script.py", b"import os\n", "text/x-python")],
        verdict=Action.QUARANTINE,
        rule="risky-file-from-stranger",
    ),
    Scenario(
        number=7,
        title="a photograph is a program",
        to=["head@school.example"],
        parts=[attached("photo.jpg", EXE, "image/jpeg")],
        verdict=Action.QUARANTINE,
        rule="executable-attachment",
    ),
    Scenario(
        number=8,
        title="a text is named like a program",
        parts=[attached("report for www.example.com", b"Nothing but words.\n")],
        verdict=Action.TAG,
        rule="name-of-a-program",
    ),
    Scenario(
        number=10,
        title="the exams officer sends the board its own workbook with macros",
        login="office",
        to=["entries@examboard.example"],
        parts=[
            attached("entries.xlsm", office.xlsx({"xl/vbaProject.bin": office.vba_project(b"Sub A()\nEnd Sub")}))
        ],
        verdict=Action.PASS,
    ),
    Scenario(
        number=11,
        title="a parent sends a disk image",
        sender="mother@gmail.com",
        parts=[attached("dcim.iso", packers.by_libarchive({"a.jpg": b"x" * 100}, "iso9660"))],
        verdict=Action.QUARANTINE,
        rule="executable-attachment",
    ),
    Scenario(
        number=13,
        title="a technician sends an archive whose names cannot be read",
        login="it",
        to=["support@vendor.example"],
        parts=[attached("dump.7z", packers.seven_zip("dump", b"x" * 100, headers_encrypted=True))],
        verdict=Action.TAG,
        rule="encrypted-attachment",
        differs="HOLD was proposed. Line 53 asks for the same kind of file to pass, marked; a hold would teach "
        "people not to encrypt.",
    ),
    Scenario(
        number=14,
        title="a health trust sends its secure wrapper",
        sender="nurse@trust.nhs.uk",
        parts=[
            attached(
                "message.html", b"<html><body><form action='https://x.nhs.uk'></form></body></html>", "text/html"
            )
        ],
        verdict=Action.TAG,
        rule="web-page-attached",
    ),
    Scenario(
        number=16,
        title="Outlook's winmail.dat holds an installer",
        parts=[attached("winmail.dat", packers.tnef(b"setup.msi", EXE), "application/ms-tnef")],
        verdict=Action.QUARANTINE,
        rule="executable-attachment",
    ),
    Scenario(
        number=17,
        title="one piece of a message that was sent in three",
        parts=[PARTIAL],
        verdict=Action.QUARANTINE,
        rule="could-not-be-inspected",
    ),
    Scenario(
        number=19,
        title="a presentation of 12 MB goes out",
        login="teacher",
        to=["friend@outside.example"],
        sizes=[12 * MB],
        verdict=Action.REJECT,
        rule="attachment-too-large",
    ),
    Scenario(
        number=20,
        title="a file of 9.9 MB goes out, 13.5 MB on the wire",
        login="teacher",
        to=["friend@outside.example"],
        sizes=[99 * MB // 10],
        verdict=Action.PASS,
    ),
    Scenario(
        number=22,
        title="eight photographs of 4 MB",
        login="teacher",
        to=["friend@outside.example"],
        sizes=[4 * MB] * 8,
        verdict=Action.WARN,
        rule="message-large",
    ),
    Scenario(
        number=23,
        title="a parent sends 18 MB of scans",
        sender="mother@gmail.com",
        sizes=[18 * MB],
        verdict=Action.TAG,
        rule="attachment-too-large",
    ),
    Scenario(
        number=25,
        title="a newsletter goes to 40 parents in Bcc",
        login="office",
        to=["office@school.example"],
        bcc=PARENTS,
        verdict=Action.WARN,
        rule="use-the-portal",
    ),
    Scenario(
        number=26,
        title="a letter goes to both parents of one pupil",
        login="teacher",
        to=["mother@gmail.com", "father@outlook.com"],
        verdict=Action.PASS,
    ),
    Scenario(
        number=28,
        title="25 parents in Cc",
        login="teacher",
        to=["team@school.example"],
        cc=PARENTS[:25],
        verdict=Action.CONFIRM,
        rule="parents-exposed",
    ),
    Scenario(
        number=29,
        title="a reply to all, to a mail that showed 20 parents",
        login="teacher",
        to=["mother@gmail.com"],
        cc=PARENTS[:20],
        verdict=Action.CONFIRM,
        rule="parents-exposed",
    ),
    Scenario(
        number=31,
        title="the committee of parents, for the first time",
        login="teacher",
        to=COMMITTEE,
        verdict=Action.CONFIRM,
        rule="parents-exposed",
    ),
    Scenario(
        number=31,
        title="the committee of parents, who have agreed to it",
        login="teacher",
        to=COMMITTEE,
        agreed=COMMITTEE,
        verdict=Action.PASS,
    ),
    Scenario(
        number=32,
        title="a campaign by the bulk mailer that the school uses",
        login="office",
        to=["campaign-17@send.bulkmailer.example"],
        verdict=Action.PASS,
    ),
    Scenario(
        number=34,
        title="40 parents' addresses in the text, to the coach firm",
        login="teacher",
        to=["bookings@coaches.example"],
        text="The parents are:\n" + "\n".join(PARENTS),
        verdict=Action.CONFIRM,
        rule="parents-listed",
    ),
    Scenario(
        number=35,
        title="the head writes to all staff",
        login="head",
        to=["all.staff@school.example"],
        text="Dear all,\nterm ends on 18 December.",
        verdict=Action.PASS,
    ),
    Scenario(
        number=37,
        title="a cousin's plumbing firm, to all staff",
        login="teacher",
        to=["all.staff@school.example"],
        text="My cousin's plumbing firm is brilliant, 10 % off for everyone here!",
        verdict=Action.CONFIRM,
        rule="advert-to-many",
    ),
    Scenario(
        number=38,
        title="the uniform shop opens, to all parents",
        login="office",
        to=["all.parents@school.example"],
        text="The uniform shop opens on Monday: blazers for sale, 20% off last year's ties.",
        verdict=Action.PASS,
    ),
    Scenario(
        number=40,
        title="a blind copy to the deputy head",
        login="teacher",
        to=["hod@school.example"],
        bcc=["head@school.example"],
        verdict=Action.WARN,
        rule="blind-copy-to-colleague",
        tells=["sender"],
    ),
    Scenario(
        number=41,
        title="the staff office copies its solicitor in, unseen",
        login="hr",
        to=["colleague@school.example"],
        bcc=["partner@solicitors.example"],
        verdict=Action.PASS,
    ),
    Scenario(
        number=43,
        title="a lesson plan to one's own private account",
        login="teacher",
        to=["anita.patel@gmail.com"],
        parts=[attached("plan.docx", document("Photosynthesis, lesson 3."))],
        verdict=Action.WARN,
        rule="private-account-recipient",
    ),
    Scenario(
        number=44,
        title="28 pupils' marks to one's own private account",
        login="teacher",
        to=["anita.patel@gmail.com"],
        parts=[attached("marks.csv", MARKS.encode(), "text/csv")],
        verdict=Action.QUARANTINE,
        rule="pupil-data-to-private-account",
        tells=["it-support"],
    ),
    Scenario(
        number=46,
        title="a teacher's name from webmail, to a pupil",
        sender="x9@gmail.com",
        author="Mrs A. Patel <x9@gmail.com>",
        to=["pupil@school.example"],
        verdict=Action.TAG,
        rule="staff-name-to-pupil",
        tells=["dsl", "it-support"],
    ),
    Scenario(
        number=47,
        title="the teacher's own private account, to a pupil",
        sender="anita.patel@gmail.com",
        author="Anita Patel <anita.patel@gmail.com>",
        to=["pupil@school.example"],
        verdict=Action.TAG,
        rule="staff-private-account",
        differs="A notice to the teacher was proposed as well. What a sender outside claims makes nobody here a "
        "sender: a forger could have notices sent. It is marked and counted.",
    ),
    Scenario(
        number=49,
        title="a rule of the mailbox sends everything on to a private account",
        login="teacher",
        author="parent1@gmail.com",
        to=["anita.patel@gmail.com"],
        verdict=Action.QUARANTINE,
        rule="automatic-forwarding",
        tells=["it-support"],
    ),
    Scenario(
        number=50,
        title="a governor sends board papers to his firm",
        login="governor",
        to=["gail@firm.example"],
        parts=[attached("board.docx", document("Strictly confidential. Confidential minutes of the board."))],
        verdict=Action.CONFIRM,
        rule="confidential-paper",
    ),
    Scenario(
        number=52,
        title="the draft of a pupil's plan, in clear",
        login="teacher",
        to=["father@outlook.com"],
        parts=[attached("draft.docx", document(EHCP))],
        verdict=Action.CONFIRM,
        rule="pupil-record-in-clear",
    ),
    Scenario(
        number=53,
        title="the same draft, encrypted",
        login="teacher",
        to=["father@outlook.com"],
        text="I will ring you.",
        parts=[attached("draft.7z", packers.seven_zip("draft.docx", document(EHCP), encrypted=True))],
        verdict=Action.TAG,
        rule="encrypted-attachment",
    ),
    Scenario(
        number=55,
        title="the same, with its password beside it",
        login="teacher",
        to=["father@outlook.com"],
        text="The password is Otter42.",
        parts=[attached("draft.7z", packers.seven_zip("draft.docx", document(EHCP), encrypted=True))],
        verdict=Action.CONFIRM,
        rule="password-beside",
    ),
    Scenario(
        number=56,
        title="a password between colleagues",
        login="teacher",
        to=["colleague@school.example"],
        text="Use the register tonight, my password is Blue7Whale",
        verdict=Action.CONFIRM,
        rule="credentials",
    ),
    Scenario(
        number=58,
        title="one pupil's log-in card for a reading app",
        login="teacher",
        to=["mother@gmail.com"],
        text="Sam's reading app\nUsername: samlark\nPassword: otter42",
        verdict=Action.PASS,
    ),
    Scenario(
        number=58,
        title="the log-ins of a class",
        login="teacher",
        to=["mother@gmail.com"],
        parts=[attached("logins.tsv", LOGINS.encode(), "text/tab-separated-values")],
        verdict=Action.CONFIRM,
        rule="credentials",
    ),
    Scenario(
        number=59,
        title="a transfer file to the coach company",
        login="office",
        to=["bookings@coaches.example"],
        parts=[attached("8012345_CTF_8019999_001.xml", b"<CTfile><Header/></CTfile>", "text/xml")],
        verdict=Action.CONFIRM,
        rule="transfer-file",
    ),
    Scenario(
        number=61,
        title="one pupil's name in a question about an essay",
        login="teacher",
        to=["tutor@staffcollege.example"],
        text="How would you mark Sam Lark's essay on Hamlet?",
        verdict=Action.PASS,
    ),
    Scenario(
        number=62,
        title="a telephone left on the train",
        login="teacher",
        to=["colleague@school.example"],
        text="I left my phone on the train, it has school mail on it.",
        verdict=Action.WARN,
        rule="lost-device",
        tells=["director-of-it", "sender"],
    ),
    Scenario(
        number=64,
        title="a notice for one's form",
        login="teacher",
        to=["colleague@school.example"],
        text="Please forward this notice to your form.",
        verdict=Action.PASS,
    ),
    Scenario(number=65, title="a virus hoax from outside", text=HOAX, verdict=Action.TAG, rule="virus-warning"),
    Scenario(
        number=65,
        title="the hoax, passed on to all staff",
        login="teacher",
        to=["all.staff@school.example"],
        text=f"---------- Forwarded message ----------\n{HOAX}",
        verdict=Action.CONFIRM,
        rule="virus-warning",
    ),
    Scenario(
        number=65,
        title="the hoax, passed on to IT Support",
        login="teacher",
        to=["it.support@school.example"],
        text=f"---------- Forwarded message ----------\n{HOAX}",
        verdict=Action.PASS,
    ),
    Scenario(
        number=67,
        title="a betting firm's promotion",
        text="Free bets for new customers! 18+, BeGambleAware.org",
        verdict=Action.TAG,
        rule="gambling",
    ),
    Scenario(
        number=67,
        title="a worksheet on betting odds",
        login="teacher",
        to=["pupil@school.example"],
        text="Worksheet 4: the odds of a horse are 5 to 2. What is the probability that the bookmaker assumes?",
        verdict=Action.PASS,
    ),
    Scenario(
        number=68,
        title="a pupil insults another",
        login="pupil",
        to=["pupil2@school.example"],
        text="You're pathetic. Everyone hates you and nobody wants you here.",
        verdict=Action.TAG,
        rule="concern-bullying",
        tells=["dsl"],
    ),
    Scenario(
        number=70,
        title="a meeting with one pupil and nobody else",
        login="teacher",
        to=["pupil@school.example"],
        parts=[invitation(PUPIL)],
        verdict=Action.WARN,
        rule="meeting-without-supervisor",
        tells=["deputy-head-pastoral"],
        differs="The head of department was to be told. Roles have mailboxes, departments have not; the Deputy "
        "Head (Pastoral), who keeps the log, is told instead.",
    ),
    Scenario(
        number=70,
        title="the same with the head of department as an optional guest",
        login="teacher",
        to=["pupil@school.example"],
        parts=[invitation(PUPIL, HOD)],
        verdict=Action.PASS,
    ),
    Scenario(
        number=70,
        title="a younger pupil, and no parent is invited",
        login="teacher",
        to=["junior@school.example"],
        parts=[invitation(PUPIL.replace("pupil", "junior"), HOD)],
        verdict=Action.WARN,
        rule="meeting-without-parent",
    ),
    Scenario(
        number=71,
        title="a picture that a lawful list of hashes knows",
        malware=["Gatepost.Abuse.17"],
        verdict=Action.SEAL,
        rule="abuse-image",
        tells=["head-of-computer-services", "dsl"],
    ),
)
