"""Frames in gateware against the protocol's own frame, unframe and checksum."""

import random

import pytest

from behavioral_models import protocol
from hdl.framing import Checksum, Deframer, Framer
from tests.hdl.simulation import receive, send, simulate

AWKWARD = (0xC0, 0xDB, 0xDC, 0xDD)


def random_bytes(rng, count):
    return bytes(
        rng.choice(AWKWARD) if rng.random() < 0.4 else rng.randrange(256) for _ in range(count)
    )


def test_checksum():
    rng = random.Random(0)
    dut = Checksum()

    async def testbench(ctx):
        for _ in range(12):
            data = random_bytes(rng, rng.randint(1, 30))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            for number, byte in enumerate(data):
                ctx.set(dut.data, byte)
                ctx.set(dut.valid, 1)
                await ctx.tick()
                ctx.set(dut.valid, 0)
                assert ctx.get(dut.crc) == protocol.crc(data[: number + 1])
                ctx.set(dut.data, rng.randrange(256))
                for _ in range(rng.randint(0, 2)):
                    await ctx.tick()
            for byte in protocol.crc(data).to_bytes(2, "big"):
                ctx.set(dut.data, byte)
                ctx.set(dut.valid, 1)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            assert ctx.get(dut.crc) == 0

    simulate(dut, testbench)


def test_checksum_is_ready_after_reset():
    dut = Checksum()

    async def testbench(ctx):
        for byte in b"123456789":
            ctx.set(dut.data, byte)
            ctx.set(dut.valid, 1)
            await ctx.tick()
        assert ctx.get(dut.crc) == 0x29B1

    simulate(dut, testbench)


def tokens_of(stream):
    """An RFC 1055 receiver's tokens: bytes, and at each END whether an escape was wrong."""
    tokens, escaped, damaged = [], False, False
    for byte in stream:
        if byte == protocol.END:
            tokens.append(("end", damaged or escaped))
            escaped = damaged = False
        elif escaped:
            escaped = False
            if byte in (protocol.ESCAPED_END, protocol.ESCAPED_ESCAPE):
                tokens.append(protocol.END if byte == protocol.ESCAPED_END else protocol.ESCAPE)
            else:
                damaged = True
        elif byte == protocol.ESCAPE:
            escaped = True
        else:
            tokens.append(byte)
    return tokens


def deframed(stream, rng=None):
    dut = Deframer()
    expected = tokens_of(stream)
    made = []

    async def source(ctx):
        await send(ctx, dut.i, stream, rng)

    async def sink(ctx):
        for token in await receive(ctx, dut.o, len(expected), rng):
            made.append(("end", bool(token["damaged"])) if token["end"] else token["byte"])

    simulate(dut, source, sink)
    return made


@pytest.mark.parametrize("stalls", [False, True], ids=["flowing", "stalling"])
@pytest.mark.parametrize("seed", range(3))
def test_deframer_on_noise(seed, stalls):
    rng = random.Random(seed)
    stream = random_bytes(rng, 600)
    assert deframed(stream, rng if stalls else None) == tokens_of(stream)


@pytest.mark.parametrize("length", [1, 3, 64])
def test_deframer_gives_back_what_was_framed(length):
    rng = random.Random(length)
    contents = [random_bytes(rng, length) for _ in range(4)]
    made = deframed(b"".join(map(protocol.frame, contents)), rng)
    frames, current = [], []
    for token in made:
        if isinstance(token, tuple):
            assert token == ("end", False)
            frames.append(bytes(current))
            current = []
        else:
            current.append(token)
    assert [f[:-2] for f in frames if f] == contents


@pytest.mark.parametrize("stalls", [False, True], ids=["flowing", "stalling"])
@pytest.mark.parametrize("length", [1, 2, 3, 20])
def test_framer_frames_as_the_protocol_does(length, stalls):
    rng = random.Random(length)
    pauses = rng if stalls else None
    contents = [random_bytes(rng, length) for _ in range(4)]
    contents += [bytes(length), bytes([protocol.END]) * length, bytes([protocol.ESCAPE]) * length]
    # a checksum that needs escapes itself
    while not any(byte in AWKWARD[:2] for byte in protocol.crc(contents[-1]).to_bytes(2, "big")):
        contents.append(random_bytes(rng, length))
    expected = b"".join(map(protocol.frame, contents))
    dut = Framer()
    made = []

    async def source(ctx):
        for answer in contents:
            for number, byte in enumerate(answer):
                await send(ctx, dut.i, [{"byte": byte, "last": number == length - 1}], pauses)

    async def sink(ctx):
        made.extend(await receive(ctx, dut.o, len(expected), pauses))

    simulate(dut, source, sink)
    assert bytes(made) == expected


@pytest.mark.parametrize("seed", range(4))
def test_framer_when_bytes_are_withdrawn(seed):
    """A run that is stopped takes back what it offered: only bytes that were taken are framed."""
    rng = random.Random(seed)
    dut = Framer()
    taken, made = [], []

    async def source(ctx):
        for cycle in range(200):
            last = cycle == 199
            ctx.set(dut.i.payload, {"byte": rng.choice(AWKWARD), "last": last})
            ctx.set(dut.i.valid, last or rng.random() < 0.7)
            _, _, valid, ready, payload = await ctx.tick().sample(
                dut.i.valid, dut.i.ready, dut.i.payload)
            while last and not ready:
                _, _, valid, ready, payload = await ctx.tick().sample(
                    dut.i.valid, dut.i.ready, dut.i.payload)
            if valid and ready:
                taken.append(payload.byte)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(60)

    async def sink(ctx):
        while True:
            ctx.set(dut.o.ready, rng.random() < 0.5)
            _, _, valid, ready, payload = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload)
            if valid and ready:
                made.append(payload)

    simulate(dut, source, processes=[sink])
    assert bytes(made) == protocol.frame(bytes(taken))
