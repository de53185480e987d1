"""Run a compiled network on any executor: sums on the chip, votes, pooling and argmax here.

Tile-major over the batch: a program image is loaded, all inferences run their passes on it, and the
next one is loaded, so that weights are swapped as seldom as can be.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models.draws import WORDS, Stream, uniform
from behavioral_models.passes import Start
from networks.executor import Executor
from networks.form import Bits, Integers, Layer, Output, majority, predictions
from networks.mapping import MappedLayer, Program

__all__ = ["Corrupt", "LayerResult", "PreactivationErrors", "RunResult", "batches", "calls", "run"]

#: Passes of one call to an executor at most: its arrays stay small, whatever the batch.
CALL_PASSES = 1 << 16
#: Bytes that a batch may take between the passes of a layer, unless told how large it is.
BATCH_BYTES = 1 << 30

#: Changes output bits: (layer's name, rows of this layer in batches before, preactivations
#: int32 (rows, votes, neurons), bits (rows, votes, neurons)) -> bits.
Corrupt = Callable[[str, int, NDArray[np.int32], Bits], Bits]


class PreactivationErrors:
    """Bits flip with a probability that their preactivation sets, as measured on a chip.

    The published way to judge a network on the solar cell (Jebali 2024, Methods): one table an
    illumination. Draws are counter-based, keyed by seed, layer and the number of the bit.

    Parameters
    ----------
    table : mapping of int to float, or tuple of two arrays (preactivations, probabilities)
        Probability that the output bit of a preactivation is wrong; 0 for those it does not have.
    seed : int

    Raises
    ------
    ValueError
        If a probability is not from 0 to 1, or a preactivation is not a whole number or not alone.
    """

    def __init__(
        self, table: Mapping[int, float] | tuple[ArrayLike, ArrayLike], seed: int = 0
    ) -> None:
        pairs = list(table.items()) if isinstance(table, Mapping) else list(_zip(*table))
        deltas = np.array([pair[0] for pair in pairs], dtype=float)
        chances = np.array([pair[1] for pair in pairs], dtype=float)
        if (deltas != np.round(deltas)).any() or len(np.unique(deltas)) < len(deltas):
            raise ValueError("A table of errors has one probability for each whole preactivation")
        if not ((chances >= 0) & (chances <= 1)).all():
            raise ValueError("Probabilities of an error are from 0 to 1")
        self.seed = seed
        self._least = int(deltas.min()) if len(deltas) else 0
        span = int(deltas.max()) - self._least + 1 if len(deltas) else 0
        # one more at each end, for all preactivations beyond
        self._chances = np.zeros(span + 2)
        self._chances[deltas.astype(int) - self._least + 1] = chances

    def __call__(
        self, layer: str, first: int, preactivations: NDArray[np.int32], bits: Bits
    ) -> Bits:
        """Bits (rows, votes, neurons) with errors; `first` rows of the layer came before."""
        places = np.clip(preactivations - self._least + 1, 0, len(self._chances) - 1)
        chances = self._chances[places].ravel()
        doubtful = np.flatnonzero(chances)
        if not len(doubtful):
            return bits
        start = first * (bits.size // len(bits))
        block = start // WORDS
        blocks = -(-(start + bits.size) // WORDS) - block
        key = zlib.crc32(layer.encode())
        draws = uniform(self.seed, 0, Stream.PATTERN, key, block, blocks).ravel()
        wrong = np.zeros(bits.size, dtype=bool)
        wrong[doubtful] = draws[doubtful + start - block * WORDS] < chances[doubtful]
        return bits ^ wrong.reshape(bits.shape)


def _zip(deltas: ArrayLike, chances: ArrayLike) -> Iterator[tuple[Any, Any]]:
    yield from zip(np.asarray(deltas).ravel(), np.asarray(chances).ravel(), strict=True)


@dataclass(frozen=True)
class LayerResult:
    """What the chip gave for one layer.

    Attributes
    ----------
    name : str
    preactivations : int32 array (batch, place, votes, neurons)
        As read out, before the output layer's offset.
    outputs : bool array (batch, ...), or None for the output layer
        After votes and pooling, and after `corrupt`.
    """

    name: str
    preactivations: NDArray[np.int32]
    outputs: Bits | None


@dataclass(frozen=True)
class RunResult:
    """What a network gives for a batch of data.

    Attributes
    ----------
    predictions : int64 array (batch,)
        Class of the largest preactivation, the lowest of equal ones.
    preactivations : int64 array (batch, classes)
        H - T + offset of the output layer.
    cycles : int
        Clock cycles of all passes, one after the other, without waiting for the host.
    wait_cycles : int or None
        Cycles in which the chip waited for its host, where the executor has a clock.
    layer_cycles : dict of str to int
        Cycles of each layer.
    loads : int
        How often a program image was loaded.
    layers : tuple of LayerResult, or None
        Every layer's results, where they were asked for.
    """

    predictions: Integers
    preactivations: Integers
    cycles: int
    wait_cycles: int | None
    layer_cycles: dict[str, int]
    loads: int
    layers: tuple[LayerResult, ...] | None = None


def batches(program: Program, inferences: int, batch: int | None = None) -> list[slice]:
    """Cut inferences into batches: of `batch`, or as large as `BATCH_BYTES` lets them be."""
    if batch is not None and batch < 1:
        raise ValueError(f"A batch has at least one inference, not {batch!r}")
    if batch is None:
        sizes = []
        for layer, places in zip(program.network.layers, program.places, strict=True):
            inputs, neurons = layer.matrix.shape
            # inputs, bits of the votes and of their sum, and registers that go on
            sizes.append(places * (inputs + neurons * (layer.votes + 9)))
        batch = max(1, BATCH_BYTES // max(sizes))
    return [slice(i, min(i + batch, inferences)) for i in range(0, max(1, inferences), batch)]


def calls(rows: int) -> list[slice]:
    """Cut the rows of a batch into what one call to an executor runs."""
    return [slice(i, min(i + CALL_PASSES, rows)) for i in range(0, rows, CALL_PASSES)]


def run(
    program: Program,
    executor: Executor,
    data: ArrayLike,
    tables: Sequence[ArrayLike] | NDArray[np.bool_] | None = None,
    batch: int | None = None,
    progress: Callable[[int], object] = lambda passes: None,
    collect_layers: bool = False,
    corrupt: Corrupt | None = None,
    corrupt_layers: Iterable[str] | None = None,
    loaded: int | None = None,
) -> RunResult:
    """Run a compiled network on data.

    Parameters
    ----------
    program : Program
    executor : Executor
        Of the program's geometry.
    data : unsigned integer array (batch, *input_shape), or flattened
    tables : sequence of bool array (macro, row, column, x), optional
        What every sense of each program image gives, errors included, in place of the images.
    batch : int, optional
        Inferences that run through all layers before the next; as many as memory allows where not
        given. Each batch loads the images again, if there are several.
    progress : callable
        Called with the number of passes done since the last call, `program.passes` an inference.
    collect_layers : bool
        Whether to keep every layer's results; this reads all registers out.
    corrupt : callable, optional
        Changes the output bits of hidden layers, such as `PreactivationErrors`; this reads their
        registers out. The output layer has no bits.
    corrupt_layers : iterable of str, optional
        The layers whose bits it changes; all hidden ones where not given.
    loaded : int, optional
        Number of the program image that the executor has already.

    Returns
    -------
    RunResult

    Raises
    ------
    ValueError
        If the executor, data, tables or layers do not fit the program.
    """
    session = _Session(program, executor, tables, progress, collect_layers, loaded)
    session.corrupt_with(corrupt, corrupt_layers)
    values = program.network.check_data(data)
    parts = [session.infer(values[part]) for part in batches(program, len(values), batch)]
    sums = np.concatenate(parts)
    return RunResult(
        predictions=predictions(sums),
        preactivations=sums,
        cycles=sum(session.cycles.values()),
        wait_cycles=session.wait_cycles,
        layer_cycles=session.cycles,
        loads=session.loads,
        layers=session.collected() if collect_layers else None,
    )


class _Session:
    """One run of a program: what is loaded, and what has been counted so far."""

    def __init__(
        self,
        program: Program,
        executor: Executor,
        tables: Sequence[ArrayLike] | NDArray[np.bool_] | None,
        progress: Callable[[int], object],
        collect: bool,
        loaded: int | None,
    ) -> None:
        if executor.geometry != program.geometry:
            raise ValueError(
                f"This network was compiled for a {program.geometry}, but the executor is a "
                f"{executor.geometry}; compile it for that"
            )
        if tables is not None and len(tables) != len(program.images):
            raise ValueError(
                f"This program has {len(program.images)} images, but there are read tables for "
                f"{len(tables)}"
            )
        if tables is not None and not hasattr(executor, "load_table"):
            raise ValueError(
                f"A {type(executor).__name__} cannot load read tables, which carry device errors; "
                f"run them on the golden model or the simulated RTL"
            )
        self.program, self.executor = program, executor
        self._tables, self._progress, self._loaded = tables, progress, loaded
        self._corrupt: Corrupt | None = None
        self._corrupted: set[str] = set()
        self._rows_before = dict.fromkeys((layer.name for layer in program.layers), 0)
        self._kept: list[list[LayerResult]] | None = [] if collect else None
        self.cycles = dict.fromkeys((layer.name for layer in program.layers), 0)
        self.wait_cycles: int | None = None
        self.loads = 0

    def corrupt_with(self, corrupt: Corrupt | None, layers: Iterable[str] | None) -> None:
        """Change the bits of these hidden layers, or of all."""
        hidden = [layer.name for layer in self.program.layers[:-1]]
        names = hidden if layers is None else list(layers)
        unknown = [name for name in names if name not in hidden]
        if unknown:
            raise ValueError(
                f"There is no hidden layer {unknown[0]!r}; there are {', '.join(hidden) or 'none'}"
            )
        self._corrupt = corrupt
        self._corrupted = set(names) if corrupt is not None else set()

    def infer(self, values: NDArray) -> Integers:
        """Class preactivations (batch, classes) of one batch, as the first layer sees it."""
        if self._kept is not None:
            self._kept.append([])
        shapes = self.program.network.shapes()
        for (layer, shape), mapped in zip(shapes, self.program.layers, strict=True):
            rows = layer.rows(values)
            batch, places = rows.shape[:2]
            rows = rows.reshape(batch * places, rows.shape[2])
            hidden = not isinstance(layer, Output)
            corrupt = layer.name in self._corrupted
            need_sums = not hidden or corrupt or self._kept is not None
            bits, sums = self._layer(layer, mapped, rows, hidden, need_sums)
            if corrupt and bits is not None and sums is not None and self._corrupt is not None:
                bits = self._corrupt(layer.name, self._rows_before[layer.name], sums, bits)
            self._rows_before[layer.name] += len(rows)
            if bits is not None and not isinstance(layer, Output):
                voted = majority(bits)
                values = layer.finish(voted.reshape(batch, places, voted.shape[1]), shape)
            if self._kept is not None and sums is not None:
                whole = sums.reshape(batch, places, *sums.shape[1:])
                self._kept[-1].append(LayerResult(layer.name, whole, values if hidden else None))
            if isinstance(layer, Output) and sums is not None:
                return sums[:, 0].astype(np.int64) + layer.offset
        raise AssertionError("a network ends with an output layer")

    def _layer(
        self, layer: Layer, mapped: MappedLayer, rows: NDArray, need_bits: bool, need_sums: bool
    ) -> tuple[Bits | None, NDArray[np.int32] | None]:
        """Output bits and preactivations (rows, votes, neurons) of one layer, those needed."""
        count, inputs = rows.shape
        whole = rows
        if any((feed == inputs).any() for feed in mapped.feeds):  # some rows see the constant
            whole = np.empty((count, inputs + 1), dtype=bool if layer.planes == 1 else np.uint8)
            whole[:, :inputs] = rows
            whole[:, inputs] = (1 << layer.planes) - 1
        shape = (count, layer.votes, layer.matrix.shape[1])
        bits = np.empty(shape, dtype=bool) if need_bits else None
        sums = np.empty(shape, dtype=np.int32) if need_sums else None
        registers: dict[int, NDArray[np.int32]] = {}
        columns = self.program.geometry.columns
        fed, taken = -1, whole
        for item in mapped.runs if count else ():
            self._load(item.image)
            if item.feed != fed:
                fed, taken = item.feed, _take(whole, mapped.feeds[item.feed], taken)
            preload = item.pass_config.start is Start.PRELOAD
            readout = item.readout or (item.last and need_sums)
            before = registers.pop(item.chain) if preload else None
            after: NDArray[np.int32] | None = None
            if not item.last:
                neurons = item.pass_config.neurons(self.program.geometry)
                after = np.empty((count, neurons), dtype=np.int32) if before is None else before
                registers[item.chain] = after
            for part in calls(count):
                start = None if before is None else before[part]
                result = self.executor.run(item.pass_config, taken[part], readout, start)
                self.cycles[layer.name] += result.cycles
                if result.wait_cycles is not None:
                    self.wait_cycles = (self.wait_cycles or 0) + result.wait_cycles
                if after is not None and result.preactivations is not None:
                    np.negative(result.preactivations, out=after[part])
                if item.last:
                    for target in item.targets:
                        first = target.bank * columns
                        here = slice(first, first + target.neurons)
                        there = slice(target.first, target.first + target.neurons)
                        if bits is not None:
                            bits[part, target.vote, there] = result.outputs[:, here]
                        if sums is not None and result.preactivations is not None:
                            sums[part, target.vote, there] = result.preactivations[:, here]
                self._progress(part.stop - part.start)
        return bits, sums

    def _load(self, image: int) -> None:
        """Put an image on the chip, unless it is there."""
        if image == self._loaded:
            return
        executor: Any = self.executor
        if self._tables is not None:
            executor.load_table(self._tables[image])
        else:
            load = getattr(executor, "load_backdoor", executor.load)
            load(self.program.images[image])
        self._loaded = image
        self.loads += 1

    def collected(self) -> tuple[LayerResult, ...]:
        """Results of all batches after each other."""
        layers = []
        for parts in zip(*(self._kept or []), strict=True):
            sums = np.concatenate([part.preactivations for part in parts])
            bits = [part.outputs for part in parts if part.outputs is not None]
            layers.append(LayerResult(parts[0].name, sums, np.concatenate(bits) if bits else None))
        return tuple(layers)


def _take(
    rows: NDArray[np.uint8], feed: NDArray[np.int32], before: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Inputs of a pass (batch, inputs) of rows whose last column is the constant.

    Neighbours are copied together, or not at all where the pass takes nothing else. What the pass
    before took is overwritten where it has the shape.
    """
    constant = rows.shape[1] - 1
    fixed = feed == constant
    joined = np.where(fixed[1:], fixed[:-1], np.diff(feed) == 1)
    edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(feed)]
    if len(edges) == 2 and not fixed[0]:
        return rows[:, feed[0] : feed[0] + len(feed)]
    shape = (len(rows), len(feed))
    fresh = before.base is not None or before is rows or before.shape != shape
    taken = np.empty(shape, dtype=rows.dtype) if fresh else before
    for first, end in zip(edges[:-1], edges[1:], strict=True):
        number = int(feed[first])
        ends = constant + 1 if fixed[first] else number + end - first
        taken[:, first:end] = rows[:, number:ends]  # the constant, one column wide, is repeated
    return taken
