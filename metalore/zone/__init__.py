"""A zone's server as a workload: takes the CPU and memory that its users would need, so that scaling can be watched.

Of Python's standard library alone, since it starts in every zone's pod.
"""

from metalore.zone.server import ZoneServer
from metalore.zone.workload import Demand, Workload, ZoneError, read_users

__all__ = ["Demand", "Workload", "ZoneError", "ZoneServer", "read_users"]
