"""A standard-cell library small enough to write down, so that tests need none from outside."""

#: Delay = 10 ps + 0.1 input transition + 1 ps/fF load, energy = 1 fJ + 0.2 fJ/fF load: linear, so
#: that what a table gives between and beyond its corners is known.
_LOADS_FF = (1, 10, 100)
_TRANSITIONS_PS = (10, 100)


def _table(group, value):
    rows = ", ".join(
        '"' + ", ".join(f"{value(t, c):.6f}" for c in _LOADS_FF) + '"' for t in _TRANSITIONS_PS)
    return f"{group} (slew_load) {{ values ({rows}); }}"


def _arc(pin, kind="combinational", sense="non_unate"):
    tables = "".join(
        _table(f"cell_{edge}", lambda t, c: (10 + 0.1 * t + c) / 1000)
        + _table(f"{edge}_transition", lambda t, c: (20 + 2 * c) / 1000)
        for edge in ("rise", "fall"))
    powers = "".join(
        _table(f"{edge}_power", lambda t, c: (1 + 0.2 * c) / 1000) for edge in ("rise", "fall"))
    return (f'timing () {{ related_pin : "{pin}"; timing_type : {kind}; '
            f"timing_sense : {sense}; {tables} }}"
            f'internal_power () {{ related_pin : "{pin}"; {powers} }}')


def _cell(name, area, inputs, outputs, body="", clocks=(), pins=None):
    """A cell; outputs are (pin, function, related pin, timing type)."""
    text = f"cell ({name}) {{ area : {area}; cell_leakage_power : {area / 10}; {body}\n"
    for pin in inputs:
        clock = "clock : true;" if pin in clocks else ""
        own = (pins or {}).get(pin, "")
        text += f" pin ({pin}) {{ direction : input; capacitance : 0.002; {clock} {own} }}\n"
    for pin, function, related, kind in outputs:
        text += (f" pin ({pin}) {{ direction : output; {function} max_capacitance : "
                 f"{0.02 * area}; {''.join(_arc(r, kind) for r in related)} }}\n")
    return text + "}\n"


def _function(text):
    return f'function : "{text}";'


def logic(name, area, function, inputs):
    """A gate of one output, Y."""
    return _cell(name, area, inputs, [("Y", _function(function), inputs, "combinational")])


def _flip_flop(name, area, extra=(), attributes=""):
    ff = f'ff (IQ, IQN) {{ clocked_on : "CK"; next_state : "D"; {attributes} }}'
    power = ("internal_power () { rise_power (slew) { values (\"0.004, 0.004\"); } "
             "fall_power (slew) { values (\"0.003, 0.003\"); } }")
    return _cell(name, area, ["CK", "D", *extra], [("Q", _function("IQ"), ["CK"], "rising_edge")],
                 ff, clocks=["CK"], pins={"CK": power})


CLOCK_GATE = _cell(
    "ICG", 7, ["CK", "EN"], [("GCK", 'clock_gate_out_pin : true; state_function : "CK*M";', ["CK"],
                             "combinational")],
    'clock_gating_integrated_cell : latch_posedge;\n'
    ' pin (M) { direction : internal; internal_node : M; }\n'
    ' statetable ("CK EN", "M") { table : "L L : - : L, L H : - : H, H - : - : N"; }',
    clocks=["CK"],
    pins={"CK": "clock_gate_clock_pin : true;", "EN": "clock_gate_enable_pin : true;"})

TIE = ('cell (TIE) { area : 2; pin (ONE) { direction : output; function : "1"; }'
       ' pin (ZERO) { direction : output; function : "0"; } }\n')

LATCH = _cell("LAT", 5, ["G", "D"], [("Q", _function("IQ"), ["G", "D"], "rising_edge")],
              'latch (IQ, IQN) { enable : "G"; data_in : "D"; }', clocks=["G"])

ADDER = _cell("ADD", 9, ["A", "B", "C"], [
    ("S", _function("A ^ B ^ C"), ["A", "B", "C"], "combinational"),
    ("CO", _function("A B + C (A + B)"), ["A", "B", "C"], "combinational")])

FLIP_FLOPS = (
    _flip_flop("DFF", 8)
    + _flip_flop("DFFR", 10, ["R"], 'clear : "R\'";')
    + _flip_flop("DFFS", 10, ["S"], 'preset : "S\'";'))

GATES = (
    logic("INV1", 1, "!A", ["A"])
    + logic("INV2", 2, "A'", ["A"])
    + logic("BUF2", 3, "A", ["A"])
    + logic("BUF8", 8, "A", ["A"])
    + logic("NAND2", 2, "(A B)'", ["A", "B"])
    + logic("NOR2", 2, "!(A | B)", ["A", "B"])
    + logic("XOR2", 4, "A ^ B", ["A", "B"])
    + logic("AND2", 1, "A * B", ["A", "B"]).replace("area", "dont_use : true; area", 1))

HEADING = """
  delay_model : table_lookup;
  time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA"; leakage_power_unit : "1nW";
  pulling_resistance_unit : "1kohm"; capacitive_load_unit (1, pf);
  nom_voltage : 1.5; nom_temperature : 25; nom_process : 1;
  slew_lower_threshold_pct_rise : 20; slew_upper_threshold_pct_rise : 80;
  slew_lower_threshold_pct_fall : 20; slew_upper_threshold_pct_fall : 80;
  input_threshold_pct_rise : 50; input_threshold_pct_fall : 50;
  output_threshold_pct_rise : 50; output_threshold_pct_fall : 50;
  operating_conditions (typical) { process : 1; voltage : 1.5; temperature : 30; }
  default_operating_conditions : typical;
  wire_load (small) { capacitance : 0.0001; resistance : 0.002; slope : 3;
    fanout_length (1, 10); fanout_length (3, 20); }
  default_wire_load : small;
  lu_table_template (slew_load) { variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("0.01, 0.1"); index_2 ("0.001, 0.01, 0.1"); }
  lu_table_template (slew) { variable_1 : input_transition_time; index_1 ("0.01, 0.1"); }
"""


def liberty_text(*, clock_gate=True, tie=True, adder=True, flip_flops=True, extra=""):
    """Liberty of a library with or without some of its cells."""
    cells = GATES + LATCH + (CLOCK_GATE if clock_gate else "") + (TIE if tie else "")
    cells += (ADDER if adder else "") + (FLIP_FLOPS if flip_flops else "") + extra
    return f"library (small) {{{HEADING}{cells}}}\n"
