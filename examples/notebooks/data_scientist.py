# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # For data scientists: from telemetry to forecasts that can be served
#
# Record a city, forecast what its zones will need with quantiles, judge forecasters on the same windows, keep the best,
# and feed it rows as they come. Below a minute on two cores.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from metalore.forecast import (
    Panel,
    Split,
    Stream,
    compare,
    evaluate,
    load_forecaster,
    make_forecaster,
    save_forecaster,
    summary,
)
from metalore.telemetry import record

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Data: a row per zone and minute
#
# Twelve hours of the built-in city of four cells, with long steps to be quick.

# %%
record("four-cells", folder / "run", duration_s=12 * 3600, interval_s=60, seed=1)
panel = Panel.of(folder / "run", ["cpu_cores", "latency_ms"], inputs=["active_users", "requests"])
print(panel.values.shape, "intervals, zones, targets; zones", panel.zones)

# %% [markdown]
# ## Judge on what comes later
#
# Training, validation and test follow each other; nothing is fitted to the test part. The graph network is small here
# and trains for three epochs.

# %%
split = Split.by_parts(panel, validation=0.1, test=0.2)
small = "stgnn hidden=16 recipe.epochs=3"
scores = compare(["last-value", "ridge", small], panel, split, horizons=(1, 12))
table = summary(scores)
print(
    table[table["target"] == "cpu_cores"][["forecaster", "horizon", "mae", "rmse", "coverage_90"]].to_string(
        index=False
    )
)

# %% [markdown]
# ## Quantiles
#
# A size is chosen by the 0.9 quantile, so what counts is how often the truth lies above it.

# %%
ridge = make_forecaster("ridge").fit(panel, split, horizons=(1, 12), seed=0)
origins = list(range(len(panel) - 100, len(panel) - 12))
forecast = ridge.predict(panel, origins)  # windows, zones, horizons, targets, quantiles
actual = panel.values[np.array(origins) + 1, 0, 0]
plt.figure(figsize=(10, 3), layout="constrained")
plt.fill_between(origins, forecast[:, 0, 0, 0, 0], forecast[:, 0, 0, 0, 2], alpha=0.3, label="0.1 to 0.9")
plt.plot(origins, forecast[:, 0, 0, 0, 1], label="median, a minute ahead")
plt.plot(origins, actual, "k.", markersize=3, label="measured")
plt.title(f"{panel.zones[0]}: CPU cores")
plt.legend()
plt.show()
print(f"above the 0.9 quantile: {(actual > forecast[:, 0, 0, 0, 2]).mean():.0%}")

# %% [markdown]
# ## Keep it, and feed it rows
#
# A folder of JSON and safetensors; nothing in it is unpickled. A stream takes rows late, twice or out of order.

# %%
save_forecaster(ridge, folder / "kept", panel=panel, split=split, scores=evaluate(ridge, panel, split))
stream = Stream(load_forecaster(folder / "kept"))
for t in range(len(panel) - 60, len(panel)):
    for z, zone in enumerate(panel.zones):
        cores, latency = (float(value) for value in panel.values[t, z])
        row = {"time_s": float(panel.times[t]), "zone": zone, "cpu_cores": cores, "latency_ms": latency}
        users, requests = (float(value) for value in panel.input_values[t, z])
        stream.observe([row | {"active_users": users, "requests": requests}])
ahead = stream.forecast()
print(
    ahead.quantiles.shape, "zones, horizons, targets, quantiles; first zone, a minute ahead:", ahead.quantiles[0, 0, 0]
)

# %% [markdown]
# `metalore serve --checkpoint FOLDER` answers the same over HTTP.
