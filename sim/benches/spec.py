"""What one bench run is about, and how the simulator's Python learns it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from random import Random

from behavioral_models.geometry import ChipGeometry

__all__ = ["VARIABLE", "BenchSpec", "random_geometry"]

#: Environment variable that carries a BenchSpec into the simulator.
VARIABLE = "HELIOBIT_BENCH"


@dataclass(frozen=True)
class BenchSpec:
    """One bench run.

    Parameters
    ----------
    top : str
        ``core``, ``chip`` or ``macro``.
    simulator : str
        ``verilator`` (two states, registers start random) or ``icarus`` (four states).
    geometry : ChipGeometry
    read_timing : int
    style : str
        One of `hdl.parameters.STYLES`.
    seed : int
        Of all that is random: passes, inputs, images, gaps.
    quick : bool
        A tenth of the passes.
    image : bool
        A chip whose macros start programmed; one that is new from the fab otherwise.
    devices : bool
        A core whose macros are memristors with errors.
    """

    top: str
    simulator: str
    geometry: ChipGeometry
    read_timing: int = 1
    style: str = "enabled"
    seed: int = 1
    quick: bool = False
    image: bool = True
    devices: bool = False

    @property
    def name(self) -> str:
        """Short name, for tables and folders."""
        g = self.geometry
        size = f"{g.banks}x{g.macros_per_bank}x{g.rows}x{g.columns}p{g.max_planes}"
        size += "-bypass" if g.sense_bypass else ""
        size += "-devices" if self.devices else ""
        if self.top == "macro":
            return f"macro-{self.simulator}-{g.rows}x{g.columns}"
        return f"{self.top}-{self.simulator}-{self.style}-{self.read_timing}-{size}"

    def random(self, purpose: str) -> Random:
        """Random numbers for one purpose; the same spec draws the same."""
        return Random(f"{self.seed}/{self.name}/{purpose}")

    def to_json(self) -> str:
        """As the environment variable carries it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> BenchSpec:
        """The spec of the run this process is; KeyError outside of one."""
        fields = json.loads(os.environ[VARIABLE])
        return cls(**{**fields, "geometry": ChipGeometry(**fields["geometry"])})


def random_geometry(random: Random) -> ChipGeometry:
    """A chip that builds quickly: sizes of 1 and sizes that are no power of two included."""
    banks, macros_per_bank = random.choice(((1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1)))
    rows = random.randint(4, 9)
    return ChipGeometry(
        banks=banks,
        macros_per_bank=macros_per_bank,
        rows=rows,
        columns=random.randint(1, 9),
        max_inputs=macros_per_bank * random.choice((rows, 20 * rows)),
        max_planes=random.randint(1, 3),
        sense_bypass=random.random() < 0.5,
    )
