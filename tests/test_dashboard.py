"""Dashboard and alert rules query what a running app serves: every metric, every label, every value."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import app_process
from tests.support.app_process import ROOT
from tests.support.openai_server import Server
from tests.support.websocket_tester import Tester

SETTINGS = {"PARLEY_BUDGET_USD_PER_DAY": "5"}
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = (ROOT / "deploy" / "alerts.yaml").read_text(encoding="utf-8")
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}
ALERTS = dict(re.findall(r"- alert: (\w+)\n\s+expr: (.+)", RULES))
OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus adds to every metric."""

Served = Mapping[str, Mapping[str, set[str]]]
"""The labels of each metric, with the values of each label."""


@pytest.fixture(scope="module")
def served(chat_app: app_process.AppProcess, model: Server) -> Served:
    """The metrics that the app serves at /metrics once a tester has asked and rated."""
    with Tester(chat_app.url) as tester:
        tester.ask("Why?")
        tester.rate(True)
        tester.idle()
    result: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(app_process.metrics_text(chat_app.url)):
        for sample in family.samples:
            labels = result.setdefault(sample.name, defaultdict(set))
            for label, value in sample.labels.items():
                labels[label].add(value)
    return result | {"up": {}}  # the metric that Prometheus adds


def missing(query: str, served: Served) -> Iterator[str]:
    """Return the names in a query that the app does not serve.

    >>> of = {"up": {}, "asked_total": {"how": {"a", "b"}}}
    >>> list(missing('sum by (how, job) (rate(asked_total{how=~"a|c", why!="x"}[5m])) / gone_total', of))
    ['asked_total{how="c"}', 'asked_total{why}', 'gone_total']
    >>> list(missing('sum by (who) (up) > max(up)', of))
    ['by who']
    """
    bare = re.sub(r'"[^"]*"', '""', query)
    names = set(re.findall(r"\b[a-z]\w*_\w+\b(?!\s*\()", re.sub(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)|\$\w+", "", bare)))
    names = (names - {"histogram_quantile"}) | (set(re.findall(r"\bup\b", bare)))
    for name, matchers in re.findall(r"\b([a-z]\w*)\{([^}]*)\}", query):
        for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            if label in OF_PROMETHEUS or name not in served:
                continue
            if label not in served[name]:
                yield f"{name}{{{label}}}"
            elif operator != "!=":
                unknown = set(value.split("|")) - served[name][label]
                yield from (f'{name}{{{label}="{one}"}}' for one in sorted(unknown))
    yield from sorted(name for name in names if name not in served)
    labels = OF_PROMETHEUS.union(*(served[name] for name in names if name in served))
    for wanted in re.findall(r"\bby \(([^)]*)\)", query):
        yield from (f"by {label}" for label in re.split(r", *", wanted) if label not in labels)


@pytest.mark.parametrize("name", QUERIES)
def test_a_panel_queries_served_metrics(name: str, served: Served) -> None:
    assert list(missing(QUERIES[name], served)) == []


@pytest.mark.parametrize("name", ALERTS)
def test_a_rule_queries_served_metrics(name: str, served: Served) -> None:
    assert list(missing(ALERTS[name], served)) == []


def test_every_rule_is_checked() -> None:
    assert len(ALERTS) == RULES.count("alert:") == RULES.count("expr:") > 0


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_its_query_leaves(panel: dict[str, object]) -> None:
    targets = panel["targets"]
    assert isinstance(targets, list)
    for target in targets:
        grouped = re.findall(r"\bby \(([^)]*)\)", target["expr"])
        left = {label for group in grouped for label in re.split(r", *", group)} if grouped else OF_PROMETHEUS
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= left


def test_every_panel_has_its_own_place_and_asks_the_chosen_source() -> None:
    taken = [(x, y) for panel in PANELS for x, y in _cells(panel["gridPos"])]
    assert len(taken) == len(set(taken))
    sources = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert sources == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    assert place["x"] + place["w"] <= 24
    for x in range(place["x"], place["x"] + place["w"]):
        yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))


def test_every_metric_that_the_app_serves_is_reported_to_operators(served: Served) -> None:
    table = (ROOT / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"parley_\w+", " ".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    plain = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in served if name.startswith("parley_")}
    assert {name for name in plain if name not in documented and f"{name}_total" not in documented} == set()
