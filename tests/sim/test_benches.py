"""A subset of the cocotb benches: each style and each read timing once; `make sim` runs all."""

from random import Random

import pytest

from behavioral_models.geometry import TINY, ChipGeometry
from tests.needs import need

MACRO = ChipGeometry(banks=1, macros_per_bank=1, rows=5, columns=3, max_inputs=5)
ODD = ChipGeometry(banks=1, macros_per_bank=3, rows=7, columns=5, max_inputs=21, max_planes=3)
ONES = ChipGeometry(banks=1, macros_per_bank=1, rows=4, columns=1, max_inputs=4)

pytestmark = pytest.mark.slow


def _run(top, simulator, geometry, read_timing=1, style="enabled", **options):
    need("cocotb")
    need(simulator)
    from sim.benches.runner import run_bench, run_macro_bench
    from sim.benches.spec import BenchSpec

    spec = BenchSpec(top, simulator, geometry, read_timing, style, quick=True, **options)
    result = run_macro_bench(spec) if top == "macro" else run_bench(spec)
    assert not result.failed, f"{result.failed}; see {result.log}"
    assert result.ok, f"{result.message}; see {result.log}"


@pytest.mark.parametrize("read_timing, style, geometry", [
    (1, "borrow_gated", TINY), (2, "bank_gated", ODD), (3, "enabled", ONES), (1, "deferred", TINY)])
def test_core(read_timing, style, geometry):
    _run("core", "verilator", geometry, read_timing, style)


def test_chip():
    _run("chip", "verilator", TINY, 2, "borrow_gated")


@pytest.mark.parametrize("read_timing, style, geometry", [
    (3, "borrow_gated", ODD), (2, "enabled", TINY), (1, "bank_gated", ONES), (2, "deferred", TINY)])
def test_icarus_core(read_timing, style, geometry):
    """Four states: registers start as X, and nothing that is valid is ever X."""
    _run("core", "icarus", geometry, read_timing, style)


@pytest.mark.parametrize("image", [True, False])
def test_icarus_chip(image):
    """The same for the chip, programmed from the start or new from the fab."""
    _run("chip", "icarus", ONES if image else TINY, 1, "bank_gated", image=image)


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_macro_breaches(simulator):
    """Each breach is noticed, with its message; without +macro_continue it ends the simulation."""
    _run("macro", simulator, MACRO)


def test_random_geometries_cover_ones_and_odd_sizes():
    pytest.importorskip("cocotb")
    from sim.benches.spec import random_geometry

    random = Random(1)
    drawn = [random_geometry(random) for _ in range(200)]
    for name in ("banks", "macros_per_bank", "columns", "max_planes"):
        assert {1, 3} <= {getattr(geometry, name) for geometry in drawn}
    assert {5, 7, 9} <= {geometry.rows for geometry in drawn}
