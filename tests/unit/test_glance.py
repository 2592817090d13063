"""A glance may rule a rule out, and must never be wrong: it is compared with the condition language itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as trials
from hypothesis import strategies as st
from support.mail import attachment, inspection, settings, transaction

from gatepost_config.directory import Directory
from gatepost_config.documents import load_policy, shipped_policies
from gatepost_config.domains import Domains
from gatepost_milter.inspection.model import Attachment, FileClass, Inspection
from gatepost_milter.policy import document_tests
from gatepost_milter.policy.fact_types import People
from gatepost_milter.policy.facts import Catalogue
from gatepost_milter.policy.glance import UNSURE, View, glance, relevant
from gatepost_milter.policy.identity import direction_of, identify, normal_address
from gatepost_milter.policy.lexicons import lists_of
from gatepost_milter.policy.policy import Policy, prepare
from gatepost_milter.policy.rules import CompiledRule, compile_rules, environment
from gatepost_milter.policy.standing import Memory
from gatepost_milter.policy.syntax import read
from gatepost_milter.policy.trial import Case, Plan, Trial
from gatepost_milter.policy.verdict import Verdict
from gatepost_milter.transaction import Transaction

CATALOGUE = Catalogue(limits={"size": 100, "word": "a"}, lists={"endings": [".com", "A"], "none": []})
LANGUAGE = environment(CATALOGUE)
PEOPLE = People(
    directory=Directory.of(), domains=Domains(school=("school.example",)), at=transaction().received_at
)


@dataclass(frozen=True)
class Compared:
    """A judge that asks the condition language about every rule, whatever a glance says of it."""

    policy: Policy
    seen: list[str]
    catalogue: Catalogue
    language: Any
    rules: tuple[CompiledRule, ...]

    def remembering(self, memory: Memory) -> Compared:
        return replace(self, policy=self.policy.remembering(memory))

    def judge(self, message: Transaction, seen: Inspection) -> Verdict:
        sender = identify(message, self.policy.settings, self.policy.directory)
        cases = [
            Case(
                path.address,
                normal_address(path.address),
                direction_of(path.address, sender, self.policy.settings),
            )
            for path in message.recipients
        ]
        subject = self.policy.subject(
            message, seen, sender=sender, ways=[(case.plain, case.direction) for case in cases]
        )
        trial = Trial(
            subject,
            Plan(self.rules, self.catalogue),
            catalogue=self.catalogue,
            environment=self.language,
            roles={},
        )
        awake = trial.awake()
        for rule in self.rules:
            fires = [case for case in cases if trial.fires(rule, case) is not None]
            if fires:
                assert rule in awake
                eligible = trial.eligible(rule, cases)
                assert [case for case in fires if case not in eligible] == [], rule.rule.id
                self.seen.append(rule.rule.id)
        return self.policy.judge(message, seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_policies())
def test_no_glance_hides_what_a_shipped_rule_finds(name: str) -> None:
    """Every rule, those that are off too, over every message of the document's own tests."""
    document = load_policy(name)
    catalogue = Catalogue(limits=document.limits, lists=document.lists, phrase_lists=lists_of(document).lists)
    language = environment(catalogue)
    rules = compile_rules(document, catalogue, language)
    policy = prepare(document, settings(policy=name), tested=False)
    found: list[str] = []
    document_tests.run(
        document,
        policy.settings,
        lambda people: Compared(policy.among(people), found, catalogue, language, rules),
        policy.roles,
    )
    assert len(set(found)) > 20


TEXTS = st.sampled_from(["", "a", "A", "b.com", "É", "\udce9", "?", "T1"])
TEXT_TERMS = st.sampled_from(
    ["a.name", "a.tier", "a.name.lowerAscii()", "'a'", "'?'", "'É'", "limit.word", "a.name + a.tier", "a.strength"]
)
NUMBERS = st.sampled_from(
    ["a.size", "a.depth", "a.name.size()", "a.names.size()", "limit.size", "1", "attachments.size()"]
)
FLAGS = st.sampled_from(
    ["a.executable", "a.plain", "a.key_file", "true", "false", "a.classes == ['plain']", "a.names == ['a']"]
)


def conditions() -> st.SearchStrategy[str]:
    """Conditions about one file, ``a``, of every shape that a glance understands, and of some that it does not."""
    atoms = st.one_of(
        FLAGS,
        st.builds("{} {} {}".format, TEXT_TERMS, st.sampled_from(["==", "!=", "<"]), TEXT_TERMS),
        st.builds("{} {} {}".format, NUMBERS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBERS),
        st.builds(
            "({}).{}({})".format, TEXT_TERMS, st.sampled_from(["startsWith", "endsWith", "contains"]), TEXT_TERMS
        ),
        st.builds("{} in {}".format, TEXT_TERMS, st.sampled_from(["a.names", "lists.endings", "['a', '?']"])),
        st.builds(
            "{}.{}(n, n == {} || {})".format,
            st.sampled_from(["a.names", "lists.endings", "lists.none"]),
            st.sampled_from(["exists", "all", "exists_one"]),
            TEXT_TERMS,
            FLAGS,
        ),
        st.builds("attachments.exists(b, b.size < {})".format, NUMBERS),
        st.builds("attachments.filter(b, b.name == {}).size() > 0".format, TEXT_TERMS),
    )
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds("({} && {})".format, inner, inner),
            st.builds("({} || {})".format, inner, inner),
            st.builds("!({})".format, inner),
            st.builds("({} ? {} : {})".format, inner, inner, inner),
        ),
        max_leaves=5,
    )


FILES = st.lists(
    st.builds(
        lambda name, tier, names, size, classes: replace(
            attachment(name, *classes, size=size, tier=tier), names=tuple(names)
        ),
        TEXTS,
        TEXTS,
        st.lists(TEXTS, max_size=2),
        st.sampled_from([-1, 0, 1, 100, 2**70]),
        st.lists(st.sampled_from(FileClass), max_size=2),
    ),
    max_size=3,
)


@trials(max_examples=400, deadline=None)
@given(condition=conditions(), walk=st.sampled_from(["filter", "exists", "all"]), files=FILES)
def test_a_glance_says_what_the_condition_language_says(
    condition: str, walk: str, files: list[Attachment]
) -> None:
    """If it says no, so does the language; and if it is sure of anything, it is right."""
    expression = LANGUAGE.compile(f"attachments.{walk}(a, {condition})")
    answer = glance(read(expression), CATALOGUE)(View({"attachments": files}, PEOPLE))
    value = expression.eval(LANGUAGE.Activation(_frozen(files))).plain_value()
    assert answer is UNSURE or list(answer if walk == "filter" else [answer]) == (
        value if walk == "filter" else [value]
    )


def _frozen(files: list[Attachment]) -> dict[str, Any]:
    asked = CATALOGUE.asking({"strength", "key_file"})
    return {name: CATALOGUE.value(name, files, PEOPLE, asked) for name in ("attachments", "limit", "lists")}


UNDERSTOOD = [
    "attachments.filter(a, a.executable || (a.script && a.tier == 'T1'))",
    "attachments.filter(a, a.depth == 0 && a.size > limit.size)",
    "attachments.filter(a, a.plain && lists.endings.exists(e, a.name.lowerAscii().endsWith(e)))",
    "attachments.filter(a, !(a.tier in ['', 'T2']) && a.strength == 'weak')",
    "attachments.exists(a, a.names.all(n, n.contains('y')))",
]


@pytest.mark.parametrize("condition", UNDERSTOOD)
def test_a_glance_is_sure_of_what_rules_are_made_of(condition: str) -> None:
    """Else it would rule out nothing, and every message would cost an evaluation of every rule."""
    look = glance(read(LANGUAGE.compile(condition)), CATALOGUE)
    assert not look(View({"attachments": [attachment("a.txt", size=1)]}, PEOPLE))


def test_words_are_asked_for_last() -> None:
    """A guard that the sender's kind decides must not have the whole text searched first."""
    condition = "links.exists(k, k.kind == 'program') && attachments.size() > 0"
    look = glance(read(LANGUAGE.compile(condition)), CATALOGUE)
    assert look(View({"attachments": inspection().attachments}, PEOPLE)) is False


@pytest.mark.parametrize(
    ("conditions", "kinds"),
    [
        (["identifiers.filter(i, i.kind == 'upn' && i.level > 1)"], ["upn"]),
        (["identifiers.filter(i, i.level > 1 && !(i.kind in ['upn', 'uln']))"], ["iban"]),
        (["identifiers.exists(i, i.kind == 'upn')", "!identifiers.exists(i, i.kind == 'uln')"], ["uln", "upn"]),
        (["identifiers.filter(i, i.kind == 'upn').size() > 1 || attachments.size() > 0"], ["upn"]),
        (["identifiers"], ["iban", "uln", "upn"]),
        (["identifiers.size() > 1 && identifiers.exists(i, i.kind == 'upn')"], ["iban", "uln", "upn"]),
        (["identifiers.all(i, i.kind == 'upn')"], ["iban", "uln", "upn"]),
        (["identifiers.filter(i, identifiers.exists(o, o.kind == 'uln') && i.kind == 'upn')"], ["uln", "upn"]),
        (["identifiers.filter(i, i.kind.startsWith('u'))"], ["uln", "upn"]),
        (["identifiers.filter(i, i.kind.matches('u'))"], ["iban", "uln", "upn"]),
        (["identifiers.filter(i, [i].exists(o, o.kind == 'upn'))"], ["iban", "uln", "upn"]),
        (["attachments.filter(a, a.executable)"], []),
    ],
)
def test_kinds_that_make_no_difference_are_known(conditions: list[str], kinds: list[str]) -> None:
    """What is not known to make none is looked for."""
    trees = [read(LANGUAGE.compile(each)) for each in conditions]
    known = {kind: {"kind": kind} for kind in ("upn", "uln", "iban")}
    assert sorted(relevant(trees, "identifiers", known)) == kinds
