"""Alerts and dashboards: valid, about metrics that exist, and alive on a running system."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, Histogram
from prometheus_client.metrics import MetricWrapperBase

from callcenter import metrics
from tests.deploy import tools
from tests.deploy.conftest import CHART, program

HELM = CHART.parent
RULES = CHART / "files" / "rules.yaml"
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
NOT_OURS = {"up", "ALERTS", "DCGM_FI_DEV_FB_USED"}  # Prometheus' own, and NVIDIA's exporter
FUNCTIONS = {
    *("sum", "max", "count", "rate", "increase", "histogram_quantile", "vector", "by", "on"),
    *("unless", "min", "and", "or", "le", "max_over_time"),
}


def is_metric(value: object) -> bool:
    """A row of the table of metrics."""
    return isinstance(value, MetricWrapperBase)


def exported() -> dict[str, set[str]]:
    """Every sample name that our programs export, with its labels."""
    found: dict[str, set[str]] = {}
    for value in vars(metrics).values():
        if not is_metric(value):
            continue
        family, labels = value.describe()[0], set(value._labelnames)
        suffixes = {
            "counter": ["_total"],
            "gauge": [""],
            "histogram": ["_bucket", "_count", "_sum"],
        }
        for suffix in suffixes[family.type]:
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    for family in REGISTRY.collect():
        if family.name.startswith("process_"):
            found.update({sample.name: set() for sample in family.samples})
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of rules, dashboards and the autoscaler, with its place."""
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]
    scaling = (CHART / "templates" / "worker" / "autoscaling.yaml").read_text(encoding="utf-8")
    for metric in re.findall(r"[a-z_]+(?=\{namespace)", scaling):
        yield "autoscaling", f"{metric}{{}}"


SCRAPED_LABELS = {"namespace", "pool", "component", "instance", "alertstate", "alertname", "gpu"}


def test_names_and_labels_are_those_of_the_programs() -> None:
    """A renamed metric would leave an alert that never fires and a panel that stays empty."""
    known = exported()
    for place, expression in expressions():
        bare = re.sub(r'"[^"]*"', '""', expression.replace("$__rate_interval", "1m"))
        for name, selector in re.findall(r"([a-zA-Z_:][\w:]*)\s*(?:\{([^}]*)\})?", bare):
            if name in FUNCTIONS or name in NOT_OURS or name in SCRAPED_LABELS:
                continue
            if not re.search(
                rf"\b{name}\b(?!\s*[=!])", re.sub(r"\{[^}]*\}|by \([^)]*\)|on \([^)]*\)", "", bare)
            ):
                continue  # a label's name
            assert name in known, f"{place}: {name} is exported by nobody"
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= known[name] | SCRAPED_LABELS, f"{place}: {name} {labels}"


def test_every_metric_is_shown() -> None:
    """What nobody looks at need not be measured."""
    shown = " ".join(expression for _, expression in expressions())
    families = [value.describe()[0].name for value in vars(metrics).values() if is_metric(value)]
    assert [name for name in families if name not in shown] == []


def test_alerts_say_what_to_do() -> None:
    """Summary, runbook and severity."""
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
            assert len(rule["annotations"]["runbook"]) > 40, rule["alert"]
            assert rule["annotations"]["summary"], rule["alert"]


def test_thresholds_are_bucket_bounds() -> None:
    """A share is exact only at a bound that the histogram has."""
    bounds = {
        f"{value.describe()[0].name}_bucket": {str(float(bound)) for bound in value._upper_bounds}
        for value in vars(metrics).values()
        if isinstance(value, Histogram)
    }
    for place, expression in expressions():
        for name, bound in re.findall(r'(\w+_bucket)\{[^}]*le="([^"]+)"', expression):
            assert bound in bounds[name], f"{place}: {name} has no bound {bound}"


def test_promtool_accepts_the_rules_and_fires_each_alert() -> None:
    """The cases are in rules_test.yaml; an alert without one fails here."""
    promtool = program(tools.PROMTOOL)
    cases = Path(__file__).parent / "rules_test.yaml"
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(cases)]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    fired = cases.read_text(encoding="utf-8")
    for rule in (rule for group in groups for rule in group["rules"]):
        name = rule["alert"]
        assert f'alertname="{name}"' in fired or f"alertname: {name}" in fired, name


def test_dashboards_are_what_the_table_says() -> None:
    """`python helm/dashboards.py` writes them anew."""
    module = runpy.run_path(str(HELM / "dashboards.py"))
    wanted = {name: module["as_text"](made) for name, made in module["render_all"]().items()}
    assert {path.stem: path.read_text(encoding="utf-8") for path in DASHBOARDS} == wanted


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_well_formed(path: Path) -> None:
    """As Grafana reads them: unique panels on a grid without overlaps, one data source."""
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    assert dashboard["uid"] == f"callcenter-{path.stem}"
    assert [entry["name"] for entry in dashboard["templating"]["list"]] == [
        "datasource",
        "namespace",
    ]
    panels = dashboard["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        ids = [target["refId"] for target in panel["targets"]]
        assert len(set(ids)) == len(ids)
        assert panel["fieldConfig"]["defaults"]["unit"]
