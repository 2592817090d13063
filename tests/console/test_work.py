"""Working through the quarantine: search, filters, pages, the detail, and every decision with its answer."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
import pyzipper
from support.console import Desk, letter, school_week
from support.quarantine import MESSAGE, Clock, explanation, finding, held, recipient
from support.senders import LETTER, TEACHER, waiting

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.console import act
from gatepost_quarantine.console.preview import ZIP_PASSWORD, Reader
from gatepost_quarantine.held import Choice, SenderAnswer, State
from gatepost_quarantine.review import CHOICES, Sight

SEES_ALL = Sight(ordinary=True, confidential=True, safeguarding=frozenset())


def verbs(desk: Desk, held_id: str) -> list[Verb]:
    """What has happened to a message."""
    return [event.verb for event in desk.store.events(held_id)]


@pytest.mark.parametrize(
    "search",
    [
        "INVOICE",
        "voice 44",
        "accounts@parkside",
        "bursar@",
        "executable-att",
        "KCS 2.0",
        "4471.pdf.exe",
        "6e340b9cffb37a98",
    ],
)
def test_search_finds_by_everything_that_people_have_in_hand(desk: Desk, search: str) -> None:
    """Part of a subject, a person, a rule, a clause, a file's name or its SHA-256; case does not matter."""
    kept = school_week(desk, count=3)
    page = desk.browser("rita").get(f"/queue?q={search}").text
    assert f'id="row-{kept[0].id}"' in page
    assert f'id="row-{kept[2].id}"' not in page


@pytest.mark.parametrize("pasted", ["T00-K7M", "t00-k7m", "<0@parkside.example>", "0@parkside.example"])
def test_an_id_that_is_pasted_in_opens_its_message(desk: Desk, pasted: str) -> None:
    """A support id is read out on the telephone; a Message-ID comes from a log."""
    kept = school_week(desk, count=3)
    answer = desk.browser("rita").client.get("/queue", params={"q": pasted, "go": "1"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/held/{kept[0].id}")


def test_filters_are_in_the_address_and_each_has_a_chip_to_remove_it(desk: Desk) -> None:
    """A filtered list can be sent to a colleague."""
    school_week(desk, count=8)
    page = desk.browser("rita").get("/queue?q=invoice&rule=executable-attachment&since=7d").text
    chips = re.findall(r'<li><span>([^<]+)</span><a href="([^"]+)"', page)
    assert [words for words, _ in chips] == ["“invoice”", "Rule: Executable attachment", "Last 7 days"]
    assert chips[0][1] == "/queue?rule=executable-attachment&amp;since=7d"


def test_pages_follow_each_other_without_losing_or_repeating_a_message(desk: Desk) -> None:
    """Also while new ones come in: a page begins after a message, not at a number."""
    made = {
        desk.keep(held(str(place).encode(), subject=f"No {place}"), str(place).encode()).id for place in range(120)
    }
    browser, address, seen = desk.browser("rita"), "/queue", []
    while address:
        page = browser.get(address).text
        seen += re.findall(r'<tr role="row" id="row-([^"]+)"', page)
        desk.keep(held(address.encode(), received_at=Clock()() - timedelta(days=1)), address.encode())
        following = re.search(r'href="([^"]+)" rel="next"', page)
        address = following[1].replace("&amp;", "&") if following else ""
    assert len(seen) == len(set(seen)) == 120
    assert set(seen) == made


def test_the_detail_says_why_first(desk: Desk) -> None:
    """The sentence, the clause and the place come before anything else."""
    (message, *_) = school_week(desk, count=1)
    page = desk.browser("rita").get(f"/held/{message.id}").text
    order = [page.index(each) for each in ("Why it is held", "Windows program", "setup.exe", "Recipient</h2>")]
    assert order == sorted(order)
    assert "1 more rule found something and did not act" in page


def test_opening_a_message_is_recorded_before_anything_is_shown(desk: Desk) -> None:
    """Looking at the detail is not reading; text, HTML, raw and files are."""
    (message, *_) = school_week(desk, count=1)
    browser = desk.browser("rita")
    browser.get(f"/held/{message.id}")
    assert verbs(desk, message.id) == [Verb.HOLD]
    body = browser.get(f"/held/{message.id}/body").text
    assert "please find the file attached" in body
    assert "part 2" in body
    html = browser.get(f"/held/{message.id}/html/1").text
    assert "[files.example.net]" in html
    assert "href" not in html
    browser.get(f"/held/{message.id}/raw")
    assert verbs(desk, message.id) == [Verb.HOLD, Verb.READ, Verb.READ, Verb.RAW]
    assert {event.actor for event in desk.store.events(message.id)[1:]} == {"rita"}


def test_a_file_comes_in_a_zip_with_a_password(desk: Desk) -> None:
    """Nothing opens it by accident, and its name cannot lead anywhere."""
    (message, *_) = school_week(desk, count=1)
    browser = desk.browser("rita")
    page = browser.get(f"/held/{message.id}/body").text
    (index,) = re.findall(rf"/held/{message.id}/file/(\d+)", page)
    answer = browser.post(f"/held/{message.id}/file/{index}", {"name": "../../etc/pass\r\nwd.exe"})
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="{message.id[:8]}-etc_pass_wd.exe.zip"'
    with pyzipper.AESZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.infolist()[0].flag_bits & 1
        archive.setpassword(ZIP_PASSWORD.encode())
        assert archive.read("etc_pass_wd.exe").startswith(b"MZ")
    assert verbs(desk, message.id)[-1] is Verb.DOWNLOAD


@pytest.mark.parametrize("command", ["false", "sleep 60", "head -c 1000", "echo nonsense", "echo {}"])
def test_a_message_that_breaks_its_reader_shows_as_raw_text(tmp_path: Path, command: str) -> None:
    """Whatever becomes of the child, a reviewer still sees what was held."""
    reader = Reader(["/bin/sh", "-c", command], timeout=1.5)
    desk = Desk(tmp_path, reader=reader)
    desk.people()
    message = desk.keep(held())
    page = desk.browser("rita").get(f"/held/{message.id}/body")
    assert page.status_code == 200
    assert "This is its raw text" in page.text
    assert "Please open the attached program." in page.text


def test_release_goes_to_the_outbox_and_says_so(desk: Desk) -> None:
    """To all, to some, or to another address; twice gives the first answer."""
    to = [recipient(f"{name}@school.example") for name in ("ann", "bob", "cat")]
    message = desk.keep(held(recipients=to))
    browser = desk.browser("rita")
    asked = browser.get(f"/act?verb=release&id={message.id}").text
    assert "ann@school.example" in asked
    one = browser.post("/act", {"verb": "release", "id": message.id, "recipient": "ann@school.example"})
    assert "done=Released+to+ann%40school.example" in one.headers["location"]
    elsewhere = {"recipient": "bob@school.example", "to": "deputy@school.example", "reason": "Bob is away"}
    browser.post("/act", {"verb": "release", "id": message.id, **elsewhere})
    states = [(each.state, each.released_to) for each in desk.store.get(message.id).recipients]
    assert states == [
        (State.RELEASING, "ann@school.example"),
        (State.RELEASING, "deputy@school.example"),
        (State.HELD, ""),
    ]
    for _ in range(2):
        browser.post("/act", {"verb": "release", "id": message.id})
    owed = desk.store.claim(worker="w", lease=60)
    assert len(owed) == 3
    page = browser.get(f"/held/{message.id}").text
    assert "sent to deputy@school.example" in page
    assert "Bob is away" in page


def test_many_decisions_have_an_answer_each(desk: Desk) -> None:
    """One that cannot be done does not stop the others, and is told."""
    first, second, third = (
        desk.keep(held(each, subject=each.decode()), each) for each in (b"one", b"two", b"three")
    )
    desk.store.release(second.id, actor="x")
    desk.store.claim(worker="w", lease=60)
    browser = desk.browser("rita")
    ids = [first.id, second.id, third.id, "no-such-message"]
    page = browser.post("/act", {"verb": "deny", "id": ids, "reason": "No"}).text
    assert "Deny: 2 of 4 done" in page
    assert "nothing of" in page or "cannot be denied" in page or "under way" in page
    assert "It is not there, or not yours." in page
    states = [desk.store.get(each.id).recipients[0].state for each in (first, second, third)]
    assert states == [State.DENIED, State.RELEASING, State.DENIED]


def test_deny_tells_a_known_sender_if_that_is_wanted(desk: Desk) -> None:
    """And says on the page whether anybody is told."""
    for place, notice in enumerate(("1", "")):
        content = str(place).encode()
        message = desk.keep(held(content, sender="teacher@school.example"), content)
        fields = {"verb": "deny", "id": message.id, "reason": "Not now", "tell": "Use the portal."}
        answer = desk.browser("rita").post("/act", {**fields, "notice": notice} if notice else fields)
        said = "the+sender+will+be+told" if notice else "Nobody+is+told"
        assert said in answer.headers["location"]
    owed = desk.store.claim(worker="w", lease=60)
    assert len(owed) == 1


def test_a_deletion_can_be_undone_until_its_time_is_over(tmp_path: Path) -> None:
    """Then the bytes are gone, and the record says who asked."""
    clock = Clock()
    desk = Desk(tmp_path, clock=clock, undo_minutes=30)
    desk.people()
    message = desk.keep(held())
    browser = desk.browser("rita")
    browser.post("/act", {"verb": "delete", "id": message.id, "reason": "Spam"})
    assert "It will be deleted in 30 min, as rita asked." in browser.get(f"/held/{message.id}").text
    refused = browser.post("/act", {"verb": "release", "id": message.id})
    assert "about to be deleted" in refused.text
    assert browser.post(f"/held/{message.id}/spare", {}).status_code == 303
    clock.move(minutes=40)
    sweep(desk)
    assert b"".join(desk.store.content(message.id)) == MESSAGE

    browser.post("/act", {"verb": "delete", "id": message.id, "reason": "Spam after all"})
    clock.move(minutes=29)
    sweep(desk)
    assert b"".join(desk.store.content(message.id)) == MESSAGE
    clock.move(minutes=2)
    sweep(desk)
    assert desk.store.get(message.id).recipients[0].state is State.DELETED
    assert browser.post(f"/held/{message.id}/spare", {}).status_code == 409
    page = browser.get(f"/held/{message.id}").text
    assert "Its bytes have been deleted." in page
    assert verbs(desk, message.id) == [Verb.HOLD, Verb.DOOM, Verb.SPARE, Verb.DOOM, Verb.DELETE]


def sweep(desk: Desk) -> None:
    """What the console does by itself every so often."""
    act.sweep(desk.store, desk.review, now=desk.clock())


def test_a_false_alarm_counts_once_against_its_rule(desk: Desk) -> None:
    """The statistics of the rule show it."""
    (message, *_) = school_week(desk, count=1)
    browser = desk.browser("rita")
    for _ in range(2):
        browser.post("/act", {"verb": "mark", "id": message.id, "rule": "executable-attachment", "reason": "Ours"})
    assert len(desk.review.marks(message.id)) == 1
    assert "100 %" in browser.get("/overview").text
    assert "false alarm, says rita" in browser.get(f"/held/{message.id}").text


def test_what_is_passed_on_is_seen_by_the_other_role_only(desk: Desk) -> None:
    """A worry that turns up in an IT queue goes to safeguarding, and is gone from IT's sight."""
    message = desk.keep(held())
    rita, sam = desk.browser("rita"), desk.browser("sam")
    assert sam.get(f"/held/{message.id}").status_code == 404
    answer = rita.post("/act", {"verb": "pass-on", "id": message.id, "queue": "dsl", "reason": "Please look"})
    assert answer.status_code == 303
    assert rita.get(f"/held/{message.id}").status_code == 404
    page = sam.get(f"/held/{message.id}").text
    assert "Please look" in page
    assert desk.store.get(message.id).queue == "dsl"
    nowhere = sam.post("/act", {"verb": "pass-on", "id": message.id, "queue": "no-such-role", "reason": "x"})
    assert "choose a role of the policy" in nowhere.text


def test_a_note_stands_in_the_history(desk: Desk) -> None:
    """As text, whatever is written into it."""
    message = desk.keep(held())
    browser = desk.browser("rita")
    browser.post(f"/held/{message.id}/note", {"note": "Asked <b>Ann</b> & she knows"})
    assert "Asked &lt;b&gt;Ann&lt;/b&gt; &amp; she knows" in browser.get(f"/held/{message.id}").text


def test_news_tell_what_changed_without_touching_the_rest(desk: Desk) -> None:
    """A row that a colleague has decided about shows it; what came in is counted."""
    first, second = (desk.keep(held(each), each) for each in (b"one", b"two"))
    desk.store.deny(first.id, actor="colleague")
    page = desk.browser("rita").get(f"/queue/news?since=0&shown={first.id}&shown={second.id}").text
    assert "1 new message: show" in page
    assert re.search(rf'id="state-{first.id}" hx-swap-oob="true">.*?Denied', page)
    assert re.search(rf'id="state-{second.id}" hx-swap-oob="true">.*?Needs review', page)


def test_one_message_with_five_hundred_recipients_is_one_row(desk: Desk) -> None:
    """The list shows the first and counts the others."""
    to = [recipient(f"p{place}@mail.example") for place in range(500)]
    names = [each.address for each in to]
    message = desk.keep(held(recipients=to, explanation=explanation(names, findings=(finding(names),))))
    page = desk.browser("rita").get("/queue").text
    assert page.count(f'id="row-{message.id}"') == 1
    assert "+499" in page


def test_letters_of_the_sample_are_what_they_say() -> None:
    """The sample letter has a text, an HTML text and a file, or half of these tests would prove nothing."""
    parts = re.findall(rb"Content-Type: ([a-z/]+)", letter("s", "a <a@b.example>", "c@d.example", 1))
    assert parts == [b"multipart/mixed", b"multipart/alternative", b"text/plain", b"text/html", b"application/pdf"]


def test_a_release_that_came_back_says_why_before_it_is_tried_again(desk: Desk) -> None:
    """The second look objects once; a colleague who releases many would not know."""
    first, second, *_ = school_week(desk, count=3)
    desk.store.release(first.id, actor="rita")
    (row,) = desk.store.claim(worker="t", lease=60)
    desk.store.hold_again(row.row, reason="Not sent: the policy has changed <since>.", actor="courier")
    rita = desk.browser("rita")
    page = rita.get(f"/act?verb=release&id={first.id}&id={second.id}").text
    assert page.count("It came back:") == 1
    assert "the policy has changed &lt;since&gt;." in page
    assert "It came back" not in rita.get(f"/act?verb=deny&id={first.id}").text


def test_a_legal_hold_keeps_a_message_from_deletion_until_it_is_ended(desk: Desk) -> None:
    """It shows in the queue and on the message, needs a reason both times, and is in the history."""
    message = desk.keep(held(MESSAGE))
    rita = desk.browser("rita")
    assert "Legal hold" not in re.sub(r"<button.*?</button>", "", rita.get("/queue").text)
    refused = rita.post("/act", {"verb": "legal-hold", "id": message.id, "reason": ""})
    assert "a legal hold needs a reason" in refused.text
    done = rita.post("/act", {"verb": "legal-hold", "id": message.id, "reason": "Claim of 3 May"})
    assert done.status_code == 303
    assert '<span class="state kept">Legal hold</span>' in rita.get("/queue").text
    page = rita.get(f"/held/{message.id}").text
    assert "Claim of 3 May" in page
    assert "verb-delete" not in page
    assert "must be kept" in rita.post("/act", {"verb": "delete", "id": message.id, "reason": "x"}).text
    assert "say why" in rita.post("/act", {"verb": "end-legal-hold", "id": message.id, "reason": " "}).text
    rita.post("/act", {"verb": "end-legal-hold", "id": message.id, "reason": "Claim withdrawn"})
    assert verbs(desk, message.id) == [Verb.HOLD, Verb.LEGAL_HOLD, Verb.LEGAL_HOLD_ENDED]
    assert "verb-delete" in rita.get(f"/held/{message.id}").text


def test_everybody_has_columns_and_saved_filters_of_their_own(desk: Desk) -> None:
    """They are kept on the server: they follow the person, and nobody else sees them."""
    school_week(desk, count=3)
    rita, sam = desk.browser("rita"), desk.browser("vic")
    rita.post("/queue/columns", {"column": ["status", "support", "nonsense"], "back": "/queue"})
    page = rita.get("/queue").text
    assert re.findall(r'scope="col"[^>]*>([^<]+)</th>', page) == ["Message", "Status", "Support id"]
    saved = rita.post("/queue/filters", {"name": "Lunch & co", "query": "q=invoice&since=7d&evil=1&after=5-x"})
    assert saved.headers["location"].startswith("/queue?q=invoice&since=7d&done=")
    assert '<a href="/queue?q=invoice&amp;since=7d">Lunch &amp; co</a>' in rita.get("/queue").text
    assert "Lunch" not in sam.get("/queue").text
    assert "Why it is held" in sam.get("/queue").text
    rita.post("/queue/filters/remove", {"name": "Lunch & co", "back": "/queue"})
    rita.post("/queue/columns", {"back": "/queue"})
    page = rita.get("/queue").text
    assert "Lunch" not in page
    assert "Why it is held</th>" in page
    for place in range(CHOICES):
        rita.post("/queue/filters", {"name": f"No {place}", "query": "q=x"})
    assert rita.post("/queue/filters", {"name": "One more", "query": "q=x"}).status_code == 409
    assert rita.post("/queue/filters", {"name": "No 7", "query": "q=changed"}).status_code == 303


def test_the_deletions_of_one_decision_can_be_undone_together(desk: Desk) -> None:
    """From the page of results, with an answer for each."""
    kept = [each.id for each in school_week(desk, count=3)]
    rita = desk.browser("rita")
    results = rita.post("/act", {"verb": "delete", "id": kept, "reason": "Spam"}).text
    assert "Delete: 3 of 3 done" in results
    assert "Undo all" in results
    assert desk.review.item(kept[0], sight=SEES_ALL).due_at is not None
    assert "Undo: 3 of 3 done" in rita.post("/act/undo", {"id": kept}).text
    assert [desk.review.item(each, sight=SEES_ALL).due_at for each in kept] == [None] * 3
    assert "Undo: 0 of 3 done" in rita.post("/act/undo", {"id": kept}).text


def test_a_page_can_ask_when_the_sign_in_ends_without_making_it_longer(tmp_path: Path) -> None:
    """Only POST is use; at the end of the longest time, use makes nothing longer."""
    clock = Clock()
    desk = Desk(tmp_path, clock=clock, idle_minutes=60, session_hours=2)
    desk.people()
    rita = desk.browser("rita")
    clock.move(minutes=50)
    assert rita.get("/session").json() == {"left": 600, "longer": True}
    assert rita.get("/session").json() == {"left": 600, "longer": True}
    assert rita.post("/session", {}).json() == {"left": 3600, "longer": True}
    clock.move(minutes=55)
    assert rita.get("/session").json() == {"left": 300, "longer": True}
    assert rita.post("/session", {}).json() == {"left": 900, "longer": False}
    clock.move(minutes=16)
    assert rita.get("/session").status_code == 401
    desk.store.close()


def test_a_program_in_a_zip_in_a_zip_comes_out_alone(desk: Desk) -> None:
    """Named by its digest, taken out by the child, packed with the password; and recorded with both."""
    program = b"MZ" + bytes(range(256)) * 40
    digest = hashlib.sha256(program).hexdigest()
    content = (
        b"From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: application/zip; name=outer.zip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(zipped("inner.zip", zipped("../setup.exe", program))).replace(b"\n", b"\r\n")
    )
    found = {"name": "../setup.exe", "path": "part 1 › outer.zip › inner.zip › ../setup.exe", "sha256": digest}
    message = desk.keep(held(content, attachments=(found,)), content)
    rita = desk.browser("rita")
    assert 'aria-label="Download ../setup.exe as zip"' in rita.get(f"/held/{message.id}").text
    answer = rita.post(f"/held/{message.id}/member", {"sha256": digest})
    assert answer.status_code == 200
    with pyzipper.AESZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["setup.exe"]
        with pytest.raises(RuntimeError):
            archive.read("setup.exe")
        archive.setpassword(ZIP_PASSWORD.encode())
        assert archive.read("setup.exe") == program
    event = desk.store.events(message.id)[-1]
    assert (event.verb, event.actor, event.details["sha256"]) == (Verb.DOWNLOAD, "rita", digest)
    assert rita.post(f"/held/{message.id}/member", {"sha256": "0" * 64}).status_code == 404
    assert rita.post(f"/held/{message.id}/member", {}).status_code == 404


def test_a_file_that_cannot_be_found_again_is_said(desk: Desk) -> None:
    """The record names it, but the message does not hold it as it is: a sentence, not an error of ours."""
    message = desk.keep(held(attachments=({"name": "gone.exe", "sha256": "1" * 64},)))
    answer = desk.browser("rita").post(f"/held/{message.id}/member", {"sha256": "1" * 64})
    assert answer.status_code == 422
    assert "It cannot be taken out" in answer.text


def zipped(name: str, content: bytes) -> bytes:
    """A zip of one file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def test_what_senders_ask_is_on_top_of_the_queue_for_those_who_may_see_it(desk: Desk) -> None:
    """Gone once it is decided; their words are for those who may read the history."""
    asked = desk.keep(waiting(), LETTER)
    hidden = desk.keep(waiting(queue="dsl"), LETTER)
    for message in (asked, hidden):
        desk.store.answer(
            SenderAnswer(
                held_id=message.id,
                choice=Choice.ASK,
                sender=TEACHER,
                reason="They <b>all</b> agreed.",
                via="page",
            )
        )
    rita, vic, sam = desk.browser("rita"), desk.browser("vic"), desk.browser("sam")
    assert "1 sender asks for a release" in rita.get("/queue").text
    assert "They &lt;b&gt;all&lt;/b&gt; agreed." in rita.get("/queue").text
    assert "asks for a release" not in rita.get("/queue?q=trip").text
    assert "asks for its release:" in rita.get(f"/held/{asked.id}").text
    assert "1 sender asks for a release" in vic.get("/queue").text
    assert "agreed" not in vic.get("/queue").text
    assert "agreed" not in vic.get(f"/held/{asked.id}").text
    assert "1 sender asks for a release" in sam.get("/queue").text
    rita.post("/act", {"verb": "deny", "id": asked.id, "reason": "No"})
    assert "asks for a release" not in rita.get("/queue").text
