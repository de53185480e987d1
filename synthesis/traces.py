"""What a chip's netlist is driven with: a run recorded from the Verilated RTL, cycle by cycle."""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib.wiring import In
from numpy.typing import NDArray

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import Configuration, PassConfig
from hdl.generate import generate
from hdl.interfaces import MacroPort
from hdl.parameters import ChipParameters
from networks import digits
from sim.verilated import BUILD, VerilatedChip, build_chip

__all__ = ["WORKLOADS", "Trace", "TraceError", "record", "threshold_rows"]

#: What can be recorded.
WORKLOADS = ("random", "digits")

#: The name of the signal that says the core is inferring; no net of the chip's top.
_RUNNING = "core.running"


class TraceError(RuntimeError):
    """A run could not be recorded, or is not what it should be."""


@dataclass(frozen=True, eq=False)
class Trace:
    """A run of a chip, cycle by cycle, from its reset on.

    Cycle c lies between two rising edges; the values are those at its end, just before the second.
    The chip is reset before cycle 0, which no rising edge begins.

    Attributes
    ----------
    stimulus : dict of str to bool array (cycles, width)
        What drives the netlist: the chip's inputs but the clock, and what the macros read
        (``macro_0/q``).
    expected : dict of str to bool array (cycles, width)
        What it must give: the chip's outputs, and every pin of the macros (``macro_0/row``).
    window : tuple of int
        First and last cycle in which the core is running: the inferences and nothing else, waits
        for the host included.
    source : dict
        What ran, for reports: `workload`, `inferences`, `cycles` of the window, `waiting_cycles`
        among them, `useful_macs`, and how it was made.
    """

    stimulus: dict[str, NDArray[np.bool_]]
    expected: dict[str, NDArray[np.bool_]]
    window: tuple[int, int]
    source: dict[str, Any]

    @property
    def cycles(self) -> int:
        """Cycles recorded, those before and after the window included."""
        return len(next(iter((self.stimulus | self.expected).values())))

    @property
    def window_cycles(self) -> int:
        """Cycles of the window."""
        return self.window[1] - self.window[0] + 1


class _Signal(NamedTuple):
    """A signal to record: its name in a trace and in the Verilog, its bits, and which way it goes.

    `drives` is true for what drives the netlist.
    """

    name: str
    verilog: str
    width: int
    drives: bool


def _signals(geometry: ChipGeometry, folder: Path) -> list[_Signal]:
    """The chip's ports but the clock, its macros' pins, and whether the core is running."""
    found = []
    for port in json.loads((folder / "chip.json").read_text())["ports"]:
        name = port["name"]
        if name != "clk":
            found.append(_Signal(name, name, port["width"], port["direction"] == "input"))
    pins = MacroPort(geometry.rows, geometry.columns, bypass=geometry.sense_bypass).members
    for number in range(geometry.macros):
        for pin, member in pins.items():
            name = f"macro_{number}"
            width = Shape.cast(member.shape).width
            found.append(_Signal(f"{name}/{pin}", f"{name}.{pin}", width, member.flow is In))
    return [*found, _Signal(_RUNNING, _RUNNING, 1, False)]


def _recorder(signals: list[_Signal]) -> str:
    """Verilog that writes the signals at every rising edge, bits from the first signal's top."""
    width = sum(signal.width for signal in signals)
    return f"""// Writes what the chip and its macros see, one line a clock cycle.
module heliobit_recorder (
    input wire clk,
    input wire [{width - 1}:0] sampled
);
  integer file;
  reg [8*1024-1:0] name;
  initial begin
    file = 0;
    if ($value$plusargs("record=%s", name)) file = $fopen(name, "w");
  end
  always @(posedge clk) if (file != 0) $fwrite(file, "%b\\n", sampled);
  final if (file != 0) $fclose(file);
endmodule

bind heliobit_chip heliobit_recorder recorder (
    .clk(clk),
    .sampled({{{", ".join(signal.verilog for signal in signals)}}})
);
"""


def threshold_rows(geometry: ChipGeometry) -> int:
    """Threshold rows of a macro that is fully used: the fewest whose thresholds reach every sum.

    A bank of m macros of r rows, t of them for the threshold, counts up to m (r - t) and holds
    thresholds up to m (2^t - 1): 6 of the published chip's 64 rows, as published. Fewer where the
    registers are too narrow for such thresholds.

    Raises
    ------
    TraceError
        If the registers cannot hold the sum of all weight rows either.
    """
    rows = geometry.rows
    reaches = next(t for t in range(1, rows) if (1 << t) - 1 >= rows - t)
    reason = ""
    for count in range(reaches, -1, -1):
        try:
            PassConfig(weight_rows=rows - count, threshold_rows=count).check(geometry)
        except ValueError as error:
            reason = str(error)
        else:
            return count
    raise TraceError(f"No pass uses all rows of this chip's macros: {reason}")


class _Work(NamedTuple):
    """A workload on a chip: program image, pass, inputs, and what counts as useful."""

    image: NDArray[np.bool_]
    pass_config: PassConfig
    inputs: NDArray[np.bool_]
    useful_macs: int  # of one inference
    words: str


def _random_work(geometry: ChipGeometry, inferences: int, seed: int) -> _Work:
    random = np.random.default_rng(seed)
    thresholds = threshold_rows(geometry)
    pass_config = PassConfig(
        Configuration.SINGLE_LAYER,
        weight_rows=geometry.rows - thresholds,
        threshold_rows=thresholds,
    )
    image = random.random(geometry.image_shape) < 0.5
    width = pass_config.inputs(geometry)
    inputs = random.random((inferences, width)) < 0.5
    neurons = pass_config.neurons(geometry)
    words = (
        f"random weights, thresholds and inputs, the chip fully used: one layer of {width} inputs "
        f"and {neurons} neurons"
    )
    return _Work(image, pass_config, inputs, width * neurons, words)


def _digits_work(geometry: ChipGeometry, inferences: int, seed: int) -> _Work:
    network = digits.DigitsNetwork.load()
    try:
        image = digits.program_image(network, geometry)
        digits.digits_pass().check(geometry)
    except ValueError as error:
        raise TraceError(f"The digits do not run on this chip: {error}") from None
    pixels = digits.load_part("held_out").pixels
    if inferences > len(pixels):
        raise TraceError(f"There are {len(pixels)} held-out digits, not {inferences}")
    inputs = digits.encode(pixels[:inferences], network.pixel, network.level)
    useful = digits.INPUTS * digits.HIDDEN + digits.HIDDEN * digits.CLASSES
    words = (
        f"the first held-out digits: {digits.INPUTS} inputs, {digits.HIDDEN} hidden and "
        f"{digits.CLASSES} class neurons, chained"
    )
    return _Work(image, digits.digits_pass(), inputs, useful, words)


def record(
    parameters: ChipParameters, workload: str = "random", inferences: int = 20, seed: int = 0
) -> Trace:
    """Run a workload on the Verilated RTL and record it, or find it recorded.

    The RTL is that of style `enabled`: the styles are equal cycle for cycle, and one trace serves
    them all. The program image is loaded through the back door; everything else comes from the host
    driver, all inferences in one RUN. The answers are held against the golden model.

    Parameters
    ----------
    parameters : ChipParameters
        Style and clock do not matter.
    workload : str
        ``random``: weights, thresholds and inputs, all macros and rows used, both banks given the
        same inputs. ``digits``: the committed network on held-out images.
    inferences : int
        How many.
    seed : int
        Of ``random``.

    Returns
    -------
    Trace

    Raises
    ------
    TraceError
        If the workload does not fit the chip, or the chip gives a wrong answer.
    ToolError
        If Verilator is missing or fails.
    """
    if workload not in WORKLOADS:
        raise TraceError(f"There is no workload {workload!r}; choose one of {', '.join(WORKLOADS)}")
    if inferences < 1:
        raise TraceError(f"A trace holds at least one inference, not {inferences!r}")
    make = {"random": _random_work, "digits": _digits_work}[workload]
    parameters = replace(
        ChipParameters(),
        geometry=parameters.geometry,
        read_timing=parameters.read_timing,
        borrow_split=None,
    )
    work = make(parameters.geometry, inferences, seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = generate(parameters, Path(scratch) / "chip")
        signals = _signals(parameters.geometry, folder)
        (folder / "recorder.v").write_text(_recorder(signals))
        with (folder / "chip.f").open("a") as file:
            file.write("recorder.v\n")
        key = hashlib.sha256(_code())
        for part in (folder / "chip.f").read_text().split():
            key.update((folder / part).read_bytes())
        key.update(work.image.tobytes() + work.inputs.tobytes() + repr(work.pass_config).encode())
        home = BUILD / "traces" / f"{workload}-{key.hexdigest()[:16]}.npz"
        kept = _load(home)
        if kept is not None:
            return kept
        program = build_chip(parameters, verilog=folder, quick=True)
        lines = Path(scratch) / "lines"
        with VerilatedChip.with_image(
            parameters, work.image, program=program, arguments=[f"+record={lines}"]
        ) as chip:
            result = chip.run(work.pass_config, work.inputs)
        bits = np.frombuffer(lines.read_bytes(), dtype=np.uint8)
    width = sum(signal.width for signal in signals)
    bits = bits.reshape(-1, width + 1)[:, :width] == ord("1")

    golden = GoldenChip(parameters.geometry, parameters.read_timing)
    golden.load(work.image)
    answer = golden.run(work.pass_config, work.inputs)
    if (result.outputs != answer.outputs).any() or result.cycles != answer.cycles:
        raise TraceError("The recorded chip does not answer as the golden model: run `make digits`")

    values, place = {}, 0
    for signal in signals:  # the last bit of a line is bit 0 of the last signal
        values[signal.name] = bits[:, place : place + signal.width][:, ::-1]
        place += signal.width
    running = np.flatnonzero(values.pop(_RUNNING)[:, 0])
    window = (int(running[0]), int(running[-1]))
    waited = result.wait_cycles or 0
    if len(running) != window[1] - window[0] + 1 or len(running) != result.cycles + waited:
        raise TraceError(
            f"The core ran in {len(running)} of cycles {window[0]} to {window[1]}, and says that "
            f"it took {result.cycles} cycles and waited {waited}"
        )
    geometry = parameters.geometry
    source = {
        "workload": workload,
        "words": work.words,
        "inferences": inferences,
        "cycles": len(running),
        "waiting_cycles": waited,
        "useful_macs": work.useful_macs * inferences,
        "useful_macs_per_inference": work.useful_macs,
        "weight_rows": work.pass_config.weight_rows,
        "threshold_rows": work.pass_config.threshold_rows,
        "geometry": geometry.as_dict(),
        "read_timing": parameters.read_timing,
        "recorded": "Verilated RTL behind the host protocol, all inferences in one RUN",
    }
    if workload == "random":
        source["seed"] = seed
    drives = {signal.name: signal.drives for signal in signals}
    trace = Trace(
        {name: value for name, value in values.items() if drives[name]},
        {name: value for name, value in values.items() if not drives[name]},
        window,
        source,
    )
    _save(trace, home)
    return trace


@cache
def _code() -> bytes:
    return Path(__file__).read_bytes()


def _save(trace: Trace, path: Path) -> None:
    """Write a trace under another name, then rename it."""
    arrays: dict[str, NDArray] = {}
    for group, values in (("stimulus", trace.stimulus), ("expected", trace.expected)):
        for name, value in values.items():
            arrays[f"{group}:{name}"] = np.packbits(value, axis=1)
    widths = {name: v.shape[1] for name, v in {**trace.stimulus, **trace.expected}.items()}
    about = {"window": trace.window, "source": trace.source, "widths": widths}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as new:
        scratch = Path(new) / "trace.npz"
        np.savez_compressed(scratch, about=np.array(json.dumps(about)), **arrays)
        scratch.replace(path)


def _load(path: Path) -> Trace | None:
    """Read a trace that `_save` wrote; None if there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            about = json.loads(str(archive["about"]))
            groups: dict[str, dict[str, NDArray[np.bool_]]] = {"stimulus": {}, "expected": {}}
            for key in archive.files:
                group, _, name = key.partition(":")
                if name:
                    width = about["widths"][name]
                    bits = np.unpackbits(archive[key], axis=1, count=width)
                    groups[group][name] = bits.astype(bool)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return Trace(groups["stimulus"], groups["expected"], tuple(about["window"]), about["source"])
