"""Networks as plain `.npz` files, which anybody can write with numpy: see docs/bring_your_own.md.

Arrays of a file (`numpy.savez`):

- `format`: the string `heliobit network 1`.
- `input_shape`: (inputs,) or (channels, height, width); `input_bits`: 1 to 8.
- `layers`: names of the layers, first to last.
- `NAME/kind` of each: `dense`, `convolution`, or `output`, which the last one is.
- `NAME/weights`: bool, or numbers that are +1 and -1, or 1 and 0. Shape (inputs, neurons), of a
  convolution (channels, height, width, filters). Or `numpy.packbits` of the bits in C order, with
  their shape as `NAME/weights_shape`.
- `NAME/thresholds`: (neurons,), or (votes, neurons) for a majority vote. Numbers T on H: the neuron
  fires where H > T. H is whole, so real thresholds are rounded down, which changes nothing.
- if they are not the defaults: `NAME/planes`; of a convolution `NAME/stride`, `NAME/padding`,
  `NAME/pool` (two numbers, height and width, or one for both), `NAME/pool_ceil`, `NAME/pool_all`;
  of the output `NAME/offset`. `networks.form` says what they mean.
- optional: `name`, what the network is.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from behavioral_models.files import write_whole
from networks.form import Convolution, Dense, Layer, Network, NetworkError, Output

__all__ = ["FORMAT", "as_arrays", "from_arrays", "load", "read_arrays", "save"]

#: What a file says in `format`.
FORMAT = "heliobit network 1"

_KINDS = {"dense": Dense, "convolution": Convolution, "output": Output}
_COMMON = ("kind", "weights", "weights_shape", "thresholds", "planes")
_MORE: dict[str, tuple[str, ...]] = {
    "dense": (),
    "convolution": ("stride", "padding", "pool", "pool_ceil", "pool_all"),
    "output": ("offset",),
}


def as_arrays(network: Network) -> dict[str, NDArray]:
    """All arrays of a network's file, weights as packed bits; `from_arrays` reads them."""
    arrays: dict[str, NDArray] = {
        "format": np.array(FORMAT),
        "name": np.array(network.name),
        "input_shape": np.array(network.input_shape, dtype=np.int32),
        "input_bits": np.array(network.input_bits, dtype=np.int32),
        "layers": np.array([layer.name for layer in network.layers]),
    }
    for layer in network.layers:
        kind = next(kind for kind, made in _KINDS.items() if isinstance(layer, made))
        said: dict[str, Any] = {
            "kind": np.array(kind),
            "weights": np.packbits(layer.weights),
            "weights_shape": np.array(layer.weights.shape, dtype=np.int32),
            "thresholds": layer.thresholds.astype(np.int32),
            "planes": np.array(layer.planes, dtype=np.int32),
        }
        for more in _MORE[kind]:
            value = np.asarray(getattr(layer, more))
            said[more] = value if value.dtype == np.bool_ else value.astype(np.int64)
        arrays |= {f"{layer.name}/{what}": value for what, value in said.items()}
    return arrays


def save(network: Network, path: Path) -> None:
    """Write a network: whole or not at all, and the same bytes for the same network.

    Weights are stored as packed bits and nothing is compressed, so the bytes do not depend on a
    compression library.
    """
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **as_arrays(network))
    write_whole(Path(path), data.getvalue())


def read_arrays(path: Path) -> dict[str, NDArray]:
    """Read all arrays of a .npz file; no pickles.

    Raises
    ------
    NetworkError
        If it is no .npz file, is damaged, or holds Python objects.
    """
    path = Path(path)
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise NetworkError(f"{path.name}: this is a single array, not a .npz of several")
        with archive:
            damaged = archive.zip.testzip() if archive.zip else None
            if damaged is not None:
                raise NetworkError(f"{path.name}: array {damaged.removesuffix('.npy')} is damaged")
            arrays = {}
            for name in archive.files:
                try:
                    arrays[name] = archive[name]
                except ValueError as error:
                    reason = "a Python object" if "pickle" in str(error) else "damaged"
                    raise NetworkError(
                        f"{path.name}: array {name} is {reason}; plain numpy arrays are read"
                    ) from None
                if not isinstance(arrays[name], np.ndarray):
                    raise NetworkError(f"{path.name}: {name} is not a numpy array")
            return arrays
    except NetworkError:
        raise
    except (ValueError, TypeError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError):
        raise NetworkError(f"{path.name}: this is not a .npz file, or it is damaged") from None


def load(path: Path) -> Network:
    """Read a network from a .npz file of this module's convention.

    Raises
    ------
    NetworkError
        If the file breaks the convention: one sentence names file, layer, and what is wrong.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    return from_arrays(read_arrays(path), path.name)


def from_arrays(arrays: Mapping[str, NDArray], source: str) -> Network:
    """Make a network of a file's arrays; `source` names the file in errors."""
    try:
        return _network(arrays, Path(source).stem)
    except NetworkError as error:
        raise NetworkError(f"{source}: {error}") from None


def _network(arrays: Mapping[str, NDArray], stem: str) -> Network:
    said = str(arrays["format"]) if "format" in arrays else None
    if said is None:
        raise NetworkError(f"array `format` is missing; it holds the string '{FORMAT}'")
    if said != FORMAT:
        raise NetworkError(f"its format is '{said}', but '{FORMAT}' is read here")
    for name in ("input_shape", "input_bits", "layers"):
        if name not in arrays:
            raise NetworkError(f"array `{name}` is missing")
    names = arrays["layers"]
    if names.dtype.kind != "U" or names.ndim != 1:
        raise NetworkError(
            f"`layers` must be a list of names, not {names.dtype} of shape {names.shape}"
        )
    known = {"format", "name", "input_shape", "input_bits", "layers"}
    layers: list[Layer] = []
    for name in names.tolist():
        kind = _kind(arrays, name)
        known |= {f"{name}/{what}" for what in (*_COMMON, *_MORE[kind])}
        layers.append(_layer(arrays, name, kind))
    unknown = sorted(set(arrays) - known)
    if unknown:
        raise NetworkError(f"array `{unknown[0]}` is none that the format has: a misspelt name?")
    return Network(
        tuple(layers),
        _whole(arrays["input_shape"], "`input_shape`", (1, 3)),
        _whole(arrays["input_bits"], "`input_bits`", (1,))[0],
        str(arrays["name"]) if "name" in arrays else stem,
    )


def _kind(arrays: Mapping[str, NDArray], name: str) -> str:
    if f"{name}/kind" not in arrays:
        raise NetworkError(
            f"{name}: array `{name}/kind` is missing; it is one of {', '.join(_KINDS)}"
        )
    kind = str(arrays[f"{name}/kind"])
    if kind not in _KINDS:
        raise NetworkError(f"{name}: a layer's kind is one of {', '.join(_KINDS)}, not '{kind}'")
    return kind


def _layer(arrays: Mapping[str, NDArray], name: str, kind: str) -> Layer:
    for what in ("weights", "thresholds"):
        if f"{name}/{what}" not in arrays:
            raise NetworkError(f"{name}: array `{name}/{what}` is missing")
    found: dict[str, Any] = {
        "weights": _weights(arrays, name),
        "thresholds": _thresholds(arrays[f"{name}/thresholds"], name),
    }
    for what in ("planes", *_MORE[kind]):
        value = arrays.get(f"{name}/{what}")
        if value is None:
            continue
        said = f"{name}: `{what}`"
        if what in ("pool_ceil", "pool_all"):
            if value.dtype.kind not in "biu" or not np.isin(value, (0, 1)).all():
                raise NetworkError(f"{said} must be true or false, not {value.dtype}")
            if what == "pool_ceil" and value.size != 1:
                raise NetworkError(f"{said} must be one value, not shape {value.shape}")
            found[what] = value.astype(bool) if what == "pool_all" else bool(value.reshape(()))
        elif what in ("stride", "padding", "pool"):
            pair = _whole(value, said, (1, 2))
            found[what] = pair if len(pair) == 2 else pair * 2
        else:
            found[what] = _whole(value, said, (1,))[0]
    made: Any = _KINDS[kind]
    return made(name, **found)


def _whole(value: NDArray, said: str, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Some whole numbers, however they are stored."""
    flat = np.atleast_1d(value).ravel()
    if flat.dtype.kind not in "iuf" or not np.isfinite(flat).all() or (flat % 1).any():
        raise NetworkError(f"{said} must be whole numbers, not {value.dtype}")
    if len(flat) not in counts:
        raise NetworkError(
            f"{said} must be {' or '.join(map(str, counts))} numbers, not {len(flat)}"
        )
    return tuple(int(number) for number in flat)


def _weights(arrays: Mapping[str, NDArray], name: str) -> NDArray[np.bool_]:
    values, shape = arrays[f"{name}/weights"], arrays.get(f"{name}/weights_shape")
    if shape is not None:
        sizes = _whole(shape, f"{name}: `weights_shape`", (2, 4))
        count = 1
        for size in sizes:
            count *= size
        if min(sizes) < 1 or values.dtype != np.uint8 or values.shape != (-(-count // 8),):
            raise NetworkError(
                f"{name}: packed weights of shape {sizes} are {-(-max(count, 0) // 8)} bytes "
                f"(uint8), not {values.dtype} of shape {values.shape}"
            )
        return np.unpackbits(values, count=count).astype(bool).reshape(sizes)
    if values.dtype == np.bool_:
        return values
    if values.dtype.kind not in "iuf":
        raise NetworkError(f"{name}: weights must be bool or numbers, not {values.dtype}")
    plus = values == 1
    minus = values == -1 if (values == -1).any() else values == 0
    wrong = values[~(plus | minus)]
    if wrong.size:
        raise NetworkError(
            f"{name}: weights must be +1 and -1, or 1 and 0, but one is {wrong.flat[0]:g}"
            + (" beside others that are -1" if wrong.flat[0] == 0 else "")
        )
    return plus


def _thresholds(values: NDArray, name: str) -> NDArray[np.int64]:
    if values.dtype.kind not in "iuf":
        raise NetworkError(f"{name}: thresholds must be numbers, not {values.dtype}")
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise NetworkError(f"{name}: thresholds must be finite, but one is {values[wrong][0]}")
    floors = np.floor(values)
    if (np.abs(floors) >= 1 << 31).any():
        raise NetworkError(f"{name}: thresholds must fit 32 bits")
    return floors.astype(np.int64)
