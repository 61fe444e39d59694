"""The files of deploy/monitoring, as tests read them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
DASHBOARDS = tuple(sorted((MONITORING / "grafana" / "dashboards").glob("*.json")))

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="prometheus or promtool is not installed; make test-monitoring installs them",
)


def promtool(*arguments: str | Path) -> str:
    """What promtool says if it finds nothing wrong."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def dashboards_script() -> ModuleType:
    """The script that writes dashboards, as a module."""
    spec = importlib.util.spec_from_file_location("dashboards", MONITORING / "dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK prefers dashboards of version 2; files take 1
        spec.loader.exec_module(module)
    return module


def rules(kind: str) -> list[dict[str, Any]]:
    """Rules that are of a kind, "alert" or "record"."""
    groups = [group for path in PROMETHEUS.glob("*.rules.yml") for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def panels(path: Path) -> list[dict[str, Any]]:
    """Panels of a dashboard, those in rows too."""
    found = []
    for panel in json.loads(path.read_text())["panels"]:
        found += [panel, *panel.get("panels", ())]
    return found


def queries(path: Path, *, interval: str, horizon: str, forecaster: str) -> list[tuple[str, str]]:
    """Queries of a dashboard with its variables filled in, each with the title of its panel."""
    values = {
        "$__rate_interval": interval, "${horizon}": horizon, "$horizon": horizon,
        "$forecaster": forecaster, "$zone": ".+",
    }  # fmt: skip
    found = []
    for panel in panels(path):
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, expression
            found.append((panel["title"], expression))
    return found
