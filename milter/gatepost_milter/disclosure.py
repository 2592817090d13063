"""Owns what a notice may tell of a verdict: to each reader their own part, and nothing that is not for them."""

from __future__ import annotations

from collections.abc import Iterable

from gatepost_config.words import Action, Explanation, Finding, Outcome
from gatepost_milter.policy.verdict import Verdict

UNDISCLOSED = "undisclosed recipients"
SEALED_SAY = "This message is sealed. Only the roles that the policy names may open it."


def for_sender(verdict: Verdict, *, visible: frozenset[str]) -> Explanation:
    """The explanation without private evidence, and with all but the visible recipients rolled into one.

    ``visible`` holds case-folded addresses. A notice may be passed on, so it never names a Bcc recipient.
    """
    explanation = _unsealed(verdict)
    outcomes: dict[str, Outcome] = {}
    for outcome in explanation.outcomes:
        shown = _disclosed(outcome.recipient, visible)
        before = outcomes.get(shown)
        if before is None or outcome.action.strictness > before.action.strictness:
            outcomes[shown] = Outcome(recipient=shown, direction=outcome.direction, action=outcome.action)
    findings = []
    for finding in explanation.findings:
        actions: dict[str, Action] = {}
        for address, action in finding.actions.items():
            shown = _disclosed(address, visible)
            actions[shown] = Action.strictest(action, actions.get(shown, Action.PASS))
        findings.append(_with(finding, actions=actions))
    return _explained(explanation, outcomes.values(), findings)


def for_recipient(verdict: Verdict, outcome: Outcome) -> Explanation:
    """The explanation as far as it concerns one recipient, so that no other is disclosed to them."""
    explanation = _unsealed(verdict)
    address = outcome.recipient
    findings = [
        _with(finding, actions={address: finding.actions[address]})
        for finding in explanation.findings
        if address in finding.actions
    ]
    return _explained(explanation, (outcome,), findings)


def _unsealed(verdict: Verdict) -> Explanation:
    """The public explanation; of a sealed message it keeps the rules and says nothing of the content."""
    explanation = verdict.explanation.public()
    if verdict.action is not Action.SEAL:
        return explanation
    bare = [_with(finding, bare=True) for finding in explanation.findings]
    return _explained(explanation, explanation.outcomes, bare)


def _explained(explanation: Explanation, outcomes: Iterable[Outcome], findings: Iterable[Finding]) -> Explanation:
    return Explanation(
        support_id=explanation.support_id,
        policy=explanation.policy,
        outcomes=tuple(outcomes),
        findings=tuple(findings),
        defects=explanation.defects,
    )


def _with(finding: Finding, *, actions: dict[str, Action] | None = None, bare: bool = False) -> Finding:
    data = finding.to_json()
    if actions is not None:
        data["actions"] = {address: action.value for address, action in actions.items()}
    if bare:
        data |= {"evidence": [], "say": SEALED_SAY, "mend": ""}
    return Finding.from_json(data)


def _disclosed(address: str, visible: frozenset[str]) -> str:
    return address if address.casefold() in visible else UNDISCLOSED
