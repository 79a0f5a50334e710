"""docs/operations/grafana.json: a dashboard that Grafana can load, of metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from vcproxy.control.metrics.table import METRICS

DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs/operations/grafana.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]

EXPORTED = {metric.exported: metric for metric in METRICS.values()} | {
    f"{metric.name}_{ending}": metric
    for metric in METRICS.values()
    if metric.kind == "histogram"
    for ending in ("bucket", "count", "sum")
}

OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that Prometheus adds, and that of buckets."""


def expressions() -> Iterator[str]:
    """Yield all queries: of panels and of annotations."""
    for panel in PANELS:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (each["expr"] for each in DASHBOARD["annotations"]["list"])


def selectors(text: str) -> list[tuple[str, str]]:
    """Return the metrics of a query, each with what is in its braces."""
    return re.findall(r"\b(vcproxy_\w+)(?:\{([^}]*)\})?", text)


def test_each_metric_exists_with_its_labels() -> None:
    for text in (*expressions(), *(each["query"]["query"] for each in VARIABLES[1:])):
        found = selectors(text)
        assert found, text
        for name, labels in found:
            assert name in EXPORTED, f"{text}: there is no {name}"
            used = set(re.findall(r"(\w+)(?:=~?|!=)", labels))
            assert used <= {*EXPORTED[name].labels, *OF_PROMETHEUS}, text


def test_queries_group_by_labels_that_their_metrics_have() -> None:
    for text in expressions():
        grouped = re.findall(r"by \(([^)]*)\)", text)
        labels = {
            each for _, name in enumerate(selectors(text)) for each in EXPORTED[name[0]].labels
        }
        for names in grouped:
            assert set(names.split(", ")) <= labels | OF_PROMETHEUS, text


def test_counters_are_shown_as_rates_and_gauges_are_not() -> None:
    for text in expressions():
        for name, _ in selectors(text):
            counted = EXPORTED[name].kind != "gauge"
            rated = re.search(rf"(?:rate|increase)\({name}\b", text) is not None
            assert rated is counted, text


def test_legends_name_labels_of_the_query() -> None:
    for panel in PANELS:
        for target in panel.get("targets", ()):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target


def test_every_kind_of_metric_is_shown() -> None:
    """What belongs to one thing is shown with one panel at least: listeners, servers and so on."""
    shown = {name.split("_")[1] for text in expressions() for name, _ in selectors(text)}
    wanted = {name.split("_")[1] for name in METRICS}
    left_out = {"timers", "sources", "calls", "plugin", "draining", "child", "workers", "upstream"}
    assert wanted - left_out <= shown


def test_panels_are_numbered_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        assert 0 <= at["x"] < at["x"] + at["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_it_has_what_grafana_requires() -> None:
    """https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model
    and, for a dashboard that others import, no data source of our own."""
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= DASHBOARD.keys()
    assert "id" not in DASHBOARD
    names = [each["name"] for each in VARIABLES]
    assert names[0] == "datasource"
    for panel in PANELS:
        assert panel["type"] in ("row", "timeseries", "stat")
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert {"defaults", "overrides"} == panel["fieldConfig"].keys()
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])
    used = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(DASHBOARD)))
    assert used == set(names)


def test_the_alerts_of_the_page_are_about_metrics_that_exist() -> None:
    page = (ROOT / "docs/how-to/metrics.md").read_text()
    queries = re.findall(r"^\| `(.*?)` \|", page.partition("deserves an alert")[2], re.MULTILINE)
    assert len(queries) >= 8
    for name, labels in (each for query in queries[1:8] for each in selectors(query)):
        assert name in EXPORTED, name
        assert not labels


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_parses_each_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"query{number}", "expr": text.replace("$__rate_interval", "5m")}
        for number, text in enumerate(expressions())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
