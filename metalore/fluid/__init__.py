"""Zones as queues of work: thousands of intervals a second, for training what sizes them."""

from metalore.fluid.demand import USED, Demand, FluidError
from metalore.fluid.zones import FluidZones, Outcome, Split

__all__ = ["USED", "Demand", "FluidError", "FluidZones", "Outcome", "Split"]
