"""What running a compiled network takes: cycles, programming, transfers, and energy.

Everything is counted from the program's own passes (`PassConfig.cycles` is the truth about cycles),
as `networks.runtime.run` runs them: tile-major, image after image.

A cost table is a TOML file whose numbers are `{ value, source, note }`; `source` is one of

- `cited`: published; the note says where;
- `inferred`: arithmetic on published figures, which the note gives;
- `measured`: by whoever wrote the file; the note says how;
- `none`: nobody gives it, and the value is 0.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from behavioral_models.constants import CLOCK_HZ
from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import PassConfig, Start
from behavioral_models.protocol import default_timing, input_bytes
from networks.form import Convolution, Layer, Output
from networks.mapping import MappedLayer, Program
from networks.runtime import batches, calls

__all__ = ["Costs", "Energy", "LayerSchedule", "Schedule", "energy", "plan"]

#: Folder of the project's own cost tables.
FOLDER = Path(__file__).parent / "costs"

#: What a number's `source` may be.
SOURCES = ("cited", "inferred", "measured", "none")


@dataclass(frozen=True)
class LayerSchedule:
    """One layer; all but `cycles` and `parallel_cycles` for one inference.

    Attributes
    ----------
    name : str
    mapping : str
        'majority' or 'chained'.
    inputs, neurons, planes, votes : int
        Of one application.
    places : int
        Applications: a convolution's positions, or 1.
    parts : int
        Blocks of a majority vote, or chunks that exact sums are chained over.
    tiles, images : int
        Tiles, and program images that hold any of them.
    passes, row_operations : int
        Passes, and the row operations in them.
    macro_row_operations : int
        Rows sensed, each macro counted.
    cycles : int
        Clock cycles of all inferences, one pass after the other.
    parallel_cycles : int
        The same where several chips run at once.
    input_bytes, preload_bytes, output_bytes, readout_bytes : int
        Bytes into the chip, and out of it.
    macs : int
        XNOR-and-count bits that the layer needs; each sensed bit cell could be one.
    sensed_cells : int
    weights : int
        Weight bits stored.
    vote_operations, pool_operations, argmax_operations : int
        Bits voted on, bits pooled, classes compared by the host.
    """

    name: str
    mapping: str
    inputs: int
    neurons: int
    planes: int
    votes: int
    places: int
    parts: int
    tiles: int
    images: int
    passes: int
    row_operations: int
    macro_row_operations: int
    cycles: int
    parallel_cycles: int
    input_bytes: int
    preload_bytes: int
    output_bytes: int
    readout_bytes: int
    macs: int
    sensed_cells: int
    weights: int
    vote_operations: int
    pool_operations: int
    argmax_operations: int

    @property
    def transfer_bytes(self) -> int:
        """Bytes into and out of the chip."""
        return self.input_bytes + self.preload_bytes + self.output_bytes + self.readout_bytes

    @property
    def host_operations(self) -> int:
        """Operations of the host."""
        return self.vote_operations + self.pool_operations + self.argmax_operations


@dataclass(frozen=True)
class Schedule:
    """A plan for a batch of inferences on some chips.

    Attributes
    ----------
    geometry : ChipGeometry
    chips : int
        How many; image i goes to chip i modulo `chips`.
    inferences : int
    clock_hz : float
    read_timing : int
        Clock cycles a row.
    images : int
        Program images. No more than chips: each stays programmed.
    layers : tuple of LayerSchedule
    programmings : int
        Times an image is programmed for all inferences, the first times included.
    programmed_rows : int
        Rows of macros in them: each programs all rows of a chip.
    programming_s : float
        Time they take, one after the other, with the published pulses.
    time_s : float
        Time until all is done: the chips work and are programmed at once, stage by stage.
    """

    geometry: ChipGeometry
    chips: int
    inferences: int
    clock_hz: float
    read_timing: int
    images: int
    layers: tuple[LayerSchedule, ...]
    programmings: int
    programmed_rows: int
    programming_s: float
    time_s: float

    def total(self, what: str) -> int:
        """Sum of an attribute of all layers."""
        return sum(getattr(layer, what) for layer in self.layers)

    @property
    def resident(self) -> bool:
        """Whether every image stays on a chip of its own."""
        return self.images <= self.chips

    @property
    def cycles_per_inference(self) -> float:
        """Clock cycles, one pass after the other."""
        return self.total("cycles") / self.inferences

    @property
    def parallel_cycles_per_inference(self) -> float:
        """Clock cycles where all chips work at once."""
        return self.total("parallel_cycles") / self.inferences

    @property
    def stored_share(self) -> float:
        """Part of the images' bit cells that hold weights."""
        return self.total("weights") / (self.images * self.geometry.memristors // 2)

    @property
    def useful_share(self) -> float:
        """Part of the sensed bit cells that are MACs of the network."""
        return self.total("macs") / self.total("sensed_cells")

    @property
    def programmed_memristors(self) -> int:
        """Memristors of all programmings."""
        return 2 * self.programmed_rows * self.geometry.columns

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, for JSON."""
        figures = asdict(self)
        for layer, own in zip(figures["layers"], self.layers, strict=True):
            layer["transfer_bytes"] = own.transfer_bytes
            layer["host_operations"] = own.host_operations
        summed = [item.name for item in fields(LayerSchedule)][10:]  # from `passes` on
        figures["layers"] = list(figures["layers"])
        figures["total"] = {
            name: self.total(name) for name in (*summed, "transfer_bytes", "host_operations")
        }
        for name in (
            "resident",
            "cycles_per_inference",
            "parallel_cycles_per_inference",
            "stored_share",
            "useful_share",
            "programmed_memristors",
        ):
            figures[name] = getattr(self, name)
        return figures

    def as_text(self) -> str:
        """A table, and what holds for all layers."""
        heads = "layer mapping shape planes parts tiles images passes rows cycles parallel bytes"
        lines: list[tuple[str, ...]] = [(*heads.split(), "useful", "host")]
        for layer in self.layers:
            lines.append((
                layer.name,
                layer.mapping,
                f"{layer.inputs} x {layer.neurons}"
                + (f" x {layer.places}" if layer.places > 1 else ""),
                *map(str, (layer.planes, layer.parts, layer.tiles, layer.images)),
                f"{layer.passes:,}",
                f"{layer.row_operations:,}",
                f"{layer.cycles / self.inferences:,.1f}",
                f"{layer.parallel_cycles / self.inferences:,.1f}",
                f"{layer.transfer_bytes:,}",
                f"{layer.macs / layer.sensed_cells:.0%}",
                f"{layer.host_operations:,}",
            ))  # fmt: skip
        lines.append((
            "all", "", "", "", "", str(self.total("tiles")), str(self.images),
            f"{self.total('passes'):,}", f"{self.total('row_operations'):,}",
            f"{self.cycles_per_inference:,.1f}", f"{self.parallel_cycles_per_inference:,.1f}",
            f"{self.total('transfer_bytes'):,}", f"{self.useful_share:.0%}",
            f"{self.total('host_operations'):,}",
        ))  # fmt: skip
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        table = [
            "  ".join(
                cell.ljust(width) if column < 3 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        stays = "each stays programmed" if self.resident else "swapped in turn"
        table += [
            "",
            f"figures per inference, of {self.inferences:,}, at {self.clock_hz / 1e6:g} MHz and "
            f"{self.read_timing} cycles a row",
            f"{_count(self.images, 'image')} on {_count(self.chips, 'chip')} ({stays}): "
            f"{_count(self.programmings, 'programming')}, {self.programmed_rows:,} rows, "
            f"{self.programming_s:.3g} s",
            f"all inferences: {self.time_s:.3g} s, programming included; "
            f"{self.stored_share:.0%} of the bit cells hold weights",
        ]
        return "\n".join(table)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def programming_time_s(geometry: ChipGeometry, clock_hz: float) -> float:
    """Time to program all rows of a chip, seconds: published pulses, one memristor at a time.

    For each row SET pulses on one memristor of every bit cell, then RESET pulses on the other, and
    two changes of rails.
    """
    timing = default_timing(clock_hz)
    pulses = timing["set_pulse"] + timing["reset_pulse"] + 4 * timing["pulse_setup"]
    row = geometry.columns * pulses + 4 * timing["dead_time"]
    return geometry.macros * geometry.rows * row / clock_hz


def plan(
    program: Program,
    chips: int = 1,
    inferences: int = 10_000,
    clock_hz: float = CLOCK_HZ,
    read_timing: int = 1,
    batch: int | None = None,
) -> Schedule:
    """Say what running a compiled network takes.

    Parameters
    ----------
    program : Program
    chips : int
        Chips at hand. Those beyond the number of images stay idle.
    inferences : int
    clock_hz : float
    read_timing : int
        Clock cycles a row, 1 to 3.
    batch : int, optional
        As `networks.runtime.run` takes it.

    Raises
    ------
    ValueError
        If a number is out of range, or pulses would not fit the chip's timers at this clock.
    """
    for what, value in (("chips", chips), ("inferences", inferences)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"A plan needs at least one of {what}, not {value!r}")
    if read_timing not in (1, 2, 3):
        raise ValueError(f"Read timing must be 1, 2 or 3 cycles a row, not {read_timing!r}")
    program_s = programming_time_s(program.geometry, clock_hz)
    cycles = dict.fromkeys((mapped.name for mapped in program.layers), 0)
    parallel = dict(cycles)
    loaded: dict[int, int] = {}  # chip to image
    programmings = 0
    time_s = 0.0
    for part in batches(program, inferences, batch):
        for mapped, places in zip(program.layers, program.places, strict=True):
            rows = (part.stop - part.start) * places
            for stage in mapped.stages:
                busy = dict.fromkeys(range(chips), 0)
                writes = dict.fromkeys(range(chips), 0)
                for run in stage:
                    chip = run.image % chips
                    writes[chip] += loaded.get(chip) != run.image
                    loaded[chip] = run.image
                    busy[chip] += _cycles(program, run.pass_config, rows, read_timing, run.readout)
                cycles[mapped.name] += sum(busy.values())
                parallel[mapped.name] += max(busy.values())
                programmings += sum(writes.values())
                time_s += max(busy[c] / clock_hz + writes[c] * program_s for c in busy)
    layers = tuple(
        _layer(program, number, cycles[mapped.name], parallel[mapped.name])
        for number, mapped in enumerate(program.layers)
    )
    macro_rows = program.geometry.macros * program.geometry.rows
    return Schedule(
        geometry=program.geometry,
        chips=int(chips),
        inferences=int(inferences),
        clock_hz=clock_hz,
        read_timing=read_timing,
        images=len(program.images),
        layers=layers,
        programmings=programmings,
        programmed_rows=programmings * macro_rows,
        programming_s=programmings * program_s,
        time_s=time_s,
    )


def _cycles(
    program: Program, config: PassConfig, rows: int, read_timing: int, readout: bool
) -> int:
    """Cycles of one run on the rows of a batch."""
    return sum(
        config.cycles(program.geometry, read_timing, part.stop - part.start, readout)
        for part in calls(rows)
    )


def _layer(program: Program, number: int, cycles: int, parallel: int) -> LayerSchedule:
    geometry = program.geometry
    layer: Layer = program.network.layers[number]
    mapped: MappedLayer = program.layers[number]
    places = program.places[number]
    inputs, neurons = layer.matrix.shape
    counts = dict.fromkeys(
        ("passes", "row_operations", "macro_row_operations", "input_bytes", "preload_bytes",
         "output_bytes", "readout_bytes"), 0,
    )  # fmt: skip
    for run in mapped.runs:
        config = run.pass_config
        banks = len(config.enabled_banks(geometry))
        registers = banks * geometry.columns * geometry.register_bytes
        slot = config.inputs(geometry) // config.weight_rows
        counts["passes"] += places
        counts["row_operations"] += places * config.row_operations
        macros = len(config.enabled_macros(geometry))
        counts["macro_row_operations"] += places * config.row_operations * macros
        slots = config.counted_planes * config.weight_rows
        counts["input_bytes"] += places * input_bytes(slot, slots)
        counts["preload_bytes"] += places * registers * (config.start is Start.PRELOAD)
        counts["output_bytes"] += places * banks * geometry.bank_bytes
        counts["readout_bytes"] += places * registers * run.readout
    pooled = isinstance(layer, Convolution) and layer.pool != (1, 1)
    return LayerSchedule(
        name=layer.name,
        mapping="majority" if layer.votes > 1 else "chained",
        inputs=inputs,
        neurons=neurons,
        planes=layer.planes,
        votes=layer.votes,
        places=places,
        parts=mapped.parts,
        tiles=mapped.tiles,
        images=len(mapped.images),
        cycles=cycles,
        parallel_cycles=parallel,
        macs=places * inputs * neurons * layer.planes,
        sensed_cells=counts["macro_row_operations"] * geometry.columns,
        weights=inputs * neurons,
        vote_operations=places * neurons * layer.votes if layer.votes > 1 else 0,
        pool_operations=places * neurons if pooled else 0,
        argmax_operations=neurons if isinstance(layer, Output) else 0,
        **counts,
    )


# Energy


@dataclass(frozen=True)
class Costs:
    """A cost table, joules.

    Attributes
    ----------
    name, about : str
        Where it is from, and what it describes.
    energy_per_row_operation_j : float
        One macro's row sensed and counted, all columns.
    energy_per_cycle_j : float
        One clock cycle of one chip, whatever it does.
    energy_per_transfer_byte_j : float
        One byte into or out of the chip.
    energy_per_host_operation_j : float
        One bit voted on or pooled, one class compared.
    energy_per_programmed_memristor_j : float
    """

    name: str
    about: str
    energy_per_row_operation_j: float
    energy_per_cycle_j: float
    energy_per_transfer_byte_j: float
    energy_per_host_operation_j: float
    energy_per_programmed_memristor_j: float

    @classmethod
    def load(cls, name: str | os.PathLike[str]) -> Costs:
        """Read a cost table.

        Parameters
        ----------
        name : str or path
            One of the project's own, such as 'jebali_2024', or a file that ends in `.toml`.

        Raises
        ------
        ValueError
            If there is no such file, or a number is missing, negative or without a source.
        """
        path = Path(name)
        if path.suffix != ".toml":
            path = FOLDER / f"{name}.toml"
            if not path.is_file():
                known = ", ".join(sorted(own.stem for own in FOLDER.glob("*.toml")))
                raise ValueError(
                    f"There is no cost table {str(name)!r}; choose one of {known}, or name a file "
                    f"that ends in .toml"
                )
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"Cannot read the cost table {path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"The cost table {path} is not TOML: {error}") from None
        names = [item.name for item in fields(cls)][2:]
        unknown = set(tree) - set(names) - {"about"}
        if unknown:
            raise ValueError(
                f"Cost table {path.name}: there is no cost {sorted(unknown)[0]}; "
                f"known are {', '.join(names)}"
            )
        values = {key: _cost(path.name, tree, key) for key in names}
        return cls(str(name), str(tree.get("about", "")), **values)


def _cost(file: str, tree: dict[str, Any], key: str) -> float:
    entry = tree.get(key)
    if not isinstance(entry, dict) or not {"value", "source", "note"} <= set(entry):
        raise ValueError(f"Cost table {file}: {key} must be {{ value, source, note }}")
    value, source = entry["value"], entry["source"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ValueError(f"Cost table {file}: {key} must be at least 0, not {value!r}")
    if source not in SOURCES or (source == "none" and value):
        raise ValueError(
            f"Cost table {file}: the source of {key} must be one of {', '.join(SOURCES)}, and "
            f"'none' only with 0, not {source!r}"
        )
    return float(value)


@dataclass(frozen=True)
class Energy:
    """Energy of a schedule, joules; all but `programming_j` for one inference.

    Attributes
    ----------
    costs : str
        Name of the cost table.
    rows_j, cycles_j, transfers_j, host_j : float
        By what takes it.
    layers_j : dict of str to float
        By layer.
    programming_j : float
        All programmings of the schedule.
    """

    costs: str
    rows_j: float
    cycles_j: float
    transfers_j: float
    host_j: float
    layers_j: dict[str, float]
    programming_j: float

    @property
    def inference_j(self) -> float:
        """One inference, without programming."""
        return self.rows_j + self.cycles_j + self.transfers_j + self.host_j

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, for JSON."""
        return {**asdict(self), "inference_j": self.inference_j}


def energy(schedule: Schedule, costs: Costs) -> Energy:
    """Energy of a schedule by a cost table; idle chips take none."""

    def parts(layer: LayerSchedule) -> Iterator[float]:
        yield layer.macro_row_operations * costs.energy_per_row_operation_j
        yield layer.cycles / schedule.inferences * costs.energy_per_cycle_j
        yield layer.transfer_bytes * costs.energy_per_transfer_byte_j
        yield layer.host_operations * costs.energy_per_host_operation_j

    by_layer = {layer.name: tuple(parts(layer)) for layer in schedule.layers}
    rows, cycles, transfers, host = (sum(column) for column in zip(*by_layer.values(), strict=True))
    memristors = schedule.programmed_memristors
    return Energy(
        costs=costs.name,
        rows_j=rows,
        cycles_j=cycles,
        transfers_j=transfers,
        host_j=host,
        layers_j={name: sum(values) for name, values in by_layer.items()},
        programming_j=memristors * costs.energy_per_programmed_memristor_j,
    )
