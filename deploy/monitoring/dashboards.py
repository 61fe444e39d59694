"""Grafana's dashboards, written with the Grafana Foundation SDK.

    python deploy/monitoring/dashboards.py

writes `grafana/dashboards/*.json`, and `prometheus-configmap.yaml` from the files in `prometheus/`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableRefresh, VariableSort

HERE = Path(__file__).parent
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
RESOURCES = {
    "cpu_cores": ("CPU", "cores"),
    "memory_mb": ("Memory", "decmbytes"),
    "bandwidth_mbps": ("Bandwidth", "Mbits"),
}
"""By the name in metrics: title and Grafana's unit."""
AHEAD = "{{job}} {{target}} {{horizon}} s ahead"

Query = tuple[str, str]
"""An expression, and the legend of its series."""


# -- parts -------------------------------------------------------------------------------------------------------------


def queries(panel: timeseries.Panel | stat.Panel, asked: Sequence[Query]) -> None:
    """Add queries to a panel."""
    for i, (expression, legend) in enumerate(asked):
        query = prometheus.Dataquery().ref_id(chr(ord("A") + i)).expr(expression).legend_format(legend)
        panel.with_target(query.datasource(SOURCE))


def lines(title: str, about: str, unit: str, *asked: Query, stacked: bool = False, width: int = 12) -> timeseries.Panel:
    """A panel of lines over time; a row is 24 wide."""
    panel = timeseries.Panel().title(title).description(about).unit(unit).datasource(SOURCE).span(width).height(8)
    panel.min(0).line_width(1).fill_opacity(20 if stacked else 0)
    panel.legend(
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel.tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    queries(panel, asked)
    return panel


def number(title: str, about: str, unit: str, expression: str, legend: str = "", width: int = 4) -> stat.Panel:
    """A panel of the newest value of each series."""
    panel = stat.Panel().title(title).description(about).unit(unit).datasource(SOURCE).span(width).height(4)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    queries(panel, [(expression, legend)])
    return panel


def choice(name: str, label: str, metric: str, of: str | None = None, several: bool = False) -> dashboard.QueryVariable:
    """A variable whose values are those of a label of a metric."""
    variable = (
        dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(f"label_values({metric}, {of or name})")
    )
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.NUMERICAL_ASC)
    return variable.multi(True).include_all(True).all_value(".+") if several else variable


def page(uid: str, title: str, about: str) -> dashboard.Dashboard:
    """A dashboard without panels."""
    made = dashboard.Dashboard(title).uid(f"metalore-{uid}").description(about).tags(["metalore"]).readonly()
    made.time("now-3h", "now").refresh("30s").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR)
    made.link(dashboard.DashboardLink("MetaLore").tags(["metalore"]).as_dropdown(True).keep_time(True))
    return made.with_variable(dashboard.DatasourceVariable("source").label("Source").type("prometheus"))


# -- pages -------------------------------------------------------------------------------------------------------------


def city() -> dashboard.Dashboard:
    """What zones have, use, and were expected to use."""
    made = page("city", "MetaLore: city", "Each zone's forecast against what came; what zones have and use.")
    made.with_variable(choice("zone", "Zone", "metalore_allocation", several=True))
    made.with_variable(choice("forecaster", "Forecasts of", "stgnn_cpu_cores", of="job"))
    made.with_variable(choice("horizon", "Made so many seconds before", "stgnn_cpu_cores"))
    _numbers_of_a_city(made)
    for name, (title, unit) in RESOURCES.items():
        made.with_row(dashboard.Row(title))
        made.with_panel(_expected(name, title, unit)).with_panel(_given(name, title, unit))
    made.with_row(dashboard.Row("Outcome"))
    latency = "Mean of the newest interval; above the target the SLO is violated."
    made.with_panel(
        lines(
            "Latency",
            latency,
            "ms",
            ('max by (zone) (metalore_latency_ms{zone=~"$zone"})', "{{zone}}"),
            ("max(metalore_latency_target_ms)", "target"),
        )
    )
    users = "Users in the newest interval."
    made.with_panel(
        lines("Users", users, "short", ('max by (zone) (metalore_active_users{zone=~"$zone"})', "{{zone}}"))
    )
    return made


def _numbers_of_a_city(made: dashboard.Dashboard) -> None:
    alerts = 'count(ALERTS{alertname=~"Metalore.+", alertstate="firing"}) or vector(0)'
    made.with_panel(
        number("Zones", "Zones that are controlled.", "short", "count(count by (zone) (metalore_allocation))")
    )
    made.with_panel(number("Alerts", "Alerts that fire.", "short", alerts))
    for name, (title, unit) in RESOURCES.items():
        about, labels = "All zones together.", f'{{resource="{name}"}}'
        made.with_panel(number(f"{title} given", about, unit, f"resource:metalore_allocation:sum{labels}"))
    used = 'resource:metalore_usage:sum{resource="cpu_cores"} / resource:metalore_allocation:sum{resource="cpu_cores"}'
    made.with_panel(number("CPU used", "Part of the CPU that zones have.", "percentunit", used))


def _expected(name: str, title: str, unit: str) -> timeseries.Panel:
    about = "What was used, and what the forecast that was made so many seconds before had said (median, 0.9 quantile)."
    chosen = 'job="$forecaster", zone=~"$zone", horizon="$horizon"'
    return lines(
        f"{title}: forecast against what came",
        about,
        unit,
        (f'zone_resource:metalore_usage:max{{zone=~"$zone", resource="{name}"}}', "{{zone}} used"),
        *(
            (f'max by (zone) (stgnn_{name}{{{chosen}, quantile="{q}"}} offset ${{horizon}}s)', f"{{{{zone}}}} {words}")
            for q, words in (("0.5", "median"), ("0.9", "0.9 quantile"))
        ),
    )


def _given(name: str, title: str, unit: str) -> timeseries.Panel:
    about = "What zones have, should have (another only in a dry run or where it could not be had), and use."
    chosen = f'{{zone=~"$zone", resource="{name}"}}'
    return lines(
        f"{title}: allocation and use",
        about,
        unit,
        (f"zone_resource:metalore_allocation:max{chosen}", "{{zone}} has"),
        (f"max by (zone) (metalore_recommendation{chosen})", "{{zone}} should have"),
        (f"zone_resource:metalore_usage:max{chosen}", "{{zone}} uses"),
    )


def controller() -> dashboard.Dashboard:
    """What the loop decides, from how old data, and how it fares."""
    made = page("controller", "MetaLore: controller", "Decisions and their reasons, ages of data, errors of forecasts.")
    made.with_panel(
        number(
            "Since the last turn",
            "Grows while the loop is stuck.",
            "s",
            "time() - metalore_loop_last_timestamp_seconds",
            "{{instance}}",
            8,
        )
    )
    made.with_panel(number("Leads", "1: this one may act.", "short", "metalore_leader", "{{instance}}", 8))
    made.with_panel(
        number(
            "Age of the forecast",
            "Since the newest interval that it knew.",
            "s",
            "metalore_forecast_age_seconds",
            "{{instance}}",
            8,
        )
    )
    made.with_row(dashboard.Row("Decisions"))
    reasons = "Zones per turn that a reason had a part in; docs/autoscale.md lists them."
    per_turn = "sum(rate(metalore_loop_seconds_count[$__rate_interval]))"
    made.with_panel(
        lines(
            "Reasons",
            reasons,
            "short",
            (
                f"sum by (reason) (rate(metalore_decisions_total[$__rate_interval])) / on () group_left () {per_turn}",
                "{{reason}}",
            ),
            stacked=True,
        )
    )
    made.with_panel(
        lines(
            "Changes",
            "That were made, per minute.",
            "short",
            (
                "60 * sum by (resource, direction) (rate(metalore_changes_total[$__rate_interval]))",
                "{{resource}} {{direction}}",
            ),
        )
    )
    made.with_row(dashboard.Row("Data"))
    made.with_panel(
        lines(
            "Age of usage",
            "Since the newest known interval of a zone; the oldest and the median zone.",
            "s",
            ("max by (instance) (metalore_usage_age_seconds)", "{{instance}} oldest"),
            ("quantile by (instance) (0.5, metalore_usage_age_seconds)", "{{instance}} median"),
        )
    )
    made.with_panel(
        lines(
            "Problems",
            "Per minute, by the part that failed.",
            "short",
            ("60 * sum by (part) (rate(metalore_problems_total[$__rate_interval]))", "{{part}}"),
        )
    )
    made.with_row(dashboard.Row("Forecasts as they turned out"))
    for name, (title, unit) in RESOURCES.items():
        error = f'job_target_horizon:metalore_forecast_absolute_error:mean30m{{target="{name}"}}'
        made.with_panel(
            lines(
                f"{title}: mean absolute error",
                "Of the median, over 30 minutes.",
                unit,
                (error, "{{job}} {{horizon}} s ahead"),
                width=8,
            )
        )
    made.with_panel(
        lines(
            "Above the 0.9 quantile",
            "Over 6 hours; 10 % would be right.",
            "percentunit",
            ("job_target_horizon:metalore_forecast_above_p90:ratio6h", AHEAD),
            width=8,
        )
    )
    made.with_panel(
        lines(
            "Distrust",
            "Of each zone's forecast, 0 to 1: the part in which the reactive rule decides. Only with --drift.",
            "percentunit",
            ("max by (zone) (metalore_forecast_distrust)", "{{zone}}"),
            width=8,
        )
    )
    buckets = "sum by (le) (rate(metalore_loop_seconds_bucket[$__rate_interval]))"
    made.with_panel(
        lines(
            "Duration of a turn",
            "Look, decide, act.",
            "s",
            (f"histogram_quantile(0.5, {buckets})", "median"),
            (f"histogram_quantile(0.99, {buckets})", "99 %"),
            width=8,
        )
    )
    return made


def service() -> dashboard.Dashboard:
    """How the HTTP service fares."""
    made = page("service", "MetaLore: service", "Requests, their duration and errors, the window, new checkpoints.")
    made.with_panel(number("Requests", "Per second.", "reqps", "sum(rate(metalore_requests_total[$__rate_interval]))"))
    made.with_panel(
        number(
            "Failed",
            "Part of answers that are errors of the service (5xx), over 5 minutes.",
            "percentunit",
            "max(job:metalore_requests_failed:ratio5m)",
        )
    )
    made.with_panel(
        number(
            "Model",
            "Its fingerprint, what it is, and whether it is the bundled one.",
            "short",
            "max by (model, forecaster, bundled) (metalore_model_info)",
            "{{forecaster}} {{model}}, bundled: {{bundled}}",
            16,
        )
    )
    made.with_row(dashboard.Row("Requests"))
    made.with_panel(
        lines(
            "Requests",
            "Per second, by path and status.",
            "reqps",
            ("sum by (path, status) (rate(metalore_requests_total[$__rate_interval]))", "{{path}} {{status}}"),
            stacked=True,
        )
    )
    made.with_panel(
        lines(
            "Errors",
            "4xx are the client's, 5xx the service's; per second.",
            "reqps",
            ('sum by (status) (rate(metalore_requests_total{status=~"[45].."}[$__rate_interval]))', "{{status}}"),
        )
    )
    buckets = "sum by (path, le) (rate(metalore_request_seconds_bucket[$__rate_interval]))"
    for part, words in (("0.5", "median"), ("0.99", "99 %")):
        made.with_panel(
            lines(
                f"Duration, {words}",
                "From the head of a request to the end of its answer.",
                "s",
                (f"histogram_quantile({part}, {buckets})", "{{path}}"),
            )
        )
    made.with_row(dashboard.Row("Window and model"))
    made.with_panel(
        lines(
            "Rows of telemetry",
            "Per second, by what became of them.",
            "short",
            ("sum by (outcome) (rate(metalore_rows_total[$__rate_interval]))", "{{outcome}}"),
        )
    )
    made.with_panel(
        lines(
            "Age of the window",
            "Since the last row of a zone; the oldest and the newest zone.",
            "s",
            ("max by (instance) (metalore_staleness_seconds)", "{{instance}} oldest"),
            ("min by (instance) (metalore_staleness_seconds)", "{{instance}} newest"),
        )
    )
    made.with_panel(
        lines(
            "New checkpoints",
            "Since the service began.",
            "short",
            ("sum by (outcome) (metalore_reloads_total)", "{{outcome}}"),
        )
    )
    made.with_panel(
        lines(
            "Error of forecasts",
            "Mean absolute, of the median over 30 minutes, in the unit of the target.",
            "short",
            ("job_target_horizon:metalore_forecast_absolute_error:mean30m", AHEAD),
        )
    )
    return made


# -- files -------------------------------------------------------------------------------------------------------------


def configmap() -> str:
    """Prometheus' configuration and rules as one object."""
    head = "# Written by dashboards.py from the files in prometheus/.\napiVersion: v1\nkind: ConfigMap\n"
    head += "metadata:\n  name: metalore-prometheus\n  labels:\n    app.kubernetes.io/part-of: metalore\ndata:\n"
    files = ("prometheus.yml", "recording.rules.yml", "alerts.rules.yml")
    return head + "".join(f"  {name}: |\n{_indented(HERE / 'prometheus' / name)}" for name in files)


def _indented(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "".join(f"    {line}\n" if line else "\n" for line in lines)


def as_json(made: dashboard.Dashboard) -> str:
    """A dashboard as Grafana reads it."""
    content = json.loads(JSONEncoder(sort_keys=True).encode(made.build()))
    for identifier, panel in enumerate(content["panels"], start=1):
        panel["id"] = identifier
    for variable in content["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):  # SDK 0.0.21; in Grafana's schema only intervals have them
            variable.pop(name, None)
    return json.dumps(content, indent=2) + "\n"


def files() -> dict[Path, str]:
    """Everything that is written, by path."""
    pages = {"city": city(), "controller": controller(), "service": service()}
    folder = HERE / "grafana" / "dashboards"
    texts = {folder / f"{name}.json": as_json(made) for name, made in pages.items()}
    return texts | {HERE / "prometheus-configmap.yaml": configmap()}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
