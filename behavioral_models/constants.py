"""Published constants of the chip, and the codes its pins carry. Plain data, for every room.

Sources are the papers named in the docstrings; `assumed` marks a value that no paper gives.
"""

from enum import IntEnum

#: Supply of logic and reads at the reference point, volts (Jebali 2024, Methods).
VDD_V = 1.2
#: Middle pad, volts: both rails of a SET, the lower rail of forming and RESET (Jebali 2024,
#: Methods).
VM_V = 2.7
#: High pad, volts: the higher rail of forming and RESET (Jebali 2024, Methods).
VH_V = 4.5

#: Clock at 1.2 V, hertz (Jebali 2024, Results).
CLOCK_HZ = 66_000_000

#: Forming pulse, seconds (Jebali 2024, Methods).
FORM_PULSE_S = 10e-6
#: SET pulse (to the low resistance state), seconds (Jebali 2024, Methods).
SET_PULSE_S = 6e-6
#: RESET pulse (to the high resistance state), seconds (Jebali 2024, Methods).
RESET_PULSE_S = 6e-6
#: Time with no rail connected while the power switch changes rails, and the time a new rail is
#: given to settle, seconds. Assumed.
RAIL_DEAD_TIME_S = 100e-9
#: Time row, column and side are held before and after each pulse, seconds. Assumed.
PULSE_SETUP_S = 50e-9


class Rail(IntEnum):
    """What the power switch connects to VDDC (columns) or VDDR (rows)."""

    OFF = 0
    VDD = 1
    VM = 2
    VH = 3


class Operation(IntEnum):
    """What a pulse does; READ is every moment without one."""

    READ = 0
    FORM = 1
    SET = 2
    RESET = 3


#: Rails of each operation as (columns VDDC, rows VDDR) (Jebali 2024, Methods).
RAILS = {
    Operation.READ: (Rail.VDD, Rail.VDD),
    Operation.FORM: (Rail.VH, Rail.VM),
    Operation.SET: (Rail.VM, Rail.VM),
    Operation.RESET: (Rail.VM, Rail.VH),
}
