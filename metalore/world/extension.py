"""User functions in compiled code: a plain scalar Python function becomes a C function behind an address.

The compiled step calls it through that address, so a new function compiles in a fraction of a second and the step
itself is not compiled again. Arguments and results travel through a small array of numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core.errors import NumbaError
from numba.extending import intrinsic

from metalore.world.jit import njit

RESULTS = 16
"""Where results start in the array; arguments start at 0."""

SIGNATURES = {
    "channel": (("distance_m", "carrier_mhz", "station_height_m", "device_height_m", "luck"), 1),
    "mobility": (
        ("x_m", "y_m", "m0", "m1", "m2", "m3", "step_s", "width_m", "height_m", "u0", "u1", "u2", "u3"),
        6,
    ),
    "traffic": (("time_s", "device", "is_sensor", "u0", "u1", "u2", "u3"), 3),
    "scheduler": (("jobs", "backlog_mbit", "spectral_efficiency", "average_mbps", "time_s"), 1),
}
"""For each extension point: what its function is given (floats), and how many numbers it returns."""


class ExtensionError(TypeError):
    """A user function that cannot be compiled into the step, or that returned what cannot be."""


@intrinsic
def _call_address(typing_context: Any, address: Any, buffer: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        double_pointer = ir.DoubleType().as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [double_pointer])
        function = builder.inttoptr(args[0], function_type.as_pointer())
        builder.call(function, [builder.inttoptr(args[1], double_pointer)])
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), codegen


@njit
def call_user(address: Any, scratch: Any) -> None:
    """Call the user function at `address` on `scratch`; a function that fails leaves NaN behind."""
    scratch[RESULTS] = np.nan
    _call_address(address, np.uint64(scratch.ctypes.data))


def compiled(point: str, function: Callable[..., Any]) -> Any:
    """Compile `function` for an extension point of :data:`SIGNATURES`.

    Returns:
        A compiled C function; keep it alive as long as its ``address`` is in use.

    Raises:
        ExtensionError: wrong parameters, or Python that cannot be compiled.
    """
    names, results = SIGNATURES[point]
    _check_parameters(point, function, names)
    inner = njit(function)
    takes = len(names)
    call = _unpacking(takes, results)
    try:
        scalar = call(inner)
        return cfunc(types.void(types.CPointer(types.float64)))(scalar)
    except NumbaError as error:
        lines = (line.strip() for line in str(error).splitlines())
        reason = next((line for line in lines if line and not line.startswith("Failed in")), "no reason given")
        raise ExtensionError(
            f"the {point} function {function.__name__} cannot be compiled; it must be plain scalar Python "
            f"on floats returning {results} number{'s' if results > 1 else ''}: {reason}"
        ) from error


def _check_parameters(point: str, function: Callable[..., Any], names: tuple[str, ...]) -> None:
    if not inspect.isfunction(function):
        raise ExtensionError(f"the {point} must be a plain Python function, not {type(function).__name__}")
    given = len(inspect.signature(function).parameters)
    if given != len(names):
        raise ExtensionError(
            f"the {point} function {function.__name__} takes {given} parameters; it is called with "
            f"{len(names)}: {', '.join(names)}"
        )


def _unpacking(takes: int, results: int) -> Callable[[Any], Any]:
    """A function that wraps a scalar function of `takes` floats to read and write an array of numbers."""
    arguments = ", ".join(f"numbers[{i}]" for i in range(takes))
    targets = ", ".join(f"numbers[{RESULTS + i}]" for i in range(results))
    source = f"""
def wrap(inner):
    def scalar(pointer):
        numbers = carray(pointer, {RESULTS + max(results, 1)})
        {targets} = inner({arguments})
    return scalar
"""
    scope: dict[str, Any] = {"carray": carray}
    exec(source, scope)  # the text above and two whole numbers, nothing from outside
    wrap: Callable[[Any], Any] = scope["wrap"]
    return wrap
