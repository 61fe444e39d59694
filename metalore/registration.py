"""The environments' ids; registered when Gymnasium is imported (see `_metalore_gymnasium.py`), so this stays light."""

from __future__ import annotations

_SMART_CITY = "metalore.envs.smart_city:SmartCityEnv"
_MULTI_CELL = "metalore.envs.multi_cell:MultiCellEnv"
_ZONE_SCALING = "metalore.envs.zone_scaling:ZoneScalingEnv"
_BATCHES = {
    _SMART_CITY: "metalore.envs.vector:SmartCityVectorEnv",
    _MULTI_CELL: "metalore.envs.vector:MultiCellVectorEnv",
    _ZONE_SCALING: "metalore.envs.zone_scaling:ZoneScalingVectorEnv",
}

IDS = {
    "metalore/SmartCity-v0": _SMART_CITY,
    "mobile-smart_city-smart_city_handler-v0": _SMART_CITY,  # the published simulator's id
    "metalore/MultiCell-v0": _MULTI_CELL,
    "metalore/ZoneScaling-v0": _ZONE_SCALING,
}


def register_envs() -> None:
    """Tell Gymnasium the ids; classes are imported when one is made."""
    from gymnasium.envs.registration import register, registry

    for env_id, entry_point in IDS.items():
        if env_id not in registry:
            register(id=env_id, entry_point=entry_point, vector_entry_point=_BATCHES[entry_point])
