"""Compilation as everything here uses it, and arrays without owners.

Functions are inlined whole (`forceinline`), divide as NumPy does (no exceptions inside a step) and run without the
interpreter lock. Arrays come from addresses (:func:`array_at`): they count no references, where an access to a
record of a counted array is an atomic operation, and a step makes hundreds of them.
"""

from functools import partial
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

njit = partial(numba.njit, nogil=True, error_model="numpy", forceinline=True)
cached_njit = partial(numba.njit, nogil=True, error_model="numpy", cache=True)


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:
    """An address as a pointer, for :func:`numba.carray`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), codegen
