"""The latch macro: equal to the memristor macro, behind the host protocol, and made of latches."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from behavioral_models.chip import GoldenChip
from behavioral_models.constants import RAILS, Operation, Rail
from behavioral_models.geometry import TINY, ChipGeometry
from behavioral_models.macro import MacroModel
from hdl.cells import CELL_SOURCES
from hdl.generate import generate
from hdl.latch_macro import LATCH_MACRO_SOURCE, latch_macro, use_latch_macro
from hdl.parameters import ChipParameters
from hdl.yosys import run_script
from sim import tools
from sim.digits import PULSES
from sim.verilated import VerilatedChip, build_chip
from synthesis.macro_views import macro_pins
from tests.needs import need
from tests.passes import random_arguments, random_pass

SMALLEST = ChipGeometry(banks=1, macros_per_bank=1, rows=2, columns=1, max_inputs=1)
ODD = ChipGeometry(banks=1, macros_per_bank=1, rows=7, columns=13, max_inputs=7)
GEOMETRIES = {"smallest": SMALLEST, "odd": ODD, "bypass": replace(ODD, sense_bypass=True)}
EACH = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
CLOCK_GATE = next(path for path in CELL_SOURCES if path.stem == "heliobit_clock_gate")

BENCH = """
module bench;
  reg [WIDTH-1:0] pins [0:CYCLES-1];
  reg clk = 0;
  wire [COLUMNS-1:0] q;
  integer cycle;
  DECLARATIONS
  heliobit_macro #(.ROWS(ROWS), .COLUMNS(COLUMNS)) macro (.clk(clk), .q(q), CONNECTIONS);
  initial begin
    $readmemb("pins.txt", pins);
    for (cycle = 0; cycle < CYCLES; cycle = cycle + 1) begin
      {NAMES} = pins[cycle];
      #5 clk = 1;
      #4 $display("%b", q);  // before the clock falls, let alone rises again
      #1 clk = 0;
    end
  end
endmodule
"""


class Stimulus:
    """Cycles of pin values as the programmer and the controller make them, and the golden q."""

    def __init__(self, geometry, rng):
        self.geometry, self.rng = geometry, rng
        self.names = [p.name for p in macro_pins(geometry) if p.name not in ("clk", "q")]
        self.model = MacroModel(geometry.rows, geometry.columns)
        self.now = dict.fromkeys(self.names, 0)
        self.rails(Operation.READ)
        self.cycles, self.expected = [], []

    def rails(self, operation):
        rail_column, rail_row = RAILS[operation]
        self.now |= {"rail_column": Rail(rail_column).value, "rail_row": Rail(rail_row).value}

    def cycle(self, count=1, **changes):
        self.now |= changes
        for _ in range(count):
            self.cycles.append(dict(self.now))
            self.expected.append(self.model.clock_edge(**self.now))

    def pulses(self, row, operation, side_of):
        """One pulse a column; lengths, pauses and whether columns move early at random."""
        rng = self.rng
        self.rails(operation)
        self.cycle(row=row, operation=operation.value)
        for column in range(self.geometry.columns):
            for side in side_of(column):
                self.cycle(count=int(rng.integers(1, 3)), column=column, side=side)
                self.cycle(count=int(rng.integers(1, 4)), pulse=1)
                self.cycle(count=int(rng.integers(1, 3)), pulse=0)
        self.rails(Operation.READ)
        self.cycle(operation=Operation.READ.value)

    def form(self, row):
        self.pulses(row, Operation.FORM, lambda column: (0, 1))

    def program(self, row, bits):
        self.pulses(row, Operation.SET, lambda column: (int(bits[column]),))
        self.pulses(row, Operation.RESET, lambda column: (1 - int(bits[column]),))

    def reads(self, count):
        """Senses and pauses at random; row and x move in pauses too."""
        for _ in range(count):
            self.cycle(
                sense=int(self.rng.integers(0, 2)), x=int(self.rng.integers(0, 2)),
                row=int(self.rng.integers(0, self.geometry.rows)))
        self.cycle(sense=0)


@EACH
def test_equal_to_the_memristor_macro(geometry, tmp_path):
    need("icarus")
    rng = np.random.default_rng(3)
    stimulus = Stimulus(geometry, rng)
    for row in range(geometry.rows):
        stimulus.form(row)
    for row in rng.permutation(geometry.rows):
        stimulus.program(int(row), rng.integers(0, 2, geometry.columns))
    begin = len(stimulus.cycles)
    stimulus.reads(40)
    for _ in range(4):  # and again over what is there; q holds while rows are written
        row = int(rng.integers(0, geometry.rows))
        stimulus.program(row, rng.integers(0, 2, geometry.columns))
        stimulus.cycle(sense=1, row=row, x=1)
        stimulus.reads(20)
    assert stimulus.model.undecided_reads == 0

    pins = [pin for pin in macro_pins(geometry) if pin.name not in ("clk", "q")]
    lines = ["".join(f"{each[pin.name]:0{pin.width}b}" for pin in pins)
             for each in stimulus.cycles]
    (tmp_path / "pins.txt").write_text("\n".join(lines) + "\n")
    bench = BENCH
    for name, text in {
        "DECLARATIONS": " ".join(f"reg [{pin.width - 1}:0] {pin.name};" for pin in pins),
        "CONNECTIONS": ", ".join(f".{pin.name}({pin.name})" for pin in pins),
        "NAMES": ", ".join(pin.name for pin in pins),
        "WIDTH": len(lines[0]), "CYCLES": len(lines), "ROWS(ROWS)": f"ROWS({geometry.rows})",
        "COLUMNS(COLUMNS)": f"COLUMNS({geometry.columns})", "[COLUMNS-1": f"[{geometry.columns}-1",
    }.items():
        bench = bench.replace(name, str(text))
    (tmp_path / "bench.v").write_text(bench)
    (tmp_path / "macro.v").write_text(latch_macro(geometry.sense_bypass))
    shutil.copy(CLOCK_GATE, tmp_path / "gate.v")
    tools.run([tools.icarus(), "-g2012", "-o", "bench", "bench.v", "macro.v", "gate.v"],
              "Compiling", cwd=tmp_path)
    said = tools.run(["vvp", "-n", "bench"], "Running", cwd=tmp_path).split()
    sensed = next(k for k in range(begin, len(said)) if stimulus.cycles[k]["sense"])
    found = [int(word, 2) for word in said[sensed:]]
    assert found == stimulus.expected[sensed:]
    assert len(set(found)) > 1


@pytest.fixture(scope="module")
def latch_chip(tmp_path_factory):
    """A Verilated chip with latch macros, and its parameters."""
    need("verilator")
    parameters = ChipParameters(TINY, 1, "borrow_gated")
    folder = generate(parameters, tmp_path_factory.mktemp("latch") / "chip")
    return parameters, build_chip(parameters, verilog=use_latch_macro(parameters, folder))


def test_same_host_protocol_same_answers(latch_chip):
    parameters, program = latch_chip
    geometry = parameters.geometry
    rng = np.random.default_rng(5)
    golden = GoldenChip(geometry, parameters.read_timing)
    with VerilatedChip(parameters, program=program) as chip:
        chip.set_timing(**PULSES)
        for forming in (True, False):  # latches need none, and take none amiss
            image = rng.random(geometry.image_shape) < 0.5
            golden.load(image)
            if forming:
                chip.form()
            chip.load(image)
            chip.verify(image)
            for _ in range(12):
                config = random_pass(rng, geometry)
                inputs, registers = random_arguments(rng, geometry, config)
                extra = {} if registers is None else {"registers": registers}
                one = chip.run(config, inputs, readout=True, **extra)
                two = golden.run(config, inputs, readout=True, **extra)
                np.testing.assert_array_equal(one.outputs, two.outputs)
                np.testing.assert_array_equal(one.preactivations, two.preactivations)
                assert one.cycles == two.cycles


def test_memory_of_one_latch_a_bit(tmp_path):
    need("yosys")
    rows, columns = 6, 5
    shutil.copy(CLOCK_GATE, tmp_path / "gate.v")
    (tmp_path / "macro.v").write_text(latch_macro(False))
    run_script([
        "read_verilog -sv -defer macro.v", "read_verilog -sv -lib gate.v",
        f"hierarchy -check -top heliobit_macro -chparam ROWS {rows} -chparam COLUMNS {columns}",
        "synth -flatten", "check -assert", "write_json macro.json",
    ], cwd=tmp_path)
    modules = json.loads((tmp_path / "macro.json").read_text())["modules"]
    cells = [cell["type"] for module in modules.values() for cell in module["cells"].values()]
    latches = [kind for kind in cells if "DLATCH" in kind]
    # one a bit; one a column that keeps its selection still while a row is written
    assert len(latches) == rows * columns + columns
    assert cells.count("heliobit_clock_gate") == rows + 1
    flip_flops = [kind for kind in cells if "DFF" in kind]
    # q; row, column and bit to be written; the pulse before, and that one begins
    assert len(flip_flops) == columns + 3 + 3 + 1 + 2


def test_files_of_a_generated_chip(tmp_path):
    need("yosys")
    parameters = ChipParameters(replace(SMALLEST, sense_bypass=True))
    folder = use_latch_macro(parameters, generate(parameters, tmp_path / "chip"))
    assert (folder / "simulation" / "heliobit_macro.v").read_text() == latch_macro(True)
    assert (folder / "synthesis" / "heliobit_macro.v").read_text() == latch_macro(True)
    listed = (folder / "chip.f").read_text().split()
    assert listed.count("simulation/heliobit_clock_gate.v") == 1  # style enabled has none itself
    assert all((folder / name).exists() for name in listed)
    again = (folder / "chip.f").read_text()
    assert (use_latch_macro(parameters, folder) / "chip.f").read_text() == again


def test_a_folder_without_a_chip_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no generated chip; write one"):
        use_latch_macro(ChipParameters(TINY), tmp_path)


@EACH
def test_lint(geometry, tmp_path):
    need("verilator")
    (tmp_path / "macro.v").write_text(latch_macro(geometry.sense_bypass))
    tools.run(
        [tools.verilator(), "--lint-only", "-Wall", "-Wno-DECLFILENAME", "-Wno-UNUSEDPARAM",
         "--top-module", "heliobit_macro", f"-GROWS={geometry.rows}",
         f"-GCOLUMNS={geometry.columns}", "macro.v", CLOCK_GATE.resolve()],
        "Linting", cwd=tmp_path, env=tools.verilator_environment())


def test_same_ports_as_the_memristor_macro():
    from hdl.macro import MACRO_SOURCE

    def ports(path):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
        header = text[text.index("module heliobit_macro") : text.index(");")]
        return " ".join(header.split())

    assert ports(LATCH_MACRO_SOURCE) == ports(MACRO_SOURCE)
