"""The pictures' common style, and the few shapes they are made of.

Published points are black and hollow, and say where they come from; ours are coloured lines, with
their 95 % confidence as a band. The colours are those of Okabe and Ito (2008) that stand out on
white, told apart with any colour vision. Nothing here uses pyplot: there is no global state.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.experiments.experiment import Experiment

__all__ = ["COLOURS", "MARKERS", "SIZE_IN", "band", "colour", "heat_map", "pictures", "published"]

#: Colours of our series, in this order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")

#: Markers that tell published series apart.
MARKERS = ("o", "s", "^", "D", "v", "P")

#: Width and height of every picture, in inches.
SIZE_IN = (8.0, 5.2)

_DOTS_PER_INCH = 150
_FOOTER_COLUMNS = 150  # characters that fit the width at the footer's size
_FOOTER_LINE, _FOOTER_MARGIN = 0.026, 0.02  # of the height
_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.labelsize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "figure.titlesize": 13,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.hashsalt": "heliobit",  # the same picture is the same file
}


def colour(index: int) -> str:
    """Colour of our series number `index`."""
    return COLOURS[index % len(COLOURS)]


def _numbers(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    return np.array(values, dtype=float)  # None, JSON's "no value", becomes NaN: not drawn


def published(
    axis: Any, x: Sequence, y: Sequence, label: str, *, low: Sequence | None = None,
    high: Sequence | None = None, series: int = 0, inferred: bool = False, **options: Any,
) -> None:  # fmt: skip
    """Draw published points: hollow black markers.

    Parameters
    ----------
    axis : matplotlib Axes
    x, y : sequence of float
    label : str
        What they are and their source, such as "0.9 V (Jebali 2024, Fig. 3d)".
    low, high : sequence of float, optional
        Ends of published error bars.
    series : int
        Which marker: published series differ by markers.
    inferred : bool
        Whether the value is our inference from the source; the label then says so.
    **options
        For `Axes.errorbar`.
    """
    y = _numbers(y)
    error = None
    if low is not None and high is not None:
        error = np.array([y - _numbers(low), _numbers(high) - y])
    settings = {
        "fmt": MARKERS[series % len(MARKERS)], "color": "black", "markerfacecolor": "none",
        "markeredgewidth": 1.3, "elinewidth": 1, "capsize": 2.5, "zorder": 4,
    }  # fmt: skip
    label = f"{label}, our inference" if inferred else label
    axis.errorbar(_numbers(x), y, error, label=label, **(settings | options))


def band(
    axis: Any, x: Sequence, y: Sequence, low: Sequence | None = None, high: Sequence | None = None,
    label: str | None = None, *, series: int = 0, **options: Any,
) -> None:  # fmt: skip
    """Draw a series of ours: a line, and its 95 % confidence interval as a band.

    Parameters
    ----------
    axis : matplotlib Axes
    x, y : sequence of float
    low, high : sequence of float, optional
        Ends of the interval at each x.
    label : str, optional
    series : int
        Which colour.
    **options
        For `Axes.plot`.
    """
    settings = {"color": colour(series), "zorder": 3} | options
    axis.plot(_numbers(x), _numbers(y), label=label, **settings)
    if low is not None and high is not None:
        axis.fill_between(
            _numbers(x), _numbers(low), _numbers(high),
            color=settings["color"], alpha=0.22, linewidth=0, zorder=2,
        )  # fmt: skip


def heat_map(
    axis: Any, x: Sequence, y: Sequence, values: Sequence, label: str, *,
    low: float | None = None, high: float | None = None,
) -> None:  # fmt: skip
    """Draw values over a grid, such as a schmoo, with a colour bar.

    Parameters
    ----------
    axis : matplotlib Axes
    x, y : sequence of float
        Centres of the cells.
    values : sequence of sequence of float
        `[y, x]`; None leaves a cell empty.
    label : str
        Of the colour bar, with the unit.
    low, high : float, optional
        Ends of the colour scale.
    """
    mesh = axis.pcolormesh(
        _numbers(x), _numbers(y), np.ma.masked_invalid(_numbers(values)),
        cmap="cividis", shading="nearest", vmin=low, vmax=high,
    )  # fmt: skip
    axis.grid(False)
    axis.figure.colorbar(mesh, ax=axis, label=label)


def pictures(experiment: Experiment, data: dict, command: str) -> dict[str, bytes]:
    """Draw the figure of an experiment.

    Parameters
    ----------
    experiment : Experiment
    data : dict
        What `gather` gave, as JSON.
    command : str
        What makes it again, for the footer.

    Returns
    -------
    dict of str to bytes
        The files, by their suffix: png, svg.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE, "backend": "Agg"}):
        figure = Figure(figsize=SIZE_IN, dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        about = textwrap.wrap(f"{experiment.figure}. {experiment.status}", _FOOTER_COLUMNS)
        below = _FOOTER_MARGIN + _FOOTER_LINE * (len(about) + 1)
        figure.get_layout_engine().set(rect=(0, below, 1, 1 - below), w_pad=0.1, h_pad=0.08)
        figure.suptitle(experiment.title)
        experiment.draw(data, figure)
        footer = "\n".join([*about, command])
        figure.text(0.012, 0.015, footer, fontsize=7, color="#555555", va="bottom")
        files = {}
        for suffix, metadata in (("png", None), ("svg", {"Date": None})):
            stream = io.BytesIO()
            figure.savefig(stream, format=suffix, metadata=metadata)
            files[suffix] = stream.getvalue()
    return files
