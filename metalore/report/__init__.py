"""Figures, tables and pages from result tables; knows nothing of worlds, policies or learning."""

from metalore.report.figures import comparison_figure, course_figure, distribution_figure, overview_figure
from metalore.report.files import replacing, write_text
from metalore.report.intervals import bootstrap_mean, summarize
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

__all__ = [
    "COURSES",
    "MEASURES",
    "Cell",
    "LineStyle",
    "Listing",
    "Measure",
    "Page",
    "Picture",
    "Section",
    "Simulation",
    "Table",
    "bootstrap_mean",
    "comparison_figure",
    "course_figure",
    "distribution_figure",
    "measure",
    "overview_figure",
    "paper",
    "picture_from",
    "picture_of",
    "render",
    "replacing",
    "save",
    "simulation_page",
    "styles_of",
    "summarize",
    "write_page",
    "write_text",
]
