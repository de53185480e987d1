"""The dimensions of a chip: the only place where they are written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ChipGeometry:
    """Dimensions of a memristor binarized-neural-network chip.

    Everything else that has a size (ports, registers, packets, tables) derives it from here.

    Parameters
    ----------
    banks : int
        Banks, each with one row of neuron registers, 1 to 255.
    macros_per_bank : int
        Macros that share a bank's neuron registers, 1 to 64.
    rows : int
        Word lines of a macro, weight and threshold rows together, 2 to 65,535.
    columns : int
        Bit cells of a word line (2T2R: two memristors each), which is neurons of a bank, 1 to
        4,096.
    max_inputs : int
        Inputs of the widest layer a neuron register can sum, over any number of passes.
    max_planes : int
        Bit planes of the widest input, 1 to 8.
    sense_bypass : bool
        Whether the XPCSAs can be bypassed to measure single resistances.

    Raises
    ------
    ValueError
        If a dimension is outside its range, or the registers could not count one row.
    """

    banks: int
    macros_per_bank: int
    rows: int
    columns: int
    max_inputs: int
    max_planes: int = 1
    sense_bypass: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (
            ("banks", 1, 255),
            ("macros_per_bank", 1, 64),
            ("rows", 2, 65_535),
            ("columns", 1, 4_096),
            ("max_inputs", 1, 1 << 20),
            ("max_planes", 1, 8),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                words = name.replace("_", " ")
                raise ValueError(
                    f"A chip's {words} must be an integer from {low:,} to {high:,}, not {value!r}"
                )
        if self.max_inputs < self.macros_per_bank:
            raise ValueError(
                f"Registers for {self.max_inputs} inputs cannot count one row of "
                f"{self.macros_per_bank} macros; max_inputs must be at least macros_per_bank"
            )
        if self.macros > 1024:
            raise ValueError(
                f"A chip of {self.banks} banks x {self.macros_per_bank} macros has "
                f"{self.macros} macros; at most 1,024 are supported"
            )

    @property
    def macros(self) -> int:
        """Macros of the chip; bank b has numbers b * macros_per_bank and up."""
        return self.banks * self.macros_per_bank

    @property
    def memristors(self) -> int:
        """Memristors of the chip, two a bit cell."""
        return 2 * self.macros * self.rows * self.columns

    @property
    def neurons(self) -> int:
        """Neuron registers of the chip."""
        return self.banks * self.columns

    @property
    def max_sum(self) -> int:
        """Largest sum a register holds: max_inputs popcounts of max_planes weighted planes."""
        return self.max_inputs * ((1 << self.max_planes) - 1)

    @property
    def register_width(self) -> int:
        """Bits of a neuron register, sign included: it holds -max_sum to max_sum."""
        return self.max_sum.bit_length() + 1

    @property
    def register_bytes(self) -> int:
        """Bytes of one register in a preload or a readout."""
        return -(-self.register_width // 8)

    @property
    def bank_bytes(self) -> int:
        """Bytes of one row of a macro, or of one bank's output bits."""
        return -(-self.columns // 8)

    @property
    def mask_bytes(self) -> int:
        """Bytes of a mask with one bit a macro of the chip."""
        return -(-self.macros // 8)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (macro, row, column) of a program image."""
        return (self.macros, self.rows, self.columns)

    def as_dict(self) -> dict[str, int | bool]:
        """Fields by name, for JSON."""
        return asdict(self)


#: The published chip (Jebali 2024): 32,768 memristors, 116 inputs a bank, 128 neurons.
JEBALI_2024 = ChipGeometry(banks=2, macros_per_bank=2, rows=64, columns=64, max_inputs=116)

#: The same arrays with registers wide enough for layers of 1,024 inputs of 4 bits.
HELIOBIT = ChipGeometry(
    banks=2, macros_per_bank=2, rows=64, columns=64, max_inputs=1024, max_planes=4
)

#: Banks of 16 of these macros: a layer of 784 inputs of 4 bits, or of 928, in one pass.
HELIOBIT_WIDE = ChipGeometry(
    banks=2, macros_per_bank=16, rows=64, columns=64, max_inputs=1024, max_planes=4
)

#: The published test die (Jebali 2024, Results): one macro whose memristors can be measured.
TEST_DIE = ChipGeometry(
    banks=1, macros_per_bank=1, rows=64, columns=64, max_inputs=58, sense_bypass=True
)

#: A few rows and columns, for exhaustive tests and for looking at waveforms.
TINY = ChipGeometry(banks=2, macros_per_bank=2, rows=6, columns=3, max_inputs=12, max_planes=2)

#: Presets by the name a command line takes.
PRESETS = {
    "jebali_2024": JEBALI_2024,
    "heliobit": HELIOBIT,
    "heliobit_wide": HELIOBIT_WIDE,
    "test_die": TEST_DIE,
    "tiny": TINY,
}


def preset(name: str) -> ChipGeometry:
    """Look a preset up by name, in any case; ValueError names those that exist."""
    try:
        return PRESETS[name.lower()]
    except KeyError:
        raise ValueError(
            f"There is no geometry preset {name!r}; choose one of {', '.join(PRESETS)}"
        ) from None
