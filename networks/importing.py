"""Networks from files, whatever kind of file it is."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from networks import npz
from networks.form import Dense, Network, NetworkError, Output

__all__ = ["TRAINED", "Imported", "find_network", "load_network", "read"]

#: Where the committed networks are.
TRAINED = Path(__file__).parent / "trained"

_UNDERSTOOD = (
    "understood are .npz networks, QONNX (.onnx), and torch state dicts of networks.training "
    "(.pt): see docs/bring_your_own.md"
)


class Imported(NamedTuple):
    """A network and where it came from.

    Attributes
    ----------
    network : Network
    kind : str
        What the file is, for people.
    data : str
        What one has to give the network, for people.
    inputs : callable or None
        What the file's own model takes, (batch, ...), to the network's data; None where that is
        the same.
    """

    network: Network
    kind: str
    data: str
    inputs: Callable[[NDArray], NDArray[np.uint8]] | None = None


def find_network(text: str) -> Path:
    """The file of a network: a path, or the name of a committed one.

    Raises
    ------
    ValueError
        If there is neither; the message lists those committed.
    """
    if Path(text).exists():
        return Path(text)
    named = TRAINED / f"{text}.npz"
    if named.exists():
        return named
    known = sorted(file.stem for file in TRAINED.glob("*.npz") if not file.stem.endswith("_image"))
    raise ValueError(f"There is no file {text!r}, nor a network of that name: {', '.join(known)}")


def load_network(path: str | Path, round_once: bool = False) -> Network:
    """Read a network from a file of any kind that is understood.

    Parameters
    ----------
    path : Path
        A .npz of `networks.npz` or of `networks.digits`, a QONNX file, or a torch file with the
        state dict of a `networks.training.layers.BinaryNetwork` or a checkpoint of its training.
    round_once : bool
        Of QONNX: see `networks.qonnx.read`.

    Raises
    ------
    NetworkError
        If it is none of these, or cannot be expressed exactly: one sentence with file, layer and
        reason.
    OSError
        If it cannot be read.
    ModuleNotFoundError
        If a package that this kind of file needs is missing.
    """
    return read(path, round_once).network


def read(path: str | Path, round_once: bool = False) -> Imported:
    """Read a network with what is known about it; see `load_network`."""
    path = Path(path)
    if path.is_dir():
        raise NetworkError(f"{path.name}: this is a folder; {_UNDERSTOOD}")
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PK"):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            raise NetworkError(f"{path.name}: the file is damaged or not complete") from None
        if any(name.endswith("data.pkl") for name in names):
            return _torch(path)
        return _arrays(path)
    if path.suffix in (".pt", ".pth", ".ckpt"):  # torch's formats of old
        return _torch(path)
    if path.suffix in (".onnx", ".qonnx"):
        from networks import qonnx

        found = qonnx.read(path, round_once)
        return Imported(found.network, "a QONNX model", found.meaning, found.inputs)
    if path.suffix == ".npz":
        raise NetworkError(f"{path.name}: this is not a .npz file, or it is damaged")
    raise NetworkError(f"{path.name}: nothing known; {_UNDERSTOOD}")


def _whole_numbers(network: Network) -> str:
    shape = " x ".join(map(str, network.input_shape))
    top, planes = (1 << network.input_bits) - 1, network.layers[0].planes
    used = "" if planes == network.input_bits else f", of which the top {planes} bits are used"
    return f"{shape} whole numbers 0 to {top}{used}"


def _torch(path: Path) -> Imported:
    from networks import state_dict

    network = state_dict.load(path)
    return Imported(network, "a torch state dict of networks.training", _whole_numbers(network))


def _arrays(path: Path) -> Imported:
    arrays = npz.read_arrays(path)
    if {"hidden_weights", "output_weights", "pixel", "level"} <= set(arrays):
        return _digits(path)
    if set(arrays) == {"image", "shape"}:
        raise NetworkError(
            f"{path.name}: this is a program image, already mapped to a chip, not a network"
        )
    if {"facts", "images"} <= set(arrays):
        raise NetworkError(
            f"{path.name}: this is a compiled program, already mapped to a chip, not a network"
        )
    if "format" not in arrays:
        raise NetworkError(
            f"{path.name}: a .npz, but of no network: its array `format` is missing, which holds "
            f"the string '{npz.FORMAT}'"
        )
    network = npz.from_arrays(arrays, path.name)
    return Imported(network, "a network as plain arrays", _whole_numbers(network))


def _digits(path: Path) -> Imported:
    """The digits network of `networks.digits`: its thermometer code stays outside."""
    from networks.digits import DigitsNetwork, encode

    try:
        digits = DigitsNetwork.load(path)
    except ValueError as error:
        raise NetworkError(f"{path.name}: {error}") from None
    network = Network(
        (
            Dense("hidden", digits.hidden_weights, digits.hidden_thresholds),
            Output("classes", digits.output_weights, digits.output_thresholds),
        ),
        (len(digits.hidden_weights),),
        name="digits",
    )

    def inputs(pixels: NDArray) -> NDArray[np.uint8]:
        return encode(pixels, digits.pixel, digits.level).astype(np.uint8)

    said = "116 thermometer bits of 64 pixels (networks.digits.encode, with the file's own code)"
    return Imported(network, "a digits network with its thermometer code", said, inputs)
