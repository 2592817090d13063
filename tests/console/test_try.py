"""Trying a message against the policy in force: a child judges it, and nobody learns more than they may."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from support.console import WITH_PROGRAM, Browser, Desk, safeguarding, sealed
from support.quarantine import held

from gatepost_quarantine.audit import Verb
from gatepost_quarantine.console import trial
from gatepost_quarantine.review import Sight, Wanted


def signed_in(app: Starlette, name: str) -> Browser:
    """A browser of somebody."""
    browser = Browser(app)
    assert browser.sign_in(name).status_code == 303
    return browser


def uploaded(browser: Browser, content: bytes, **fields: str) -> tuple[int, str]:
    """Send the form with a file, as a browser does."""
    answer = browser.client.post(
        "/try",
        data={"csrf": browser.csrf(), **fields},
        files={"message": ("letter.eml", content, "message/rfc822")},
        headers={"sec-fetch-site": "same-origin"},
    )
    return answer.status_code, answer.text


def test_an_uploaded_message_gets_its_verdict_its_findings_and_its_parts(app: Starlette, desk: Desk) -> None:
    """Judged by the same program as mail in flight; nothing of it stays."""
    code, page = uploaded(signed_in(app, "pat"), WITH_PROGRAM)
    assert code == 200
    assert "Verdict: quarantine" in page
    assert "update.exe" in page
    assert "Parts and readings" in page
    assert "inbound" in page
    everything = Sight(ordinary=True, confidential=True, safeguarding=frozenset())
    assert desk.review.page(Wanted(), sight=everything).items == ()


def test_a_held_message_is_tried_without_telling_what_is_in_it(app: Starlette, desk: Desk) -> None:
    """A policy editor sees which rules fire, and that they looked is in the history."""
    message = desk.keep(held(WITH_PROGRAM), WITH_PROGRAM)
    pat = signed_in(app, "pat")
    page = pat.post(f"/held/{message.id}/try", {}).text
    assert "Verdict: quarantine" in page
    assert "executable-attachment" in page
    assert "update.exe" not in page
    assert desk.store.events(message.id)[-1].verb is Verb.TRY


@pytest.mark.parametrize("kind", ["sealed", "confidential"])
def test_what_a_policy_editor_does_not_see_they_do_not_try(app: Starlette, desk: Desk, kind: str) -> None:
    """Nor does an admin, who sees no message at all."""
    message = desk.keep(sealed() if kind == "sealed" else safeguarding())
    for name in ("pat", "adm", "rita", "sam"):
        assert signed_in(app, name).post(f"/held/{message.id}/try", {}).status_code in (403, 404)


def test_an_upload_is_bounded_checked_and_only_for_those_who_may(
    app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is too large, empty, of somebody else, or from a page of somebody else's."""
    monkeypatch.setattr(trial, "UPLOAD_LIMIT", 2000)
    pat = signed_in(app, "pat")
    assert uploaded(pat, b"x" * 3000)[0] == 413
    assert uploaded(pat, b"")[0] == 409
    assert uploaded(pat, WITH_PROGRAM, sender="--policy=/etc/passwd")[0] == 409
    assert uploaded(pat, WITH_PROGRAM, client="192.0.2")[0] == 409
    assert uploaded(pat, WITH_PROGRAM, csrf="made up")[0] == 403
    assert uploaded(signed_in(app, "rita"), WITH_PROGRAM)[0] in (403, 415)


def test_what_cannot_be_judged_is_said_not_shown_as_a_failure_of_ours(desk: Desk) -> None:
    """Without a settings file there is nothing to judge by."""
    code, page = uploaded(desk.browser("pat"), WITH_PROGRAM)
    assert code == 200
    assert "this console runs without a settings file" in page
