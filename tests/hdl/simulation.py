"""Amaranth's simulator, as the block tests use it."""

from amaranth.sim import Simulator

CLOCK_S = 1e-6


def simulate(component, *testbenches, processes=(), clocked=True):
    """Run testbenches (async functions of a context) to their end."""
    simulator = Simulator(component)
    if clocked:
        simulator.add_clock(CLOCK_S)
    for process in processes:
        simulator.add_process(process)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


async def send(ctx, port, items, rng=None, idle=0.3):
    """Offer items to a stream, with random pauses if a generator is given."""
    for item in items:
        while rng is not None and rng.random() < idle:
            await ctx.tick()
        ctx.set(port.payload, item)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


async def receive(ctx, port, count, rng=None, idle=0.3):
    """Take `count` items from a stream, with random pauses if a generator is given.

    Checks that an item offered stays offered, unchanged, until it is taken.
    """
    items, offered = [], None
    while len(items) < count:
        ready = int(rng is None or rng.random() >= idle)
        ctx.set(port.ready, ready)
        _, _, valid, payload = await ctx.tick().sample(port.valid, port.payload)
        if offered is not None:
            assert valid and payload == offered, (
                "an item was withdrawn or changed before it was taken"
            )
        offered = payload if valid and not ready else None
        if valid and ready:
            items.append(payload)
    ctx.set(port.ready, 0)
    return items
