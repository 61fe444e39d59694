"""What zones use when they have plenty: the demand that forecasts are of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metalore.fluid.demand import Demand


def with_plenty(demand: Demand, seed: int = 0) -> Demand:
    """The demand with `used` drawn as zones that nothing holds up would use it: all that is asked for is done at once.

    Requests of an interval are Poisson, their data Poisson, their work exponential, as in the fluid; jobs are gone
    within the step in which they come, so memory is that of the twin, its users, and the jobs of a step.
    """
    rng = np.random.default_rng([seed, 9])
    seconds, updates = demand.interval_s, demand.updates * demand.interval_s
    requests = rng.poisson(demand.requests)
    work = demand.request_gcycle * rng.standard_gamma(requests) + updates * demand.update_gcycle
    data = rng.poisson(requests * demand.request_mbit) + updates * demand.update_mbit
    resident = (requests + updates) / seconds  # jobs of a step
    used = np.stack(
        [
            work / seconds / demand.core_ghz,
            demand.base_mb + demand.per_user_mb * demand.users + demand.per_job_mb * resident,
            data / seconds,
            np.where(requests > 0, 1000.0 * demand.floor_s, np.nan),
        ],
        axis=-1,
    )
    return replace(demand, used=used)
