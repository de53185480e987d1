"""What a chip is built with: geometry, read timing, neuron-register style and clock."""

from dataclasses import dataclass, field

from behavioral_models import protocol
from behavioral_models.geometry import JEBALI_2024, ChipGeometry

__all__ = ["STYLES", "ChipParameters"]

#: Neuron-register styles, equal cycle for cycle; see `hdl.neuron`.
STYLES = ("enabled", "bank_gated", "borrow_gated", "deferred")

#: Weight rows that a `deferred` register may count at once: powers of two, so that a row's number
#: says its place.
ROWS_PER_UPDATE = (1, 2, 4, 8, 16)

#: Macros of a bank up to which `deferred` registers count several rows at once, and how many: with
#: more macros a row fills an update, and holding it back costs more than it saves.
DEFERRED_MACROS, DEFERRED_ROWS = 2, 4


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
        Bits of the low part of a `borrow_gated` register, by default half of them, or of a
        `deferred` one, by default as many as a count has.
    rows_per_update : int, optional
        Weight rows that a `deferred` register counts at once, a power of two up to 16; by default 4
        where a bank has 1 or 2 macros, else 1. The other styles count row by row.
    """

    geometry: ChipGeometry = field(default=JEBALI_2024)
    read_timing: int = 1
    style: str = "enabled"
    clock_hz: float = 66_000_000
    borrow_split: int | None = None
    rows_per_update: int | None = None

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
        width, macros = self.geometry.register_width, self.geometry.macros_per_bank
        if self.style != "deferred":
            if self.rows_per_update not in (None, 1):
                raise ValueError(
                    f"Style {self.style} counts row by row; {self.rows_per_update!r} rows an "
                    "update need style deferred")
            object.__setattr__(self, "rows_per_update", 1)
        elif self.rows_per_update is None:
            rows = DEFERRED_ROWS if macros <= DEFERRED_MACROS else 1
            while rows > 1 and (
                    rows > self.geometry.rows or (macros * rows).bit_length() >= width):
                rows //= 2
            object.__setattr__(self, "rows_per_update", rows)
        if self.rows_per_update not in ROWS_PER_UPDATE or not isinstance(self.rows_per_update, int):
            raise ValueError(
                f"Rows counted at once must be one of {', '.join(map(str, ROWS_PER_UPDATE))}, "
                f"not {self.rows_per_update!r}")
        if self.rows_per_update > self.geometry.rows:
            raise ValueError(
                f"A macro of {self.geometry.rows} rows has no {self.rows_per_update} to count at "
                "once")
        if self.count_width >= width:
            raise ValueError(
                f"A {width}-bit register cannot count {macros * self.rows_per_update} bits at "
                "once; take fewer rows an update")
        if self.borrow_split is None:
            half = 0 if self.style == "deferred" else width // 2
            object.__setattr__(self, "borrow_split", max(half, self.count_width))
        if not self.count_width <= self.borrow_split < width:
            raise ValueError(
                f"The low part of a {width}-bit register must have {self.count_width} to "
                f"{width - 1} bits, not {self.borrow_split!r}")

    @property
    def count_width(self):
        """Bits of what a register counts at once."""
        return (self.geometry.macros_per_bank * self.rows_per_update).bit_length()
