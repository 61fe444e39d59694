"""Figures, tables and pages from result tables; knows nothing of worlds, policies or learning."""

from metalore.files import replacing, write_text
from metalore.report.evaluation import difference_table, evaluation_page
from metalore.report.figures import comparison_figure, course_figure, distribution_figure, overview_figure
from metalore.report.forecast_figures import (
    calibration_figure,
    fan_figure,
    horizon_figure,
    hour_figure,
    label_of,
    zone_error_figure,
)
from metalore.report.forecast_page import Forecasts, forecast_figures, forecast_page, horizon_in_words, score_table
from metalore.report.intervals import bootstrap_mean, summarize
from metalore.report.learning_figures import (
    PolicyMap,
    adaptation_figure,
    enumeration_figure,
    one_look,
    pareto_figure,
    policy_map_figure,
    training_figure,
)
from metalore.report.learning_numbers import (
    Dynamic,
    non_dominated,
    paired_differences,
    per_run,
    recovery,
    time_to_recover,
    working_points,
    worst_decile,
)
from metalore.report.learning_page import Learning, learning_page
from metalore.report.measures import COURSES, MEASURES, Measure, measure
from metalore.report.page import (
    Cell,
    Listing,
    Page,
    Picture,
    Section,
    Table,
    picture_from,
    picture_of,
    render,
    write_page,
)
from metalore.report.simulation import Simulation, simulation_page
from metalore.report.style import LineStyle, paper, save, styles_of
from metalore.report.telemetry_figures import (
    correlation_figure,
    days_figure,
    latency_figure,
    week_figure,
    zone_map_figure,
)
from metalore.report.telemetry_page import Telemetry, busiest, telemetry_figures, telemetry_page, zone_table

__all__ = [
    "COURSES",
    "MEASURES",
    "Cell",
    "Dynamic",
    "Forecasts",
    "Learning",
    "LineStyle",
    "Listing",
    "Measure",
    "Page",
    "Picture",
    "PolicyMap",
    "Section",
    "Simulation",
    "Table",
    "Telemetry",
    "adaptation_figure",
    "bootstrap_mean",
    "busiest",
    "calibration_figure",
    "comparison_figure",
    "correlation_figure",
    "course_figure",
    "days_figure",
    "difference_table",
    "distribution_figure",
    "enumeration_figure",
    "evaluation_page",
    "fan_figure",
    "forecast_figures",
    "forecast_page",
    "horizon_figure",
    "horizon_in_words",
    "hour_figure",
    "label_of",
    "latency_figure",
    "learning_page",
    "measure",
    "non_dominated",
    "one_look",
    "overview_figure",
    "paired_differences",
    "paper",
    "pareto_figure",
    "per_run",
    "picture_from",
    "picture_of",
    "policy_map_figure",
    "recovery",
    "render",
    "replacing",
    "save",
    "score_table",
    "simulation_page",
    "styles_of",
    "summarize",
    "telemetry_figures",
    "telemetry_page",
    "time_to_recover",
    "training_figure",
    "week_figure",
    "working_points",
    "worst_decile",
    "write_page",
    "write_text",
    "zone_error_figure",
    "zone_map_figure",
    "zone_table",
]
