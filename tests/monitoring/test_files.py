"""Rules, dashboards and manifests on their own: what their tools say, and whether they fit each other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from monitoring.files import (
    DASHBOARDS,
    MONITORING,
    PROMETHEUS,
    ROOT,
    dashboards_script,
    needs_prometheus,
    panels,
    promtool,
    queries,
    rules,
)

SCHEMA = MONITORING / "schema"
COMPILER = SCHEMA / "node_modules" / ".bin" / "tsc"
ALERTS = [rule["alert"] for rule in rules("alert")]


@needs_prometheus
@pytest.mark.parametrize("path", [PROMETHEUS / "prometheus.yml", MONITORING / "local.yml"], ids=lambda path: path.name)
def test_promtool_takes_the_configuration_and_its_rules(path: Path) -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "config", path)


@needs_prometheus
def test_rules_do_what_their_unit_tests_say() -> None:
    assert "SUCCESS" in promtool("test", "rules", PROMETHEUS / "rules.test.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_unit_test_in_which_it_fires_and_a_row_in_the_docs(alert: str) -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules.test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if case["exp_alerts"]}
    assert alert in fired
    assert f"| `{alert}` |" in (ROOT / "docs" / "monitoring.md").read_text()


def test_committed_files_are_those_that_the_script_writes() -> None:
    written = dashboards_script().files()
    assert set(DASHBOARDS) == {path for path in written if path.suffix == ".json"}
    for path, text in written.items():
        assert path.read_text() == text, f"{path} is old; run python deploy/monitoring/dashboards.py"


def test_the_configmap_holds_the_files_exactly() -> None:
    data = yaml.safe_load((MONITORING / "prometheus-configmap.yaml").read_text())["data"]
    assert set(data) == {"prometheus.yml", *(path.name for path in PROMETHEUS.glob("*.rules.yml"))}
    for name, text in data.items():
        assert text == (PROMETHEUS / name).read_text()


@needs_prometheus
@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_prometheus_can_parse_every_query(path: Path, tmp_path: Path) -> None:
    asked = queries(path, interval="1m", horizon="60", forecaster="metalore-service")
    assert asked
    recorded = [{"record": f"query:{i}", "expr": expression} for i, (_, expression) in enumerate(asked)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))
    assert f"{len(asked)} rules found" in promtool("check", "rules", file)


@pytest.mark.skipif(not COMPILER.exists(), reason="Grafana's schema is not installed; make test-monitoring installs it")
def test_dashboards_have_the_types_of_grafanas_own_schema(tmp_path: Path) -> None:
    assert compiled(tmp_path) == ""
    broken = json.loads(DASHBOARDS[0].read_text())
    broken["panels"][0]["gridPos"]["h"] = "high"
    broken["templating"]["list"][0]["colour"] = "red"
    said = compiled(tmp_path, json.dumps(broken))
    assert "is not assignable to type 'number'" in said
    assert "'\"colour\"' does not exist" in said


def compiled(folder: Path, *texts: str) -> str:
    """What the TypeScript compiler says about dashboards as values of the schema's type; the committed ones if none."""
    for i, text in enumerate(texts or [path.read_text() for path in DASHBOARDS]):
        head = f"import type {{ Dashboard }} from '@grafana/schema';\nexport const made{i}: Dashboard = "
        (folder / f"made{i}.ts").write_text(head + text)
    (folder / "node_modules").unlink(missing_ok=True)
    (folder / "node_modules").symlink_to(SCHEMA / "node_modules")
    options = ["--strict", "--noEmit", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]
    files = sorted(path.name for path in folder.glob("made*.ts"))[: len(texts) or None]
    return subprocess.run([COMPILER, *options, *files], cwd=folder, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_lie_side_by_side_and_say_what_they_show(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(path):
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"]
    identifiers = [panel["id"] for panel in panels(path)]
    assert len(set(identifiers)) == len(identifiers)


def test_what_is_scraped_on_a_cluster_are_ports_of_pods_there() -> None:
    services = {part["metadata"]["name"]: part["spec"] for part in documents(MONITORING / "targets.yaml")}
    pods = [
        part["spec"]["template"]
        for path in sorted((ROOT / "deploy" / "base").glob("*/*.yaml"))
        for part in documents(path)
        if part["kind"] == "Deployment"
    ]
    for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]:
        (asked,) = job["dns_sd_configs"]
        (name,) = asked["names"]
        selector = services[name]["selector"].items()
        meant = [pod["spec"] for pod in pods if selector <= pod["metadata"]["labels"].items()]
        assert meant, job["job_name"]
        for pod in meant:
            assert asked["port"] in [port["containerPort"] for each in pod["containers"] for port in each["ports"]]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def test_rules_read_metrics_that_exist() -> None:
    """Names in rules are those that the loop, the service or a rule gives; a misspelt one would never fire."""
    code = "".join(path.read_text() for path in (ROOT / "metalore").glob("*/metrics.py"))
    given = set(re.findall(r'"(metalore_\w+)"', code)) | {"metalore_active_users", "metalore_latency_ms"}
    read = {
        name
        for rule in (*rules("alert"), *rules("record"))
        for name in re.findall(r"(?<![:\w])metalore_\w+", rule["expr"])
    }
    assert {re.sub(r"_(total|bucket|count)$", "", name) for name in read} <= given
