"""8-bit reference networks on MNIST: trained in float, quantised plainly, run in integers.

The rivals in "memory against 8-bit networks at equal accuracy": dense layers with ReLU as wide as
is asked for, trained like the binary ones; then batch norm is folded into the weights, and weights
and activations get 8 bits each after training, one scale a layer, weights symmetric about 0
(Jacob et al., CVPR 2018, without zero points or training on quantised values). The integer network
multiplies 8-bit integers, adds in 32 bits and scales a layer's sums by a whole multiplier and a
shift; the accuracies in the record are its own.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from networks.training import seeds
from networks.training.layers import TrainedNetwork
from networks.training.loop import Examples, Recipe, accuracy
from networks.training.mnist import distort, mnist_part
from networks.training.needs_torch import Tensor, nn, torch
from networks.training.record import in_one_sentence, write_record
from networks.training.widths import RECIPE, check_widths

__all__ = ["EightBitLayer", "EightBitNetwork", "FloatNetwork", "quantise"]

WIDTHS = (4, 8, 16, 32, 64, 128)
#: Fit images, the first ones, whose largest activations set the scales.
CALIBRATION = 5_000


class FloatLayer(nn.Module):
    """Dense layer with batch norm and ReLU; the last one has a bias and neither.

    Parameters
    ----------
    inputs, outputs : int
    last : bool
    """

    def __init__(self, inputs: int, outputs: int, last: bool) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, outputs, bias=last)
        self.norm = None if last else nn.BatchNorm1d(outputs)

    def settings(self) -> dict[str, Any]:
        """Kind, and whether it is the last."""
        return {"kind": "float dense", "last": self.norm is None}

    def forward(self, x: Tensor) -> Tensor:
        """Activations (batch, outputs) of inputs (batch, inputs)."""
        sums: Tensor = self.dense(x)
        return sums if self.norm is None else self.norm(sums).relu()

    def folded(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (inputs, outputs) and biases (outputs,), batch norm within."""
        weights = self.dense.weight.detach().double().numpy().T
        if self.norm is None:
            return weights, self.dense.bias.detach().double().numpy()
        assert self.norm.running_mean is not None and self.norm.running_var is not None
        spread = (self.norm.running_var.double() + self.norm.eps).sqrt().numpy()
        gain = self.norm.weight.detach().double().numpy() / spread
        biases = self.norm.bias.detach().double().numpy()
        return weights * gain, biases - self.norm.running_mean.double().numpy() * gain


class FloatNetwork(TrainedNetwork):
    """Dense layers in float on pixels of 8 bits.

    Parameters
    ----------
    widths : list of int
        Inputs, neurons of each hidden layer, classes.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.layers = nn.ModuleList(
            FloatLayer(a, b, number == len(pairs) - 1) for number, (a, b) in enumerate(pairs)
        )

    def settings(self) -> dict[str, Any]:
        """What it is."""
        return {"kind": "float"}

    def set_weight_errors(self, rate: float) -> None:
        """Refuse errors: they are of binary weights."""
        if rate:
            raise ValueError(f"A float network has no binary weights to flip, not {rate} of them")

    def forward(self, data: Tensor) -> Tensor:
        """Logits (batch, classes) of pixels (batch, inputs), 0 to 255."""
        x = data / 255
        for layer in self.layers:
            x = layer(x)
        return x


@dataclass(frozen=True)
class EightBitLayer:
    """Dense layer of integers: y = clip((x W + b) M >> s, 0, 255), rounded; the last gives x W + b.

    Parameters
    ----------
    weights : int8 array (inputs, outputs)
        -127 to 127.
    biases : int32 array (outputs,)
    multiplier, shift : int
        M, below 2^31, and s; M = 0 in the last layer.
    """

    weights: NDArray[np.int8]
    biases: NDArray[np.int32]
    multiplier: int
    shift: int

    def sums(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Sums (batch, outputs) of 8-bit inputs (batch, inputs), as 32-bit adders make them."""
        # whole numbers below 2^53 are exact in float64, whose products are the fast ones
        products = x.astype(np.float64) @ self.weights.astype(np.float64)
        sums = products.astype(np.int64) + self.biases
        if sums.size and max(-int(sums.min()), int(sums.max())) >= 1 << 31:
            raise OverflowError("A sum of an 8-bit layer does not fit 32 bits")
        return sums

    def activations(self, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """8-bit outputs (batch, outputs) of 8-bit inputs (batch, inputs)."""
        scaled = (self.sums(x) * self.multiplier + (1 << (self.shift - 1))) >> self.shift
        return np.clip(scaled, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class EightBitNetwork:
    """8-bit layers one after the other.

    Parameters
    ----------
    layers : tuple of EightBitLayer
    """

    layers: tuple[EightBitLayer, ...]

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Whole logits (batch, classes) of pixels (batch, inputs)."""
        x = pixels
        for layer in self.layers[:-1]:
            x = layer.activations(x)
        return self.layers[-1].sums(x)

    def accuracy(self, examples: Examples) -> float:
        """Share of examples whose largest logit is their label's, the lowest of equal ones."""
        predicted = self.logits(examples.data.numpy()).argmax(axis=1)
        return float((predicted == examples.labels.numpy()).mean())

    @property
    def memory(self) -> dict[str, int]:
        """Bits of weights, 8 each, and of biases, 32 each."""
        return {
            "weight_bits": sum(8 * layer.weights.size for layer in self.layers),
            "bias_bits": sum(32 * layer.biases.size for layer in self.layers),
        }


def quantise(network: FloatNetwork, calibration: Tensor) -> EightBitNetwork:
    """Quantise a trained network, one scale for all weights and one for all outputs of a layer.

    Parameters
    ----------
    network : FloatNetwork
    calibration : uint8 tensor (batch, inputs)
        Pixels whose largest activations are 255.
    """
    network.eval()
    x = calibration.float() / 255
    scale = 1 / 255
    layers = []
    float_layers: list[Any] = list(network.layers)
    for layer in float_layers:
        weights, biases = layer.folded()
        weight_scale = max(float(np.abs(weights).max()), 1e-12) / 127
        sum_scale = weight_scale * scale
        with torch.no_grad():
            x = layer(x)
        whole = np.rint(weights / weight_scale).astype(np.int8)
        whole_biases = np.rint(biases / sum_scale)
        whole_biases = np.clip(whole_biases, -(2**31), 2**31 - 1).astype(np.int32)
        multiplier = shift = 0
        if layer.norm is not None:
            scale = max(float(x.max()), 1e-12) / 255
            mantissa, exponent = math.frexp(sum_scale / scale)  # 0.5 <= mantissa < 1
            multiplier, shift = round(mantissa * (1 << 30)), 30 - exponent
        layers.append(EightBitLayer(whole, whole_biases, multiplier, shift))
    return EightBitNetwork(tuple(layers))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m networks.training.eight_bit",
        description="Train float networks on MNIST with one and with two hidden layers of each "
        "width, quantise them to 8-bit weights and activations, run them in integers, and write "
        "one record of all accuracies and weight bits (eight_bit.json). MNIST_DIR names the folder "
        "of MNIST's files.",
        epilog="Example: MNIST_DIR=~/mnist python -m networks.training.eight_bit --widths 8 16 32",
    )
    parser.add_argument(
        "--widths",
        type=int,
        nargs="+",
        default=list(WIDTHS),
        help=f"neurons of a hidden layer (default: {' '.join(map(str, WIDTHS))})",
    )
    seeds.add_options(parser, [0])
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    seeds.check_options(parser, options)
    check_widths(parser, options.widths)
    return in_one_sentence(lambda: _train(options))


def task(hidden: tuple[int, ...], recipe: Recipe, calibration: Tensor) -> seeds.Task:
    """The training of a network with these hidden layers, measured in integers."""

    def build(seed: int) -> FloatNetwork:
        torch.manual_seed(seed)
        return FloatNetwork([784, *hidden, 10])

    def measure(network: FloatNetwork, examples: Examples) -> float:
        return quantise(network, calibration).accuracy(examples)

    name = f"eight_bit_{'_'.join(map(str, hidden))}"
    return seeds.Task(name, build, recipe, distort, measure)


def _train(options: argparse.Namespace) -> None:
    recipe = seeds.with_epochs(RECIPE, options)
    parts = seeds.Parts(mnist_part)
    calibration = parts("fit").data[:CALIBRATION]
    shapes = [(width,) * layers for layers in (1, 2) for width in options.widths]
    tasks = [task(hidden, recipe, calibration) for hidden in shapes]
    outcomes = seeds.run(tasks, options.seeds, parts, options.checkpoints, options.validation_only)
    if options.validation_only:
        return
    entries = []
    for hidden, outcome in zip(shapes, outcomes, strict=True):
        kept = outcome.networks[outcome.kept_seed]
        assert isinstance(kept, FloatNetwork)
        shape = {"inputs": 784, "hidden": list(hidden), "classes": 10}
        entries.append(
            {
                "name": outcome.task.name,
                "network": shape | quantise(kept, calibration).memory,
                **outcome.record(),
                "kept_float_validation_accuracy": round(accuracy(kept, parts("validation")), 6),
                "kept_float_test_accuracy": round(accuracy(kept, parts("test")), 6),
            }
        )
    command = ["networks.training.eight_bit", "--widths", *options.widths]
    said = seeds.begin_record(command, options, parts)
    said |= {
        "quantisation": "8-bit symmetric weights and 8-bit activations after training, one scale "
        f"a layer, the largest activation of the first {len(calibration)} fit images; 32-bit sums"
    }
    write_record(options.output / "eight_bit.json", said | {"networks": entries})


if __name__ == "__main__":
    sys.exit(main())
