"""One environment's arrays in compiled code, as attributes of one small value.

A frame is a table of addresses and shapes (see :func:`metalore.world.build.table_of`) and the number of an environment;
`frame.devices` builds the array from the table. So functions pass two words and not fifty arrays, which is what makes
compiling fast. Such arrays have no owner and count no references, where an access to a record of a counted array is an
atomic operation, and a step makes hundreds of them. The table does not change while compiled code runs, which the
compiler is told, so it loads an address once.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic, models, register_model

from metalore.world import layout
from metalore.world.layout import Frame
from metalore.world.random import ALIAS_DTYPE, SIZE_DTYPE

_NUMBER, _INDEX, _WORD = np.dtype("f8"), np.dtype("i4"), np.dtype("u4")
_FIELDS: dict[str, tuple[np.dtype, int]] = {
    "setup": (layout.SETUP, 1),
    "sites": (layout.ZONE, 1),
    "links": (layout.LINK, 2),
    "kinds_of_link": (layout.LINK, 2),
    "interferers": (_INDEX, 2),
    "grids": (layout.GRID, 1),
    "sizes": (SIZE_DTYPE, 2),
    "aliases": (ALIAS_DTYPE, 1),
    "request_factor": (_NUMBER, 1),
    "update_factor": (_NUMBER, 1),
    "update_sum": (_NUMBER, 1),
    "rates": (_NUMBER, 1),
    "user_positions": (_NUMBER, 2),
    "sensor_positions": (_NUMBER, 2),
    "trace": (_NUMBER, 3),
    "value_of_age": (_NUMBER, 1),
    "outages": (layout.OUTAGE, 1),
    "kinds": (_INDEX, 1),
    "week": (_NUMBER, 3),
    "counts": (_NUMBER, 2),
    "activities": (layout.ACTIVITY, 1),
    "activity_weights": (_NUMBER, 2),
    "events": (layout.EVENT, 1),
    "drift_near": (_INDEX, 2),
    "drift_weight": (_NUMBER, 2),
    "usual_pull": (_NUMBER, 1),
    "usual_until": (_NUMBER, 1),
    "neighbours": (_INDEX, 2),
    "envs": (layout.ENV, 1),
    "zones": (layout.ZONE, 1),
    "station_tiles": (_INDEX, 1),
    "cells": (layout.CELL, 2),
    "devices": (layout.DEVICE, 1),
    "bodies": (layout.BODY, 1),
    "anchors": (layout.ANCHOR, 2),
    "heard": (_NUMBER, 2),
    "history": (_INDEX, 2),
    "jobs": (layout.JOB, 1),
    "sensor_tiles": (_INDEX, 1),
    "tally": (_NUMBER, 2),
    "step_totals": (_NUMBER, 1),
    "episode_totals": (_NUMBER, 1),
    "terms": (_NUMBER, 1),
    "reward": (_NUMBER, 1),
    "station_rewards": (_NUMBER, 1),
    "numbers": (_INDEX, 1),
    "log": (layout.LOG, 1),
    "words": (_WORD, 2),
    "signal": (_NUMBER, 1),
    "noise": (_NUMBER, 1),
    "scratch": (_NUMBER, 1),
}
"""Of each field of a frame the type of its entries and its axes, without that of environments or threads."""

assert tuple(_FIELDS) == Frame._fields

TABLE_COLUMNS = 5  # address, bytes per environment, and up to three lengths


class _FrameType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="metalore.Frame")


_FRAME = _FrameType()
_ARRAYS = {
    name: types.Array(numba.from_dtype(dtype), axes, "C", aligned=True) for name, (dtype, axes) in _FIELDS.items()
}


@register_model(_FrameType)
class _FrameModel(models.StructModel):
    def __init__(self, manager: Any, frame_type: Any) -> None:
        super().__init__(manager, frame_type, [("table", types.CPointer(types.int64)), ("env", types.int64)])


@infer_getattr
class _FrameAttributes(AttributeTemplate):
    key = _FrameType

    def generic_resolve(self, _frame: Any, name: str) -> Any:
        return _ARRAYS.get(name)


@lower_getattr_generic(_FrameType)
def _array_of(context: Any, builder: Any, frame_type: Any, value: Any, name: str) -> Any:
    """The array of a field: its address from the table, its lengths likewise."""
    frame = cgutils.create_struct_proxy(frame_type)(context, builder, value=value)
    word = context.get_value_type(types.int64)
    row = list(_FIELDS).index(name) * TABLE_COLUMNS

    def entry(column: int) -> Any:
        loaded = builder.load(builder.gep(frame.table, [ir.Constant(word, row + column)]))
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    array_type = _ARRAYS[name]
    address = builder.add(entry(0), builder.mul(frame.env, entry(1)))
    lengths = [entry(2 + axis) for axis in range(array_type.ndim)]
    itemsize = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    strides = [ir.Constant(word, itemsize)]
    for length in reversed(lengths[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    array = context.make_array(array_type)(context, builder)
    data = builder.inttoptr(address, context.get_data_type(array_type.dtype).as_pointer())
    context.populate_array(
        array,
        data=builder.bitcast(data, array.data.type),
        shape=cgutils.pack_array(builder, lengths),
        strides=cgutils.pack_array(builder, strides),
        itemsize=context.get_constant(types.intp, itemsize),
        meminfo=None,
    )
    return array._getvalue()


@intrinsic
def frame_of(typing_context: Any, table: Any, env: Any) -> Any:
    """The frame of an environment from a table: an array of int64 [fields, TABLE_COLUMNS]."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, number = arguments
        array = context.make_array(signature.args[0])(context, builder, given)
        frame = cgutils.create_struct_proxy(_FRAME)(context, builder)
        frame.table, frame.env = array.data, number
        return frame._getvalue()

    return _FRAME(table, types.int64), codegen
