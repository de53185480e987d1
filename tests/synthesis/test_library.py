"""The Liberty reader: syntax, units, functions, tables, and finding the file."""

import gzip
import itertools
import os
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis import library as library_module
from synthesis.liberty_syntax import Group, LibertySyntaxError, read_liberty
from synthesis.library import (
    Expression, LibraryError, Table, WireLoad, find_liberty, load_library,
)
from tests.needs import need
from tests.synthesis import liberty_text


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIOBIT_BUILD", str(tmp_path / "build"))
    return tmp_path


def load(folder, text, name="small.lib"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return load_library(path)


VALUES = [
    ("a : word;", "word"),
    ("a:word;", "word"),
    ("A : Word;", "Word"),
    ("a : -1.5e-05;", "-1.5e-05"),
    ("a : 1.0000000000 ;", "1.0000000000"),
    ("a : VDD * 0.5;", "VDD * 0.5"),
    ("a : VDD*0.5;", "VDD*0.5"),
    ("a : 0.5 * (VDD + VSS);", "0.5 * ( VDD + VSS )"),
    ("a : VDD / 2;", "VDD / 2"),
    ("a : um/2;", "um/2"),
    ("a : A[3:0];", "A[3:0]"),
    ("a : VDD \\\n * 0.5;", "VDD * 0.5"),
    ('a : "";', ""),
    ('a : " A & B ";', "A & B"),
    ('a : "a : (b); { c } // d /* e */";', "a : (b); { c } // d /* e */"),
    ('a : "it\'s \\"quoted\\"";', 'it\'s "quoted"'),
    ('a : "L : H, \\\nH : L";', "L : H, H : L"),
    ('a : "L : H, \\  \r\nH : L";', "L : H, H : L"),
    ('a : "L : H,\nH : L";', "L : H,\nH : L"),
    ("a :\n  word;", "word"),
    ("a /* b : c; */ : /* \n * */ word /* d */ ; // e", "word"),
    ("a : word", "word"),
    ("a : word // ; comment", "word"),
    ("a : word\n", "word"),
    ('a : "word"\r\n', "word"),
    ("; a : word;;", "word"),
]


@pytest.mark.parametrize("text, value", VALUES, ids=[text for text, _ in VALUES])
def test_the_reader_takes_attributes_of_one_value(text, value):
    group = read_liberty(f"library (x) {{ {text} }}" if "//" not in text else
                         f"library (x) {{ {text}\n }}")
    assert group == Group("library", ("x",), {text.strip("; ")[0]: [(value,)]}, [])


ARGUMENTS = [
    ("()", ()),
    ("( )", ()),
    ("(1, pf)", ("1", "pf")),
    ('(1.0, "pf")', ("1.0", "pf")),
    ("(A B)", ("A", "B")),
    ("(A[0], bus[3:0])", ("A[0]", "bus[3:0]")),
    ('("1, 2", \\\n  "3, 4")', ("1, 2", "3, 4")),
    ('(\n"1, 2"\n"3, 4",\n)', ("1, 2", "3, 4")),
    ('("1, \\\n2")', ("1, 2",)),
    ('("1", /* "2", */ "3", // "4"\n "5")', ("1", "3", "5")),
    ("(opt, library, string)", ("opt", "library", "string")),
]


@pytest.mark.parametrize("arguments, values", ARGUMENTS, ids=[text for text, _ in ARGUMENTS])
def test_the_reader_takes_values_and_arguments_between_parentheses(arguments, values):
    for end in (";", "", "\n", " ;\n", " // comment\n"):
        group = read_liberty(f"library (x) {{ define {arguments}{end} }}")
        assert group == Group("library", ("x",), {"define": [values]}, [])
    for brace in ("{", " {", "\n{", " /* comment */ {", " // comment\n {"):
        group = read_liberty(f"library (x) {{ cell{arguments}{brace} area : 1 }} }}")
        inner = Group("cell", values, {"area": [("1",)]}, [])
        assert group == Group("library", ("x",), {}, [inner])


def test_the_reader_keeps_every_statement_and_the_order_of_groups():
    group = read_liberty("""
        /* a heading:
           library (no) { } */
        library ("x") {
          length (1, 10) length (2, 20)
          cell (B) { pin (Y) { direction : output } pin (A) { direction : input; } }
          area : 1
          define (a, b, string)
          area : 2; cell (A) { };
          ff (IQ, IQN) { }
        };
        // the end""")
    assert (group.name, group.arguments) == ("library", ("x",))
    assert group.attributes == {
        "length": [("1", "10"), ("2", "20")], "area": [("1",), ("2",)],
        "define": [("a", "b", "string")]}
    assert [inner.arguments for inner in group.groups] == [("B",), ("A",), ("IQ", "IQN")]
    assert group.groups_named("cell") == group.groups[:2]
    assert group.groups_named("ff", "cell") == group.groups
    assert group.groups_named("pin") == []  # those of its cells are not its own
    b = group.groups[0]
    assert [pin.attributes["direction"] for pin in b.groups] == [[("output",)], [("input",)]]


def test_the_reader_has_no_limit_of_depth_or_of_comments():
    depth = 5000
    group = read_liberty("a (b) {" * depth + "// comment\n" * depth + "}" * depth)
    for _ in range(depth - 1):
        (group,) = group.groups
    assert group.groups == [] and group.arguments == ("b",)


WORD = st.from_regex(r"[A-Za-z_][A-Za-z_0-9.]*(\[[0-9]+(:[0-9]+)?\])?", fullmatch=True)
PLAIN = st.text("abcXYZ019 .,:;(){}/*+!&'^[]<>=-", max_size=12).map(str.strip)
GROUPS = st.recursive(
    st.builds(Group, WORD, st.lists(WORD | PLAIN, max_size=3).map(tuple)),
    lambda inner: st.builds(
        Group, WORD, st.lists(WORD | PLAIN, max_size=3).map(tuple),
        st.dictionaries(WORD, st.lists(st.lists(WORD | PLAIN, max_size=3).map(tuple), min_size=1,
                                       max_size=2), max_size=3),
        st.lists(inner, max_size=3)),
    max_leaves=8)


def liberty_of(group, random):
    """A group as text, in one of the many ways it can be written."""
    def blank():
        return random.choice(("", " ", "\n", "\t/* ; */", "// }\n", "\\\n"))

    def written(value):
        plain = re.fullmatch(r"[\w.]+(\[[\d:]+\])?", value) and random.random() < 0.5
        return value if plain else f'"{value}"'

    def between(values):
        return f"({blank()}{f'{blank()},{blank()}'.join(map(written, values))}{blank()})"

    statements = []
    for name, several in group.attributes.items():
        for values in several:
            if len(values) == 1 and random.random() < 0.5:
                text = f"{name}{blank()}:{blank()}{written(values[0])}"
                end = random.choice((";", "\n", " // {\n", " /* { */ ;"))
            else:
                text = f"{name}{blank()}{between(values)}"
                end = random.choice((";", "\n", " "))
            statements.append(text + end)
    statements += [liberty_of(inner, random) for inner in group.groups]
    body = "".join(blank() + statement for statement in statements)
    return f"{group.name}{blank()}{between(group.arguments)}{blank()}{{{body}{blank()}}}{blank()}"


@settings(deadline=None)
@given(GROUPS, st.integers(0, 2**32))
def test_what_is_written_is_read_back(group, seed):
    assert read_liberty(liberty_of(group, random.Random(seed))) == group


@pytest.mark.parametrize("text, message", [
    ("", "line 1: the text holds no group"),
    ("\n// nothing\n", "line 3: the text holds no group"),
    ("a : 1;", "line 1: 'a' stands outside the outermost group"),
    ("a (b) { }\nc (d) { }", "line 2: 'c' stands outside the outermost group"),
    ("a (b) { }\n}", "line 2: '}' stands where a statement should begin"),
    ("nonsense {", "line 1: 'nonsense' is followed by '{', not by ':' or '('"),
    ("a (b) {\n c", "line 2: 'c' is followed by the end of the file"),
    ("a (b) {\n c d : 1;\n}", "line 2: 'c' is followed by 'd'"),
    ("a (b) {\n\n c (d) {\n e : 1;\n", "line 3: group 'c' has no closing brace"),
    ("a (b) {\n c (d) {\n }\n", "line 1: group 'a' has no closing brace"),
    ("a (b) {\n c (1,\n 2", "line 2: 'c' has no closing parenthesis"),
    ("a (b) {\n c (1,\n 2;\n}", "line 3: ';' is between the parentheses of 'c'"),
    ("a (b) {\n c (1 (2));\n}", "line 2: '(' is between the parentheses of 'c'"),
    ("a (b) {\n c : ;\n}", "line 2: 'c' has no value but ';'"),
    ("a (b) {\n c :", "line 2: 'c' has no value but the end of the file"),
    ("a (b) {\n c : }", "line 2: 'c' has no value but '}'"),
    ("a (b) {\n c : 1 d : 2;\n}", "line 2: ':' follows the value of 'c'"),
    ("a (b) {\n c : 1 pin (A) { } }", "line 2: '{' follows the value of 'c'"),
    ('a (b) {\n c : "1" "2";\n}', "line 2: a string follows the value of 'c'"),
    ('a (b) {\n c : "1" 2;\n}', "line 2: '2' follows the value of 'c'"),
    ('a (b) {\n "c" : 1;\n}', "line 2: a string stands where a statement should begin"),
    ('a (b) {\n c : "1;\n}', "line 2: 'c' has no value but a string without end"),
    ('a (b) {\n c ("1", "2);\n}', "line 2: a string without end is between the parentheses"),
    ("a (b) {\n c : 1;\n /* comment\n }", "line 3: a comment without end stands where"),
    ("a (b) {\n c : 1 \\ ;\n}", r"line 2: '\\' follows the value of 'c'"),
    ('a (b) { c ("1\n2",\n"3") : 4; }', "line 3: ':' stands where a statement should begin"),
])
def test_the_reader_says_where_a_text_is_not_liberty(text, message):
    with pytest.raises(LibertySyntaxError, match="^" + re.escape(message)):
        read_liberty(text)


FUNCTIONS = [
    ("!A", lambda a, b, c: not a),
    ("A'", lambda a, b, c: not a),
    ("A''", lambda a, b, c: a),
    ("!A'", lambda a, b, c: a),
    ("(A + B)'", lambda a, b, c: not (a or b)),
    ("A B", lambda a, b, c: a and b),
    ("A&B|C", lambda a, b, c: (a and b) or c),
    ("A|B&C", lambda a, b, c: a or (b and c)),
    ("A + B * C", lambda a, b, c: a or (b and c)),
    ("A ^ B C", lambda a, b, c: (a != b) and c),  # ^ binds tighter than AND
    ("A & B ^ C", lambda a, b, c: a and (b != c)),
    ("A B' + C", lambda a, b, c: (a and not b) or c),
    ("A !B", lambda a, b, c: a and not b),
    ("(A)(B)(C)", lambda a, b, c: a and b and c),
    ("1", lambda a, b, c: True),
    ("A ^ 1", lambda a, b, c: not a),
]


@pytest.mark.parametrize("text, expected", FUNCTIONS, ids=[f[0] for f in FUNCTIONS])
def test_functions_mean_what_liberty_says(text, expected):
    expression = Expression(text)
    table = [expected(bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(8)]
    assert list(expression.truth_table(("A", "B", "C"))) == table
    for i in range(8):
        values = {"A": i & 1, "B": i >> 1 & 1, "C": i >> 2}
        assert expression.evaluate(values) == table[i]
    arrays = {pin: np.arange(8) >> place & 1 for place, pin in enumerate("ABC")}
    assert np.array_equal(np.broadcast_to(expression.evaluate(arrays), 8), table)


@pytest.mark.parametrize("text", ["", "A &", "(A", "A)", "A ! ", "A $ B", "2"])
def test_what_is_no_function_is_refused(text):
    with pytest.raises(LibraryError, match="not a Boolean function"):
        Expression(text)


def test_probability_is_that_of_independent_pins():
    p = {"A": 0.25, "B": 0.5, "C": 0.9}
    for text in ("A&B&!C", "A^B", "A B + A' C", "(A|B)&(A|C)", "1", "0"):
        expression = Expression(text)
        total = 0.0
        for bits in itertools.product((0, 1), repeat=3):
            values = dict(zip("ABC", bits, strict=True))
            weight = np.prod([p[k] if v else 1 - p[k] for k, v in values.items()])
            total += weight * expression.evaluate(values)
        assert expression.probability(p) == pytest.approx(total)
    many = {"A": np.array([0.0, 0.5, 1.0]), "B": 0.5}
    assert Expression("A&B").probability(many) == pytest.approx([0, 0.25, 0.5])


def test_tables_are_multilinear_and_extrapolate():
    x, y = np.array([1.0, 2.0, 5.0]), np.array([10.0, 30.0])

    def plane(a, b):
        return 3 + 2 * a - b + 0.5 * a * b

    table = Table(("x", "y"), (x, y), plane(x[:, None], y[None, :]))
    for a, b in [(1, 10), (1.5, 20), (4, 29), (0, 0), (9, 50), (0.5, 40)]:
        assert table.lookup(a, b) == pytest.approx(plane(a, b))
    a, b = np.array([0.0, 3.0]), np.array([7.0, 70.0])
    assert table.lookup(a, b) == pytest.approx(plane(a, b))
    assert table.at(y=20.0, x=3.0, z=1.0) == pytest.approx(plane(3, 20))
    kinked = Table(("x",), (x,), np.array([0.0, 1.0, 10.0]))
    assert kinked.lookup(3.0) == pytest.approx(4.0)
    assert kinked.lookup(6.0) == pytest.approx(13.0)  # the last slope goes on
    assert kinked.lookup(0.0) == pytest.approx(-1.0)
    assert Table((), (), np.array(4.0)).lookup() == 4.0
    assert Table(("x", "y"), (x[:1], y), np.array([[1.0, 2.0]])).lookup(9.0, 20.0) == 1.5
    with pytest.raises(ValueError, match="takes 2 coordinates, not 1"):
        table.lookup(1.0)
    with pytest.raises(ValueError, match="needs x too"):
        table.at(y=1.0)


def test_wire_loads_follow_the_table_then_the_slope():
    wire = WireLoad("w", 2e-16, 5.0, 3.0, ((1, 10.0), (3, 20.0)))
    assert [wire.length(n) for n in (0, 1, 2, 3, 5)] == [7, 10, 15, 20, 26]
    assert wire.capacitance_f(2) == pytest.approx(30e-16)
    assert wire.resistance_ohm(2) == pytest.approx(75)
    assert WireLoad("w", 1.0, 1.0, 3.0, ()).length(2) == 6


def test_a_library_is_read_in_si_units(build):
    library = load(build, liberty_text())
    assert (library.name, library.corner) == ("small", "typical")
    assert (library.voltage_v, library.temperature_c) == (1.5, 30)
    assert library.default_wire_load == "small"
    wire = library.wire_loads["small"]
    assert wire.capacitance_f(1) == pytest.approx(10 * 0.1e-15)
    assert wire.resistance_ohm(1) == pytest.approx(20)
    nand = library.cells["NAND2"]
    assert (nand.kind, nand.area_um2, nand.dont_use) == ("combinational", 2, False)
    assert nand.leakage_w == pytest.approx(0.2e-9)
    assert nand.inputs == ("A", "B") and nand.outputs == ("Y",)
    assert nand.pins["A"].capacitance_f == pytest.approx(2e-15)
    assert nand.pins["A"].rise_capacitance_f == pytest.approx(2e-15)
    assert nand.pins["Y"].max_capacitance_f == pytest.approx(40e-15)
    arc = nand.pins["Y"].timing[1]
    assert (arc.related_pin, arc.kind, arc.sense) == ("B", "combinational", "non_unate")
    assert arc.cell_rise.axes == ("input_transition", "output_capacitance")
    assert arc.cell_rise.lookup(50e-12, 30e-15) == pytest.approx(45e-12)
    assert arc.fall_transition.lookup(50e-12, 200e-15) == pytest.approx(420e-12)
    power = nand.pins["Y"].internal_power[0]
    assert (power.related_pin, power.when) == ("A", None)
    assert power.rise.lookup(1e-12, 50e-15) == pytest.approx(11e-15)
    assert library.cells["AND2"].dont_use


def test_kinds_of_cells(build):
    three_state = ('cell (TRI) { area : 1; pin (A) { direction : input; } pin (Y) { direction : '
                   'output; function : "A"; three_state : "A\'"; } }')
    filler = "cell (FILL) { area : 1; }"
    library = load(build, liberty_text(extra=three_state + filler))
    kinds = {name: cell.kind for name, cell in library.cells.items()}
    assert kinds["DFFR"] == "flip_flop" and kinds["LAT"] == "latch"
    assert kinds["ICG"] == "clock_gate" and kinds["TIE"] == "tie"
    assert kinds["TRI"] == kinds["FILL"] == "other"
    state = library.cells["DFFR"].state
    assert (state.variable, state.inverted) == ("IQ", "IQN")
    assert state.clocked_on == Expression("CK") and state.next_state == Expression("D")
    assert state.clear == Expression("!R") and state.preset is None
    assert library.cells["DFF"].pins["CK"].is_clock
    own = library.cells["DFF"].pins["CK"].internal_power[0]
    assert own.related_pin is None
    assert own.rise.lookup(20e-12) == pytest.approx(4e-15)
    gate = library.cells["ICG"]
    assert gate.clock_gate == "latch_posedge"
    roles = {pin.name: pin.clock_gate_role for pin in gate.pins.values()}
    assert roles == {"CK": "clock", "EN": "enable", "GCK": "out", "M": None}
    assert gate.pins["GCK"].state_function == Expression("CK M")


def test_power_and_leakage_by_state(build):
    cell = '''cell (X) { area : 1;
      leakage_power () { value : 3; when : "A"; } leakage_power () { value : 5; when : "!A"; }
      leakage_power () { value : 1; when : "A"; related_pg_pin : VDD2; }
      pin (A) { direction : input; capacitance : 0.001; rise_capacitance : 0.002;
        internal_power () { when : "!B"; power (slew) { values ("0.001, 0.002"); } } }
      pin (B) { direction : input; }
      pin (Y) { direction : output; function : "A B";
        internal_power () { related_pin : "A B"; rise_power (scalar) { values ("0.5"); } } } }'''
    x = load(build, liberty_text(extra=cell)).cells["X"]
    assert x.leakage_when == (
        (Expression("A"), pytest.approx(4e-9)), (Expression("!A"), pytest.approx(5e-9)))
    assert x.leakage_w == pytest.approx(4.5e-9)
    assert x.pins["A"].rise_capacitance_f == 2e-15 and x.pins["A"].fall_capacitance_f == 1e-15
    own = x.pins["A"].internal_power[0]
    assert own.when == Expression("!B")
    for table in (own.rise, own.fall):  # one table for both
        assert table.lookup(100e-12) == pytest.approx(2e-15)
    related = x.pins["Y"].internal_power
    assert [power.related_pin for power in related] == ["A", "B"]
    assert related[0].rise.axes == () and related[0].rise.lookup() == pytest.approx(0.5e-12)
    assert related[0].fall is None


def test_tables_with_the_load_first_are_turned(build):
    cell = '''cell (X) { area : 1; pin (A) { direction : input; }
      pin (Y) { direction : output; function : "A"; timing () { related_pin : "A";
        cell_rise (turned) { index_1 ("0.001, 0.002"); values ("1, 2, 3", "4, 5, 6"); } } } }'''
    template = '''lu_table_template (turned) { variable_1 : total_output_net_capacitance;
      variable_2 : input_net_transition; index_1 ("1, 2"); index_2 ("0.1, 0.2, 0.3"); }'''
    pins = load(build, liberty_text(extra=template + cell)).cells["X"].pins
    table = pins["Y"].timing[0].cell_rise
    assert table.axes == ("input_transition", "output_capacitance")
    assert table.lookup(0.3e-9, 1e-15) == pytest.approx(3e-9)
    assert table.lookup(0.1e-9, 2e-15) == pytest.approx(4e-9)


def test_a_library_is_read_once_and_again_when_it_changes(build, monkeypatch):
    first = load(build, liberty_text(), "small.lib.gz")
    plain = first.plain_text_path()
    assert plain.read_text() == liberty_text()
    with monkeypatch.context() as patch:
        patch.setattr(library_module, "_read", lambda *_: pytest.fail("it was read again"))
        again = load(build, liberty_text(), "small.lib.gz")
        assert again.sha256 == first.sha256 and set(again.cells) == set(first.cells)
        moved = load(build, liberty_text(), "moved.lib")
        assert moved.sha256 == first.sha256  # that of the text, compressed or not
        assert moved.path.name == "moved.lib"
    other = load(build, liberty_text(tie=False))
    assert other.sha256 != first.sha256 and "TIE" not in other.cells
    for kept in (build / "build" / "liberty").glob("*.pickle"):
        kept.write_bytes(b"broken")
    assert "TIE" in load(build, liberty_text()).cells


@pytest.mark.parametrize("text, message", [
    ("\nnonsense {", "small.lib cannot be read as Liberty: line 2: 'nonsense' is followed by"),
    ("cell (X) { area : 1; }", "holds no library"),
    ("library (x) { nom_voltage : 1; }", "holds no cells"),
    ("library (x) { cell (A) { area : 1; } }", "does not say the voltage"),
    ('library (x) { time_unit : "1parsec"; }', "time_unit '1parsec' is not understood"),
])
def test_files_that_are_no_library(build, text, message):
    with pytest.raises(LibraryError, match=message):
        load(build, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(LibraryError, match="cannot be read"):
        load_library(tmp_path / "none.lib")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    for variable in ("LIBERTY", "PDK_ROOT", "PDK", "STD_CELL_LIBRARY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(library_module, "DEBIAN_LIBERTY", tmp_path / "debian.lib")
    return tmp_path


def pdk_file(root, variant, library, corner, suffix=".lib"):
    path = root / variant / "libs.ref" / library / "lib" / f"{library}__{corner}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("library")
    return path


def test_the_file_is_found_where_it_may_be(nowhere, monkeypatch):
    with pytest.raises(LibraryError, match="set LIBERTY to a Liberty file, or PDK_ROOT"):
        find_liberty()
    debian = nowhere / "debian.lib"
    debian.write_text("library")
    assert find_liberty() == debian
    root = nowhere / "pdk"
    monkeypatch.setenv("PDK_ROOT", str(root))
    with pytest.raises(LibraryError, match="no typical corner of standard cells"):
        find_liberty()
    pdk_file(root, "gf180mcuC", "gf180mcu_fd_sc_mcu9t5v0", "ss_125C_4v50")
    with pytest.raises(LibraryError, match="no typical corner"):
        find_liberty()
    any_corner = pdk_file(root, "gf180mcuC", "gf180mcu_fd_sc_mcu9t5v0", "tt_025C_3v30")
    assert find_liberty() == any_corner
    ihp = pdk_file(root, "ihp-sg13g2", "sg13g2_stdcell", "typ_1p20V_25C")
    assert find_liberty() == any_corner
    pdk_file(root, "sky130B", "sky130_fd_sc_hd", "ss_100C_1v60")
    b = pdk_file(root, "sky130B", "sky130_fd_sc_hd", "tt_025C_1v80")
    assert find_liberty() == b
    a = pdk_file(root, "sky130A", "sky130_fd_sc_hd", "tt_025C_1v80", ".lib.gz")
    pdk_file(root, "sky130A", "sky130_fd_io", "tt_025C_1v80")
    other = pdk_file(root, "sky130A", "sky130_fd_sc_hs", "tt_025C_1v80")
    assert find_liberty() == a
    monkeypatch.setenv("STD_CELL_LIBRARY", "sky130_fd_sc_hs")
    assert find_liberty() == other
    monkeypatch.delenv("STD_CELL_LIBRARY")
    monkeypatch.setenv("PDK", "ihp-sg13g2")
    assert find_liberty() == ihp
    named = nowhere / "mine.lib"
    monkeypatch.setenv("LIBERTY", str(named))
    with pytest.raises(LibraryError, match="LIBERTY names .*mine.lib, which is not a file"):
        find_liberty()
    named.write_text("library")
    assert find_liberty() == named
    assert find_liberty(a) == a
    with pytest.raises(LibraryError, match="absent.lib is not a file"):
        find_liberty(nowhere / "absent.lib")


def test_a_pdk_that_ciel_fetched_but_did_not_enable(nowhere, monkeypatch):
    root = nowhere / "pdk"
    path = pdk_file(
        root / "ciel" / "sky130" / "versions" / "0fe5", "sky130A", "sky130_fd_sc_hd",
        "tt_025C_1v80")
    monkeypatch.setenv("PDK_ROOT", str(root))
    assert find_liberty() == path


def test_a_real_library_is_read_whole():
    need("liberty")
    library = load_library(os.environ["LIBERTY"])
    text = library.plain_text_path().read_text(errors="replace")
    cells = re.findall(r'^\s*cell\s*\(\s*"?([\w$]+)"?\s*\)', text, re.M)
    assert set(library.cells) == set(cells)
    assert 0.5 < library.voltage_v < 6
    for name in ("flip_flop", "combinational"):
        assert any(cell.kind == name for cell in library.cells.values())
    for cell in library.cells.values():
        for pin in cell.pins.values():
            assert 0 <= pin.capacitance_f < 1e-11, (cell.name, pin.name)
            for arc in pin.timing:
                if arc.cell_rise is not None:
                    delay = arc.cell_rise.at(input_transition=50e-12, output_capacitance=5e-15)
                    assert -1e-9 < delay < 1e-7, (cell.name, pin.name)
            for power in pin.internal_power:
                for table in (power.rise, power.fall):
                    if table is not None:
                        energy = table.at(input_transition=50e-12, output_capacitance=5e-15)
                        assert abs(energy) < 1e-10, (cell.name, pin.name)
