"""How large zones should be: recommenders, the safety common to all, the loop that decides and acts.

Nothing here knows where usage and forecasts come from; the simulated city lies in :mod:`metalore.autoscale.simulated`,
and what compares recommenders in it in :mod:`metalore.autoscale.comparison`.
"""

from metalore.autoscale.actuator import Actuator, Applied
from metalore.autoscale.announced import Announced, RaisedForecast, Ruling
from metalore.autoscale.controller import Clock, Controller, Forecast, Observe, Tick
from metalore.autoscale.drift import Drift
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.logic import Logic, Remembered
from metalore.autoscale.model import RESOURCES, Decision, Forecasts, Reason, Recommendation, Seen, Usage
from metalore.autoscale.recommender import Advice, Recommender, State
from metalore.autoscale.registry import NAMES, make_recommender
from metalore.autoscale.safety import Safety

__all__ = [
    "NAMES",
    "RESOURCES",
    "Actuator",
    "Advice",
    "Announced",
    "Applied",
    "AutoscaleError",
    "Clock",
    "Controller",
    "Decision",
    "Drift",
    "Forecast",
    "Forecasts",
    "Logic",
    "Observe",
    "RaisedForecast",
    "Reason",
    "Recommendation",
    "Recommender",
    "Remembered",
    "Ruling",
    "Safety",
    "Seen",
    "State",
    "Tick",
    "Usage",
    "make_recommender",
]
