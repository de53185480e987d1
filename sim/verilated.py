"""The Verilated chip: built once, run as a process that speaks the host protocol over a pipe."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import select
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from behavioral_models.chip import check_image
from behavioral_models.geometry import JEBALI_2024, ChipGeometry
from behavioral_models.macro import read_table
from hdl.generate import generate
from hdl.parameters import ChipParameters
from networks.host import HostExecutor
from sim import tools

__all__ = [
    "BUILD",
    "PipeTransport",
    "VerilatedChip",
    "build_chip",
    "open_chip",
    "write_macro_images",
]

#: Where simulators are built and kept; HELIOBIT_BUILD names another folder.
BUILD = Path(os.environ.get("HELIOBIT_BUILD", "build"))

#: Seconds after which a simulator that takes no bytes is given up.
WRITE_TIMEOUT_S = 60

_MAIN = Path(__file__).parent / "chip_main.cpp"


def build_chip(
    parameters: ChipParameters,
    trace: bool = False,
    verilog: Path | None = None,
    quick: bool | None = None,
) -> Path:
    """Build the simulator of a chip, or find it built.

    Parameters
    ----------
    parameters : ChipParameters
    trace : bool
        With waveforms, several times slower.
    verilog : Path, optional
        Folder that `hdl.generate` wrote for these parameters; made anew where not given. Any other
        with a file list `chip.f` and a module `heliobit_chip` will do: a netlist, for one.
    quick : bool, optional
        Be quick to build rather than to run; by default only a simulator with waveforms is.

    Returns
    -------
    Path
        The program. It is named by a hash of all it was made from.

    Raises
    ------
    ToolError
        If Verilator is missing or fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "chip"
        if verilog is None:
            generate(parameters, folder, "chip")
        else:  # what is hashed must be what is built, whoever writes there meanwhile
            shutil.copytree(verilog, folder)
        parts = [folder / line for line in (folder / "chip.f").read_text().split()]
        made_from = hashlib.sha256()
        for part in [*parts, _MAIN]:
            made_from.update(part.read_bytes())
        flags = ["-O3", "--x-assign", "0", "--x-initial", "0"]
        flags += ["--trace-vcd", "-CFLAGS", "-DTRACE"] if trace else []
        # who wants a waveform looks at a few inferences: quick to build there, quick to run else
        optimise = "OPT_FAST=-O0" if (trace if quick is None else quick) else "OPT_FAST=-O2"
        made_from.update(" ".join([*flags, optimise, tools.verilator_version()]).encode())
        home = (BUILD / "verilated" / made_from.hexdigest()[:16]).resolve()
        program = home / "chip"
        if program.exists():
            return program
        home.parent.mkdir(parents=True, exist_ok=True)
        objects = Path(scratch) / "objects"
        tools.run(
            [tools.verilator(), "--cc", "--exe", *flags, "--top-module", "heliobit_chip",
             "--prefix", "Vchip", "--Mdir", objects, "-f", "chip.f", _MAIN.resolve(), "-o", "chip"],
            "Verilating the chip", cwd=folder, env=tools.verilator_environment(),
        )  # fmt: skip
        _make(objects, optimise, trace)
        with tempfile.TemporaryDirectory(dir=home.parent) as new:
            shutil.copy(objects / "chip", Path(new) / "chip")
            home.mkdir(exist_ok=True)
            (Path(new) / "chip").replace(program)
    return program


def _make(objects: Path, optimise: str, trace: bool) -> None:
    """Compile what Verilator wrote; its own library, the same for every chip, only once."""
    key = f"{tools.verilator_version()} {optimise} {trace}".encode()
    library = BUILD / "verilated" / f"library-{hashlib.sha256(key).hexdigest()[:16]}"
    for compiled in library.glob("*.o"):
        shutil.copy(compiled, objects)
    tools.run(
        ["make", "-f", "Vchip.mk", "-j", str(os.cpu_count() or 1), "chip",
         *tools.VERILATOR_MAKEFLAGS.split(), optimise, "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"],
        "Compiling the Verilated chip", cwd=objects, env=tools.verilator_environment(),
    )  # fmt: skip
    if not library.exists():
        new = Path(tempfile.mkdtemp(dir=library.parent))
        for compiled in objects.glob("verilated*.o"):
            shutil.copy(compiled, new)
        with contextlib.suppress(OSError):  # another process was first
            new.rename(library)
        shutil.rmtree(new, ignore_errors=True)


def write_macro_images(geometry: ChipGeometry, table: ArrayLike, folder: Path) -> Path:
    """Write a read table (macro, row, column, x) for `+macro_image`; return the prefix."""
    table = np.asarray(table, dtype=bool)
    if table.shape != (*geometry.image_shape, 2):
        raise ValueError(
            f"A read table of this chip has shape {(*geometry.image_shape, 2)} "
            f"(macro, row, column, x), not {table.shape}"
        )
    row_space = 1 << max(1, (geometry.rows - 1).bit_length())
    for macro in range(geometry.macros):
        lines = []
        for x in (0, 1):
            lines.append(f"@{x * row_space:x}")
            packed = np.packbits(table[macro, :, :, x], axis=1, bitorder="little")
            lines += [f"{int.from_bytes(row.tobytes(), 'little'):x}" for row in packed]
        (folder / f"image_{macro}.hex").write_text("\n".join(lines) + "\n")
    return folder / "image"


class PipeTransport:
    """A simulator process as a byte stream; its messages end up in the error when it dies."""

    def __init__(self, command: list[str | Path]) -> None:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0,
        )  # fmt: skip
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read_all, daemon=True)
        self._reader.start()

    def _read_all(self) -> None:
        """Keep the pipe empty, so that a long request never waits for its own answer."""
        assert self._process.stdout is not None
        while data := self._process.stdout.read(1 << 16):
            self._arrived.put(data)
        self._arrived.put(b"")

    def write(self, data: bytes) -> None:
        """Send all of `data`; ConnectionError if the chip takes none of it for a minute."""
        assert self._process.stdin is not None
        pipe = self._process.stdin.fileno()
        view = memoryview(data)
        try:
            while view:
                if not select.select([], [pipe], [], WRITE_TIMEOUT_S)[1]:
                    raise ConnectionError(
                        f"The simulated chip took no bytes for {WRITE_TIMEOUT_S} s"
                    )
                view = view[os.write(pipe, view) :]
        except BrokenPipeError:
            raise self._gone() from None

    def read(self, timeout_s: float) -> bytes:
        """Bytes that have arrived; b"" if none did in time."""
        try:
            data = self._arrived.get(timeout=timeout_s)
        except queue.Empty:
            return b""
        if not data:
            self._arrived.put(b"")
            raise self._gone()
        return data

    def _gone(self) -> ConnectionError:
        self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        return ConnectionError(f"The simulated chip stopped: {said or 'it said nothing'}")

    def close(self) -> None:
        """End the simulator; programming that takes it much longer than a minute is cut off."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


class VerilatedChip(HostExecutor):
    """The RTL as an executor: a Verilated chip behind the host driver.

    Parameters
    ----------
    parameters : ChipParameters
    table : bool array (macro, row, column, x), optional
        Load this through the back door, instead of starting with memristors never formed.
    program : Path, optional
        The simulator, built with `build_chip`; built here where not given.
    trace : Path, optional
        Write a waveform of the first `trace_cycles` cycles here (VCD).
    timeout_s : float
        How long the chip may stay silent.
    arguments : sequence of str
        For the simulator, besides: `+name=value` is for `$value$plusargs` in the Verilog.
    """

    def __init__(
        self,
        parameters: ChipParameters,
        table: ArrayLike | None = None,
        program: Path | None = None,
        trace: Path | None = None,
        trace_cycles: int = 2000,
        timeout_s: float = 60.0,
        arguments: Sequence[str] = (),
    ) -> None:
        self.parameters = parameters
        self._folder = tempfile.TemporaryDirectory()
        self._timeout_s = timeout_s
        self._command: list[str | Path] = [program or build_chip(parameters, trace is not None)]
        self._command += ["--statistics", self._statistics_file]
        if trace is not None:
            self._command += ["--trace", trace, "--trace-cycles", str(trace_cycles)]
        self._command += arguments
        #: Cycles simulated, and the seconds that took, as far as simulators have been closed.
        self.statistics: dict[str, float] = {}
        try:
            self._start(table)
        except BaseException:
            self._folder.cleanup()
            raise

    @property
    def _statistics_file(self) -> Path:
        return Path(self._folder.name) / "statistics.json"

    def _start(self, table: ArrayLike | None) -> None:
        """Start a simulator, with read bits loaded through the back door if there are any."""
        command = list(self._command)
        if table is not None:
            prefix = write_macro_images(self.parameters.geometry, table, Path(self._folder.name))
            command.append(f"+macro_image={prefix}")
        transport = PipeTransport(command)
        try:
            super().__init__(transport, self.parameters.geometry, self._timeout_s)
        except BaseException:
            transport.close()
            raise

    def load_backdoor(self, image: ArrayLike) -> None:
        """Go on with another chip that holds a program image (macro, row, column), unprogrammed."""
        self.load_table(read_table(check_image(self.parameters.geometry, image)))

    def load_table(self, table: ArrayLike) -> None:
        """Go on with another chip, whose senses give `table`, bool (macro, row, column, x).

        The simulator is started anew, with the table loaded through the back door.
        """
        self._stop()
        self._start(table)

    @classmethod
    def with_image(
        cls, parameters: ChipParameters, image: ArrayLike, **options: Any
    ) -> VerilatedChip:
        """Start with a program image (macro, row, column) loaded through the back door."""
        bits = check_image(parameters.geometry, image)
        return cls(parameters, read_table(bits), **options)

    def close(self) -> None:
        """End the simulation and read its statistics."""
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        super().close()
        if self._statistics_file.exists():
            for name, value in json.loads(self._statistics_file.read_text()).items():
                self.statistics[name] = self.statistics.get(name, 0) + value
            self._statistics_file.unlink()


def open_chip(
    geometry: ChipGeometry = JEBALI_2024, read_timing: int = 1, style: str = "enabled"
) -> VerilatedChip:
    """Executor `rtl`: a Verilated chip of this geometry, its memristors never formed."""
    return VerilatedChip(ChipParameters(geometry, read_timing, style))
