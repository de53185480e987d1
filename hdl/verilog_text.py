"""Plainer Verilog: what Yosys writes, without its artefacts, and clean under a linter.

Only names, declarations and defaults change; no expression does.
"""

import re

__all__ = ["tidy"]


def tidy(body):
    """Rewrite one module as Yosys writes it, from its port list to `endmodule`.

    * Cases that do not cover all values say so.
    * Names lose their escapes; the next value of register `r` is called `r_next`.
    * An intermediate value that has a name in the source is called by it.
    * Registers have no initial values: silicon has none.
    * Names that nothing uses are removed, and intermediate values are as wide as what is used of
      them.
    * A port or an intermediate value of which only a part is used carries a lint waiver of its own,
      with the reason.
    """
    body = re.sub(r"^ *reg \\\$auto\$verilog_backend\S+  = 0;\n", "", body, flags=re.M)
    body = re.sub(r"^ *if \(\\\$auto\$verilog_backend\S+ \) begin end\n", "", body, flags=re.M)
    for register, value in re.findall(r"^ *(?:else )?(\w+) ?<= (\\\$\d+) ;", body, re.M):
        if not re.search(rf"\b{register}_next\b", body):
            body = body.replace(f"{value} ", f"{register}_next ")
    body = _plain_names(body)
    body = re.sub(r"^( *(?:output )?reg [^=;\n]*?) *=[^;\n]*;", r"\1;", body, flags=re.M)
    body = re.sub(r"^ *(casez \(.*?\n)(.*?)^( *)endcase", _complete_case, body, flags=re.M | re.S)
    body = re.sub(r"(?<=\S) +([;,)\]]| [=+&|^?:<>-])", r"\1", body)
    body = re.sub(r"(?<=\w) (\[\d+(?::\d+)?\])(?! \w+;)", r"\1", body)
    return _waive_values(_waive_ports(_remove_unused(_name_values(body))))


def _plain_names(body):
    """Turn `$12` into `t12`, `.` and `$` of longer names into `_`; no two names become one."""
    taken = set(re.findall(r"(?<![\\\w$.])[A-Za-z_]\w*", body))
    names = {}

    def plain(match):
        escaped = match.group(1)
        if escaped not in names:
            name = re.sub(r"(?:^|(?<=\.))\$(?=\d)", "t", escaped.replace("$flatten\\", ""))
            name = re.sub(r"\W+", "_", name)
            while name in taken:
                name += "_"
            taken.add(name)
            names[escaped] = name
        return names[escaped] + " "

    return re.sub(r"\\(\S+) ", plain, body)


def _complete_case(match):
    """Add an empty default to a case that does not list every value."""
    whole, items, indent = match.group(0), match.group(2), match.group(3)
    constant = r"\d+'h[\da-f?]+"
    lines = re.findall(rf"^{indent}  ({constant}(?:, {constant})*):", items, re.M)
    patterns = [pattern for line in lines for pattern in line.split(", ")]
    width = int(patterns[0].split("'")[0]) if patterns else 0
    if re.search(rf"^{indent}  default:", items, re.M) or len(set(patterns)) == 1 << width:
        return whole
    return f"{whole[:-len('endcase') - len(indent)]}{indent}  default: ;\n{indent}endcase"


_DECLARATION = re.compile(r"^  (wire|reg)( signed)?(?: \[(\d+):0\])? (\w+);\n", re.M)


def _name_values(body):
    """Call `t12` what `assign name = t12;` says it is, where both are of one width."""
    declared = {
        name: (kind, signed, high) for kind, signed, high, name in _DECLARATION.findall(body)}
    for alias, name, value in re.findall(r"^(  assign (\w+) = (t\d+);\n)", body, re.M):
        if declared.get(name) != declared.get(value) or not re.search(rf"\b{value}\b", body):
            continue
        body = body.replace(alias, "", 1)
        declaration = rf"^  wire(?: signed)?(?: \[\d+:0\])? {value};\n"
        body = re.sub(declaration, "", body, count=1, flags=re.M)
        body = re.sub(rf"\b{value}\b", name, body)
    return body


def _uses(body):
    """Occurrences of each name outside declarations, as (preceding text, slice) pairs."""
    code = _DECLARATION.sub("", body)
    uses = {}
    for match in re.finditer(r"(?<![\w.'])([A-Za-z_]\w*)\b(?: ?\[(\d+)(?::(\d+))?\])?", code):
        name, high, low = match.groups()
        part = None if high is None else (int(low if low is not None else high), int(high))
        uses.setdefault(name, []).append((code[max(0, match.start() - 9):match.start()], part))
    return uses


def _remove_unused(body):
    """Drop named values that nothing uses, and unused upper bits of intermediate ones."""
    while True:
        uses = _uses(body)
        before = body
        ports = set(re.findall(r"^  (?:input|output)[^;]* (\w+);", body, re.M))
        for kind, signed, high, name in _DECLARATION.findall(body):
            if name in ports:
                continue
            driven = [u for u in uses.get(name, []) if u[0].endswith("  assign ")]
            used = [u for u in uses.get(name, []) if not u[0].endswith("  assign ")]
            declaration = f"  {kind}{signed}{f' [{high}:0]' if high else ''} {name};\n"
            if kind == "wire" and not used:
                body = body.replace(declaration, "")
                body = re.sub(rf"^  assign {name}(?: ?\[[\d:]+\])? = .*;\n", "", body, flags=re.M)
                continue
            parts = [u[1] for u in used]
            whole = len(driven) == 1 and driven[0][1] is None
            if high and not signed and whole and None not in parts \
                    and max(part[1] for part in parts) == int(high) - 1:
                body = _drop_carry(body, declaration, int(high), name)
        if body == before:
            return body


def _drop_carry(body, declaration, high, name):
    """Make a sum whose carry nobody uses as wide as its operands."""
    if not re.search(rf"^  assign {name} = [^?:;]* [+-] [^?:;]*;", body, re.M):
        return body
    width = f" [{high - 1}:0]" if high > 1 else ""
    body = body.replace(declaration, f"  wire{width} {name};\n")
    whole = {f"[{high - 1}:0]"} | ({"[0]"} if high == 1 else set())
    for part in whole:
        body = re.sub(rf"\b{name} ?{re.escape(part)}", name, body)
    return body


def _waive_ports(body):
    """Waive, on the port itself, that a block uses only some bits of a bundle it is given."""
    uses = _uses(re.sub(r"\A.*?;\n", "", body, count=1, flags=re.S))
    inputs = r"^(  input (?:signed )?(?:\[(\d+):0\] )?(\w+);\n)"
    for line, high, name in re.findall(inputs, body, re.M):
        parts = [u[1] for u in uses.get(name, [])][1:]  # the first is this declaration
        bits = set(range(int(high or 0) + 1))
        used = bits if None in parts else {b for low, top in parts for b in range(low, top + 1)}
        if used != bits:
            reason = "this block uses some of its bits" if used else "not used by this variant"
            body = body.replace(
                line, f"  // {reason}\n  /* verilator lint_off UNUSEDSIGNAL */\n{line}", 1)
            wire = re.search(rf"^  wire [^;]*\b{name};\n", body, re.M)
            end = wire.end() if wire else body.index(line) + len(line)
            body = f"{body[:end]}  /* verilator lint_on UNUSEDSIGNAL */\n{body[end:]}"
    return body


def _waive_values(body):
    """Waive, on the value itself, that some or all of an intermediate value's bits are dropped."""
    uses = _uses(body)
    ports = set(re.findall(r"^  (?:input|output)[^;]* (\w+);", body, re.M))
    for kind, signed, high, name in _DECLARATION.findall(body):
        if kind != "wire" or name in ports:
            continue
        found = uses.get(name, [])
        parts = [part for before, part in found if not before.endswith("  assign ")]
        bits = set(range(int(high or 0) + 1))
        if len(found) == 1 and re.search(r"\.\w+\($|\w\($", found[0][0]):
            reason = "an output of the block that is not needed here"
        elif None not in parts and {b for low, top in parts for b in range(low, top + 1)} != bits:
            reason = "what is not used of it is dropped"
        else:
            continue
        line = f"  {kind}{signed}{f' [{high}:0]' if high else ''} {name};\n"
        body = body.replace(
            line, f"  // {reason}\n  /* verilator lint_off UNUSEDSIGNAL */\n"
            f"{line}  /* verilator lint_on UNUSEDSIGNAL */\n", 1)
    return body
