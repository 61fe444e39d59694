"""How an agent sees a world: Gymnasium environments, native batches, and Stable-Baselines3's."""

from metalore.envs.multi_cell import MultiCellEnv
from metalore.envs.observation import FEATURES, Observer
from metalore.envs.smart_city import SmartCityEnv
from metalore.envs.vector import MultiCellVectorEnv, SmartCityVectorEnv

__all__ = ["FEATURES", "MultiCellEnv", "MultiCellVectorEnv", "Observer", "SmartCityEnv", "SmartCityVectorEnv"]
