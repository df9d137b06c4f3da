# SPDX-License-Identifier: Apache-2.0
"""The alert rules, the dashboard and the guide of docs/operate name only metrics, labels and values that exist."""
import json
import pathlib
import re
import sys

import pytest
import yaml

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "scripts"))
import tables  # noqa: E402

METRICS = {m.name: m for m in tables.metrics()}
SERIES = {name + suffix: m for name, m in METRICS.items() for suffix in (["_bucket", "_sum", "_count"] if m.type == "histogram" else [""])}
OF_PROMETHEUS = {"up"}
ANY_HOST = {"job", "instance"}  # labels of every scraped series
WORDS = {"by", "on", "and", "or", "unless", "ignoring", "without", "bool", "group_left", "group_right", "offset"}


def alert_expressions():
    rules = yaml.safe_load((PROJECT / "docs/operate/prometheus-alerts.yaml").read_text())
    return [(rule["alert"], rule["expr"]) for group in rules["groups"] for rule in group["rules"]]


def dashboard_expressions():
    dashboard = json.loads((PROJECT / "docs/operate/grafana-dashboard.json").read_text())
    variables = [v["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    queries = [re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups() for query in variables]
    return [(p["title"], t["expr"]) for p in dashboard["panels"] for t in p.get("targets", [])] + [("variable", expression) for expression, _ in queries]


def selectors(expression):
    """{name: [(label, operator, value)]} of the metrics in an expression, and the labels that it groups by."""
    groups = {label for group in re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expression) for label in re.split(r",\s*", group)}
    rest = re.sub(r"\b(?:by|on|without|ignoring) \([^)]*\)", " ", expression)
    found = {}
    for name, matchers in re.findall(r"\b([a-z_][a-z0-9_]*)(\{[^}]*\})?(?!\w*\s*\()", re.sub(r"\[[^\]]*\]", " ", rest)):
        if name not in WORDS and not re.search(rf"[{{,]{name}[=!]", rest) and not re.search(rf'"[^"]*\b{name}\b[^"]*"', rest):
            found.setdefault(name, []).extend(re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers))
    return found, groups


@pytest.mark.parametrize("title, expression", alert_expressions() + dashboard_expressions())
def test_every_metric_and_label_of_an_expression_exists(title, expression):
    found, groups = selectors(expression)
    assert found, "no metric was recognized"
    assert [name for name in found if name not in SERIES and name not in OF_PROMETHEUS] == []
    known = [SERIES[name] for name in found if name in SERIES]
    for name, matchers in found.items():
        labels = SERIES[name].labels if name in SERIES else {}
        for label, _, value in matchers:
            assert label in labels or label in ANY_HOST, f"{name} has no label {label}"
            if labels.get(label):
                assert set(value.split("|")) <= set(labels[label]), f"{name}: {label} is never {value}"
    assert groups <= {"le", *ANY_HOST, *(label for m in known for label in m.labels)}


def test_an_expression_with_a_mistake_is_recognized():
    assert selectors("sum by (le, x) (rate(a_b{c=\"d\"}[5m])) / e > 0 or vector(0)") == ({"a_b": [("c", "=", "d")], "e": []}, {"le", "x"})


def test_annotations_use_labels_of_their_metrics():
    rules = yaml.safe_load((PROJECT / "docs/operate/prometheus-alerts.yaml").read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        found, _ = selectors(rule["expr"])
        labels = {label for name in found if name in SERIES for label in SERIES[name].labels} | ANY_HOST
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= labels, rule["alert"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical")


def test_the_guide_names_metrics_that_exist():
    text = (PROJECT / "docs/operate/monitoring.md").read_text()
    named = set(re.findall(r"`((?:cteleport|teleport|process|proxy|server|user|failed|backend|auth|audit)_[a-z0-9_]+)`", text))
    assert len(named) > 20 and named - set(METRICS) <= {"auth_service", "proxy_service"}
