"""config/prometheus and config/grafana: every metric, every alert, and back; nothing asks for what is not there.

``pytest tests/docs --rewrite-golden`` writes the page's tables anew from the program and the rules.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from ruamel.yaml import YAML

from gatepost_config.settings import Metrics
from gatepost_milter import daemon, followers, session  # noqa: F401 - they declare what they count
from gatepost_milter.scrape import GAUGES

_NAME = re.compile(r"\bgatepost_[a-z_]+")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
METRIC_HEADS = ("metric", "type", "labels", "meaning")
ALERT_HEADS = ("alert", "severity", "for", "what to do")


def metrics() -> dict[str, tuple[str, str, str]]:
    """Every metric of the program: name -> (type, labels, help)."""
    found = {name: ("gauge", _labels(labels), said) for name, (said, labels) in GAUGES.items()}
    for collector in list(REGISTRY._collector_to_names):
        name = getattr(collector, "_name", "")
        if name.startswith("gatepost_"):
            kind: str = collector._type  # type: ignore[attr-defined]
            labels: tuple[str, ...] = collector._labelnames  # type: ignore[attr-defined]
            said: str = collector._documentation  # type: ignore[attr-defined]
            found[f"{name}_total" if kind == "counter" else name] = (kind, _labels(labels), said)
    return dict(sorted(found.items()))


def alerts(root: Path) -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load((root / "config/prometheus/gatepost.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def tables(root: Path) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """The tables of the page: section, heads, rows."""
    yield "Metrics", METRIC_HEADS, [(f"`{name}`", *row) for name, row in metrics().items()]
    yield (
        "Alerts",
        ALERT_HEADS,
        [
            (
                f"`{each['alert']}`",
                each["labels"]["severity"],
                each.get("for", "at once"),
                each["annotations"]["action"],
            )
            for each in alerts(root)
        ],
    )


@pytest.fixture(scope="module")
def page(root: Path, request: pytest.FixtureRequest) -> str:
    path = root / "config/prometheus/METRICS.md"
    text = path.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite-golden"):
        for heading, heads, rows in tables(root):
            table = "".join(f"| {' | '.join(cells)} |\n" for cells in [heads, ("---",) * len(heads), *rows])
            old = section(text, heading)
            head, _, rest = old.partition("| ")
            after = "".join(line for line in f"| {rest}".splitlines(keepends=True) if not line.startswith("| "))
            text = text.replace(old, head + table + after)
        path.write_text(text, encoding="utf-8")
    return text


def test_every_metric_and_every_alert_is_on_the_page_and_back(root: Path, page: str) -> None:
    """A metric without a meaning is noise; a page about one that is gone is worse."""
    for heading, _, wanted in tables(root):
        lines = [line for line in section(page, heading).splitlines() if line.startswith("| `")]
        assert [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines] == wanted


def test_every_metric_is_in_base_units_and_says_what_it_is() -> None:
    """Prometheus's own rules: seconds and bytes, _total for counters, one sentence of help."""
    for name, (kind, _, said) in metrics().items():
        assert said.endswith("."), name
        assert name.endswith("_total") == (kind == "counter"), name
        if "Bytes" in said and kind != "counter":
            assert name.endswith("_bytes"), name
        if said.startswith("Age"):
            assert name.endswith("_seconds"), name


def test_alerts_ask_for_metrics_that_exist(root: Path) -> None:
    """A misspelt name never fires."""
    for rule in alerts(root):
        assert set(_NAME.findall(rule["expr"])) <= _series(), rule["alert"]


def test_the_dashboard_shows_metrics_that_exist(root: Path) -> None:
    """And each of its panels asks for at least one."""
    board = json.loads((root / "config/grafana/gatepost.json").read_text(encoding="utf-8"))
    panels = [each for each in board["panels"] if each["type"] != "row"]
    assert len(panels) > 5
    for panel in panels:
        for target in panel["targets"]:
            names = set(_NAME.findall(target["expr"]))
            assert names, panel["title"]
            assert names <= _series(), panel["title"]
            assert "$instance" in target["expr"], panel["title"]
    ids = [each["id"] for each in board["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_understands_the_dashboard(root: Path, tmp_path: Path) -> None:
    """Each query as a rule, with Grafana's words filled in; promtool reads them as Prometheus would."""
    board = json.loads((root / "config/grafana/gatepost.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    filled = [each.replace("$__rate_interval", "1m").replace("$instance", "mx1") for each in queries]
    rules = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(filled)]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    run = subprocess.run(["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_panels_do_not_lie_on_each_other(root: Path) -> None:
    """Grafana draws what it is given."""
    board = json.loads((root / "config/grafana/gatepost.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_scrape_job_is_the_one_that_the_alerts_know(root: Path) -> None:
    """Job name and address as gatepost has them by default."""
    text = (root / "config/prometheus/README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    document = YAML(typ="safe").load(block)
    (job,) = document["scrape_configs"]

    assert any(f'job="{job["job_name"]}"' in rule["expr"] for rule in alerts(root))
    assert job["static_configs"][0]["targets"] == [Metrics().listen]
    assert all(Path(each).name == "gatepost.rules.yml" for each in document["rule_files"])


def section(page: str, heading: str) -> str:
    """The text below a heading of level two, up to the next one."""
    match = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {heading!r}"
    return match[1]


def _labels(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _series() -> set[str]:
    """The names that a query may use."""
    return {f"{name}{suffix}" for name, (kind, _, _) in metrics().items() for suffix in _SUFFIXES[kind]}
