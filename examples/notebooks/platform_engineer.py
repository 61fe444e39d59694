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
# # For platform engineers: a control loop that sizes zones
#
# Four zones in a simulated city, the rule of the Kubernetes HPA, one layer of safety, and every decision with its
# reason. The same loop runs on a cluster with another actuator. Below a minute on two cores, no cluster needed.

# %%
import matplotlib.pyplot as plt
import numpy as np

from metalore import load_scenario
from metalore.autoscale import Controller, Logic, Safety, make_recommender
from metalore.autoscale.comparison import Plan, candidate, compare, summary, world_of
from metalore.autoscale.metrics import LoopMetrics
from metalore.autoscale.simulated import SimulatedCity, begin_with

scenario = load_scenario("four-cells", step_s=0.5, users__requests__probability=0.2)
safety = Safety(cooldown_down_s=120.0)
plan = Plan(scenario, days=30 / 1440, history_days=10 / 1440, safety=safety)

# %% [markdown]
# ## The loop
#
# A `Controller` looks, decides and acts once in every interval. Here the city is actuator, telemetry and clock in one.

# %%
world = world_of(plan)
world.reset(1)
begin_with(world, safety, 64_000.0)
city = SimulatedCity(world, interval_s=60.0)
for _ in range(plan.history):
    city.advance()

ticks, metrics = [], LoopMetrics(safety, interval_s=60.0)


def note(tick):
    """Keep each turn, and count it for Prometheus."""
    ticks.append(tick)
    metrics.report(tick)


rule = make_recommender("hpa", target=0.6)
controller = Controller(Logic(rule, rule, safety), city, city.usage, city, interval_s=60.0, report=note)
controller.run(30)

for tick in ticks[:5]:
    for zone in np.flatnonzero(tick.decision.changed.any(axis=1)):
        one = tick.decision.of(tick.decision.zones[zone])
        print(f"{tick.time_s:6.0f} s  {tick.decision.zones[zone]}: {one.cpu_cores:.2f} cores ({one.reason})")

# %%
used = np.array([row["cpu_cores"] for row in city.rows])
given = np.array([row["given_cores"] for row in city.rows])
figure, axes = plt.subplots(1, 4, figsize=(13, 2.8), sharey=True, layout="constrained")
for zone, axis in enumerate(axes):
    axis.step(range(len(used)), used[:, zone], label="used")
    axis.step(range(len(given)), given[:, zone], label="given")
    axis.set(title=city.zones[zone], xlabel="minute")
axes[0].set_ylabel("cores")
axes[0].legend()
plt.show()

# %% [markdown]
# ## What Prometheus sees
#
# The same numbers under `/metrics`; dashboards and alerts for them are in `deploy/monitoring`.

# %%
print("\n".join(line for line in metrics.text().splitlines() if line.startswith("metalore_allocation"))[:600])

# %% [markdown]
# ## A restart changes nothing
#
# What is remembered is plain JSON. A new controller goes on where the old one was.

# %%
kept = controller.remembered.to_json()
again = Controller(
    Logic(rule, rule, safety),
    city,
    city.usage,
    city,
    interval_s=60.0,
    remembered=type(controller.remembered).from_json(kept),
)
print(len(kept), "characters;", again.remembered.to_json() == kept)

# %% [markdown]
# ## Which rule?
#
# All meet the same people, walks and requests. Cost is in parts of what a static peak would cost.

# %%
texts = ("hpa:target=0.6", "hpa:target=0.8", "threshold", "static", "foresight")
results = compare(plan, {text: candidate(text, scenario) for text in texts}, seeds=[1])
for name, measured in summary(results).items():
    print(f"{name:16} late {measured['slo_violations'][0]:6.1%}   CPU cost {measured['cpu_cost'][0]:.2f}")

# %% [markdown]
# On a cluster: `metalore autoscale --actuator kubernetes` watches, and with `--apply` acts.
