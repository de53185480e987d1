"""One neuron register of a TINY chip, cycle by cycle, for who has never seen it count down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from amaranth.sim import Simulator
from vcd.reader import TokenKind, tokenize

from behavioral_models.chip import GoldenChip
from behavioral_models.geometry import TINY
from behavioral_models.macro import MacroModel, read_table
from behavioral_models.passes import Configuration, PassConfig
from hdl.core import Core
from hdl.macro import macro_process
from hdl.parameters import ChipParameters

__all__ = ["trace"]

#: The pass that is shown: bank 0 alone, four weight rows of two macros, thresholds of two bits.
PASS = PassConfig(Configuration.SINGLE_LAYER, weight_rows=4, threshold_rows=2, macros=(0, 1))
NEURON = 0


def trace(read_timing: int, seed: int, waveform: Path) -> str:
    """Run one inference on a TINY core in Amaranth's simulator and tell it as a table.

    Parameters
    ----------
    read_timing : int
        Clock cycles a row, 1 to 3.
    seed : int
        Of weights, threshold and inputs.
    waveform : Path
        Gets every signal of the core (VCD).

    Returns
    -------
    str
        The table, with what it means.
    """
    random = np.random.default_rng(seed)
    parameters = ChipParameters(TINY, read_timing)
    image = random.random(TINY.image_shape) < 0.5
    weights = PASS.weight_rows
    threshold = int(random.integers(2, 6))  # of two macros' two-bit numbers
    for macro, part in enumerate((min(threshold, 3), max(threshold - 3, 0))):
        image[macro, weights, NEURON], image[macro, weights + 1, NEURON] = part >> 1, part & 1
    inputs = random.random((1, PASS.inputs(TINY))) < 0.5

    core = Core(parameters)

    async def bench(ctx):
        ctx.set(core.timing, {"form_pulse": 1, "set_pulse": 1, "reset_pulse": 1, "dead_time": 1,
                              "pulse_setup": 1})  # fmt: skip
        ctx.set(core.settings, PASS.settings(TINY))
        ctx.set(core.inferences, 1)
        ctx.set(core.rows, 1)
        ctx.set(core.o_outputs.ready, 1)
        await ctx.tick().repeat(8)  # the rails are connected meanwhile
        ctx.set(core.run, 1)
        await ctx.tick()
        ctx.set(core.run, 0)
        ctx.set(core.i_slots.valid, 1)
        for row in range(weights):
            ctx.set(core.i_slots.payload, int(inputs[0, row]) | int(inputs[0, weights + row]) << 1)
            await ctx.tick().until(core.i_slots.ready)
        ctx.set(core.i_slots.valid, 0)
        await ctx.tick().repeat(6)

    simulator = Simulator(core)
    simulator.add_clock(1e-6)
    for macro in range(TINY.macros):
        model = MacroModel(TINY.rows, TINY.columns, read_table(image)[macro], f"macro {macro}")
        simulator.add_process(macro_process(model, getattr(core, f"macro_{macro}")))
    simulator.add_testbench(bench)
    waveform.parent.mkdir(parents=True, exist_ok=True)
    scratch = waveform.with_suffix(".vcd.new")
    with scratch.open("w") as file, simulator.write_vcd(file):
        simulator.run()
    scratch.replace(waveform)

    golden = GoldenChip(TINY, read_timing)
    golden.load(image)
    expected = golden.run(PASS, inputs, readout=True)
    assert expected.preactivations is not None
    return _tell(waveform, read_timing, threshold, int(expected.preactivations[0, NEURON]))


def _samples(waveform: Path, names: dict[str, tuple[str, ...]]) -> list[dict[str, int]]:
    """Values of signals at the end of each clock cycle, from a VCD file."""
    codes: dict[str, str] = {}
    values: dict[str, int] = {}
    samples: list[dict[str, int]] = []
    scope: list[str] = []
    clock = ""
    with waveform.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.SCOPE:
                scope.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scope.pop()
            elif token.kind is TokenKind.VAR:
                path = (*scope, token.var.reference)
                for name, wanted in names.items():
                    if path[-len(wanted) :] == wanted:
                        codes.setdefault(token.var.id_code, name)
                if token.var.reference == "clk" and not clock:
                    clock = token.var.id_code
            elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
                change = (
                    token.scalar_change
                    if token.kind is TokenKind.CHANGE_SCALAR
                    else token.vector_change
                )
                if change.id_code == clock and change.value in ("1", 1):
                    samples.append(dict(values))
                if change.id_code in codes:
                    values[codes[change.id_code]] = int(change.value)
    return samples


def _tell(waveform: Path, read_timing: int, threshold: int, preactivation: int) -> str:
    neuron = ("bank_0", f"neuron_{NEURON}")
    pins = {
        "row": "macro_0__row",
        "sense": "macro_0__sense",
        "x0": "macro_0__x",
        "x1": "macro_1__x",
    }
    names = {name: (pin,) for name, pin in pins.items()}
    names |= {name: (*neuron, name) for name in ("count", "value", "step", "shift", "clear")}
    names["busy"] = ("controller", "busy")
    samples = _samples(waveform, names)
    busy = [i for i, sample in enumerate(samples) if sample.get("busy")]
    half = 1 << TINY.register_width - 1
    lines = [
        f"TINY chip, bank 0, neuron {NEURON}, read timing {read_timing}. "
        f"Its threshold is T = {threshold}.",
        "Two threshold rows shift T into the register; four weight rows of two macros then count",
        "it down by the ones among their XNOR bits. T - popcount is left: the sign is the output.",
        "",
        "       clk  sense  step   row  x x   what the register does            it holds",
    ]
    for number, sample in enumerate(samples[busy[0] : busy[-1] + 1]):
        value = (sample["value"] + half) % (2 * half) - half
        sensed = (
            f"{sample['row']:>3}  {sample['x0']} {sample['x1']}" if sample["sense"] else " " * 8
        )
        lines.append(
            f"{number:>5}  _|~  {_wave(sample['sense'])}  {_wave(sample['step'])}   {sensed}   "
            f"{_doing(sample, value):<32} {value:>4}  {'o' * max(value, 0)}{'x' * max(-value, 0)}"
        )
    value = (samples[busy[-1]]["value"] + half) % (2 * half) - half
    if -value != preactivation:
        raise RuntimeError(f"The register holds {value}, the golden model {-preactivation}")
    lines += [
        "",
        f"Preactivation {preactivation}, output bit {int(preactivation > 0)}; "
        "the golden model says the same.",
        f"Every signal of the core is in {waveform}.",
    ]
    return "\n".join(lines)


def _wave(bit: int) -> str:
    return " |~~ " if bit else "_|   "


def _doing(sample: dict[str, int], value: int) -> str:
    """Say in numbers what a step does to the register."""
    if not sample["step"]:
        return ""
    base, count = 0 if sample["clear"] else value, sample["count"]
    if sample["shift"]:
        return f"shift   2 x {base} + {count} = {2 * base + count}"
    return f"count   {base} - {count} = {base - count}"
