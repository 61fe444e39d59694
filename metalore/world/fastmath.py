"""Logarithm and exponential over arrays, as plain arithmetic that compilers turn into vector instructions.

The library's functions take one number at a time. These agree with them to 2 units in the last place, and, being only
additions, multiplications and divisions, give the same bits on every machine. For finite numbers: positive and normal
ones under the logarithm, up to 700 in size under the exponential (larger ones count as 700).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from metalore.world.jit import njit

_MANTISSA, _ONE = np.int64(0x000FFFFFFFFFFFFF), np.int64(0x3FF0000000000000)
_SQRT2 = math.sqrt(2.0)
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # ln 2 in two parts
_PER_LN2 = 1.0 / math.log(2.0)
_ROUNDING = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to a whole number


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def _float(typing_context: Any, bits: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@njit
def log_each(values: Any) -> None:
    """Natural logarithm of every entry, in place: atanh series of the mantissa, plus the exponent."""
    for i in range(len(values)):
        bits = _bits(values[i])
        mantissa = _float((bits & _MANTISSA) | _ONE)
        exponent = np.float64((bits >> 52) - 1023)
        large = mantissa > _SQRT2
        mantissa = mantissa * 0.5 if large else mantissa
        exponent = exponent + 1.0 if large else exponent
        s = (mantissa - 1.0) / (mantissa + 1.0)
        z = s * s
        series = 1 / 15 + z * (1 / 17 + z * (1 / 19 + z * (1 / 21)))
        series = 1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z * series)))
        series = z * (1 / 3 + z * (1 / 5 + z * series))
        values[i] = exponent * _LN2_HIGH + (2.0 * s + (2.0 * s * series + exponent * _LN2_LOW))


@njit
def exp_each(values: Any) -> None:
    """Exponential of every entry, in place: a power of two, times the series of what is left."""
    for i in range(len(values)):
        x = min(max(values[i], -700.0), 700.0)
        shifted = x * _PER_LN2 + _ROUNDING
        whole = shifted - _ROUNDING
        r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
        series = 1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600 + r * (1 / 6227020800))))
        series = 1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * (1 / 40320 + r * series)))
        series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * series))))
        values[i] = series * _float((np.int64(whole) + 1023) << 52)
