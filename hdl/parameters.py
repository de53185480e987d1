"""What a chip is built with: geometry, read timing, neuron-register style and clock."""

from dataclasses import dataclass, field

from behavioral_models import protocol
from behavioral_models.geometry import JEBALI_2024, ChipGeometry

__all__ = ["STYLES", "ChipParameters"]

#: Neuron-register styles, equal cycle for cycle; see `hdl.neuron`.
STYLES = ("enabled", "bank_gated", "borrow_gated")


@dataclass(frozen=True)
class ChipParameters:
    """Everything the generated chip depends on.

    Parameters
    ----------
    geometry : ChipGeometry
    read_timing : int
        Clock cycles a row: 3 (precharge, sense, update: as fabricated), 2 (overlapped), 1
        (pipelined).
    style : str
        One of STYLES.
    clock_hz : float
        Clock that the default pulse lengths and the SDC are for.
    borrow_split : int, optional
        Bits of the low part of a `borrow_gated` register; by default half of them.
    """

    geometry: ChipGeometry = field(default=JEBALI_2024)
    read_timing: int = 1
    style: str = "enabled"
    clock_hz: float = 66_000_000
    borrow_split: int | None = None

    def __post_init__(self):
        if self.read_timing not in (1, 2, 3):
            raise ValueError(
                f"Read timing must be 1, 2 or 3 cycles a row, not {self.read_timing!r}")
        if self.style not in STYLES:
            raise ValueError(
                f"Neuron-register style must be one of {', '.join(STYLES)}, not {self.style!r}")
        protocol.default_timing(self.clock_hz)
        if not 1 <= self.clock_hz < 1 << 32:
            raise ValueError(
                f"A chip says its clock in 32 bits: 1 Hz to 4.29 GHz, not {self.clock_hz:g} Hz")
        width = self.geometry.register_width
        if self.borrow_split is None:
            object.__setattr__(self, "borrow_split", max(width // 2, self.count_width))
        if not self.count_width <= self.borrow_split < width:
            raise ValueError(
                f"The low part of a {width}-bit register must have {self.count_width} to "
                f"{width - 1} bits, not {self.borrow_split!r}")

    @property
    def count_width(self):
        """Bits of a row's popcount."""
        return self.geometry.macros_per_bank.bit_length()
