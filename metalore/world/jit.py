"""Compilation as everything here uses it, and what makes it fast.

Functions are inlined whole (`forceinline`), divide as NumPy does (no exceptions inside a step) and run without the
interpreter lock. :func:`borrowed` spares reference counts: an access to a record of a counted array is an atomic
operation, and a step makes hundreds of them.
"""

from functools import partial
from typing import Any

import numba
from llvmlite import ir
from numba.extending import intrinsic

njit = partial(numba.njit, nogil=True, error_model="numpy", forceinline=True)
cached_njit = partial(numba.njit, nogil=True, error_model="numpy", cache=True)


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def borrowed(typing_context: Any, array: Any) -> Any:
    """The same array without an owner; the caller must keep the original alive."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        view.meminfo = ir.Constant(view.meminfo.type, None)
        view.parent = ir.Constant(view.parent.type, None)
        return view._getvalue()

    return array(array), codegen
