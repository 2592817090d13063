"""Many at once: every client gets an answer, and every answer is true."""

from __future__ import annotations

import signal
import smtplib
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.mails import clean, infected
from support.postfix import PATIENCE, PostfixLab, postfix_lab

pytestmark = pytest.mark.slow
SESSIONS = 200


def test_two_hundred_sessions_at_once() -> None:
    """All connected before the first sends; every second message is held, all others arrive, none is lost."""
    with postfix_lab(settings={"default_process_limit": str(SESSIONS + 50)}) as lab:
        together = threading.Barrier(SESSIONS, timeout=PATIENCE * 4)
        reached: dict[int, str] = {}

        def send(number: int) -> int:
            content = infected(f"Held {number}") if number % 2 else clean(f"Clean {number}")
            reached[number] = "connecting"
            try:
                with smtplib.SMTP("127.0.0.1", lab.postfix.ports.smtp, timeout=PATIENCE * 4) as client:
                    client.ehlo()
                    reached[number] = f"greeted; MAIL: {client.mail('someone@outside.example')}"
                    reached[number] = f"RCPT: {client.rcpt(f'p{number}@school.example')}"
                    together.wait()
                    return client.data(content)[0]
            except (OSError, smtplib.SMTPException) as error:
                reached[number] += f"; then {error!r}"
                together.abort()
                raise

        try:
            with ThreadPoolExecutor(SESSIONS) as clients:
                codes = Counter(clients.map(send, range(SESSIONS)))
        except (OSError, smtplib.SMTPException, threading.BrokenBarrierError):
            pytest.fail(f"not all came through: {Counter(reached.values()).most_common(10)}")
        assert codes == {250: SESSIONS}
        assert len(lab.held()) == SESSIONS // 2
        for number in range(0, SESSIONS, 2):
            assert len(lab.arrives(f"p{number}@school.example")) == 1


def test_a_stop_under_load_loses_nothing() -> None:
    """SIGTERM while mail flows: what was answered 250 is delivered or held, and all else was answered 4xx."""
    with postfix_lab() as lab:
        answers: dict[int, int] = {}
        more, stopped = threading.Condition(), threading.Event()

        def flow(lane: int) -> None:
            number = lane
            while not stopped.is_set():
                code = _answer(lab, number)
                with more:
                    answers[number] = code
                    more.notify_all()
                number += 4

        def await_answers(count: int) -> None:
            with more:
                wanted = len(answers) + count
                assert more.wait_for(lambda: len(answers) >= wanted, PATIENCE)

        lanes = [threading.Thread(target=flow, args=(lane,)) for lane in range(4)]
        for each in lanes:
            each.start()
        try:
            await_answers(20)
            before = lab.running.milter
            before.signal(signal.SIGTERM)
            assert before.wait(PATIENCE) == 0
            before.stop()
            lab.running.start_milter()
            await_answers(20)
        finally:
            stopped.set()
            for each in lanes:
                each.join()
        lab.settle()
        taken = {number for number, code in answers.items() if code == 250}
        held = {int(each.subject.removeprefix("Number ")) for each in lab.held()}
        delivered = {number for number in answers if lab.mailboxes.of(f"n{number}@school.example")}
        assert set(answers.values()) <= {250, 451}
        assert taken <= held | delivered
        assert {number for number in taken if number % 3 == 0} <= held


def _answer(lab: PostfixLab, number: int) -> int:
    content = (infected if number % 3 == 0 else clean)(f"Number {number}")
    try:
        lab.inbound(content, to=[f"n{number}@school.example"])
    except smtplib.SMTPResponseException as answer:
        return answer.smtp_code
    return 250
