"""Result tables to draw from, made up; nothing is simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metalore.report import COURSES, MEASURES, Simulation, summarize

POLICIES = ("fixed(0.5,0.5)", "max-weight", "my <own> & only")
STEPS = 8


def episodes(policies: tuple[str, ...] = POLICIES, count: int = 6) -> pd.DataFrame:
    """Numbers that grow with the policy's place; the last policy never completed a request."""
    generator = np.random.default_rng(1)
    frames = []
    for i, policy in enumerate(policies):
        values = {name: 10.0 * (i + 1) + generator.normal(size=count) for name in MEASURES}
        if i == len(policies) - 1 and i > 0:
            values["aori_s"] = np.full(count, np.nan)
        frames.append(pd.DataFrame({"policy": policy, "seed": range(count), **values}))
    return pd.concat(frames, ignore_index=True)


def course(policies: tuple[str, ...] = POLICIES) -> pd.DataFrame:
    frames = []
    for i, policy in enumerate(policies):
        for name in COURSES:
            mean = np.arange(STEPS) * (i + 1.0) / (100 if name.endswith("share") else 1)
            columns = {"step": np.arange(STEPS), "time_s": np.arange(STEPS) * 0.5, "mean": mean, "sd": mean / 4}
            frames.append(pd.DataFrame({"policy": policy, "measure": name, **columns}))
    return pd.concat(frames, ignore_index=True)


def ages(policies: tuple[str, ...] = POLICIES) -> pd.DataFrame:
    """Of 10 requests, the first policy answers all, the second 6, any other none."""
    answered = {0: [2, 5, 3], 1: [1, 2, 3]}
    frames = []
    for i, policy in enumerate(policies):
        counts = answered.get(i, [0])
        for name in ("aori_s", "aosi_s"):
            columns = {"value_s": np.arange(len(counts)) * 1.0, "requests": counts, "generated": 10}
            frames.append(pd.DataFrame({"policy": policy, "measure": name, **columns}))
    return pd.concat(frames, ignore_index=True)


def about(count: int = 6, **changes: Any) -> dict[str, Any]:
    size = {"data_mbit": {"mean": 50.0}, "compute_gcycle": {"mean": 5.0}, "profile": {"kind": "constant"}}
    scenario = {
        "name": "toy",
        "description": "A toy.",
        "step_s": 0.5,
        "max_steps": STEPS,
        "map": {"width_m": 200.0, "height_m": 100.0},
        "stations": [
            {"bandwidth_hz": 1e8, "compute_gcycle_s": 100.0},
            {"bandwidth_hz": 2e8, "compute_gcycle_s": 100.0},
        ],
        "radio": {"path_loss": "umi", "carrier_mhz": 3500.0, "scheduler": "round-robin"},
        "users": {"count": 10, "mobility": {"kind": "static"}, "requests": {"probability": 0.7, **size}},
        "sensors": {"count": 15, "updates": {"timing": {"kind": "bernoulli", "probability": 0.25}, **size}},
        "reward": {"sync_reward": 10.0, "discount": 0.9, "delay_penalty": 1.0, "delay_threshold_s": 2.0},
    }
    seeds = {"first": 4, "count": count}
    versions = {"metalore": "0.0", "numpy": "2"}
    command = "metalore simulate toy --policy 'a b'"
    return {"scenario": scenario, "overrides": {}, "seeds": seeds, "versions": versions, "command": command} | changes


def simulation(policies: tuple[str, ...] = POLICIES, count: int = 6, **changes: Any) -> Simulation:
    return Simulation(about(count, **changes), summarize(episodes(policies, count)), course(policies), ages(policies))
