"""What the columns of a table of episodes are called, their unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["more", "less"] | None


@dataclass(frozen=True)
class Measure:
    """How to speak of a column.

    Attributes:
        label: its name in a table or on an axis, without the unit.
        unit: "" for a number without one.
        scale: what to multiply values of the column with to get that unit (shares are shown as %).
        better: whether more or less of it is better; None where that depends.
        meaning: one clause that defines it.
    """

    label: str
    unit: str = ""
    better: Better = None
    meaning: str = ""
    scale: float = 1.0

    @property
    def title(self) -> str:
        """Label and unit, as on an axis."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def _share(label: str, better: Better = None, meaning: str = "") -> Measure:
    return Measure(label, "%", better, meaning, scale=100.0)


MEASURES: dict[str, Measure] = {
    "return": Measure("Return", "", "more", "sum of the rewards of an episode"),
    "reward_synchronization": Measure("Synchronization term", "", "more", "reward for requests served in step"),
    "reward_delay": Measure("Delay term", "", "more", "penalty for late requests"),
    "reward_throughput": Measure("Throughput term", "", "more", "reward for completed requests"),
    "reward_loss": Measure("Loss term", "", "more", "penalty for lost jobs"),
    "reward_served_age": Measure("Served-age term", "", "more", "penalty for the age of served data"),
    "reward_twin_age": Measure("Twin-age term", "", "more", "penalty for the age at the twin"),
    "aori_s": Measure("AoRI", "s", "less", "age of request information: from a request's creation to its completion"),
    "aosi_s": Measure(
        "AoSI", "s", "less", "age of sensor information: time between the creation of a request and of its update"
    ),
    "signed_gap_s": Measure("Signed gap", "s", None, "creation of the request minus creation of its update"),
    "served_age_s": Measure("Age of served data", "s", "less", "age of the update when its request was completed"),
    "twin_age_s": Measure(
        "Age at the twin", "s", "less", "age of the newest processed update, over all sensors and steps"
    ),
    "peak_age_s": Measure("Peak age", "s", "less", "age at the twin just before a newer update arrived"),
    "request_waiting_age_s": Measure(
        "Age of waiting requests", "s", "less", "age of the requests still in the system at the end"
    ),
    "update_waiting_age_s": Measure(
        "Age of waiting updates", "s", "less", "age of the updates still in the system at the end"
    ),
    "requests_generated": Measure("Requests generated", "", None, "requests that users created"),
    "requests_completed": Measure("Requests completed", "", "more", "requests answered within the episode"),
    "requests_lost": Measure("Requests lost", "", "less", "requests dropped by a full buffer or left by their user"),
    "updates_generated": Measure("Updates generated", "", None, "updates that sensors created"),
    "updates_completed": Measure("Updates completed", "", "more", "updates processed within the episode"),
    "updates_lost": Measure("Updates lost", "", "less", "updates dropped by a full buffer"),
    "requests_late_share": _share(
        "Late requests", "less", "part of completed requests with an AoRI above the threshold"
    ),
    "throughput_per_s": Measure("Throughput", "1/s", "more", "completed requests per second"),
    "compute_utilisation": _share("Compute used", None, "part of the servers' capacity that did work"),
    "band_utilisation": _share("Band used", None, "part of the band that carried data"),
    "request_device_queue_s": Measure("Request: device queue", "s", "less", "wait before transmission began"),
    "request_transmission_s": Measure("Request: transmission", "s", "less", "first to last transmission step"),
    "request_server_queue_s": Measure("Request: server queue", "s", "less", "wait before processing began"),
    "request_processing_s": Measure("Request: processing", "s", "less", "start to end of processing"),
    "update_device_queue_s": Measure("Update: device queue", "s", "less", "wait before transmission began"),
    "update_transmission_s": Measure("Update: transmission", "s", "less", "first to last transmission step"),
    "update_server_queue_s": Measure("Update: server queue", "s", "less", "wait before processing began"),
    "update_processing_s": Measure("Update: processing", "s", "less", "start to end of processing"),
    "jain_fairness": Measure(
        "Fairness", "Jain", "more", "Jain's index of the users' completed requests; 1 is equal for all"
    ),
}

JUDGED: dict[str, Measure] = {
    "return_worst_tenth": Measure(
        "Return, worst tenth", "", "more", "mean return over the tenth of the episodes with the lowest"
    ),
    "requests_lost_share": _share("Lost requests", "less", "part of created requests that were lost"),
    "updates_lost_share": _share("Lost updates", "less", "part of created updates that were lost"),
}
"""What an evaluation adds to the columns of a run."""

COURSES: dict[str, Measure] = {
    "request_queue": Measure("Request queue", "jobs"),
    "update_queue": Measure("Update queue", "jobs"),
    "request_device_jobs": Measure("Requests in devices", "jobs"),
    "update_device_jobs": Measure("Updates in devices", "jobs"),
    "aori_s": MEASURES["aori_s"],
    "aosi_s": MEASURES["aosi_s"],
    "twin_age_s": MEASURES["twin_age_s"],
    "bandwidth_share": _share("Bandwidth for requests"),
    "compute_share": _share("Compute for requests"),
    "reward": Measure("Reward per step"),
}


def measure(name: str) -> Measure:
    """How to speak of a column; one that is not known here speaks for itself."""
    return MEASURES.get(name) or JUDGED.get(name) or COURSES.get(name) or Measure(name.replace("_", " "))
