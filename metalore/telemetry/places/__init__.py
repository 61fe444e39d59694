"""Real places: base-station sites, people counted near them, and the city that both make."""

from metalore.telemetry.places.city import URBAN_RADIO, URBAN_REQUESTS, URBAN_STATION, URBAN_UPDATES, city_from_sites
from metalore.telemetry.places.counts import (
    AssignedCounts,
    PeopleCounts,
    assign_counts,
    read_counters,
    read_counts,
    write_counts,
)
from metalore.telemetry.places.sites import PlacesError, Sites, distance_m, project, read_sites

__all__ = [
    "AssignedCounts",
    "PeopleCounts",
    "PlacesError",
    "Sites",
    "URBAN_RADIO",
    "URBAN_REQUESTS",
    "URBAN_STATION",
    "URBAN_UPDATES",
    "assign_counts",
    "city_from_sites",
    "distance_m",
    "project",
    "read_counters",
    "read_counts",
    "read_sites",
    "write_counts",
]
