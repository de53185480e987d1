"""The contract of everything that runs a program image, and how executors are found by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from numpy.typing import ArrayLike

from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import PassConfig, Result

__all__ = ["EXECUTORS", "TRANSPORTS", "Executor", "Transport", "open_entry"]

#: Entry-point groups of pyproject.toml.
EXECUTORS = "heliobit.executors"
TRANSPORTS = "heliobit.transports"


class Executor(Protocol):
    """Whatever runs a program image: golden model, RTL, FPGA. All answer alike, bit for bit."""

    geometry: ChipGeometry

    def load(self, image: ArrayLike) -> None:
        """Take a program image, bool (macro, row, column)."""

    def run(
        self,
        pass_config: PassConfig,
        inputs: ArrayLike,
        readout: bool = False,
        registers: ArrayLike | None = None,
    ) -> Result:
        """Run a batch of inferences; see `behavioral_models.chip.GoldenChip.run`."""


class Transport(Protocol):
    """A byte stream to a chip."""

    def write(self, data: bytes) -> None:
        """Send all of `data`; answers may already be on their way."""

    def read(self, timeout_s: float) -> bytes:
        """Bytes that have arrived, at least one; b"" if none did within `timeout_s`.

        Raises ConnectionError, with one sentence, when the other end is gone.
        """

    def close(self) -> None:
        """Let go of the chip."""


def open_entry(group: str, name: str, **options: Any) -> Any:
    """Open the executor or transport that pyproject.toml registers under `name`.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    known: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=group)}
    if name not in known:
        raise ValueError(
            f"There is no {group.split('.')[1][:-1]} {name!r}; "
            f"registered are: {', '.join(sorted(known)) or 'none (run make setup)'}"
        )
    return known[name].load()(**options)
