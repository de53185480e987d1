"""The host driver: speaks the host protocol to a chip over any byte transport."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from behavioral_models import protocol
from behavioral_models.chip import check_image
from behavioral_models.geometry import ChipGeometry
from behavioral_models.passes import (
    Configuration,
    PassConfig,
    Result,
    bits_of_planes,
    check_batch,
    check_registers,
)
from behavioral_models.protocol import Opcode, Status
from networks.executor import Transport

__all__ = ["HostError", "HostExecutor", "Identity", "RefusedError", "VerifyError"]


class HostError(RuntimeError):
    """The chip does not answer, or not sensibly."""


class RefusedError(HostError):
    """The chip answered with an error; `status` says which."""

    def __init__(self, opcode: int, status: Status) -> None:
        name = Opcode(opcode).name if opcode in Opcode.__members__.values() else hex(opcode)
        super().__init__(f"The chip refused {name}: {protocol.STATUS_TEXT[status]} ({status.name})")
        self.status = status


class VerifyError(HostError):
    """Rows read back are not what was programmed."""


@dataclass(frozen=True)
class Identity:
    """What a chip says it is."""

    geometry: ChipGeometry
    read_timing: int
    clock_hz: int


class HostExecutor:
    """A chip at the other end of a transport, as an executor.

    Parameters
    ----------
    transport : Transport
    geometry : ChipGeometry, optional
        What the chip must be; a chip of another geometry is refused before anything is sent to it.
    timeout_s : float
        How long the chip may stay silent.
    packet_inferences : int, optional
        Cut batches into packets of so many inferences, for links that lose bytes: each packet has
        a checksum of its own, and ends with an empty pipeline. By default a batch is one packet.

    Attributes
    ----------
    identity : Identity
    """

    def __init__(
        self,
        transport: Transport,
        geometry: ChipGeometry | None = None,
        timeout_s: float = 30.0,
        packet_inferences: int | None = None,
    ) -> None:
        if packet_inferences is not None and packet_inferences < 1:
            raise ValueError(
                f"A packet carries at least one inference, not {packet_inferences!r}; "
                f"None for the whole batch"
            )
        self._transport = transport
        self._timeout_s = timeout_s
        self._packet_inferences = packet_inferences
        self._tag = 0
        self._received = bytearray()
        self.identity = self._identify()
        if geometry is not None and geometry != self.identity.geometry:
            raise HostError(
                f"The chip is a {self.identity.geometry}, but this is for a {geometry}; "
                f"nothing was sent to it"
            )
        self._formats = protocol.packet_formats(self.identity.geometry)

    @property
    def geometry(self) -> ChipGeometry:
        """The chip's dimensions."""
        return self.identity.geometry

    def close(self) -> None:
        """Let go of the transport."""
        self._transport.close()

    def __enter__(self) -> HostExecutor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Packets

    def request(self, opcode: int, body: bytes = b"") -> bytes:
        """Send one request and return its answer's data; RefusedError if the chip refuses."""
        tag = self.send(opcode, body)
        return self.receive(opcode, tag)

    def send(self, opcode: int, body: bytes = b"") -> int:
        """Send one request and return its tag, for `receive`."""
        self._tag = (self._tag + 1) % 256
        self._transport.write(protocol.frame(bytes([opcode, self._tag]) + body))
        return self._tag

    def receive(
        self, opcode: int, tag: int, arrived: Callable[[int], object] = lambda count: None
    ) -> bytes:
        """Wait for the answer to a request; answers to others are dropped.

        `arrived` is called with the bytes of the answer that are here, while it comes in.
        """
        while True:
            try:
                contents = protocol.unframe(self._next_frame(arrived))
            except protocol.FrameError as error:
                raise HostError(f"The chip's answer was damaged on the way: {error}") from None
            if len(contents) > 2 and contents[:2] == bytes([opcode | protocol.ANSWER, tag]):
                break
        try:
            status = Status(contents[-1])
        except ValueError:
            raise HostError(
                f"The chip answered with status {contents[-1]}, which this driver does not know; "
                f"is it newer than the driver?"
            ) from None
        if status is not Status.OK:
            raise RefusedError(opcode, status)
        return contents[2:-1]

    def _next_frame(self, arrived: Callable[[int], object]) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        searched = 0
        while True:
            end = self._received.find(protocol.END, searched)
            if end >= 0:
                body = bytes(self._received[:end])
                del self._received[: end + 1]
                searched = 0
                if body:
                    return body
                continue
            searched = len(self._received)
            arrived(searched)
            left = deadline - time.monotonic()
            data = self._transport.read(left) if left > 0 else b""
            if not data:
                raise HostError(f"The chip did not answer within {self._timeout_s:g} s")
            self._received += data
            deadline = time.monotonic() + self._timeout_s

    def _identify(self) -> Identity:
        data = self.request(Opcode.IDENTIFY)
        if data[:1] != bytes([protocol.VERSION]):
            raise HostError(
                f"The chip speaks protocol version {data[0] if data else 'unknown'}, this driver "
                f"{protocol.VERSION}"
            )
        try:
            answer = protocol.unpack_fields(protocol.IDENTIFY_FIELDS, data)
        except ValueError as error:
            raise HostError(f"The chip does not say what it is: {error}") from None
        geometry = ChipGeometry(
            banks=answer["banks"],
            macros_per_bank=answer["macros_per_bank"],
            rows=answer["rows"],
            columns=answer["columns"],
            max_inputs=answer["max_inputs"],
            max_planes=answer["max_planes"],
            sense_bypass=bool(answer["sense_bypass"]),
        )
        return Identity(geometry, answer["read_timing"], answer["clock_hz"])

    def status(self) -> dict[str, int]:
        """What the chip is doing: `programming` (2 while measuring), `configured`."""
        return protocol.unpack_fields(
            self._formats[Opcode.STATUS].answer, self.request(Opcode.STATUS)
        )

    # Programming

    def set_timing(self, **cycles: int) -> None:
        """Set the programmer's times, clock cycles; those not given are the published ones."""
        timing = {**protocol.default_timing(self.identity.clock_hz), **cycles}
        unknown = set(timing) - {item.name for item in protocol.TIMING_FIELDS}
        if unknown:
            raise ValueError(f"The programmer has no time called {', '.join(sorted(unknown))}")
        self.request(Opcode.SET_TIMING, protocol.pack_fields(protocol.TIMING_FIELDS, timing))

    def form_row(self, macro: int, row: int) -> None:
        """Form every memristor of a row; returns when done."""
        self._on_row(Opcode.FORM, macro, row)

    def program_row(self, macro: int, row: int, bits: ArrayLike) -> None:
        """Program a row from bool (columns,); returns when done."""
        self._on_row(Opcode.PROGRAM_ROW, macro, row, _pack_bits(np.asarray(bits, dtype=bool)))

    def _on_row(self, opcode: Opcode, macro: int, row: int, data: bytes = b"") -> None:
        place = protocol.pack_fields(
            self._formats[Opcode.FORM].arguments, {"macro": macro, "row": row}
        )
        begun = self.send(opcode, place + data)
        waited = self.send(Opcode.WAIT)
        self.receive(opcode, begun)
        self.receive(Opcode.WAIT, waited)

    def read_row(self, macro: int, row: int, x: int = 1) -> NDArray[np.bool_]:
        """Sense a row once: bool (columns,), the weights themselves for x = 1."""
        arguments = {"macro": macro, "row": row, "x": x}
        answer = self.request(
            Opcode.READ_ROW,
            protocol.pack_fields(self._formats[Opcode.READ_ROW].arguments, arguments),
        )
        return _unpack_bits(answer, self.geometry.columns)

    def rows(self) -> Iterator[tuple[int, int]]:
        """All rows as (macro, row)."""
        for macro in range(self.geometry.macros):
            for row in range(self.geometry.rows):
                yield macro, row

    def form(self, progress: Callable[[], object] = lambda: None) -> None:
        """Form the whole chip, once in its life; `progress` is called after each row."""
        for macro, row in self.rows():
            self.form_row(macro, row)
            progress()

    def load(self, image: ArrayLike, progress: Callable[[], object] = lambda: None) -> None:
        """Program an image, bool (macro, row, column); `progress` is called after each row."""
        bits = check_image(self.geometry, image)
        for macro, row in self.rows():
            self.program_row(macro, row, bits[macro, row])
            progress()

    def verify(self, image: ArrayLike, progress: Callable[[], object] = lambda: None) -> None:
        """Read every row back, with x = 0 and x = 1; VerifyError names the first that differs."""
        bits = check_image(self.geometry, image)
        for macro, row in self.rows():
            self._check_row(macro, row, bits[macro, row])
            progress()

    def repair(
        self,
        image: ArrayLike,
        retries: int = 3,
        progress: Callable[[], object] = lambda: None,
    ) -> int:
        """Read every row back, as `verify`, and program again those that err.

        Memristors are drawn anew by each programming: a weak cell is a matter of luck. Do this at
        the lowest supply the chip will see, which finds cells that a higher one reads well.

        Parameters
        ----------
        image : bool array (macro, row, column)
            What was programmed.
        retries : int
            Times a row is programmed again at most.
        progress : callable
            Called after each row.

        Returns
        -------
        int
            Rows programmed again, each time counted.

        Raises
        ------
        VerifyError
            Naming the first row that still errs.
        """
        bits = check_image(self.geometry, image)
        repaired = 0
        for macro, row in self.rows():
            for attempt in range(retries + 1):
                try:
                    self._check_row(macro, row, bits[macro, row])
                    break
                except VerifyError:
                    if attempt == retries:
                        raise
                self.program_row(macro, row, bits[macro, row])
                repaired += 1
            progress()
        return repaired

    def _check_row(self, macro: int, row: int, bits: NDArray[np.bool_]) -> None:
        for x in (1, 0):
            wrong = self.read_row(macro, row, x) != (bits == bool(x))
            if wrong.any():
                raise VerifyError(
                    f"Macro {macro}, row {row}: {np.count_nonzero(wrong)} bit cells do not read as "
                    f"programmed with x = {x}, the first in column {int(np.argmax(wrong))}; "
                    f"program the row again"
                )

    # Measuring

    @contextlib.contextmanager
    def measuring(self, macro: int, row: int, column: int, side: int) -> Iterator[None]:
        """Connect one memristor to its macro's measuring pads, and disconnect it at the end.

        Meanwhile the chip refuses whatever needs its macros. Side 0 is on BL, 1 on BLb.
        RefusedError if the chip has no sense bypass, or if there is no such memristor.
        """
        place = {"macro": macro, "row": row, "column": column, "side": side}

        def measure(connect: int) -> None:
            arguments = self._formats[Opcode.MEASURE].arguments
            values = {**place, "connect": connect}
            self.request(Opcode.MEASURE, protocol.pack_fields(arguments, values))

        try:
            measure(1)
        except RefusedError:
            raise
        except HostError:  # it may be connected all the same
            with contextlib.suppress(HostError):
                measure(0)
            raise
        try:
            yield
        finally:
            measure(0)

    # Passes

    def configure(self, pass_config: PassConfig, readout: bool) -> None:
        """Set how passes run."""
        pass_config.check(self.geometry)
        values = {**pass_config.settings(self.geometry), "readout": readout}
        body = protocol.pack_fields(self._formats[Opcode.CONFIGURE].arguments, values)
        self.request(Opcode.CONFIGURE, body)

    def run(
        self,
        pass_config: PassConfig,
        inputs: ArrayLike,
        readout: bool = False,
        registers: ArrayLike | None = None,
        progress: Callable[[int], object] = lambda inferences: None,
    ) -> Result:
        """Run a batch; see `behavioral_models.chip.GoldenChip.run`.

        Cycles are those the chip counted. `progress` is called with the number of inferences done
        since the last call.
        """
        geometry = self.geometry
        inputs, preload = check_batch(pass_config, geometry, inputs, registers)
        self.configure(pass_config, readout)
        data = pack_inputs(pass_config, geometry, inputs)
        if preload is not None:
            data = np.concatenate([_pack_registers(geometry, preload), data], axis=1)
        chunk = self._packet_inferences or max(1, len(inputs))
        neurons = pass_config.neurons(geometry)
        outputs = np.zeros((len(inputs), neurons), dtype=bool)
        sums = np.zeros((len(inputs), neurons), dtype=np.int32)
        cycles = wait_cycles = 0
        for first in range(0, len(inputs), chunk):
            part = slice(first, min(first + chunk, len(inputs)))
            count = part.stop - part.start
            body = (
                protocol.pack_fields(self._formats[Opcode.RUN].arguments, {"inferences": count})
                + data[part].tobytes()
            )
            tag = self.send(Opcode.RUN, body)
            record = self._record_bytes(pass_config, readout)
            told = 0

            def tell(arrived: int, count: int = count, record: int = record) -> None:
                nonlocal told
                now = min(count, arrived // record)
                progress(max(0, now - told))
                told = max(told, now)

            answer = self.receive(Opcode.RUN, tag, tell)
            records = self._split_answer(pass_config, answer, count, readout)
            outputs[part], sums[part], counted = records
            cycles += counted["cycles"]
            wait_cycles += counted["wait_cycles"]
            progress(count - told)
        return Result(outputs, -sums if readout else None, cycles, wait_cycles)

    def read_registers(self, pass_config: PassConfig) -> NDArray[np.int32]:
        """The enabled banks' registers as they are now: int32 (neurons,)."""
        self.configure(pass_config, False)
        answer = self.request(Opcode.READ_REGISTERS)
        return _unpack_registers(self.geometry, np.frombuffer(answer, np.uint8)[None, :])[0]

    def preload(self, pass_config: PassConfig, registers: ArrayLike) -> None:
        """Write the enabled banks' registers, int (neurons,), for a pass that starts from them."""
        values = check_registers(pass_config, self.geometry, 1, np.asarray(registers)[None, :])
        self.configure(pass_config, False)
        self.request(Opcode.PRELOAD, _pack_registers(self.geometry, values).tobytes())

    def _record_bytes(self, pass_config: PassConfig, readout: bool) -> int:
        """Bytes of an inference's answer: output bits and, with readout, registers."""
        geometry = self.geometry
        per_bank = geometry.bank_bytes
        if readout:
            per_bank += geometry.columns * geometry.register_bytes
        return len(pass_config.enabled_banks(geometry)) * per_bank

    def _split_answer(
        self, pass_config: PassConfig, answer: bytes, count: int, readout: bool
    ) -> tuple[NDArray[np.bool_], NDArray[np.int32], dict[str, int]]:
        """Cut a RUN's answer into outputs, registers and cycle counts."""
        geometry = self.geometry
        last = self._formats[Opcode.RUN].answer_last
        size = sum(item.size for item in last)
        banks = len(pass_config.enabled_banks(geometry))
        bits_size = geometry.bank_bytes
        per_bank = self._record_bytes(pass_config, readout) // banks
        expected = count * banks * per_bank + size
        if len(answer) != expected:
            raise HostError(
                f"The chip sent {len(answer)} bytes for {count} inferences, not {expected}"
            )
        records = np.frombuffer(answer[:-size], np.uint8)
        counted = protocol.unpack_fields(last, answer[-size:])
        if pass_config.configuration is Configuration.CHAINED:
            # Bank 1 is one pass behind: the first pass has bank 0 alone, the last bank 1 alone.
            middle = records[per_bank : records.size - per_bank]
            whole = middle.reshape(count - 1, 2 * per_bank)
            parts = (bits_size, bits_size, per_bank - bits_size, per_bank - bits_size)
            edges = np.cumsum((0, *parts))
            b0, b1, r0, r1 = (whole[:, edges[i] : edges[i + 1]] for i in range(4))
            first, final = records[:per_bank], records[records.size - per_bank :]
            bits = [
                np.vstack([first[None, :bits_size], b0]),
                np.vstack([b1, final[None, :bits_size]]),
            ]
            registers = [
                np.vstack([first[None, bits_size:], r0]), np.vstack([r1, final[None, bits_size:]])
            ]  # fmt: skip
        else:
            whole = records.reshape(count, banks * per_bank)
            bits = [whole[:, b * bits_size : (b + 1) * bits_size] for b in range(banks)]
            rest = whole[:, banks * bits_size :]
            size = per_bank - bits_size
            registers = [rest[:, b * size : (b + 1) * size] for b in range(banks)]
        outputs = np.hstack([_unpack_bits(b, geometry.columns) for b in bits])
        sums = np.zeros(outputs.shape, dtype=np.int32)
        if readout:
            sums = np.hstack([_unpack_registers(geometry, r) for r in registers])
        return outputs, sums, counted


def pack_inputs(
    pass_config: PassConfig, geometry: ChipGeometry, inputs: NDArray
) -> NDArray[np.uint8]:
    """Pack inputs (batch, inputs) as RUN sends them: (batch, bytes), plane by plane, row by row."""
    planes = bits_of_planes(inputs, pass_config)
    batch, counted, width = planes.shape
    rows = pass_config.weight_rows
    slot = width // rows
    # input m * rows + i of macro m belongs to the slot of row i
    by_row = planes.reshape(batch, counted, slot, rows).swapaxes(2, 3)
    slots = by_row.reshape(batch, counted * rows, slot)
    per_byte = protocol.slots_per_byte(slot)
    if per_byte:
        used = protocol.input_bytes(slot, counted * rows)
        missing = used * per_byte - counted * rows
        bits = np.pad(slots, ((0, 0), (0, missing), (0, 0))).reshape(batch, used, per_byte * slot)
    else:
        bits = slots
    packed = np.packbits(bits, axis=2, bitorder="little")
    return packed.reshape(batch, packed.shape[1] * packed.shape[2])


def _pack_bits(bits: NDArray[np.bool_]) -> bytes:
    return np.packbits(bits, bitorder="little").tobytes()


def _unpack_bits(data: bytes | NDArray[np.uint8], columns: int) -> NDArray[np.bool_]:
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    return np.unpackbits(array, axis=-1, bitorder="little", count=columns).astype(bool)


def _pack_registers(geometry: ChipGeometry, values: NDArray[np.int32]) -> NDArray[np.uint8]:
    wide = np.ascontiguousarray(values, dtype="<i4").view(np.uint8).reshape(*values.shape, 4)
    size = geometry.register_bytes
    return wide[..., :size].reshape(len(values), values.shape[1] * size)


def _unpack_registers(geometry: ChipGeometry, data: NDArray[np.uint8]) -> NDArray[np.int32]:
    size = geometry.register_bytes
    values = np.zeros((len(data), data.shape[1] // size), dtype=np.int32)
    for position in range(size):
        values |= data[:, position::size].astype(np.int32) << 8 * position
    shift = 32 - 8 * size
    return (values << shift) >> shift
