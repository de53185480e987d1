"""Train a network that tells swapped electrodes: `python -m networks.training.ecg`.

Five convolutions over time, their kernels from 13 samples down to 5, and two dense layers, of
binary weights (Hirtzlin et al. 2020). The first layer sees bit planes of the signals, exactly. See
`docs/training.md`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from networks import ecg
from networks.training import seeds
from networks.training.layers import BinaryConvolution, BinaryDense, BinaryNetwork, BinaryOutput
from networks.training.loop import Examples, Recipe
from networks.training.needs_torch import Tensor, nn, torch
from networks.training.record import in_one_sentence, write_record

RECIPE = Recipe(40, 64, 5e-3, augmentation=1.0)
#: Samples of each convolution's kernel, "decreasing from 13 to 5".
KERNELS = (13, 11, 9, 7, 5)
CACHE = Path("build") / "ecg"


@dataclass(frozen=True)
class Shape:
    """Five convolutions and two dense layers on twelve leads of unsigned 8 bits.

    Parameters
    ----------
    samples : int
        Of a recording.
    filters : int
        Of each convolution; published: 64.
    hidden : int
        Neurons of the first dense layer; not published.
    planes : int
        Bit planes of the first layer, the top ones of eight.
    """

    samples: int = ecg.SAMPLES
    filters: int = 64
    hidden: int = 64
    planes: int = 8

    def build(self, seed: int) -> BinaryNetwork:
        """Draw the network that a training starts from; each convolution halves the time."""
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        channels, length, planes = len(ecg.LEADS), self.samples, self.planes
        for kernel in KERNELS:
            layers.append(
                BinaryConvolution(
                    channels,
                    self.filters,
                    (1, kernel),
                    padding=(0, kernel // 2),
                    pool=(1, 2),
                    planes=planes,
                    pool_ceil=True,
                )
            )
            channels, length, planes = self.filters, -(-length // 2), 1
        layers.append(BinaryDense(channels * length, self.hidden))
        layers.append(BinaryOutput(self.hidden, 2))
        return BinaryNetwork(layers, (len(ecg.LEADS), 1, self.samples), 8)


def distort(data: Tensor, strength: float) -> Tensor:
    """Move recordings (batch, 12, 1, samples) in time, round the end, and change their gain.

    At strength 1 by up to a tenth of their length, and by up to 10 %.
    """
    count, _, _, samples = data.shape
    largest = round(samples * strength / 10)
    shift = torch.randint(-largest, largest + 1, (count, 1))
    place = ((torch.arange(samples) + shift) % samples)[:, None, None, :]
    moved = data.gather(3, place.expand(data.shape))
    gain = 1 + (torch.rand(count, 1, 1, 1) * 2 - 1) * 0.1 * strength
    return ((moved - 127.5) * gain + 127.5).round().clamp(0, 255)


def examples_of(recordings: ecg.Recordings) -> Examples:
    """Quantised recordings as tensors."""
    return Examples(
        torch.tensor(ecg.quantise(recordings.millivolts)), torch.tensor(recordings.labels)
    )


def load(options: argparse.Namespace) -> ecg.Recordings:
    """The recordings that the options ask for; synthetic ones are kept in build/ecg."""
    if options.recordings is not None:
        return ecg.load_recordings(options.recordings)
    if options.wfdb is not None:
        return ecg.misplace(ecg.load_wfdb(options.wfdb), options.data_seed)
    path = CACHE / f"{options.subjects}_{options.windows}_{options.data_seed}.npz"
    if not path.exists():
        clean = ecg.synthesise(options.subjects, options.windows, options.data_seed, progress=True)
        ecg.save_recordings(path, ecg.misplace(clean, options.data_seed))
    return ecg.load_recordings(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.ecg",
        description="Train a network of 1-D convolutions that tells electrocardiograms with "
        "swapped electrodes, on recordings of yours or on synthetic ones (neurokit2).",
        epilog="Example: python -m networks.training.ecg --subjects 200 --filters 32 --epochs 20 "
        "--seeds 0",
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--recordings", type=Path, metavar="FILE", help=".npz: recordings, labels, subjects"
    )
    data.add_argument(
        "--wfdb", type=Path, metavar="FOLDER", help="PhysioNet records; half of them get swapped"
    )
    parser.add_argument(
        "--subjects", type=int, default=300, help="synthetic subjects (default: 300)"
    )
    parser.add_argument(
        "--windows", type=int, default=4, help="recordings of each of them (default: 4)"
    )
    parser.add_argument(
        "--data-seed", type=int, default=0, help="of synthetic hearts and of swaps (default: 0)"
    )
    for name in ("filters", "hidden", "planes"):
        default = getattr(Shape, name)
        parser.add_argument(
            f"--{name}", type=int, default=default, help=f"of the network (default: {default})"
        )
    parser.add_argument(
        "--batch", type=int, default=RECIPE.batch, help=f"of a step (default: {RECIPE.batch})"
    )
    seeds.add_options(parser, range(5))
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seeds.check_options(parser, options)
    for name in ("subjects", "windows", "filters", "hidden", "planes", "batch"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(options, name)}")
    if options.planes > 8:
        parser.error(f"--planes must be 1 to 8, not {options.planes}")
    if options.data_seed < 0:
        parser.error(f"--data-seed must not be negative, not {options.data_seed}")
    return in_one_sentence(lambda: _train(options))


def _source(options: argparse.Namespace) -> tuple[str, list[object], list[str]]:
    """Where recordings are from: for the name of files, for the command, packages they need."""
    if options.recordings is not None:
        return options.recordings.stem, ["--recordings", options.recordings.name], []
    swapped: list[object] = ["--data-seed", options.data_seed]
    if options.wfdb is not None:
        return options.wfdb.name, ["--wfdb", options.wfdb.name, *swapped], ["wfdb"]
    words: list[object] = ["--subjects", options.subjects, "--windows", options.windows]
    return "synthetic", words + swapped, ["neurokit2"]


def _train(options: argparse.Namespace) -> None:
    recordings = load(options)
    source, words, packages = _source(options)
    shape = Shape(recordings.millivolts.shape[2], options.filters, options.hidden, options.planes)
    name = f"ecg_{source}_{shape.filters}_{shape.hidden}_planes{shape.planes}"
    recipe = seeds.with_epochs(RECIPE, options, batch=options.batch)
    parts = seeds.Parts(lambda part: examples_of(ecg.split(recordings, part)))
    task = seeds.Task(name, shape.build, recipe, distort)
    (outcome,) = seeds.run(
        [task], options.seeds, parts, options.checkpoints, options.validation_only
    )
    if options.validation_only:
        return
    kept = outcome.networks[outcome.kept_seed]
    path = options.output / f"{name}.npz"
    checked = seeds.export(kept, name, path, [parts("validation"), parts("test")])
    command = ["networks.training.ecg", *words, "--filters", shape.filters]
    command += ["--hidden", shape.hidden, "--planes", shape.planes, "--batch", options.batch]
    said = seeds.begin_record(command, options, parts, packages)
    said |= {
        "name": name,
        "network": {
            "leads": len(ecg.LEADS),
            "samples": shape.samples,
            "kernels": list(KERNELS),
            "filters": shape.filters,
            "hidden": shape.hidden,
            "planes": shape.planes,
            "mapping": "chained",
            **seeds.memory(kept),
        },
    }
    write_record(path.with_suffix(".json"), said | outcome.record() | {"export": checked})
    seeds.say_kept(outcome, path)


if __name__ == "__main__":
    sys.exit(main())
