"""Owns the overview: what waits, what was held by which rule, how the outbox is, and the policy in force."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, timedelta

from starlette.responses import Response

from gatepost_config.words import Direction
from gatepost_quarantine.console import charts
from gatepost_quarantine.console.desk import Visit

DAYS = 14
RATE_DAYS = 90

_LATE = 900.0
"""Seconds after which an owed mail is late."""


def page(visit: Visit) -> Response:
    """The overview, of what this person may see."""
    now, sight, review = visit.desk.clock(), visit.who.sight, visit.desk.review
    first = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1)
    by_day: dict[str, Counter[Direction]] = {}
    by_rule: Counter[str] = Counter()
    for each in review.by_rule(first, sight=sight):
        by_day.setdefault(each.day, Counter())[each.direction] += each.count
        by_rule[each.rule] += each.count
    dates = [(first + timedelta(days=place)).date() for place in range(DAYS)]
    bars = [charts.Bar(day=each, counts=by_day.get(each.isoformat(), Counter())) for each in dates]
    health = review.health()
    found = visit.desk.in_force.read()
    return visit.page(
        "overview.html",
        waiting=review.waiting(sight=sight),
        health=health,
        late=health.oldest_owed > _LATE,
        low=0 <= health.free < 2 * health.floor,
        bars=bars,
        chart=charts.days(bars, title=f"Findings of rules that held messages, by day, the last {DAYS} days"),
        total=sum(each.total for each in bars),
        by_rule=by_rule.most_common(10),
        rates=review.marks_by_rule(now - timedelta(days=RATE_DAYS), sight=sight),
        share=charts.share,
        directions=list(Direction),
        days=DAYS,
        rate_days=RATE_DAYS,
        document=found.document,
        trouble=found.trouble,
    )


def policy(visit: Visit) -> Response:
    """The policy in force: its rules in order, with their modes and how often each held something."""
    found = visit.desk.in_force.read()
    since = visit.desk.clock() - timedelta(days=RATE_DAYS)
    rates = visit.desk.review.marks_by_rule(since, sight=visit.who.sight)
    return visit.page(
        "policy.html", document=found.document, trouble=found.trouble, rates=rates, rate_days=RATE_DAYS
    )
