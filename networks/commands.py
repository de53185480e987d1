"""`python -m networks plan`, `compile`, `run`: from a network to images, cycles, an accuracy."""

from __future__ import annotations

import argparse
import json
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from importlib.metadata import entry_points
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from behavioral_models.chip import GoldenChip
from behavioral_models.constants import CLOCK_HZ
from behavioral_models.files import write_whole
from behavioral_models.geometry import PRESETS, ChipGeometry, preset
from networks import errors
from networks.data import NAMES, Examples, load_data
from networks.executor import EXECUTORS, TRANSPORTS, open_entry
from networks.form import Network, evaluate
from networks.host import HostExecutor
from networks.importing import find_network, load_network
from networks.mapping import Program
from networks.mapping import compile as compile_network
from networks.runtime import PreactivationErrors, RunResult
from networks.runtime import run as run_program
from networks.schedule import Costs, Schedule, energy, plan

__all__ = [
    "add_compile",
    "add_plan",
    "add_run",
    "run_compile",
    "run_plan",
    "run_run",
]

#: Where networks run unless told otherwise: whole layers in one pass.
GEOMETRY = "heliobit_wide"
DIMENSIONS = ("banks", "macros_per_bank", "rows", "columns", "max_inputs", "max_planes")


def _program(options: argparse.Namespace) -> Program:
    """The network as a program: compiled already, or compiled here."""
    path = find_network(options.network)
    given = {name: getattr(options, name) for name in DIMENSIONS}
    changes = {name: value for name, value in given.items() if value is not None}
    if Program.is_one(path):
        if changes or options.geometry is not None or options.weight_rows is not None:
            raise ValueError(
                f"{path.name} is compiled already: leave out what says for which chip, or compile "
                f"the network again"
            )
        return Program.load(path)
    geometry = replace(preset(options.geometry or GEOMETRY), **changes)
    return compile_network(load_network(path), geometry, options.weight_rows)


def _add_program(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="a file that `python -m networks check` takes, the name of a committed network, or a "
        "program that `compile` wrote",
    )
    parser.add_argument(
        "--geometry",
        metavar="PRESET",
        help=f"the chip to compile for: {', '.join(PRESETS)} (default: {GEOMETRY})",
    )
    for name in DIMENSIONS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, metavar="N", help="instead of the preset's"
        )
    parser.add_argument(
        "--weight-rows",
        type=int,
        metavar="N",
        help="weight rows of a macro at most; published: 58 (default: as many as fit)",
    )


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--costs",
        metavar="TABLE",
        help="cost table, a name such as jebali_2024 or a .toml: says energies besides",
    )
    parser.add_argument("--timing", type=int, choices=(1, 2, 3), help="cycles a row (default: 1)")


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Arguments of `plan`."""
    _add_program(parser)
    _add_schedule(parser)
    parser.add_argument(
        "--clock",
        type=float,
        default=CLOCK_HZ,
        metavar="HZ",
        help=f"clock of the chip (default: {CLOCK_HZ:g})",
    )
    parser.add_argument("--chips", type=int, default=1, help="chips at hand (default: 1)")
    parser.add_argument(
        "--inferences", type=int, default=10_000, metavar="N", help="in a batch (default: 10000)"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON to write")


def add_compile(parser: argparse.ArgumentParser) -> None:
    """Arguments of `compile`."""
    _add_program(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help=".npz to write")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Arguments of `run`."""
    _add_program(parser)
    parser.add_argument(
        "--on",
        default="golden",
        metavar="EXECUTOR",
        help="golden, the golden model; rtl, the Verilated chip; or the serial port of a chip "
        "(default: golden)",
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="SET",
        help=f"{', '.join(NAMES)} (a part after a colon: mnist:validation), or a .npz with `data` "
        f"and, if known, `labels`",
    )
    parser.add_argument("--images", type=int, metavar="N", help="run the first N (default: all)")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="at a time (default: what fits memory)"
    )
    parser.add_argument(
        "--errors",
        metavar="CONDITION",
        help="cells misread as the device models say at a light (0.08suns) or supply and clock "
        "(0.9V, 0.9V@33MHz); or hidden outputs err as a table says, a .csv of lines "
        "`preactivation,error_rate`",
    )
    parser.add_argument(
        "--memristors",
        metavar="FILE",
        help=f"parameter file of the memristors (default: {errors.MEMRISTORS})",
    )
    parser.add_argument(
        "--amplifier",
        metavar="FILE",
        help=f"parameter file of the sense amplifiers (default: {errors.AMPLIFIER})",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="which chips are drawn (default: 0)")
    parser.add_argument(
        "--repair",
        type=int,
        metavar="N",
        help="program rows that misread at this supply again, N times at most (default: 0)",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="read all registers out, and hold every output and preactivation of every layer "
        "against the golden model",
    )
    parser.add_argument("--style", help="neuron registers of the RTL (default: enabled)")
    parser.add_argument("--form", action="store_true", help="form a chip never formed, first")
    _add_schedule(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON to write")


def _write(path: Path | None, measured: dict[str, Any]) -> None:
    if path is not None:
        write_whole(path, json.dumps(measured, indent=2) + "\n")


def _energy_text(schedule: Schedule, costs: Costs) -> str:
    spent = energy(schedule, costs)
    said = " ".join([costs.about, *spent.extrapolated])
    return f"{spent.inference_j:.3g} J an inference, by cost table {costs.name}: {said}"


def run_plan(options: argparse.Namespace) -> int:
    """Say what a network takes; returns the exit code."""
    program = _program(options)
    costs = Costs.load(options.costs) if options.costs else None
    schedule = plan(program, options.chips, options.inferences, options.clock, options.timing or 1)
    measured = schedule.as_dict()
    print(schedule.as_text())
    if costs is not None:
        measured["energy"] = energy(schedule, costs).as_dict()
        print(_energy_text(schedule, costs))
    _write(options.output, measured)
    return 0


def run_compile(options: argparse.Namespace) -> int:
    """Write a network's program; returns the exit code."""
    if options.output.suffix != ".npz":
        raise ValueError(f"--output must name a .npz file, not {options.output.name}")
    program = _program(options)
    program.save(options.output)
    print(
        f"{options.output}: {len(program.images)} program images of {program.images[0].size:,} "
        f"bits for {program.geometry}"
    )
    return 0


def _check_run(options: argparse.Namespace) -> None:
    """Refuse options of `run` that would change nothing, before anything is done."""
    own = options.on in ("golden", "rtl")
    device = ("memristors", "amplifier", "repair")
    if options.errors is None:
        unused = [name for name in (*device, "seed") if getattr(options, name) is not None]
        if unused:
            raise ValueError(f"--{unused[0]} is about errors: say which with --errors")
    elif Path(options.errors).suffix == ".csv":
        unused = [name for name in device if getattr(options, name) is not None]
        if unused:
            raise ValueError(f"--{unused[0]} is about drawn chips, not about a table of errors")
        if not own:
            raise ValueError("A table of errors is for the golden model or the RTL")
    elif not own:
        raise ValueError("Errors are drawn for the golden model or the RTL: a chip has its own")
    if options.repair is not None and options.repair < 0:
        raise ValueError(f"--repair must be at least 0, not {options.repair}")
    if options.style is not None and options.on != "rtl":
        raise ValueError("Register styles (--style) are the RTL's alone")
    if options.form and own:
        raise ValueError("--form is for a chip at a port: its memristors, once in their life")
    if options.timing is not None and not own:
        raise ValueError("A chip at a port says its own read timing: leave --timing out")
    if options.compare and options.on == "golden" and options.errors is not None:
        raise ValueError(
            "With errors, --compare holds another executor against the golden model: add --on rtl"
        )
    if options.output is not None and options.output.is_dir():
        raise ValueError(f"--output names {options.output}, which is a folder")
    if not own and not entry_points(group=TRANSPORTS):
        raise ValueError(
            f"--on {options.on}: there is no transport to a chip at a port in this version; "
            f"golden and rtl are there"
        )


def _open(options: argparse.Namespace, program: Program, stack: ExitStack) -> Any:
    """The executor that was asked for."""
    geometry: ChipGeometry = program.geometry
    settings: dict[str, Any] = {"geometry": geometry, "read_timing": options.timing or 1}
    if options.on == "golden":
        return open_entry(EXECUTORS, options.on, **settings)
    if options.on == "rtl":
        settings["style"] = options.style or "enabled"
        with tqdm(total=1, desc="build the simulator", bar_format="{desc}: {elapsed}") as bar:
            try:
                chip = stack.enter_context(open_entry(EXECUTORS, options.on, **settings))
            except RuntimeError as error:  # a tool of the executor's that is missing or fails
                raise ValueError(str(error)) from error
            bar.update()
        return chip
    transport = open_entry(TRANSPORTS, "serial", port=options.on)
    stack.callback(transport.close)
    chip = HostExecutor(transport, geometry)
    if options.form:
        rows = geometry.macros * geometry.rows
        with tqdm(total=rows, unit="row", desc="form") as bar:
            chip.form(bar.update)
    return chip


class _Errors(NamedTuple):
    """Read tables, or errors by preactivation, and what is said of them."""

    tables: list[NDArray[np.bool_]] | None = None
    corrupt: PreactivationErrors | None = None
    said: dict[str, Any] | None = None


def _errors(options: argparse.Namespace, program: Program) -> _Errors:
    if options.errors is None:
        return _Errors()
    seed = options.seed or 0
    if Path(options.errors).suffix == ".csv":
        table = errors.error_table(Path(options.errors))
        said = {"table": Path(options.errors).name, "seed": seed}
        return _Errors(corrupt=PreactivationErrors(table, seed), said=said)
    drawn = errors.DeviceErrors(
        program.geometry,
        errors.reading(options.errors),
        options.memristors or errors.MEMRISTORS,
        options.amplifier or errors.AMPLIFIER,
        seed,
        options.repair or 0,
    )
    with tqdm(total=len(program.images), unit="chip", desc="draw and program chips") as bar:
        tables = drawn.tables(program.images, bar.update)
    wrong = [
        np.stack([table[..., 0] == image, table[..., 1] != image]).mean()
        for table, image in zip(tables, program.images, strict=True)
    ]
    said = {
        "condition": options.errors,
        "vdd_v": drawn.reading.vdd_v,
        "clock_hz": drawn.reading.clock_hz,
        "memristors": drawn.memristors,
        "amplifier": drawn.amplifier,
        "seed": seed,
        "repair": drawn.retries,
        "misread_share": float(np.mean(wrong)),
    }
    return _Errors(tables, None, said)


class _Timed:
    """A run, and the seconds it took."""

    def __init__(self, program: Program, text: str, count: int) -> None:
        self._program, self._text, self._count = program, text, count
        self.seconds = 0.0

    def __call__(self, executor: Any, data: NDArray, **options: Any) -> RunResult:
        total = self._program.passes * self._count
        with tqdm(total=total, unit="pass", unit_scale=True, desc=self._text) as bar:
            began = time.perf_counter()
            result = run_program(self._program, executor, data, progress=bar.update, **options)
            self.seconds = time.perf_counter() - began
        return result


def run_run(options: argparse.Namespace) -> int:
    """Run a network; returns the exit code, 1 if a comparison failed."""
    _check_run(options)
    costs = Costs.load(options.costs) if options.costs else None
    program = _program(options)
    examples = _first(load_data(options.data), options.images)
    data = examples.data
    program.network.check_data(data)
    _check_labels(examples, program.network)
    made = _errors(options, program)
    settings = {"tables": made.tables, "batch": options.batch, "corrupt": made.corrupt}
    settings["collect_layers"] = options.compare
    timed = _Timed(program, f"run on {options.on}", len(data))
    with ExitStack() as stack:
        executor = _open(options, program, stack)
        timing = getattr(executor, "read_timing", None) or executor.identity.read_timing
        result = timed(executor, data, **settings)
    measured = _measured(options, program, examples, result)
    measured |= {"read_timing": timing, "seconds": timed.seconds, "errors": made.said}
    differences: dict[str, dict[str, int]] = {}
    if options.compare:
        if options.on != "golden":
            golden = _Timed(program, "run on the golden model", len(data))
            chip = GoldenChip(program.geometry, timing)
            differences |= _against_golden(result, golden(chip, data, **settings))
        if made.said is None:
            differences |= _against_form(result, program.network, data)
        measured["differences"] = differences
    if costs is not None:
        schedule = plan(program, 1, len(data), CLOCK_HZ, timing, options.batch)
        measured["energy"] = energy(schedule, costs).as_dict()
        measured["energy"]["about"] = costs.about
    _write(options.output, measured)
    print(_summary(measured))
    return 1 if any(each["different"] for each in differences.values()) else 0


def _check_labels(examples: Examples, network: Network) -> None:
    labels = examples.labels
    if labels is not None and not 0 <= labels.min() <= labels.max() < network.classes:
        raise ValueError(
            f"{examples.text}: labels from {labels.min()} to {labels.max()}, but the network has "
            f"classes 0 to {network.classes - 1}"
        )


def _first(examples: Examples, count: int | None) -> Examples:
    if count is not None and count < 1:
        raise ValueError(f"--images must be at least 1, not {count}")
    labels = examples.labels
    return Examples(
        examples.data[:count], None if labels is None else labels[:count], examples.text
    )


def _compared(first: NDArray | int, second: NDArray | int) -> dict[str, int]:
    """How many values were compared, and how many differ."""
    different = np.asarray(first) != np.asarray(second)
    return {"compared": int(different.size), "different": int(np.count_nonzero(different))}


def _against_golden(ours: RunResult, golden: RunResult) -> dict[str, dict[str, int]]:
    """Every preactivation, output and cycle count of an executor against the golden model."""
    found = {"cycles": _compared(ours.cycles, golden.cycles)}
    for mine, theirs in zip(ours.layers or (), golden.layers or (), strict=True):
        found[f"{mine.name}: preactivations"] = _compared(
            mine.preactivations, theirs.preactivations
        )
        if mine.outputs is not None and theirs.outputs is not None:
            found[f"{mine.name}: outputs"] = _compared(mine.outputs, theirs.outputs)
    found["predictions"] = _compared(ours.predictions, golden.predictions)
    return found


def _against_form(ours: RunResult, network: Network, data: NDArray) -> dict[str, dict[str, int]]:
    """Outputs of all layers against the network evaluated with no chip and no mapping."""
    straight = evaluate(network, data)
    found = {}
    for mine, hidden in zip(ours.layers or (), straight.hidden, strict=False):
        assert mine.outputs is not None
        found[f"{mine.name}: outputs, against the network"] = _compared(mine.outputs, hidden)
    found["class preactivations, against the network"] = _compared(
        ours.preactivations, straight.preactivations
    )
    return found


def _measured(
    options: argparse.Namespace,
    program: Program,
    examples: Examples,
    result: RunResult,
) -> dict[str, Any]:
    count = len(examples.data)
    right = None if examples.labels is None else result.predictions == examples.labels
    return {
        "network": program.network.name,
        "on": options.on,
        "data": examples.text,
        "inferences": count,
        "geometry": program.geometry.as_dict(),
        "images": len(program.images),
        "loads": result.loads,
        "accuracy": None if right is None else float(right.mean()),
        "right": None if right is None else int(right.sum()),
        "cycles": result.cycles,
        "wait_cycles": result.wait_cycles,
        "layer_cycles": result.layer_cycles,
        "cycles_per_inference": result.cycles / count,
        "predictions": result.predictions.tolist() if examples.labels is None else None,
    }


def _judges(measured: dict[str, Any]) -> str:
    names = [measured["on"]]
    names += ["golden model"] if measured["on"] != "golden" else []
    names += ["network"] if measured["errors"] is None else []
    return " = ".join(names)


def _summary(measured: dict[str, Any]) -> str:
    """What `run` prints at its end."""
    count = measured["inferences"]
    lines = [
        ("network", f"{measured['network']} on {measured['on']}, program images: "
                    f"{measured['images']}, loaded: {measured['loads']}"),
        ("data", f"{measured['data']}: {count:,} inferences in {measured['seconds']:.3g} s"),
    ]  # fmt: skip
    if measured["accuracy"] is not None:
        lines.append((
            "accuracy", f"{100 * measured['accuracy']:.2f} % ({measured['right']:,} of {count:,})"
        ))  # fmt: skip
    else:
        first = ", ".join(map(str, measured["predictions"][:10]))
        lines.append(("predictions", f"{first}{', ...' if count > 10 else ''} (no labels given)"))
    if (said := measured["errors"]) is not None:
        if "table" in said:
            lines.append(("errors", f"hidden outputs err as {said['table']} says"))
        else:
            lines.append((
                "errors", f"{said['condition']}: {said['vdd_v']:.3f} V, "
                f"{said['clock_hz'] / 1e6:g} MHz, {100 * said['misread_share']:.3g} % of senses "
                f"wrong"
            ))  # fmt: skip
    if (differences := measured.get("differences")) is not None:
        wrong = {name: d["different"] for name, d in differences.items() if d["different"]}
        compared = sum(d["compared"] for d in differences.values())
        lines.append((
            "identical",
            f"{compared:,} outputs and preactivations of all layers: {_judges(measured)}"
            if not wrong
            else "NO: " + "; ".join(f"{n:,} {name}" for name, n in wrong.items()),
        ))  # fmt: skip
    layers = ", ".join(
        f"{name} {cycles / count:,.1f}" for name, cycles in measured["layer_cycles"].items()
    )
    lines.append(("cycles", f"{measured['cycles_per_inference']:,.1f} an inference ({layers})"))
    if measured["wait_cycles"] is not None:
        lines.append(("waiting", f"{measured['wait_cycles'] / count:,.1f} cycles an inference"))
    if "energy" in measured:
        spent = measured["energy"]
        lines.append(("energy", f"{spent['inference_j']:.3g} J an inference"))
        lines += [("", sentence) for sentence in (spent["about"], *spent["extrapolated"])]
    return "\n".join(f"{name:>12}  {text}" for name, text in lines)
