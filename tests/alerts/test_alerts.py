"""Each shipped alert fires on the state it is for and stays quiet on the nearest harmless one; promtool judges."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config/prometheus/gatepost.rules.yml"
PLACE = 'job="gatepost",instance="mx1"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Series as promtool writes them (one value a minute), and whether the alert fires after ``minutes``."""

    alert: str
    story: str
    series: dict[str, str]
    fires: bool
    minutes: int = 30


CASES = (
    Case(alert="GatepostDown", story="no answer", series={f"up{{{PLACE}}}": "0x30"}, fires=True),
    Case(alert="GatepostDown", story="one scrape missed", series={f"up{{{PLACE}}}": "1x28 0 1"}, fires=False),
    Case(alert="GatepostNoWorkers", story="none", series={f"gatepost_workers{{{PLACE}}}": "0x30"}, fires=True),
    Case(
        alert="GatepostNoWorkers",
        story="one is left",
        series={f"gatepost_workers{{{PLACE}}}": "1x30"},
        fires=False,
    ),
    Case(
        alert="GatepostTempFailing",
        story="one in ten",
        series={
            f'gatepost_replies_total{{{PLACE},reply="accept"}}': "0+90x30",
            f'gatepost_replies_total{{{PLACE},reply="tempfail"}}': "0+10x30",
        },
        fires=True,
    ),
    Case(
        alert="GatepostTempFailing",
        story="one in a hundred",
        series={
            f'gatepost_replies_total{{{PLACE},reply="accept"}}': "0+99x30",
            f'gatepost_replies_total{{{PLACE},reply="tempfail"}}': "0+1x30",
        },
        fires=False,
    ),
    Case(
        alert="GatepostErrors",
        story="one error",
        series={f'gatepost_unhandled_errors_total{{{PLACE},stage="eom"}}': "0x25 1x5"},
        fires=True,
    ),
    Case(
        alert="GatepostErrors",
        story="none, but an old one",
        series={f'gatepost_unhandled_errors_total{{{PLACE},stage="eom"}}': "1x30"},
        fires=False,
    ),
    Case(
        alert="GatepostSlow",
        story="all take over 10 s",
        series={
            f'gatepost_stage_seconds_bucket{{{PLACE},stage="total",le="10"}}': "0x40",
            f'gatepost_stage_seconds_bucket{{{PLACE},stage="total",le="30"}}': "0+10x40",
            f'gatepost_stage_seconds_bucket{{{PLACE},stage="total",le="+Inf"}}': "0+10x40",
        },
        fires=True,
    ),
    Case(
        alert="GatepostSlow",
        story="one in a thousand",
        series={
            f'gatepost_stage_seconds_bucket{{{PLACE},stage="total",le="10"}}': "0+999x40",
            f'gatepost_stage_seconds_bucket{{{PLACE},stage="total",le="30"}}': "0+1000x40",
            f'gatepost_stage_seconds_bucket{{{PLACE},stage="total",le="+Inf"}}': "0+1000x40",
        },
        fires=False,
    ),
    Case(
        alert="GatepostInspectorsKilled",
        story="one a minute",
        series={f'gatepost_inspector_kills_total{{{PLACE},reason="deadline"}}': "0+1x70"},
        fires=True,
        minutes=70,
    ),
    Case(
        alert="GatepostInspectorsKilled",
        story="a few in an hour",
        series={f'gatepost_inspector_kills_total{{{PLACE},reason="deadline"}}': "0x60 5x10"},
        fires=False,
        minutes=70,
    ),
    Case(
        alert="GatepostOutboxOld",
        story="an hour",
        series={f"gatepost_outbox_oldest_seconds{{{PLACE}}}": "3600x30"},
        fires=True,
    ),
    Case(
        alert="GatepostOutboxOld",
        story="a minute",
        series={f"gatepost_outbox_oldest_seconds{{{PLACE}}}": "60x30"},
        fires=False,
    ),
    Case(
        alert="GatepostUnreviewed",
        story="four days",
        series={f"gatepost_oldest_unreviewed_seconds{{{PLACE}}}": "345600x90"},
        fires=True,
        minutes=90,
    ),
    Case(
        alert="GatepostUnreviewed",
        story="two days",
        series={f"gatepost_oldest_unreviewed_seconds{{{PLACE}}}": "172800x90"},
        fires=False,
        minutes=90,
    ),
    Case(
        alert="GatepostReloadRefused",
        story="refused",
        series={f"gatepost_reload_ok{{{PLACE}}}": "0x30"},
        fires=True,
    ),
    Case(
        alert="GatepostReloadRefused",
        story="mended at once",
        series={f"gatepost_reload_ok{{{PLACE}}}": "1x20 0x2 1x10"},
        fires=False,
    ),
    Case(
        alert="GatepostDiskFloorNear",
        story="half as much again",
        series={
            f"gatepost_store_free_bytes{{{PLACE}}}": "300x30",
            f"gatepost_store_floor_bytes{{{PLACE}}}": "200x30",
        },
        fires=True,
    ),
    Case(
        alert="GatepostDiskFloorNear",
        story="plenty",
        series={
            f"gatepost_store_free_bytes{{{PLACE}}}": "3000x30",
            f"gatepost_store_floor_bytes{{{PLACE}}}": "200x30",
        },
        fires=False,
    ),
    Case(
        alert="GatepostStoreUnreadable",
        story="the database is away",
        series={f"gatepost_store_ok{{{PLACE}}}": "0x30"},
        fires=True,
    ),
    Case(
        alert="GatepostStoreUnreadable",
        story="slow for two scrapes",
        series={f"gatepost_store_ok{{{PLACE}}}": "1x20 0x2 1x10"},
        fires=False,
    ),
    Case(
        alert="GatepostNotFollowing",
        story="the follower of one worker has ended",
        series={f'gatepost_followed{{{PLACE}, what="rulings"}}': "0x30"},
        fires=True,
    ),
    Case(
        alert="GatepostNotFollowing",
        story="the database was started again",
        series={f'gatepost_followed{{{PLACE}, what="rulings"}}': "1x10 0x4 1x20"},
        fires=False,
    ),
    Case(
        alert="GatepostBypassActive",
        story="active",
        series={f"gatepost_bypass_active{{{PLACE}}}": "1x30"},
        fires=True,
    ),
    Case(
        alert="GatepostBypassActive",
        story="over",
        series={f"gatepost_bypass_active{{{PLACE}}}": "1x9 0x30"},
        fires=False,
    ),
)


def _alerts() -> set[str]:
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}


def test_every_alert_has_a_case_that_fires_and_one_that_is_quiet() -> None:
    """An alert that was never seen to fire is a hope, not an alarm."""
    assert {case.alert for case in CASES if case.fires} == _alerts()
    assert {case.alert for case in CASES if not case.fires} == _alerts()


def test_every_alert_says_what_to_do() -> None:
    """Whoever is paged at three in the morning needs the next step, not only the fault."""
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_alerts_fire_and_stay_quiet_as_told(tmp_path: Path) -> None:
    """promtool runs all cases at once; its own report names a case that went wrong."""
    tests = []
    for case in CASES:
        query = f'count by (alertname) (ALERTS{{alertname="{case.alert}",alertstate="firing"}})'
        samples = [{"labels": f'{{alertname="{case.alert}"}}', "value": 1}] if case.fires else []
        tests.append(
            {
                "name": f"{case.alert}: {case.story}",
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "promql_expr_test": [{"expr": query, "eval_time": f"{case.minutes}m", "exp_samples": samples}],
            }
        )
    document = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    path = tmp_path / "alerts.test.json"
    path.write_text(json.dumps(document))
    run = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
