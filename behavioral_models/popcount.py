"""Weighted popcounts of many inputs at once, compiled: what makes the golden model fast.

Four inputs with weights of +-1 have 16 different sums, and each neuron needs one of them: they are
added up once, for all neurons to look up (the method of four Russians). Inferences lie side by side
in the lanes of vector registers, where a lookup is one contiguous read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["WeightedPopcount"]

_LANES = 64  # inferences side by side: two bytes each, two cache lines
_GROUP = 4  # inputs that share a table of sums
_ENTRIES = 1 << _GROUP
_TABLES = 8  # tables in use at once: 16 KiB, half of a usual first-level cache
_CHUNK = _GROUP * _TABLES  # inputs that are counted together
_TILE = 64  # neurons whose lanes are turned back into inferences together


class WeightedPopcount:
    """Popcounts of one or more banks that see the same inputs, planes weighted by powers of two.

    An input u of k counted planes and a bit cell add (2^k - 1) read(0) + u (read(1) - read(0)),
    whatever the cell's errors. The difference is 1 or -1, unless the cell reads the same for both
    x: such cells are few, are taken for -1, and their inputs are added again one by one.

    Parameters
    ----------
    table : bool array (input, neuron, x)
        What a sense of each input's bit cell gives.
    columns : int array (input,)
        Where each input stands in the arrays that will be counted; -1 for a constant 0.
    bottom_plane, planes : int
        Bits of the inputs that count: from bit bottom_plane up, `planes` of them.
    """

    def __init__(
        self, table: NDArray[np.bool_], columns: NDArray[np.int_], bottom_plane: int, planes: int
    ) -> None:
        inputs, neurons, _ = table.shape
        chunks = -(-inputs // _CHUNK)
        at_zero, at_one = table[..., 0], table[..., 1]
        self._bottom_plane = bottom_plane
        #: Popcount of each neuron for inputs that are all 0, which `subtract` leaves out.
        self.constant: NDArray[np.int64] = ((1 << planes) - 1) * at_zero.sum(axis=0, dtype=np.int64)

        self._columns = np.zeros((chunks, _CHUNK), dtype=np.uint64)
        self._columns.flat[:inputs] = np.maximum(columns, 0)
        self._masks = np.zeros((chunks, _CHUNK), dtype=np.uint8)
        self._masks.flat[:inputs] = np.where(columns < 0, 0, (1 << planes) - 1)
        rises = np.zeros((chunks * _CHUNK, neurons), dtype=np.uint8)
        rises[:inputs] = at_one & ~at_zero
        bits = rises.reshape(chunks, _TABLES, _GROUP, neurons)
        bits <<= np.arange(_GROUP, dtype=np.uint8)[:, None]
        # which row of all tables each group of a neuron needs: [chunk, neuron, table]
        entries = bits.sum(axis=2, dtype=np.uint8)
        entries += np.arange(0, _TABLES * _ENTRIES, _ENTRIES, dtype=np.uint8)[:, None]
        self._entries = np.ascontiguousarray(entries.transpose(0, 2, 1))
        same = np.zeros((chunks * _CHUNK, neurons), dtype=bool)
        same[:inputs] = at_one == at_zero
        cells = np.nonzero(same.reshape(chunks, _CHUNK, neurons).transpose(0, 2, 1))
        self._cell_starts = np.searchsorted(cells[0], np.arange(chunks + 1))
        self._cell_neurons, self._cell_rows = map(np.ascontiguousarray, cells[1:])

    def subtract(
        self,
        inputs: NDArray[np.uint8],
        start: NDArray[np.int32],
        register_width: int,
        first_neuron: int,
        outputs: NDArray[np.bool_],
        registers: NDArray[np.int32],
    ) -> None:
        """Subtract popcounts, but for `constant`, from start values; wrap once, at the end.

        Parameters
        ----------
        inputs : uint8 array (batch, any)
        start : int32 array (batch or 1, all neurons)
            Start values, of each inference or the same for all; modulo 2^32.
        register_width : int
            Bits that the registers keep, 2 to 32.
        first_neuron : int
            Where this object's neurons stand among all.
        outputs : bool array (batch, all neurons)
            Receives whether registers are negative.
        registers : int32 array (inferences, all neurons)
            Receives the registers of the batch's last inferences, as many as it has room for.
        """
        lane = np.uint16 if register_width <= 16 else np.uint32
        sums = np.empty((len(self.constant), _LANES), dtype=lane)
        _compiled(lane)(
            np.ascontiguousarray(inputs),
            self._columns,
            self._masks,
            self._bottom_plane,
            self._entries,
            self._cell_starts,
            self._cell_rows,
            self._cell_neurons,
            sums,
            np.ascontiguousarray(start),
            register_width - 1,
            first_neuron,
            outputs.view(np.uint8),
            registers,
        )


@cache
def _compiled(lane: type) -> Callable[..., None]:
    """The kernel for one width of lanes, from numba's cache on disk if it is there."""
    whole = types.Array(types.int64, 1, "C", readonly=True)
    signature = types.void(
        types.Array(types.uint8, 2, "C", readonly=True),
        types.Array(types.uint64, 2, "C", readonly=True),
        types.Array(types.uint8, 2, "C", readonly=True),
        types.int64,
        types.Array(types.uint8, 3, "C", readonly=True),
        whole,
        whole,
        whole,
        types.Array(types.uint16 if lane is np.uint16 else types.uint32, 2, "C"),
        types.Array(types.int32, 2, "C", readonly=True),
        types.int64,
        types.int64,
        types.Array(types.uint8, 2, "C"),
        types.Array(types.int32, 2, "C"),
    )
    try:
        return njit(signature, cache=True)(_subtract)
    except (RuntimeError, OSError):  # no folder for a cache that can be written
        return njit(signature)(_subtract)


@intrinsic
def _add_rows(typing_context, target, place, source, rows):  # type: ignore[no-untyped-def]
    """Add rows of `source` to row `place` of `target`: arrays with rows of _LANES lanes.

    As a loop over lanes this would be compiled with a check, longer than the sum itself, that no
    row overlaps the target. Here it is vector instructions from the start.
    """
    signature = types.void(target, types.int64, source, types.UniTuple(types.int64, len(rows)))

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        def pointer(number, row):  # type: ignore[no-untyped-def]
            array = context.make_array(signature.args[number])(context, builder, arguments[number])
            first = builder.mul(row, ir.Constant(row.type, _LANES))
            lane = array.data.type.pointee
            vector = ir.VectorType(lane, _LANES).as_pointer()
            return builder.bitcast(builder.gep(array.data, [first]), vector), lane.width // 8

        where, alignment = pointer(0, arguments[1])
        total = builder.load(where, align=alignment)
        for number in range(len(rows)):
            row, _ = pointer(2, builder.extract_value(arguments[3], number))
            total = builder.add(total, builder.load(row, align=alignment))
        builder.store(total, where, align=alignment)
        return context.get_dummy_value()

    return signature, generate


def _subtract(  # type: ignore[no-untyped-def]
    inputs,
    columns,
    masks,
    bottom_plane,
    entries,
    cell_starts,
    cell_rows,
    cell_neurons,
    sums,
    start,
    sign,
    first_neuron,
    outputs,
    registers,
):
    """See `WeightedPopcount.subtract`; compiled by numba."""
    batch = len(inputs)
    neurons = len(sums)
    chunks = len(columns)
    values = np.zeros((_CHUNK, _LANES), sums.dtype)
    table = np.empty((_TABLES * _ENTRIES, _LANES), sums.dtype)
    turned = np.empty((_LANES, _TILE), np.int32)
    kept = batch - len(registers)  # first inference whose registers are kept
    for first in range(0, batch, _LANES):
        lanes = min(_LANES, batch - first)
        block = inputs[first : first + lanes]
        sums[:] = 0
        for chunk in range(chunks):
            for i in range(_CHUNK):
                column, mask, value = columns[chunk, i], masks[chunk, i], values[i]
                for lane in range(lanes):
                    value[lane] = block[lane, column] >> bottom_plane & mask
            for group in range(_TABLES):
                value = values[group * _GROUP : (group + 1) * _GROUP]
                sum_of = table[group * _ENTRIES : (group + 1) * _ENTRIES]
                for lane in range(_LANES):
                    sum_of[0, lane] = -(
                        value[0, lane] + value[1, lane] + value[2, lane] + value[3, lane]
                    )
                for i in range(_GROUP):
                    for entry in range(1 << i):
                        for lane in range(_LANES):
                            sum_of[entry + (1 << i), lane] = (
                                sum_of[entry, lane] + 2 * value[i, lane]
                            )
            for neuron in range(neurons):
                e = entries[chunk, neuron]
                rows = (
                    np.int64(e[0]),
                    np.int64(e[1]),
                    np.int64(e[2]),
                    np.int64(e[3]),
                    np.int64(e[4]),
                    np.int64(e[5]),
                    np.int64(e[6]),
                    np.int64(e[7]),
                )
                _add_rows(sums, neuron, table, rows)
            for cell in range(cell_starts[chunk], cell_starts[chunk + 1]):
                _add_rows(sums, cell_neurons[cell], values, (cell_rows[cell],))
        for tile in range(0, neurons, _TILE):
            width = min(_TILE, neurons - tile)
            here = slice(first_neuron + tile, first_neuron + tile + width)
            for neuron in range(width):
                row = sums[tile + neuron]
                for lane in range(_LANES):
                    turned[lane, neuron] = row[lane]
            for lane in range(lanes):
                one = first + lane
                begin = start[one if len(start) > 1 else 0, here]
                count = turned[lane]
                output = outputs[one, here]
                for neuron in range(width):
                    output[neuron] = (begin[neuron] - count[neuron]) >> sign & 1
                if one >= kept:
                    register = registers[one - kept, here]
                    for neuron in range(width):
                        register[neuron] = (
                            begin[neuron] - count[neuron] + (1 << sign) & (2 << sign) - 1
                        ) - (1 << sign)
