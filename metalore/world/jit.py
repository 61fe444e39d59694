"""Compilation as everything here uses it.

Functions are inlined whole (`forceinline`), divide as NumPy does (no exceptions inside a step) and run without the
interpreter lock. What not every step of every world needs stays apart (`njit_apart`) and is compiled once for all its
callers.
"""

from functools import partial

import numba

njit = partial(numba.njit, nogil=True, error_model="numpy", forceinline=True)
njit_apart = partial(numba.njit, nogil=True, error_model="numpy")
cached_njit = partial(numba.njit, nogil=True, error_model="numpy", cache=True)
