"""OpenSTA, the open timing analyzer, however old the system's package is."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["OpenStaError", "find_sta", "run_sta"]

#: Printed before the message of a command that failed, so that it is told from other output.
_FAILED = "heliobit-sta-failed:"

#: Debian's OpenSTA (2019) ends with 0 whatever went wrong, and goes on after errors of `source`;
#: so the script is read as one text, and the first error ends the run.
_WRAPPER = """\
set heliobit_file [open {SCRIPT}]
set heliobit_text [read $heliobit_file]
close $heliobit_file
if {[catch {uplevel #0 $heliobit_text} heliobit_message]} {
  puts "FAILED $heliobit_message"
  exit 1
}
exit 0
"""


class OpenStaError(RuntimeError):
    """OpenSTA is missing or failed; the message says what to do or what it said."""


def find_sta() -> str:
    """The program `sta`; HELIOBIT_STA names another one. OpenStaError if there is none."""
    wanted = os.environ.get("HELIOBIT_STA", "sta")
    program = shutil.which(wanted)
    if program is None:
        raise OpenStaError(
            f"There is no OpenSTA named {wanted} here: install your system's opensta package, "
            "or set HELIOBIT_STA to the program"
        )
    return program


def run_sta(script: str, cwd: Path | str | None = None, timeout_s: float = 600) -> str:
    """Run OpenSTA commands in a process of their own; return what it printed.

    Parameters
    ----------
    script : str
        Tcl commands, one a line. The first that fails ends the run.
    cwd : Path, optional
        Folder that relative paths in the script are taken from.
    timeout_s : float
        Seconds after which it is given up.

    Returns
    -------
    str
        Standard output and error together, in the order printed.

    Raises
    ------
    OpenStaError
        If OpenSTA is missing, crashes, takes too long, or a command fails: with the message of
        the command and the lines it printed that begin with `Error`.
    """
    program = find_sta()
    with tempfile.TemporaryDirectory() as scratch:
        commands = Path(scratch) / "commands.tcl"
        commands.write_text(script)
        wrapper = Path(scratch) / "run.tcl"
        wrapper.write_text(_WRAPPER.replace("SCRIPT", str(commands)).replace("FAILED", _FAILED))
        try:
            done = subprocess.run(
                [program, "-no_init", "-no_splash", "-exit", str(wrapper)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=cwd,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OpenStaError(f"OpenSTA did not finish in {timeout_s:g} s") from None
    lines = done.stdout.splitlines()
    failed = [line.removeprefix(_FAILED).strip() for line in lines if line.startswith(_FAILED)]
    # `link_design` says that it failed in words alone, and the commands after it run on nothing.
    said = [line for line in lines if line.startswith("Error")]
    if done.returncode or failed or said:
        words = list(dict.fromkeys(said + failed)) or lines[-8:]
        how = f"stopped by signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise OpenStaError(f"OpenSTA {how}:\n" + "\n".join(words))
    return done.stdout
