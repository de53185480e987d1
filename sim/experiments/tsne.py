"""t-SNE of MNIST's test set, with the images that the chip loses as the light fades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from behavioral_models.geometry import HELIOBIT
from networks.errors import DeviceErrors, reading
from networks.mapping import compile
from sim.experiments.experiment import Experiment, Options
from sim.experiments.published_chips import PARAMETERS
from sim.experiments.trained_networks import (
    IMAGES,
    MAJORITY,
    MNIST_TEST,
    pack,
    right_ones,
    load_test,
    trained,
    trained_file,
    unpack,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Illumination at which images are right, and those at which they may be lost: equivalent suns.
BRIGHT, DIM = 8.0, (0.8, 0.08)

#: Components that images are reduced to before the embedding.
COMPONENTS = 50

#: Neighbours in the embedding whose labels say how far inside its cluster an image is.
NEIGHBOURS = 20

_SEED_STEP = 1000


def points(_options: Options) -> list[dict]:
    """The embedding, and each illumination."""
    lit = [{"of": "light", "suns": suns, "images": IMAGES} for suns in (BRIGHT, *DIM)]
    return [{"of": "embedding", "images": IMAGES}, *lit]


def run(point: dict, seed: int) -> dict:
    """Coordinates and labels of all images, or which are right at one illumination."""
    data, labels = load_test(point["images"])
    if point["of"] == "embedding":
        return {"places": np.round(embedding(data, seed), 1), "labels": labels}
    program = compile(trained(MAJORITY), HELIOBIT)
    errors = DeviceErrors(HELIOBIT, reading(f"{point['suns']:g} suns"),
                          seed=_SEED_STEP * seed)  # fmt: skip
    right = right_ones(program, data, labels, tables=errors.tables(program.images))
    return {"right": pack(right), "without_errors": pack(right_ones(program, data, labels)),
            "vdd_v": errors.reading.vdd_v}  # fmt: skip


def embedding(data: NDArray, seed: int) -> NDArray[np.float64]:
    """t-SNE (van der Maaten and Hinton 2008) of images after PCA, float (images, 2)."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    with threadpool_limits(1):  # scikit-learn's own threads, just loaded: sums in the same order
        reduced = PCA(COMPONENTS, svd_solver="full").fit_transform(data / 255.0)
        made = TSNE(init="pca", perplexity=30, random_state=seed, n_jobs=1)
        return made.fit_transform(reduced)


def own_share(places: NDArray, labels: NDArray) -> NDArray[np.float64]:
    """Share of each image's nearest neighbours in the embedding that show the same digit."""
    from scipy.spatial import KDTree

    count = min(NEIGHBOURS, len(places) - 1)
    _, near = KDTree(places).query(places, count + 1)
    return (labels[near[:, 1:]] == labels[:, None]).mean(axis=1)


def share_interval(values: NDArray) -> dict:
    """Mean and its 95 % interval by a bootstrap over images; None where there are none."""
    if not len(values):
        return {"images": 0, "mean": None, "low": None, "high": None}
    random = np.random.Generator(np.random.Philox(key=0))
    drawn = values[random.integers(0, len(values), (1000, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"images": len(values), "mean": float(values.mean()), "low": float(low),
            "high": float(high)}  # fmt: skip


def gather(points: list[dict], results: list[dict]) -> dict:
    """The embedding, the images lost at each illumination, and how far inside clusters they are."""
    count = points[0]["images"]
    places, labels = (np.array(results[0][key]) for key in ("places", "labels"))
    found = {point["suns"]: result for point, result in zip(points, results, strict=True)
             if point["of"] == "light"}  # fmt: skip
    right = {suns: unpack(each["right"], count) for suns, each in found.items()}
    bright = right[BRIGHT]
    share = own_share(places, labels)
    kept = share_interval(share[bright])
    panels, statements = [], []
    for suns in DIM:
        lost = bright & ~right[suns]
        panels.append({
            "suns": suns, "vdd_v": found[suns]["vdd_v"], "lost": np.flatnonzero(lost),
            "won": int(np.count_nonzero(right[suns] & ~bright)),
            "accuracy": float(right[suns].mean()), "own_share": share_interval(share[lost]),
        })  # fmt: skip
        own = panels[-1]["own_share"]
        statements.append({
            "published": "images lost tend to be on the edges of the clusters, or outliers",
            "suns": suns, "fitted": False,
            "criterion": f"fewer of their {NEIGHBOURS} nearest neighbours show the same digit than "
                         "of images right at 8 suns; null where fewer than 5 are lost",
            "holds": None if own["images"] < 5 else own["high"] < kept["low"],
            "lost": own, "right_at_8_suns": kept,
        })  # fmt: skip
    whole = unpack(found[BRIGHT]["without_errors"], count)
    return {
        "network": MAJORITY, "labels": labels, "places": places, "panels": panels,
        "accuracy_without_errors": float(whole.mean()), "accuracy_at_8_suns": float(bright.mean()),
        "statements": statements,
    }  # fmt: skip


def draw(data: dict, figure: Figure) -> None:
    """Two panels, as published: the images in their digits' colours, the lost ones in black."""
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    places, labels = np.array(data["places"]), np.array(data["labels"])
    colours = colormaps["tab10"]
    for axis, panel in zip(axes, data["panels"], strict=True):
        axis.scatter(*places.T, c=colours(labels), s=2, linewidths=0, alpha=0.6, rasterized=True)
        lost = places[panel["lost"]]
        axis.scatter(*lost.T, c="black", s=10, linewidths=0, zorder=4)
        axis.set_title(f"{panel['suns']:g} suns, {panel['vdd_v']:.3f} V: {len(lost)} images lost")
        axis.set(xticks=[], yticks=[], aspect="equal")
        axis.grid(False)
        axis.spines[:].set_visible(False)
        own = panel["own_share"]["mean"]
        kept = data["statements"][0]["right_at_8_suns"]["mean"]
        said = "" if own is None else f"lost images {100 * own:.0f} %, "
        axis.set_xlabel(f"the same digit among the {NEIGHBOURS} nearest:\n{said}"
                        f"images right at 8 suns {100 * kept:.0f} %", fontsize=8.5)  # fmt: skip
    dots = [Line2D([], [], marker="o", linestyle="none", color=colours(digit), label=str(digit))
            for digit in range(10)]  # fmt: skip
    dots.append(Line2D([], [], marker="o", linestyle="none", color="black", label="lost"))
    axes[1].legend(handles=dots, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8.5)


EXPERIMENT = Experiment(
    name="tsne",
    title="MNIST's test set, and the images lost as the light fades",
    figure="Jebali 2024, Fig. 5c",
    duration="3 min",
    status=(
        "Fitted: the devices, to neuron errors on the bench. Held out: which images are lost. "
        "Black: right at 8 suns, wrong at less light, as in the paper. Network: 784-1102-64-10 "
        "with majority votes, 2 macros a bank, every cell of one draw of chips read as "
        "programmed (no repair); the paper errs by preactivation at hidden layers but the first. "
        "Axes of t-SNE mean nothing; another machine may place the clusters differently."
    ),
    points=points,
    run=run,
    gather=gather,
    draw=draw,
    needs=("pvlib",),
    parameters=(*PARAMETERS, "jebali_2024/solar_cell"),
    files=(trained_file(MAJORITY),),
    data=(MNIST_TEST,),
)
