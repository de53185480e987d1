"""From a network to program images: which bit goes into which cell, and which passes run it.

Every sum is made by the chip's registers. A layer is cut into tiles, and a tile is placed in some
macros of one bank of one program image:

- majority votes, the published mapping: a tile is one block of inputs with its own thresholds and
  as many neurons as there are columns, in one macro; a pass enables one macro in each bank.
- exact sums: a tile is one chunk of inputs and as many neurons as there are columns, in macros of
  one bank. The first chunk holds the thresholds, spread evenly over its macros; each further chunk
  goes on from the registers read out before, preloaded. Several planes and one chunk are one pass;
  with several chunks all of them count the top plane, then the first chunk's pass of the next plane
  shifts the thresholds' next bit in, and so on.

Rows that hold no input see a constant 1 in every plane: with weight 0 they add nothing, and with
weight 1 they make up for a threshold of -1.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from behavioral_models.files import write_whole
from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import Configuration, PassConfig, Start
from networks import npz
from networks.form import Convolution, Layer, Network, Output, blocks_of
from networks.transforms import lower

__all__ = ["MappedLayer", "MappingError", "Program", "Run", "Target", "compile"]

Bits = NDArray[np.bool_]


class MappingError(ValueError):
    """A network that does not fit a chip: the message names the layer and says why."""


class Target(NamedTuple):
    """Where the neurons of one bank of a run belong: so many, from column 0 on.

    `bank` counts the enabled banks of the run from 0; `vote` and `first` name the block and the
    first neuron of the layer.
    """

    bank: int
    vote: int
    first: int
    neurons: int


@dataclass(frozen=True)
class Run:
    """One pass of a layer on one program image.

    Attributes
    ----------
    image : int
        Program image that must be loaded.
    pass_config : PassConfig
    feed : int
        Number of the layer's feed that says which inputs the pass takes.
    chain : int
        Runs of the same chain add to the same sums: those that start from a preload take the
        registers that the one before read out.
    readout : bool
        Whether the registers are needed afterwards.
    targets : tuple of Target
        Where the results belong, one an enabled bank; the last run of a chain has them last.
    last : bool
        Whether the sums are complete.
    """

    image: int
    pass_config: PassConfig
    feed: int
    chain: int
    readout: bool
    targets: tuple[Target, ...]
    last: bool = True


@dataclass(frozen=True, eq=False)
class MappedLayer:
    """A layer as passes.

    Attributes
    ----------
    name : str
    feeds : tuple of int array (inputs of a pass,)
        For each input of a pass, which input of the layer it is; the number after the last one is a
        constant, ones in all planes.
    stages : tuple of tuple of Run
        The runs of a stage do not depend on each other; those of the next may. Runs on the same
        image stand together.
    parts : int
        Blocks of a majority vote, or chunks that exact sums are chained over.
    tiles : int
    """

    name: str
    feeds: tuple[NDArray[np.int32], ...]
    stages: tuple[tuple[Run, ...], ...]
    parts: int
    tiles: int

    @property
    def runs(self) -> Iterator[Run]:
        """All runs in order."""
        return (run for stage in self.stages for run in stage)

    @property
    def images(self) -> tuple[int, ...]:
        """Numbers of the program images it uses."""
        return tuple(sorted({run.image for run in self.runs}))


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network: program images, and the passes that make a network of them.

    Attributes
    ----------
    geometry : ChipGeometry
    network : Network
        As lowered for the chip; it gives the same answers as the network that was compiled.
    images : bool array (image, macro, row, column)
    layers : tuple of MappedLayer
        In the order of the network's.
    """

    geometry: ChipGeometry
    network: Network
    images: Bits
    layers: tuple[MappedLayer, ...]

    def __post_init__(self) -> None:
        for array in (self.images, *(feed for layer in self.layers for feed in layer.feeds)):
            array.flags.writeable = False

    @property
    def places(self) -> list[int]:
        """Applications of each layer in one inference: a convolution's positions, or 1."""
        return [
            int(np.prod(layer.positions(shape))) if isinstance(layer, Convolution) else 1
            for layer, shape in self.network.shapes()
        ]

    @property
    def passes(self) -> int:
        """Passes of one inference."""
        counts = (len(list(layer.runs)) for layer in self.layers)
        return sum(runs * places for runs, places in zip(counts, self.places, strict=True))

    def as_arrays(self) -> dict[str, NDArray]:
        """All of it as arrays, bits packed, and one of characters with the rest as JSON."""
        arrays: dict[str, NDArray] = {"images": np.packbits(self.images)}
        for name, array in npz.as_arrays(self.network).items():
            arrays[_NETWORK + name] = array
        for number, mapped in enumerate(self.layers):
            for index, feed in enumerate(mapped.feeds):
                arrays[f"feed_{number}_{index}"] = feed
        facts = {
            "kind": _KIND,
            "geometry": self.geometry.as_dict(),
            "images": len(self.images),
            "layers": [_mapped_facts(mapped) for mapped in self.layers],
        }
        arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        return arrays

    def save(self, path: str | Path) -> None:
        """Write the program to a .npz file, whole or not at all."""
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, **self.as_arrays())
        write_whole(Path(path), content.getvalue())

    @staticmethod
    def is_one(path: str | Path) -> bool:
        """Whether a file is a program that `save` wrote, of this version or another."""
        try:
            with np.load(Path(path), allow_pickle=False) as archive:
                kind = json.loads(archive["facts"].tobytes())["kind"]
        except (OSError, *_DAMAGE, zipfile.BadZipFile):
            return False
        return isinstance(kind, str) and kind.startswith(_KIND[:-1])

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a program that `save` wrote.

        Raises
        ------
        ValueError
            If the file is something else, damaged, or of another version: one sentence names it.
        OSError
            If it cannot be read.
        """
        path = Path(path)
        with path.open("rb"):  # a file that is not there is another matter
            pass
        if not cls.is_one(path):
            raise ValueError(f"{path.name} is not a compiled network")
        arrays = npz.read_arrays(path)
        try:
            return _program(arrays)
        except _DAMAGE as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path.name}: this compiled network is damaged: {said}") from None


# Files

#: What a file says it is; its last character is the version.
_KIND = "heliobit program 2"
#: What stands before the names of the network's own arrays.
_NETWORK = "network/"
#: What reading damaged facts raises.
_DAMAGE = (LookupError, TypeError, AttributeError, ValueError, EOFError, OverflowError, zlib.error)


def _program(arrays: dict[str, NDArray]) -> Program:
    """A program of its file's arrays; one of `_DAMAGE` if they are not as `as_arrays` made them."""
    facts = json.loads(arrays["facts"].tobytes())
    if facts["kind"] != _KIND:
        raise ValueError(f"it is a '{facts['kind']}', but '{_KIND}' is read here; compile it again")
    unknown = set(facts["geometry"]) - {item.name for item in fields(ChipGeometry)}
    if unknown:
        raise ValueError(f"a geometry has no {min(unknown)}")
    geometry = ChipGeometry(**facts["geometry"])
    own = {
        name.removeprefix(_NETWORK): array
        for name, array in arrays.items()
        if name.startswith(_NETWORK)
    }
    network = npz.from_arrays(own, "its network")
    shape = (int(facts["images"]), *geometry.image_shape)
    bits = math.prod(shape)
    packed = arrays["images"]
    if shape[0] < 1 or packed.dtype != np.uint8 or packed.shape != (-(-bits // 8),):
        raise ValueError(
            f"{shape[0]} images of it are {-(-bits // 8)} bytes, not {packed.dtype} of shape "
            f"{packed.shape}"
        )
    images = np.unpackbits(packed, count=bits).astype(bool).reshape(shape)
    layers = []
    for number, (layer, said) in enumerate(zip(network.layers, facts["layers"], strict=True)):
        feeds = tuple(arrays[f"feed_{number}_{index}"] for index in range(said["feeds"]))
        mapped = _mapped(layer.name, said, feeds)
        _check_mapped(mapped, layer, geometry, shape[0])
        layers.append(mapped)
    return Program(geometry, network, images, tuple(layers))


def _check_mapped(mapped: MappedLayer, layer: Layer, geometry: ChipGeometry, images: int) -> None:
    """Raise ValueError if passes of a file are not those of its layer, feeds, images and chip."""
    inputs, neurons = layer.matrix.shape
    for feed in mapped.feeds:
        if feed.dtype.kind not in "iu" or feed.ndim != 1 or not len(feed):
            raise ValueError(f"{mapped.name}: a feed is {feed.dtype} of shape {feed.shape}")
        if not 0 <= feed.min() <= feed.max() <= inputs:
            raise ValueError(f"{mapped.name}: a feed names inputs that the layer does not have")
    open_chains: dict[int, int] = {}  # to the neurons they go on with
    covered = np.zeros((layer.votes, neurons), dtype=int)
    for run in mapped.runs:
        config = run.pass_config
        numbers = [run.image, run.feed, run.chain, config.weight_rows, config.threshold_rows]
        numbers += [number for target in run.targets for number in target]
        if not all(isinstance(number, int) for number in numbers):
            raise ValueError(f"{mapped.name}: a pass has a number that is none")
        config.check(geometry)
        if config.planes != layer.planes:
            raise ValueError(f"{mapped.name}: a pass counts other planes than the layer has")
        banks = len(config.enabled_banks(geometry))
        if not 0 <= run.image < images or not 0 <= run.feed < len(mapped.feeds):
            raise ValueError(f"{mapped.name}: a pass names an image or a feed that is not there")
        if len(mapped.feeds[run.feed]) != config.inputs(geometry):
            raise ValueError(
                f"{mapped.name}: a pass takes {config.inputs(geometry)} inputs, but its feed has "
                f"{len(mapped.feeds[run.feed])}"
            )
        held = open_chains.get(run.chain)
        goes_on = config.start is Start.PRELOAD
        if goes_on != (held is not None) or (goes_on and held != config.neurons(geometry)):
            raise ValueError(f"{mapped.name}: chain {run.chain} is not one of passes in order")
        open_chains[run.chain] = config.neurons(geometry)
        if not run.last:
            if not run.readout:
                raise ValueError(f"{mapped.name}: chain {run.chain} goes on without a readout")
            continue
        del open_chains[run.chain]
        for target in run.targets:
            last = target.first + target.neurons
            if not (0 <= target.bank < banks and 0 <= target.vote < layer.votes
                    and 0 <= target.first < last <= neurons
                    and target.neurons <= geometry.columns):  # fmt: skip
                raise ValueError(f"{mapped.name}: {target} is not a place in it")
            covered[target.vote, target.first : last] += 1
    if open_chains or (covered != 1).any():
        raise ValueError(f"{mapped.name}: not every neuron is counted once")


def _mapped_facts(mapped: MappedLayer) -> dict[str, Any]:
    """A mapped layer for JSON; pass settings, of which there are few, once each."""
    configs = list(dict.fromkeys(replace(run.pass_config, macros=None) for run in mapped.runs))
    numbers = {config: number for number, config in enumerate(configs)}
    stages = [
        [
            [
                run.image,
                numbers[replace(run.pass_config, macros=None)],
                run.pass_config.macros,
                run.feed,
                run.chain,
                int(run.readout),
                run.targets,
                int(run.last),
            ]
            for run in stage
        ]
        for stage in mapped.stages
    ]
    return {
        "feeds": len(mapped.feeds),
        "parts": mapped.parts,
        "tiles": mapped.tiles,
        "passes": [
            {**vars(c), "configuration": c.configuration.value, "start": c.start.value}
            for c in configs
        ],
        "stages": stages,
    }


def _mapped(name: str, facts: dict[str, Any], feeds: tuple[NDArray, ...]) -> MappedLayer:
    configs = [PassConfig(**settings) for settings in facts["passes"]]
    stages = []
    for stage in facts["stages"]:
        runs = []
        for image, config, macros, feed, chain, readout, targets, last in stage:
            where = tuple(Target(*target) for target in targets)
            settings = replace(configs[config], macros=tuple(macros))
            runs.append(Run(image, settings, feed, chain, bool(readout), where, bool(last)))
        stages.append(tuple(runs))
    return MappedLayer(name, feeds, tuple(stages), facts["parts"], facts["tiles"])


# Placing


class _Images:
    """Program images that fill up, tile by tile."""

    def __init__(self, geometry: ChipGeometry) -> None:
        self._geometry = geometry
        self._shape = (geometry.banks, geometry.macros_per_bank)
        self.bits: list[Bits] = []
        self._free: dict[int, Bits] = {}  # (bank, macro) of images that have any free

    def place(self, banks: int, macros: int, apart: bool) -> tuple[int, list[tuple[int, int]]]:
        """Take neighbouring macros in each of several banks of one image.

        The same ones in each bank or, with `apart`, others in each bank if they are free, so that
        the banks of a pass can share one set of inputs.

        Returns (image, (bank, number of its first macro within it) for each bank): where they are
        free, or in a new image.
        """
        for image in [*self._free, None]:
            if image is None:
                image = len(self.bits)
                self.bits.append(np.zeros(self._geometry.image_shape, dtype=bool))
                self._free[image] = np.ones(self._shape, dtype=bool)
            free = self._free[image]
            found = self._apart(free, banks, macros) if apart else []
            found = found or self._alike(free, banks, macros)
            if found:
                for bank, first in found:
                    free[bank, first : first + macros] = False
                if not free.any():
                    del self._free[image]
                return image, found
        raise AssertionError("a new image is free")

    def _alike(self, free: Bits, banks: int, macros: int) -> list[tuple[int, int]]:
        for first in range(self._shape[1] - macros + 1):
            where = np.flatnonzero(free[:, first : first + macros].all(axis=1))[:banks]
            if len(where) == banks:
                return [(int(bank), first) for bank in where]
        return []

    def _apart(self, free: Bits, banks: int, macros: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        free = free.copy()
        for bank in range(self._shape[0]):
            for first in range(self._shape[1] - macros + 1):
                if free[bank, first : first + macros].all():
                    found.append((bank, first))
                    free[:, first : first + macros] = False  # for this pass
                    break
            if len(found) == banks:
                return found
        return []


@dataclass(frozen=True)
class _Tile:
    """Inputs (numbers of the layer's, the constant among them) and neurons of one tile."""

    inputs: NDArray[np.int64]
    weights: Bits  # (inputs, neurons)
    thresholds: NDArray[np.int64] | None  # (neurons,); None where another tile has them
    target: Target


class _LayerBuilder:
    """Places the tiles of one layer and collects its runs."""

    def __init__(self, geometry: ChipGeometry, layer: Layer, images: _Images) -> None:
        self.geometry, self.layer, self.images = geometry, layer, images
        self.constant = len(layer.matrix)  # number of the constant input
        self.feeds: list[NDArray[np.int32]] = []
        self._known_feeds: dict[bytes, int] = {}
        self.tiles = 0

    def place(self, tiles: list[_Tile], macros: int, w: int, t: int) -> _Placed:
        """Write tiles that run at once into one image, each in a bank of its own."""
        geometry = self.geometry
        apart = any(not np.array_equal(tile.inputs, tiles[0].inputs) for tile in tiles)
        image, where = self.images.place(len(tiles), macros, apart)
        bits = self.images.bits[image]
        feeds = np.full((len(tiles), geometry.macros_per_bank * w), self.constant, dtype=np.int32)
        used = np.zeros(feeds.shape, dtype=bool)
        enabled: list[int] = []
        for number, ((bank, first), tile) in enumerate(zip(where, tiles, strict=True)):
            count, neurons = tile.weights.shape
            numbers = [bank * geometry.macros_per_bank + first + i for i in range(macros)]
            rows = np.zeros((macros * w, neurons), dtype=bool)
            rows[:count] = tile.weights
            bits[numbers, :w, :neurons] = rows.reshape(macros, w, neurons)
            if tile.thresholds is not None:
                share = _spread(tile.thresholds, macros)  # (macro, neuron)
                places = np.arange(t - 1, -1, -1)[:, None]
                bits[numbers, w : w + t, :neurons] = share[:, None, :] >> places & 1
            feeds[number, first * w : first * w + count] = tile.inputs
            used[number, first * w : (first + macros) * w] = True
            enabled += numbers
        self.tiles += len(tiles)
        configuration, feed = Configuration.SINGLE_LAYER, feeds[0]
        for more, taken in zip(feeds, used, strict=True):
            feed = np.where(taken, more, feed)
        if (np.where(used, feeds, feed) != feed).any():  # two banks want other inputs in one place
            configuration = Configuration.TWO_LAYER
            whole = np.full((geometry.banks, feeds.shape[1]), self.constant, dtype=np.int32)
            whole[[bank for bank, _ in where]] = feeds
            feed = whole.ravel()
        targets = tuple(tile.target._replace(bank=number) for number, tile in enumerate(tiles))
        return _Placed(image, configuration, tuple(enabled), self._feed(feed), targets)

    def _feed(self, inputs: NDArray[np.int32]) -> int:
        key = inputs.tobytes()
        if key not in self._known_feeds:
            self._known_feeds[key] = len(self.feeds)
            self.feeds.append(inputs.copy())
        return self._known_feeds[key]

    def done(self, stages: list[list[Run]], parts: int) -> MappedLayer:
        """Order the runs of each stage by image, starting with what the last stage ended with."""
        ordered = []
        last = -1
        for stage in stages:
            runs = sorted(stage, key=lambda run: (run.image != last, run.image))
            last = runs[-1].image
            ordered.append(tuple(runs))
        return MappedLayer(self.layer.name, tuple(self.feeds), tuple(ordered), parts, self.tiles)


class _Placed(NamedTuple):
    image: int
    configuration: Configuration
    macros: tuple[int, ...]
    feed: int
    targets: tuple[Target, ...]


def _spread(thresholds: NDArray[np.int64], macros: int) -> NDArray[np.int64]:
    """Cut thresholds (neurons,) into numbers (macro, neuron) as even as can be."""
    return (thresholds + np.arange(macros - 1, -1, -1)[:, None]) // macros


def _groups(neurons: int, columns: int) -> list[slice]:
    return [slice(first, min(first + columns, neurons)) for first in range(0, neurons, columns)]


def _bundles(tiles: list[_Tile], banks: int) -> list[list[_Tile]]:
    return [tiles[first : first + banks] for first in range(0, len(tiles), banks)]


# Compiling


def compile(network: Network, geometry: ChipGeometry, weight_rows: int | None = None) -> Program:
    """Map a network to program images and passes of a chip of any geometry.

    Layers with several votes take the published mapping, all others exact sums. The network is
    lowered first (`networks.transforms.lower`).

    Parameters
    ----------
    network : Network
    geometry : ChipGeometry
    weight_rows : int, optional
        Use at most so many weight rows of a macro (published: 58); as many as fit where not given.

    Raises
    ------
    MappingError
        If a layer does not fit the chip; the message names it and says what to do.
    """
    if weight_rows is not None and not 1 <= weight_rows < geometry.rows + 1:
        raise MappingError(
            f"A macro of {geometry.rows} rows has 1 to {geometry.rows} weight rows, "
            f"not {weight_rows!r}"
        )
    network = lower(network)
    images = _Images(geometry)
    most = weight_rows or geometry.rows
    layers = []
    for layer in network.layers:
        if layer.planes > geometry.max_planes:
            raise MappingError(
                f"{layer.name}: this chip counts inputs of at most {geometry.max_planes} planes, "
                f"not {layer.planes}; keep fewer (networks.transforms.keep_planes), or take a chip "
                f"with a larger max_planes"
            )
        build = _LayerBuilder(geometry, layer, images)
        layers.append(_blocks(build, most) if layer.votes > 1 else _chained(build, most))
    return Program(geometry, network, np.stack(images.bits), tuple(layers))


def _blocks(build: _LayerBuilder, most: int) -> MappedLayer:
    """The published mapping: a macro a block."""
    layer, geometry, k = build.layer, build.geometry, build.layer.planes
    always = layer.thresholds < 0
    thresholds = np.where(always, 0, layer.thresholds)
    sizes = [part.stop - part.start for part in layer.blocks]
    # a row of constant 1 adds 2^k - 1 where T is 0 in place of -1
    spare: Bits = np.asarray(always.any(axis=1))
    t = max(int(thresholds.max()).bit_length(), k - 1)
    w = max(size + int(extra) for size, extra in zip(sizes, spare, strict=True))
    room = min(most, geometry.rows - t)
    if max(sizes) > room:
        why = (
            f"{most} weight rows that a macro may use (weight_rows); allow more, or"
            if most < geometry.rows - t
            else f"{max(room, 0)} weight rows that {t} threshold rows leave in a macro;"
        )
        raise MappingError(
            f"{layer.name}: a block of {max(sizes)} inputs does not fit the {why} cut the layer "
            f"into more blocks"
        )
    if w > room:
        block = next(b for b, size in enumerate(sizes) if spare[b] and size + 1 > room)
        raise MappingError(
            f"{layer.name}: block {block} of neuron {int(np.argmax(always[block]))} always fires, "
            f"which takes a weight row of its own, but its {sizes[block]} inputs take all "
            f"{room}; raise its threshold from -1, or cut the layer into more blocks"
        )
    config = PassConfig(weight_rows=w, threshold_rows=t, planes=k, macros=(0,))
    try:
        config.check(geometry)
    except ValueError as error:
        raise MappingError(f"{layer.name}: a block does not fit this chip. {error}") from None
    tiles = []
    for vote, part in enumerate(layer.blocks):
        inputs = np.arange(part.start, part.stop)
        weights = layer.matrix[part]
        if spare[vote]:
            inputs = np.append(inputs, build.constant)
            weights = np.vstack([weights, always[vote]])
        for group in _groups(layer.matrix.shape[1], geometry.columns):
            target = Target(0, vote, group.start, group.stop - group.start)
            tiles.append(_Tile(inputs, weights[:, group], thresholds[vote, group], target))
    runs = []
    for chain, bundle in enumerate(_bundles(tiles, geometry.banks)):
        placed = build.place(bundle, 1, w, t)
        settings = replace(config, configuration=placed.configuration, macros=placed.macros)
        runs.append(Run(placed.image, settings, placed.feed, chain, False, placed.targets))
    return build.done([runs], layer.votes)


class _Chunk(NamedTuple):
    """Size and shape of a chunk of an exact layer's inputs."""

    size: int
    macros: int
    weight_rows: int
    threshold_rows: int


def _chained(build: _LayerBuilder, most: int) -> MappedLayer:
    """Exact sums: a bank a chunk, registers preloaded from chunk to chunk."""
    layer, geometry, k = build.layer, build.geometry, build.layer.planes
    always = layer.thresholds[0] < 0
    thresholds = np.where(always, 0, layer.thresholds[0])
    inputs = np.arange(build.constant)
    weights = layer.matrix
    if always.any():
        inputs = np.append(inputs, build.constant)
        weights = np.vstack([weights, always])
    half = 1 << geometry.register_width - 1
    largest = len(inputs) * ((1 << k) - 1)
    highest = int(thresholds.max())
    if largest > half or highest >= half:
        said = f"sums up to {half}, not {largest}"
        if largest <= half:
            said = f"thresholds up to {half - 1}, not {highest}"
        raise MappingError(
            f"{layer.name}: registers of {geometry.register_width} bits hold {said}; take a chip "
            f"with a larger max_inputs or max_planes, keep fewer planes, or train a smaller layer, "
            f"or a majority vote"
        )
    chunks, whole = _cut(layer, geometry, len(inputs), int(thresholds.max()), most)
    edges = np.cumsum([0, *(chunk.size for chunk in chunks)])
    placed = []  # [chunk][bundle]
    for number, chunk in enumerate(chunks):
        part = slice(edges[number], edges[number + 1])
        tiles = []
        for group in _groups(weights.shape[1], geometry.columns):
            target = Target(0, 0, group.start, group.stop - group.start)
            levels = thresholds[group] if number == 0 else None
            tiles.append(_Tile(inputs[part], weights[part, group], levels, target))
        placed.append(
            [build.place(bundle, *chunk[1:]) for bundle in _bundles(tiles, geometry.banks)]
        )
    stages = []
    for top in [k - 1] if whole else range(k - 1, -1, -1):
        for number, chunk in enumerate(chunks):
            first = number == 0 and top == k - 1
            bottom = 0 if whole else top
            last = number == len(chunks) - 1 and bottom == 0
            config = _config(chunk, k, top, bottom, first, number == 0 and not first)
            stages.append([
                Run(
                    where.image,
                    replace(config, configuration=where.configuration, macros=where.macros),
                    where.feed,
                    chain,
                    not last or isinstance(layer, Output),
                    where.targets,
                    last,
                )
                for chain, where in enumerate(placed[number])
            ])  # fmt: skip
    return build.done(stages, len(chunks))


def _config(chunk: _Chunk, k: int, top: int, bottom: int, first: bool, shift: bool) -> PassConfig:
    """Pass that counts planes `top` to `bottom` of a chunk."""
    return PassConfig(
        weight_rows=chunk.weight_rows,
        threshold_rows=chunk.threshold_rows,
        planes=k,
        macros=tuple(range(chunk.macros)),
        start=Start.THRESHOLDS if first else Start.PRELOAD,
        top_plane=top,
        bottom_plane=bottom,
        begin_with_shift=shift,
    )


def _cut(
    layer: Layer, geometry: ChipGeometry, count: int, threshold: int, most: int
) -> tuple[list[_Chunk], bool]:
    """Cut an exact layer's inputs into chunks; whether one pass counts all planes of the only one.

    The first chunk has threshold rows, the others as few as a pass may have. There are as few
    chunks as can be: as even as can be, unless full ones and a rest take fewer macros.
    """
    k = layer.planes
    whole = _fit(geometry, count, k, threshold, most, True)
    if whole is not None:
        return [whole], True
    first = _capacity(geometry, k, threshold, most)
    if first < 1:
        t = threshold.bit_length()
        raise MappingError(
            f"{layer.name}: a threshold of {threshold} ({t} bits) leaves no weight row in macros "
            f"of {geometry.rows} rows; take a chip with more rows or more macros in a bank"
        )
    others = _capacity(geometry, k, None, most)
    further = max(0, -(-(count - first) // others))
    even = min(first, -(-count // (1 + further)))
    full = min(first, count)
    rest = count - full - others * (further - 1)
    cuts = [[even], [full]]
    if further:
        cuts[0] += [part.stop - part.start for part in blocks_of(count - even, further)]
        cuts[1] += [*[others] * (further - 1), rest]

    def shapes(sizes: list[int]) -> Iterator[_Chunk]:
        for number, size in enumerate(sizes):
            chunk = _fit(geometry, size, k, threshold if number == 0 else None, most)
            assert chunk is not None  # it is no more than the capacity
            yield chunk

    def banks(chunks: list[_Chunk]) -> float:
        return sum(1 / (geometry.macros_per_bank // chunk.macros) for chunk in chunks)

    return min((list(shapes(sizes)) for sizes in cuts), key=banks), False


def _shape(
    geometry: ChipGeometry, macros: int, size: int, k: int, threshold: int | None, whole: bool
) -> _Chunk | None:
    """A chunk of so many inputs in so many macros, with thresholds or not; None if it cannot be.

    Threshold rows hold the threshold spread over the macros, and are at least k - 1, as of any
    pass. `whole` says whether a pass counts all planes, or one at a time.
    """
    share = 0 if threshold is None else -(-threshold // macros)
    t = max(share.bit_length(), k - 1)
    chunk = _Chunk(size, macros, -(-size // macros), t)
    bottom = 0 if whole else k - 1
    config = _config(chunk, k, k - 1, bottom, threshold is not None, False)
    try:
        config.check(geometry)
    except ValueError:
        return None
    return chunk


def _capacity(geometry: ChipGeometry, k: int, threshold: int | None, most: int) -> int:
    """Most inputs of a chunk that is counted plane by plane."""
    half = 1 << geometry.register_width - 1
    largest = 0
    for macros in range(1, geometry.macros_per_bank + 1):
        for w in range(min(most, geometry.rows, half // macros), 0, -1):
            if _shape(geometry, macros, macros * w, k, threshold, False) is not None:
                largest = max(largest, macros * w)
                break
    return largest


def _fit(
    geometry: ChipGeometry, size: int, k: int, threshold: int | None, most: int, whole: bool = False
) -> _Chunk | None:
    """Shape of a chunk of so many inputs, or None if there is none.

    As many tiles fit a bank as can be, and each takes an even share of its macros: few rows a pass.
    """
    all_macros = range(1, geometry.macros_per_bank + 1)
    shapes = [_shape(geometry, macros, size, k, threshold, whole) for macros in all_macros]
    fitting = [chunk for chunk in shapes if chunk is not None and chunk.weight_rows <= most]
    if not fitting:
        return None
    share = geometry.macros_per_bank // (geometry.macros_per_bank // fitting[0].macros)
    return max(chunk for chunk in fitting if chunk.macros <= share)
