"""Lets `gymnasium.make("metalore/SmartCity-v0")` work without an `import metalore` before it.

Gymnasium 1.0 dropped the entry point by which packages announced their environments. This module, imported at
interpreter start through `_metalore_gymnasium.pth`, waits for Gymnasium's registry to be imported and then registers
the ids; until then it costs one comparison per import, and it imports nothing itself.
"""

import sys


class _WhenRegistryComes:
    """A finder that answers for `gymnasium.envs` once, with the real module's spec and an afterword."""

    def find_spec(self, name, path=None, target=None):
        if name != "gymnasium.envs":
            return None
        sys.meta_path.remove(self)
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                from metalore.registration import register_envs

                register_envs()

            spec.loader.exec_module = execute_and_register
        return spec


sys.meta_path.insert(0, _WhenRegistryComes())
