"""Phrase lists: what a phrase matches, what excuses it, and what a mistake in a list file looks like."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost_config.errors import ConfigError
from gatepost_config.phrase_lists import load_list, load_lists, shipped_lists
from gatepost_milter.detect.pages import Page, pattern
from gatepost_milter.detect.phrases import Lexicon, Listed, PhraseError, phrase_source

LIST = """\
name: sample
title: A sample
owner: it-support
version: "1"
category: sample
threshold: 3
tiers: {strong: 3, weak: 1}
terms:
  - {phrase: "red herring", tier: strong}
  - {phrase: "(sea|river) bass", tier: weak, unless: ["bass guitar"]}
  - {pattern: 'k[io]pper', tier: weak}
allow:
  - {phrase: "fish market"}
  - {phrase: "cookery lesson", scope: text, less: 2}
tests:
  - {text: "a red herring", score: 3, reached: true}
  - {text: "a herring", score: 0, reached: false}
"""


@pytest.fixture(scope="module")
def shipped() -> Lexicon:
    return Lexicon(load_lists(list(shipped_lists())))


def _sample(folder: Path, text: str = LIST) -> Lexicon:
    path = folder / "sample.yaml"
    path.write_text(text, encoding="utf-8")
    return Lexicon([load_list(path)])


def _search(lexicon: Lexicon, *texts: str) -> Sequence[Listed]:
    return lexicon.search([Page(text, where=f"part {number}") for number, text in enumerate(texts, 1)])


def _matches(phrase: str, text: str) -> bool:
    return pattern(phrase_source(phrase)).search(Page(text).lowered) is not None


# Phrases --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("red herring", "A Red Herring!"),
        ("red herring", "a red\n> herring"),
        ("red herring", "a *red* _herring_"),
        ("red herring", "a réd her\u200bring"),
        ("red herring", "a r\u0435d h\u0435rring"),
        ("don't", "dont"),
        ("don't", "Don’t"),
        ("e-mail", "email"),
        ("e-mail", "e mail"),
        ("(send|pass) this [letter] on", "pass this on"),
        ("(send|pass) this [letter] on", "send this letter on"),
        ("[e-]mail me", "mail me"),
        ("[please] mail me", "please mail me"),
        ("there is ... virus", "there is a new computer virus"),
        ("there is ... virus", "there is virus"),
        ("within # hours", "within 1,000 hours"),
        ("£# an hour", "£40 an hour"),
        ("delet*", "deleted"),
        ("*phone", "smartphone"),
        ("((a|b) c|d) e", "b c e"),
        ("Straße", "die STRASSE"),
        ("привет", "привет"),
    ],
)
def test_a_phrase_matches(phrase: str, text: str) -> None:
    """Whatever the case, the accents, the line breaks and the disguise."""
    assert _matches(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("red herring", "red herrings"),
        ("red herring", "infrared herring"),
        ("red herring", "red. Herring"),
        ("cock", "Hancock and Cockburn"),
        ("thorpe", "Scunthorpe"),
        ("there is ... virus", "there is a very very new virus"),
        ("within # hours", "within hours"),
        ("delet*", "undelete"),
        ("virus.exe", "virusXexe"),
    ],
)
def test_a_phrase_does_not_match(phrase: str, text: str) -> None:
    """Whole words, and nothing across the end of a sentence: Scunthorpe is a place."""
    assert not _matches(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "column"),
    [
        ("(a b", 1),
        ("ab)", 3),
        ("[ab]", 1),
        ("... ab", 1),
        ("ab ...", 1),
        ("(ab|)", 5),
        ("x*", 1),
        ("a*b cd", 1),
        ("(((((ab)))))", 5),
        ("ab [cd", 4),
    ],
)
def test_a_phrase_that_means_nothing_is_refused_with_its_column(phrase: str, column: int) -> None:
    """A list is written by people who do not know patterns."""
    with pytest.raises(PhraseError) as caught:
        phrase_source(phrase)
    assert caught.value.column == column


@given(st.text(alphabet="ab ()[]|#*.'-£é", max_size=30))
def test_any_phrase_is_refused_or_finds_itself(phrase: str) -> None:
    """No phrase breaks out of the pattern: what is taken matches its own words where it is plain."""
    try:
        source = phrase_source(phrase)
    except PhraseError:
        return
    compiled = pattern(source)
    if not re.search(r"[()\[\]|#*.]", phrase):
        assert compiled.search(Page(phrase).lowered) is not None


# Scores ---------------------------------------------------------------------------------------------------------


def test_scores_add_up_over_different_terms(tmp_path: Path) -> None:
    """A word said ten times says no more than once, and neither does the same letter in HTML."""
    lexicon = _sample(tmp_path)
    (listed,) = _search(lexicon, "sea bass, river bass\nsea bass\na kipper", "sea bass")
    assert (listed.score, listed.reached, listed.threshold) == (2, False, 3)
    assert [(hit.term, hit.tier, hit.weight, hit.where, hit.line) for hit in listed.hits] == [
        ("(sea|river) bass", "weak", 1, "part 1", 1),
        ("k[io]pper", "weak", 1, "part 1", 3),
    ]
    (listed,) = _search(lexicon, "sea bass and a red herring")
    assert (listed.score, listed.reached, listed.tiers) == (4, True, ("strong", "weak"))
    assert (listed.list, listed.owner, listed.version, listed.category) == ("sample", "it-support", "1", "sample")


def test_contexts_excuse_what_stands_near_them_or_make_the_score_less(tmp_path: Path) -> None:
    """Near a term it does not count; anywhere it counts less; and it is told what excused it."""
    lexicon = _sample(tmp_path)
    assert _search(lexicon, "red herring at the fish market") == ()
    assert _search(lexicon, "the bass guitar, not sea bass") == ()
    (listed,) = _search(lexicon, "a red herring." + " and so on" * 20 + " for the cookery lesson")
    assert (listed.score, listed.reached, listed.excused) == (1, False, ("cookery lesson",))
    far = "fish market" + " and so on" * 20 + " a red herring"
    assert _search(lexicon, far)[0].reached
    (listed,) = _search(lexicon, "red herring at the fish market" + " and" * 40 + "\nanother red herring")
    assert (listed.score, listed.hits[0].line) == (3, 2)


def test_the_mails_own_words_are_not_reported(tmp_path: Path) -> None:
    """A finding is shown to people who may not read the message."""
    (listed,) = _search(_sample(tmp_path), "My secret is a red herring, Anna.")
    assert "secret" not in repr(listed)
    assert "Anna" not in repr(listed)


# List files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "said"),
    [
        ('"red herring"', '"red (herring"', 9, 19, "'(' is not closed"),
        ("'k[io]pper'", "'k(?=i)'", 11, 15, "not a pattern"),
        ("'k[io]pper'", "'k*'", 11, 15, "matches every text"),
        ('herring", tier: strong', 'herring", tier: stronk', 9, 35, "did you mean 'strong'?"),
        ("tiers: {strong: 3, weak: 1}", "tiers: {strong: 300, weak: 1}", 7, 17, "a weight is 1 to 100"),
        ('"(sea|river) bass"', '"Red  herring"', 10, 5, "stands twice; first in line 9"),
        ("name: sample", "name: simple", 1, 7, "its file 'sample'"),
        ("score: 3, reached: true", "score: 2, reached: true", 16, 36, "scores 3, not 2"),
        ('"a herring", score: 0', '"a red herring"', 17, 12, "reaches the threshold of 3"),
        ('"a red herring", score: 3', '"a herring"', 16, 12, "scores 0 and does not reach"),
        ("threshold: 3", "treshold: 3", 6, 1, "did you mean 'threshold'?"),
        ("{phrase: \"red herring\",", "{", 9, 5, "either a phrase or a pattern"),
        ('unless: ["bass guitar"]', 'unless: ["bass |"]', 10, 56, "there are no words here"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_list_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, line: int, column: int, said: str
) -> None:
    """File, line, column and remedy, as for every document."""
    assert old in LIST
    with pytest.raises(ConfigError) as caught:
        _sample(tmp_path, LIST.replace(old, new))
    problem = next(problem for problem in caught.value.problems if said in str(problem))
    assert (problem.path.name, problem.line, problem.column) == ("sample.yaml", line, column)


def test_two_lists_of_one_name_and_an_unknown_one_are_told(tmp_path: Path) -> None:
    """A school's own copy needs a name of its own; a misspelt name gets a suggestion."""
    (tmp_path / "sample.yaml").write_text(LIST, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_lists([tmp_path / "sample.yaml", str(tmp_path / "sample.yaml"), "gamblin"])
    text = str(caught.value)
    assert "is also the name of" in text
    assert "did you mean 'gambling'?" in text


def test_every_shipped_list_loads_and_passes_its_own_tests(shipped: Lexicon) -> None:
    """Loading runs the tests in the lists; and each list is named like its file."""
    assert len(shipped_lists()) >= 13
    assert {path.stem for path in shipped_lists().values()} == set(shipped_lists())
    assert shipped.search([Page("Dear Mr Smith, the trip to York is on Friday.")]) == ()


HARMLESS = [
    "Dear parents, please forward this to the other parent if you live apart.",
    "Please share with your tutor group: assembly is at 8.40 tomorrow. Thank you for passing this on.",
    "The charity will donate books to our library. Good luck to Year 11 in the exams!",
    "Virus update: two cases of norovirus in Year 3. The classrooms are being cleaned.",
    "From IT Support: the anti-virus programme will be updated. Do not open any attachment that is unexpected.",
    "GCSE Statistics: a fair coin, a roulette wheel with 37 numbers, and the odds of red. Show your working.",
    "The PTA raffle raised £412. The 100 Club winner is Mrs Bell.",
    "Second-hand uniform for sale after school, all proceeds to the PTA, 50% off blazers.",
    "The photographer's discount code is on the flyer; school photographs are on Tuesday.",
    "Please find the quotation from the supplier, with 15% off for schools.",
    "Lost property: a blue pencil case and one glove. A phone was handed in at reception.",
    "We leave for Scunthorpe, Penistone and Clitheroe at 9. Mr Hancock, Mrs Dick and Dr Cockcroft drive.",
    "Shut up shop: an economics essay on the high street. Bloody Sunday is in next week's history lesson.",
    "This email is private and confidential and intended solely for the addressee.",
    "Lesson 3: read act 2 scene 2 of Macbeth, where he says there is blood on the dagger. Props: a plastic knife.",
    "The policy says that staff must not send chain letters, jokes or virus warnings, gamble, or trade privately.",
    "Deadline for the bursary is Monday. I cannot go on the training day; may Ms Lee go instead?",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_everyday_mail_reaches_no_threshold(shipped: Lexicon, text: str) -> None:
    """False positives cost the lists their readers' trust."""
    assert [listed.list for listed in shipped.search([Page(text)]) if listed.reached] == []


@given(st.lists(st.sampled_from(HARMLESS), min_size=1, max_size=3))
def test_everyday_mails_in_one_thread_reach_no_threshold(shipped: Lexicon, texts: list[str]) -> None:
    """Each mail of a thread is a page of its own, quoted or not."""
    reached = [listed for listed in shipped.search([Page(text) for text in texts]) if listed.reached]
    assert [listed.list for listed in reached if len(listed.hits) < 2] == []


TESTED = [test.text for each in load_lists(list(shipped_lists())) for test in each.tests]


@given(
    texts=st.lists(st.sampled_from([*HARMLESS, *TESTED]), max_size=6),
    least=st.dictionaries(st.sampled_from(sorted(shipped_lists())), st.integers(0, 8)),
)
def test_what_may_be_left_out_is_all_that_is(shipped: Lexicon, texts: list[str], least: dict[str, int]) -> None:
    """A list that reaches the score from which it matters is told as ever; one that does not matter never is."""
    pages = [Page(text) for text in texts]
    found = shipped.search(pages, least=least)
    everything = shipped.search(pages)
    assert set(found) <= {each for each in everything if each.list in least}
    assert {each for each in everything if each.score >= least.get(each.list, 10_000)} <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "near", "spaces", "letters", "hits"])
def test_five_megabytes_take_linear_time(shipped: Lexicon, kind: str) -> None:
    """Texts made of the lists' own words keep RE2 making new states; it must stay linear all the same."""
    generator = random.Random(11)
    words = sorted(
        {
            word
            for path in shipped_lists().values()
            for word in re.findall(r"[a-z']+", path.read_text(encoding="utf-8"))
        }
    )
    text = {
        "words": lambda: " ".join(generator.choices(words, k=800_000)),
        "near": lambda: "forward this message to send this to ten there is no i don't want to be " * 70_000,
        "spaces": lambda: ">*_, \n" * 900_000,
        "letters": lambda: "".join(generator.choices("abcdefghijklmnop '\n", k=5_000_000)),
        "hits": lambda: "do not break the chain, free bets, my laptop was stolen, offers over " * 70_000,
    }[kind]()[:5_000_000]
    page = Page(text)
    started = time.process_time()
    shipped.search([page])
    assert time.process_time() - started < 20
