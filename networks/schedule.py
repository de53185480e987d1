"""What running a compiled network takes: cycles, programming, transfers, and energy.

Everything is counted from the program's own passes (`PassConfig.cycles` is the truth about cycles),
as `networks.runtime.run` runs them: tile-major, image after image.

A cost table is a TOML file. It says what it holds for: `geometry` (a preset), `vdd_v`, `clock_hz`
and `read_timing` (cycles a row). Its energies are `{ value, source, note }`; `source` is one of

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
from behavioral_models.geometry import ChipGeometry, preset
from behavioral_models.passes import PassConfig, Start
from behavioral_models.protocol import default_timing, input_bytes
from networks.form import Convolution, Layer, Output
from networks.mapping import MappedLayer, Program, Run
from networks.runtime import batches, calls
from networks.text import aligned, counted

__all__ = ["Costs", "Energy", "LayerSchedule", "Schedule", "energy", "plan"]

#: Folder of the project's own cost tables.
FOLDER = Path(__file__).parent / "costs"

#: What a number's `source` may be.
SOURCES = ("cited", "inferred", "measured", "none")

#: Figures of a layer that add up over a network.
SUMMED = (
    "passes",
    "row_operations",
    "macro_row_operations",
    "bank_row_operations",
    "cycles",
    "parallel_cycles",
    "wait_cycles",
    "input_bytes",
    "preload_bytes",
    "output_bytes",
    "readout_bytes",
    "macs",
    "sensed_cells",
    "weights",
    "vote_operations",
    "pool_operations",
    "argmax_operations",
    "transfer_bytes",
    "host_operations",
)


@dataclass(frozen=True)
class LayerSchedule:
    """One layer; all but the three kinds of cycles for one inference.

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
    bank_row_operations : int
        Row operations of neuron registers, each bank with a macro enabled counted.
    cycles : int
        Clock cycles of all inferences, one pass after the other, without waiting for the host.
    parallel_cycles : int
        The same where several chips run at once.
    wait_cycles : int
        Cycles besides `cycles` in which passes wait for bytes, one a cycle, from a host that is
        never late: estimated, see `waiting`.
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
    bank_row_operations: int
    cycles: int
    parallel_cycles: int
    wait_cycles: int
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
        Time until all is done: the chips work and are programmed at once, stage by stage, and wait
        for bytes through a port a byte wide. The host itself takes no time.
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
    def wait_cycles_per_inference(self) -> float:
        """Cycles in which passes wait for the host port, one pass after the other; estimated."""
        return self.total("wait_cycles") / self.inferences

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
        figures["layers"] = list(figures["layers"])
        figures["total"] = {name: self.total(name) for name in SUMMED}
        for name in (
            "resident",
            "cycles_per_inference",
            "parallel_cycles_per_inference",
            "wait_cycles_per_inference",
            "stored_share",
            "useful_share",
            "programmed_memristors",
        ):
            figures[name] = getattr(self, name)
        return figures

    def as_text(self) -> str:
        """A table, and what holds for all layers."""
        heads = (
            "layer mapping shape planes parts tiles images passes rows cycles parallel waits bytes"
        )
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
                f"{layer.wait_cycles / self.inferences:,.0f}",
                f"{layer.transfer_bytes:,}",
                f"{layer.macs / layer.sensed_cells:.0%}",
                f"{layer.host_operations:,}",
            ))  # fmt: skip
        lines.append((
            "all", "", "", "", "", str(self.total("tiles")), str(self.images),
            f"{self.total('passes'):,}", f"{self.total('row_operations'):,}",
            f"{self.cycles_per_inference:,.1f}", f"{self.parallel_cycles_per_inference:,.1f}",
            f"{self.wait_cycles_per_inference:,.0f}", f"{self.total('transfer_bytes'):,}",
            f"{self.useful_share:.0%}", f"{self.total('host_operations'):,}",
        ))  # fmt: skip
        table = aligned(lines, left=3)
        stays = "each stays programmed" if self.resident else "swapped in turn"
        table += [
            "",
            f"figures per inference, of {self.inferences:,}, at {self.clock_hz / 1e6:g} MHz and "
            f"{counted(self.read_timing, 'cycle')} a row",
            f"{counted(self.images, 'image')} on {counted(self.chips, 'chip')} ({stays}): "
            f"{counted(self.programmings, 'programming')}, {self.programmed_rows:,} rows, "
            f"{self.programming_s:.3g} s",
            f"all inferences: {self.time_s:.3g} s, programming and waits for bytes (estimated) "
            f"included, the host's own time not",
            f"{self.stored_share:.0%} of the bit cells hold weights",
        ]
        return "\n".join(table)


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
    parallel, waits = dict(cycles), dict(cycles)
    used = min(chips, len(program.images))
    loaded: dict[int, int] = {}  # chip to image
    programmings = 0
    time_s = 0.0
    for part in batches(program, inferences, batch):
        for mapped, places in zip(program.layers, program.places, strict=True):
            rows = (part.stop - part.start) * places
            for stage in mapped.stages:
                busy, idle, writes = ([0] * used for _ in range(3))
                for run in stage:
                    chip = run.image % used
                    writes[chip] += loaded.get(chip) != run.image
                    loaded[chip] = run.image
                    busy[chip] += _cycles(program, run.pass_config, rows, read_timing, run.readout)
                    idle[chip] += rows * waiting(program.geometry, run, read_timing)
                cycles[mapped.name] += sum(busy)
                parallel[mapped.name] += max(busy)
                waits[mapped.name] += sum(idle)
                programmings += sum(writes)
                time_s += max(
                    (busy[chip] + idle[chip]) / clock_hz + writes[chip] * program_s
                    for chip in range(used)
                )
    layers = tuple(
        _layer(program, number, cycles[mapped.name], parallel[mapped.name], waits[mapped.name])
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


@dataclass(frozen=True)
class _Bytes:
    """Bytes of one pass through the host port."""

    inputs: int
    preload: int
    outputs: int
    readout: int


def _bytes(geometry: ChipGeometry, run: Run) -> _Bytes:
    config = run.pass_config
    banks = len(config.enabled_banks(geometry))
    registers = banks * geometry.columns * geometry.register_bytes
    slot = config.inputs(geometry) // config.weight_rows
    return _Bytes(
        inputs=input_bytes(slot, config.counted_planes * config.weight_rows),
        preload=registers * (config.start is Start.PRELOAD),
        outputs=banks * geometry.bank_bytes,
        readout=registers * run.readout,
    )


def waiting(geometry: ChipGeometry, run: Run, read_timing: int) -> int:
    """Cycles in which one pass waits for the byte-wide host port, with a host that is never late.

    Weight rows wait for their inputs' bytes, threshold rows do not; registers are read out when the
    output bits before them are gone. Registers' own bytes are in `PassConfig.cycles` already.
    Bytes of framing and escapes are not counted: on the RTL, MNIST networks took within 1 % of
    cycles and waits together.
    """
    config, moved = run.pass_config, _bytes(geometry, run)
    fed = config.counted_planes * config.weight_rows * read_timing
    late = max(0, moved.inputs - fed)
    if run.readout:
        return late + moved.outputs
    return max(late, moved.outputs - config.row_operations * read_timing)


def _layer(program: Program, number: int, cycles: int, parallel: int, waits: int) -> LayerSchedule:
    geometry = program.geometry
    layer: Layer = program.network.layers[number]
    mapped: MappedLayer = program.layers[number]
    places = program.places[number]
    inputs, neurons = layer.matrix.shape
    counts = dict.fromkeys(
        ("passes", "row_operations", "macro_row_operations", "bank_row_operations", "input_bytes",
         "preload_bytes", "output_bytes", "readout_bytes"), 0,
    )  # fmt: skip
    for run in mapped.runs:
        config = run.pass_config
        rows, moved = places * config.row_operations, _bytes(geometry, run)
        counts["passes"] += places
        counts["row_operations"] += rows
        counts["macro_row_operations"] += rows * len(config.enabled_macros(geometry))
        counts["bank_row_operations"] += rows * len(config.enabled_banks(geometry))
        counts["input_bytes"] += places * moved.inputs
        counts["preload_bytes"] += places * moved.preload
        counts["output_bytes"] += places * moved.outputs
        counts["readout_bytes"] += places * moved.readout
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
        wait_cycles=waits,
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
    geometry : ChipGeometry
    vdd_v, clock_hz : float
    read_timing : int
        The chip whose costs these are, its supply and clock, and its clock cycles a row.
    energy_per_sensed_cell_j : float
        One bit cell sensed, XNORed and counted.
    energy_per_register_operation_j : float
        One neuron register in one row operation of its bank, however many macros it has enabled.
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
    geometry: ChipGeometry
    vdd_v: float
    clock_hz: float
    read_timing: int
    energy_per_sensed_cell_j: float
    energy_per_register_operation_j: float
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
        names = [item.name for item in fields(cls) if item.name.startswith("energy_per_")]
        boundary = ("geometry", "vdd_v", "clock_hz", "read_timing")
        unknown = set(tree) - {"about", *boundary, *names}
        if unknown:
            raise ValueError(
                f"Cost table {path.name}: there is no cost {sorted(unknown)[0]}; "
                f"known are {', '.join(names)}"
            )
        missing = [key for key in boundary if key not in tree]
        if missing:
            raise ValueError(
                f"Cost table {path.name} does not say what it holds for: {missing[0]} is missing"
            )
        values = {key: _cost(path.name, tree, key) for key in names}
        try:
            geometry = preset(str(tree["geometry"]))
        except ValueError as error:
            raise ValueError(f"Cost table {path.name}: {error}") from None
        for key in ("vdd_v", "clock_hz"):
            if not _is_number(tree[key]) or tree[key] <= 0:
                raise ValueError(
                    f"Cost table {path.name}: {key} must be more than 0, not {tree[key]!r}"
                )
        if tree["read_timing"] not in (1, 2, 3):
            raise ValueError(
                f"Cost table {path.name}: read_timing must be 1, 2 or 3, "
                f"not {tree['read_timing']!r}"
            )
        return cls(
            name=str(name),
            about=str(tree.get("about", "")),
            geometry=geometry,
            vdd_v=float(tree["vdd_v"]),
            clock_hz=float(tree["clock_hz"]),
            read_timing=int(tree["read_timing"]),
            **values,
        )

    def extrapolated(self, schedule: Schedule) -> tuple[str, ...]:
        """What this table is stretched to for a schedule, a sentence each; none on its own chip."""
        own, its, said = self.geometry, schedule.geometry, []
        if schedule.read_timing != self.read_timing:
            ratio = self.read_timing / schedule.read_timing
            said.append(
                f"Control and clock are taken per cycle, from {self.read_timing} cycles a row, "
                f"here {schedule.read_timing}: if they go with rows, they take "
                f"{ratio:.3g} times as much a row."
            )
        if _arrays(own) != _arrays(its):
            said.append(
                f"Control and clock take per cycle what they do on a chip of {_said(own)}, here "
                f"{_said(its)}."
            )
        if (own.register_width, own.macros_per_bank) != (its.register_width, its.macros_per_bank):
            said.append(
                f"A register takes per row what one of {own.register_width} bits that counts "
                f"{own.macros_per_bank} XNORs does, here {its.register_width} bits and up to "
                f"{its.macros_per_bank}."
            )
        if (own.rows, own.columns) != (its.rows, its.columns):
            said.append(
                f"A bit cell takes what one of a macro of {own.rows} x {own.columns} does, here "
                f"{its.rows} x {its.columns}."
            )
        if schedule.clock_hz > self.clock_hz:
            said.append(
                f"The supply is {self.vdd_v:g} V, measured at {self.clock_hz / 1e6:g} MHz, here "
                f"{schedule.clock_hz / 1e6:g} MHz: what supply that takes is not counted."
            )
        return tuple(said)


def _arrays(geometry: ChipGeometry) -> tuple[int, int, int]:
    return geometry.banks, geometry.macros, geometry.columns


def _said(geometry: ChipGeometry) -> str:
    banks, macros, columns = _arrays(geometry)
    return f"{counted(macros, 'macro')}, {counted(banks, 'bank')} and {columns} columns"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _cost(file: str, tree: dict[str, Any], key: str) -> float:
    entry = tree.get(key)
    if not isinstance(entry, dict) or not {"value", "source", "note"} <= set(entry):
        raise ValueError(f"Cost table {file}: {key} must be {{ value, source, note }}")
    value, source = entry["value"], entry["source"]
    if not _is_number(value) or value < 0:
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
    cells_j, registers_j, cycles_j, transfers_j, host_j : float
        By what takes it.
    layers_j : dict of str to float
        By layer.
    programming_j : float
        All programmings of the schedule.
    extrapolated : tuple of str
        Where the schedule is not what the table describes: what is assumed, a sentence each.
    """

    costs: str
    cells_j: float
    registers_j: float
    cycles_j: float
    transfers_j: float
    host_j: float
    layers_j: dict[str, float]
    programming_j: float
    extrapolated: tuple[str, ...]

    @property
    def rows_j(self) -> float:
        """Row operations alone: cells sensed, and registers that count."""
        return self.cells_j + self.registers_j

    @property
    def inference_j(self) -> float:
        """One inference, without programming."""
        return self.rows_j + self.cycles_j + self.transfers_j + self.host_j

    def as_dict(self) -> dict[str, Any]:
        """All figures by name, for JSON."""
        return {
            **asdict(self),
            "extrapolated": list(self.extrapolated),
            "rows_j": self.rows_j,
            "inference_j": self.inference_j,
        }


def energy(schedule: Schedule, costs: Costs) -> Energy:
    """Energy of a schedule by a cost table; idle chips and waits for the host take none."""
    columns = schedule.geometry.columns

    def parts(layer: LayerSchedule) -> Iterator[float]:
        yield layer.sensed_cells * costs.energy_per_sensed_cell_j
        yield layer.bank_row_operations * columns * costs.energy_per_register_operation_j
        yield layer.cycles / schedule.inferences * costs.energy_per_cycle_j
        yield layer.transfer_bytes * costs.energy_per_transfer_byte_j
        yield layer.host_operations * costs.energy_per_host_operation_j

    by_layer = {layer.name: tuple(parts(layer)) for layer in schedule.layers}
    cells, registers, cycles, transfers, host = (
        sum(column) for column in zip(*by_layer.values(), strict=True)
    )
    memristors = schedule.programmed_memristors
    return Energy(
        costs=costs.name,
        cells_j=cells,
        registers_j=registers,
        cycles_j=cycles,
        transfers_j=transfers,
        host_j=host,
        layers_j={name: sum(values) for name, values in by_layer.items()},
        programming_j=memristors * costs.energy_per_programmed_memristor_j,
        extrapolated=costs.extrapolated(schedule),
    )
