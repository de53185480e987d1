"""Networks from QONNX files, as Brevitas exports them: the same predictions as qonnx's executor.

qonnx cleans the graph (shapes, constants, weights through their quantizers); this module walks it
from the input to the classes. What lies between a matrix product and the next binary quantizer,
batch norm as a rule, is not translated: those nodes are run as they stand, with qonnx's own node
execution (onnxruntime), on every sum that can occur, and `networks.folding` reads off thresholds.

The sums themselves are exact in the model's float32, in any order of addition, where all products
of weight and input are multiples of one number and few enough of it (scales that are powers of two,
say). Where they are not (a weight scale of 0.1), the executor's sum is scale times integer only up
to rounding errors. They are bounded; a neuron is taken where no error within the bound could change
its output, and refused by name otherwise, unless `round_once` asks to read each sum as the exact
one, rounded once.

The docs (`docs/bring_your_own.md`) say what is expressed and what is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from networks.folding import chunks, fold, name_some
from networks.form import Convolution, Dense, Layer, Network, NetworkError, Output

try:
    import onnx
    from qonnx.core.datatype import DataType
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_node
    from qonnx.custom_op.registry import getCustomOp
    from qonnx.transformation.change_batchsize import ChangeBatchSize
    from qonnx.transformation.fold_constants import FoldConstants
    from qonnx.transformation.general import RemoveStaticGraphInputs, RemoveUnusedTensors
    from qonnx.transformation.infer_shapes import InferShapes
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"Reading QONNX files needs {error.name}, which is not installed: pip install -e .[qonnx]",
        name=error.name,
    ) from None

__all__ = ["Imported", "load", "read"]

Bits = NDArray[np.bool_]
Integers = NDArray[np.int64]

_DOMAIN = "qonnx.custom_op.general"
#: Quantizers, which older exporters put into domains of their own.
_QUANTIZERS = ("BipolarQuant", "Quant", "IntQuant")
#: Operators between a sum and its quantizer that look at each value by itself.
_ELEMENTWISE = (
    "Add", "BatchNormalization", "Clip", "Div", "Mul", "Neg", "PRelu", "Relu", "LeakyRelu", "Sub",
)  # fmt: skip
_SAME = ("Identity", "Dropout")
#: Of these, numbers that are one for all may have any shape.
_SCALAR = ("Add", "Div", "Mul", "Sub", *_QUANTIZERS)
_RESHAPES = ("Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


class Imported(NamedTuple):
    """A network read from a QONNX file.

    Attributes
    ----------
    network : Network
    inputs : callable
        What the model takes, float array (batch, ...), to the network's data, uint8 array
        (batch, *input_shape): the model's own input quantizer.
    meaning : str
        What the network's data are, for people.
    """

    network: Network
    inputs: Callable[[NDArray], NDArray[np.uint8]]
    meaning: str


def load(path: Path, round_once: bool = False) -> Network:
    """Read a network from a QONNX file; see `read`."""
    return read(path, round_once).network


def read(path: Path, round_once: bool = False) -> Imported:
    """Read a network from a QONNX file, and how its data come from the model's inputs.

    Parameters
    ----------
    path : Path
    round_once : bool
        Read sums that float32 does not hold exactly as the exact sum, rounded once, as a compiler
        does that moves scales behind products. qonnx's executor, which rounds at every addition,
        may then differ where a sum is all but on a threshold, or classes are all but equal.

    Returns
    -------
    Imported

    Raises
    ------
    NetworkError
        If it is no ONNX file, or something cannot be expressed exactly: the message names file and
        node, and gives the reason.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        proto = onnx.load_from_string(data)
    except Exception:  # the protobuf library's own, of several names
        raise NetworkError(f"{path.name}: this is not an ONNX file, or it is damaged") from None
    if not proto.graph.node:
        raise NetworkError(f"{path.name}: this is not an ONNX file, or it is empty")
    try:
        return _Walk(_clean(proto), path.stem, round_once).go()
    except NetworkError as error:
        raise NetworkError(f"{path.name}: {error}") from None


def _clean(proto: Any) -> Any:
    """Shapes inferred, constants folded, quantized weights among them; names stay as they are."""
    if any(entry.data_location == 1 for entry in proto.graph.initializer):
        raise NetworkError("its weights are in another file; export it as a single file")
    for number, node in enumerate(proto.graph.node):
        if node.op_type in _QUANTIZERS:
            node.domain = _DOMAIN
        if not node.name:
            node.name = f"{node.op_type}_{number}"
    if not any(entry.domain == _DOMAIN for entry in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
    # qonnx takes the first entry for the version of the standard operators
    imports = sorted(proto.opset_import, key=lambda entry: entry.domain not in ("", "ai.onnx"))
    kept = [onnx.helper.make_opsetid(entry.domain, entry.version) for entry in imports]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    model = ModelWrapper(proto)
    try:
        model = model.transform(RemoveStaticGraphInputs())
        ends = (len(model.graph.input), len(model.graph.output))
        if ends != (1, 1):
            raise NetworkError(
                f"a model has one input and one output here, not {ends[0]} and {ends[1]}"
            )
        shape = model.get_tensor_shape(model.graph.input[0].name)
        if shape and shape[0] != 1:
            model = model.transform(ChangeBatchSize(1))
        model = model.transform(InferShapes())
        model = model.transform(FoldConstants(exclude_op_types=[]))
        return model.transform(RemoveUnusedTensors())
    except NetworkError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        raise NetworkError(f"qonnx does not clean this graph: {why[:300]}") from None


class _Levels(NamedTuple):
    """Values of a tensor between layers: low + step u, for whole u from 0 to size - 1.

    Attributes
    ----------
    low, step : float
        As float32 has them; step is positive.
    size : int
        How many.
    """

    low: float
    step: float
    size: int

    @property
    def planes(self) -> int:
        """Bits of u."""
        return max(1, (self.size - 1).bit_length())

    @property
    def values(self) -> NDArray[np.float32]:
        """All of them, ascending."""
        return (self.low + self.step * np.arange(self.size)).astype(np.float32)

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> _Levels | None:
        """Levels of ascending values, if they are equally spaced, exactly."""
        steps = np.diff(values.astype(np.float64))
        if not len(steps) or not np.isfinite(values).all() or steps[0] <= 0:
            return None
        made = cls(float(values[0]), float(steps[0]), len(values))
        return made if np.array_equal(made.values, values) else None


class _Product(NamedTuple):
    """A layer's weights, and the float32 sums that each H stands for.

    Attributes
    ----------
    name : str
        Of the node.
    weights : bool array (inputs, neurons) or (channels, height, width, filters)
    scales : float64 array (neurons,)
        Weights are +- this.
    bias : float32 array (neurons,) or None
        Added to the products within the node.
    levels : _Levels
        Of the inputs.
    spatial : int
        Dimensions of the images that a convolution makes in the model; 0 of a dense layer.
    """

    name: str
    weights: Bits
    scales: NDArray[np.float64]
    bias: NDArray[np.float32] | None
    levels: _Levels
    spatial: int = 0

    @property
    def inputs(self) -> int:
        """Weights of a neuron."""
        return int(np.prod(self.weights.shape[:-1]))

    @property
    def largest(self) -> int:
        """Largest H."""
        return self.inputs * ((1 << self.levels.planes) - 1)

    def sums(self, counts: Integers) -> NDArray[np.float32]:
        """What H stands for, (count,) to (count, neurons): exact, then rounded once; then bias."""
        minus = (~self.weights).reshape(-1, self.weights.shape[-1]).sum(axis=0)
        product = counts[:, None] - ((1 << self.levels.planes) - 1) * minus  # w.u
        exact = self.levels.low * (self.inputs - 2 * minus) + self.levels.step * product
        sums = (self.scales * exact).astype(np.float32)
        return sums if self.bias is None else sums + self.bias

    def slack(self) -> NDArray[np.float64]:
        """How far the executor's sum (neurons,) may be from `sums`, whatever order it adds in.

        0 where all products are multiples of one power of two, and their sum is less than 2^24 of
        it: then no addition rounds.
        """
        top = max(abs(self.levels.low), abs(float(self.levels.values[-1])))
        reach = self.inputs * self.scales * top
        unit = self._unit(np.array([self.levels.low, self.levels.step])).min()
        units = self._unit(self.scales) * unit
        if self.bias is not None:
            reach = reach + np.abs(self.bias)
            units = np.minimum(units, self._unit(self.bias.astype(np.float64)))
        # An addition errs by at most 2^-24 of its result; a product of two roundings, a bit more.
        return np.where(reach <= units * 2.0**24, 0.0, 2 * (self.inputs + 2) * 2.0**-24 * reach)

    @staticmethod
    def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest power of two that values are multiples of; infinite for 0."""
        mantissa, exponent = np.frexp(values)
        whole = np.abs(np.ldexp(mantissa, 53)).astype(np.int64)
        lowest = (whole & -whole).astype(np.float64)
        return np.where(whole == 0, np.inf, np.ldexp(lowest, exponent - 53))


class _Walk:
    """Goes along the graph, one tensor at a time, and collects layers.

    Between layers `order` holds, in the shape of one sample of the current tensor, which number
    each value has in the network's own flat order; reshaping and transposing act on it.
    """

    def __init__(self, model: Any, name: str, round_once: bool) -> None:
        self.model, self.name, self.round_once = model, name, round_once
        self.layers: list[Layer] = []
        self.levels: _Levels | None = None  # of `order`'s values, once they are quantized
        self.pad: tuple[int, int] = (0, 0)
        self.entry: list[Any] = []  # nodes that make the network's data of the model's input
        self.said = ""
        self.arithmetic = False  # before the input quantizer
        entry = model.graph.input[0].name
        shape = model.get_tensor_shape(entry)
        if not shape or min(shape) < 1 or len(shape) < 2:
            raise NetworkError(f"input {entry}: its shape {shape} is not (batch, ...), all known")
        self.input_shape: tuple[int, ...] = tuple(shape[1:])
        self.order = np.arange(int(np.prod(self.input_shape))).reshape(self.input_shape)
        self.tensor = entry
        # The network's data: what they stand for, and where they lie
        self.data_levels: _Levels | None = None
        self.data_order = self.order

    def go(self) -> Imported:
        node = self._next()
        while node is not None:
            if node.op_type in ("MatMul", "Gemm", "Conv"):
                node = self._layer(node)
                continue
            if node.op_type in _RESHAPES:
                self._reshape(node)
            elif node.op_type in _QUANTIZERS or node.op_type in _ELEMENTWISE:
                self._values(node)
            elif node.op_type == "Pad":
                self._padding(node)
            elif node.op_type == "MaxPool":
                self._pool_bits(node)
            elif node.op_type not in _SAME:
                raise NetworkError(f"{node.name}: operator {node.op_type} has no place on the chip")
            if not self.layers and node.op_type != "Pad":
                self.entry.append(node)
            self.tensor = node.output[0]
            node = self._next()
        if not self.layers or not isinstance(self.layers[-1], Output):
            last = self.layers[-1].name if self.layers else "the input"
            raise NetworkError(
                f"the model ends behind {last} with bits: its last layer must be dense, and not "
                f"quantized"
            )
        if len(self.input_shape) not in (1, 3):  # a signal has height 1; other shapes lie flat
            first, *rest = self.input_shape
            signal = len(rest) == 1
            self.input_shape = (first, 1, *rest) if signal else (self.data_order.size,)
        network = Network(tuple(self.layers), self.input_shape, self.layers[0].planes, self.name)
        return Imported(network, self._inputs, self.said)

    # The graph

    def _next(self) -> Any:
        """The node that takes the current tensor, or None at the end."""
        takers = [node for node in self.model.graph.node if self.tensor in node.input]
        ends = self.tensor == self.model.graph.output[0].name
        if ends and not takers:
            return None
        if len(takers) != 1 or ends:
            names = [node.name for node in takers] + ["the model's output"] * ends
            raise NetworkError(
                f"tensor {self.tensor} goes to {', '.join(names) or 'nothing'}: layers are taken "
                f"one after the other, without branches"
            )
        node = takers[0]
        others = [name for name in node.input if name and name != self.tensor]
        for name in others:
            if self.model.get_initializer(name) is None:
                raise NetworkError(f"{node.name}: input {name} is not a constant")
        if list(node.input).count(self.tensor) > 1:
            raise NetworkError(f"{node.name}: {node.op_type} takes {self.tensor} twice")
        return node

    def _constant(self, node: Any, place: int) -> NDArray | None:
        if place >= len(node.input) or not node.input[place]:
            return None
        return self.model.get_initializer(node.input[place])

    @staticmethod
    def _attribute(node: Any, name: str, default: Any) -> Any:
        for attribute in node.attribute:
            if attribute.name == name:
                value = onnx.helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    # Between layers

    def _reshape(self, node: Any) -> None:
        """Act on `order` as the node acts on one sample."""
        if self.pad != (0, 0):
            raise NetworkError(f"{node.name}: padding must come right before a convolution")
        shape = self.model.get_tensor_shape(node.output[0])
        if not shape or shape[0] != 1 or int(np.prod(shape)) != self.order.size:
            raise NetworkError(f"{node.name}: it mixes samples of a batch (output shape {shape})")
        if node.op_type == "Transpose":
            axes = self._attribute(node, "perm", list(range(self.order.ndim + 1))[::-1])
            if axes[0] != 0:
                raise NetworkError(f"{node.name}: it moves the batch axis")
            self.order = self.order.transpose([axis - 1 for axis in axes[1:]])
        else:
            self.order = self.order.reshape(shape[1:])

    def _values(self, node: Any) -> None:
        """A quantizer or an arithmetic node on what goes between layers."""
        if self.levels is None:
            if node.op_type in _QUANTIZERS:
                self.levels = self._quantizer_levels(node, 8)
                self._describe(node)
            else:
                self.arithmetic = True
            return  # arithmetic before the input quantizer is the user's, not the network's
        constants = [self._constant(node, place) for place in range(len(node.input))]
        if any(value is not None and value.size > 1 for value in constants):
            raise NetworkError(
                f"{node.name}: {node.op_type} between a quantizer and the next layer may only take "
                f"single numbers"
            )
        found = _Levels.of(_Chain(self.model, [node])(self.levels.values[:, None]).ravel())
        if found is None:
            raise NetworkError(
                f"{node.name}: behind it, the values of the quantizer before are no longer "
                f"equally spaced and ascending"
            )
        self.levels = found
        if not self.layers:
            self._describe(node)

    def _describe(self, node: Any) -> None:
        assert self.levels is not None
        low, step, size = self.levels
        self.said = (
            f"whole numbers 0 to {size - 1}, the model's input quantized by {node.name}: "
            f"u stands for {low:g} + {step:g} u"
        )

    def _quantizer_levels(self, node: Any, most: int) -> _Levels:
        """What a quantizer puts out; NetworkError unless it is 1 to `most` bits, scaled as one."""
        constants = [self._constant(node, place) for place in range(1, len(node.input))]
        if any(value is None or value.size != 1 for value in constants):
            raise NetworkError(
                f"{node.name}: scale, zero point and bits of a quantizer between layers must be "
                f"single numbers"
            )
        scale, *rest = [np.float32(value.item()) for value in constants if value is not None]
        if not (np.isfinite(scale) and scale > 0):
            raise NetworkError(f"{node.name}: its scale must be positive, not {scale:g}")
        if node.op_type == "BipolarQuant":
            return _Levels(-float(scale), 2 * float(scale), 2)
        zero, bits = rest
        operator = getCustomOp(node)
        signed, narrow = operator.get_nodeattr("signed"), operator.get_nodeattr("narrow")
        if bits != 1 and (bits != int(bits) or not 2 <= bits <= most):
            raise NetworkError(
                f"{node.name}: it gives {bits:g} bits, but "
                + ("inputs have 1 to 8" if most > 1 else "an output of a layer here is one bit")
            )
        if bits == 1 and signed:
            levels = _Levels.of((np.array([-1, 1], dtype=np.float32) - zero) * scale)
        else:
            low = -(1 << (int(bits) - 1)) + narrow if signed else 0
            high = (1 << (int(bits) - signed)) - 1 - (narrow and not signed)
            whole = np.arange(low, high + 1, dtype=np.float32)
            levels = _Levels.of((whole - zero) * scale)
        if levels is None:
            raise NetworkError(
                f"{node.name}: with scale {scale:g} and zero point {zero:g} its values are not "
                f"equally spaced in float32; a scale that is a power of two is exact"
            )
        return levels

    def _padding(self, node: Any) -> None:
        spatial = self.order.ndim - 1
        pads, value = self._constant(node, 1), self._constant(node, 2)
        axes = self._constant(node, 3)
        if self._attribute(node, "mode", "constant") != "constant" or axes is not None:
            raise NetworkError(f"{node.name}: padding must be constant, with all axes given")
        sizes = np.asarray(self._attribute(node, "pads", []) if pads is None else pads).tolist()
        begin, end = sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :]
        if begin != end or any(begin[:2]) or spatial not in (1, 2) or min(begin) < 0:
            raise NetworkError(f"{node.name}: padding must be equal on both sides, not {sizes}")
        number = 0.0 if value is None or not value.size else float(value.item())
        if self.levels is None or number != self.levels.low:
            raise NetworkError(
                f"{node.name}: it pads with {number:g}; what is exact is padding with the lowest "
                f"value of the quantizer before, "
                f"{'none so far' if self.levels is None else f'{self.levels.low:g}'} (bit 0)"
            )
        first, second = ((0, *begin) if spatial == 1 else tuple(begin))[-2:]
        self.pad = (first + self.pad[0], second + self.pad[1])

    def _pool_bits(self, node: Any) -> None:
        """Max-pooling of bits: the OR of the layer before."""
        layer = self.layers[-1] if self.layers else None
        if not isinstance(layer, Convolution) or layer.pool != (1, 1) or self.pad != (0, 0):
            raise NetworkError(f"{node.name}: max-pooling must follow a convolution, once")
        if not np.array_equal(self.order.ravel(), np.arange(self.order.size)):
            raise NetworkError(f"{node.name}: max-pooling of rearranged values")
        window, ceil = self._window(node)
        self.layers[-1] = Convolution(
            layer.name, layer.weights, layer.thresholds, layer.planes, layer.stride, layer.padding,
            window, ceil,
        )  # fmt: skip
        self._follow(node.output[0])

    def _window(self, node: Any) -> tuple[tuple[int, int], bool]:
        """Window and ceil mode of a max-pooling whose windows neither overlap nor are padded."""
        kernel = list(self._attribute(node, "kernel_shape", []))
        stride = list(self._attribute(node, "strides", [1] * len(kernel)))
        if (
            stride != kernel
            or any(self._attribute(node, "pads", []))
            or any(step != 1 for step in self._attribute(node, "dilations", []))
            or self._attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID")
            or len(kernel) not in (1, 2)
        ):
            raise NetworkError(
                f"{node.name}: pooling windows must lie side by side, without padding (kernel "
                f"{kernel}, strides {stride})"
            )
        first, second = (1, *kernel)[-2:]
        return (first, second), bool(self._attribute(node, "ceil_mode", 0))

    def _follow(self, tensor: str) -> None:
        """Number the values of a layer's output anew."""
        shape = tuple(self.model.get_tensor_shape(tensor)[1:])
        self.order = np.arange(int(np.prod(shape))).reshape(shape)

    # The input

    def _annotated(self, node: Any) -> _Levels:
        """Levels of an input that no node quantizes, from its datatype."""
        kind = self.model.get_tensor_datatype(self.model.graph.input[0].name)
        plain = re.fullmatch(r"BIPOLAR|BINARY|TERNARY|U?INT\d+", kind.name) is not None
        if plain and not self.arithmetic and kind.max() - kind.min() < 256:
            bipolar = kind == DataType["BIPOLAR"]
            count = 2 if bipolar else int(kind.max() - kind.min()) + 1
            levels = _Levels(float(kind.min()), 2.0 if bipolar else 1.0, count)
            self.said = (
                f"whole numbers 0 to {levels.size - 1} for the model's {kind.name} input: "
                f"u stands for {levels.low:g} + {levels.step:g} u"
            )
            return levels
        raise NetworkError(
            f"{node.name}: its inputs are not quantized: put a QuantIdentity of 1 to 8 bits before "
            f"it (or annotate the model's input with an integer datatype)"
        )

    def _inputs(self, x: NDArray) -> NDArray[np.uint8]:
        """The network's data, of the model's input."""
        x = np.asarray(x, dtype=np.float32)
        entry = self.model.graph.input[0].name
        shape = tuple(self.model.get_tensor_shape(entry)[1:])
        data = np.empty((len(x), int(np.prod(shape))), dtype=np.uint8)
        levels, opsets = self.data_levels, self.model.get_opset_imports()
        assert levels is not None
        for number, sample in enumerate(x):
            values = sample.reshape(1, *shape)
            context = {entry: values}
            for node in self.entry:
                for name in node.input:
                    if name and name not in context:
                        context[name] = self.model.get_initializer(name)
                name = node.output[0]
                context[name] = np.empty(self.model.get_tensor_shape(name), dtype=np.float32)
                execute_node(node, context, self.model.graph, _opset(opsets, node))
                values = context[name]
            whole = np.rint((values.astype(np.float64).ravel() - levels.low) / levels.step)
            data[number, self.data_order.ravel()] = whole.astype(np.uint8)
        return data.reshape(len(x), *self.input_shape)

    # Layers

    def _layer(self, node: Any) -> Any:
        """One layer, from its product to its quantizer or to the end; returns the node behind."""
        if self.levels is None:
            self.levels = self._annotated(node)
        if not self.layers:
            self.data_levels, self.data_order = self.levels, self.order
        elif self.levels.size != 2:
            raise NetworkError(f"{node.name}: only the first layer takes more than one bit")
        product, settings = self._convolution(node) if node.op_type == "Conv" else self._dense(node)
        chain: list[Any] = []
        before_pool: int | None = None
        pool: tuple[tuple[int, int], bool] = ((1, 1), False)
        self.tensor = node.output[0]
        following = self._next()
        while following is not None and following.op_type not in _QUANTIZERS:
            if following.op_type in _ELEMENTWISE:
                chain.append(following)
            elif following.op_type == "MaxPool" and settings is not None and before_pool is None:
                before_pool, pool = len(chain), self._window(following)
            elif following.op_type in ("ArgMax", "TopK") and settings is None:
                self._top(following)
                following = None
                break
            elif following.op_type not in _SAME:
                raise NetworkError(
                    f"{following.name}: {following.op_type} cannot stand between {product.name} "
                    f"and its quantizer"
                )
            self.tensor = following.output[0]
            following = self._next()
        if following is None:
            if settings is not None:
                raise NetworkError(f"{product.name}: the last layer must be dense")
            self.layers.append(self._output(product, chain))
            return following
        levels = self._quantizer_levels(following, 1)
        self.layers.append(self._hidden(product, settings, chain, before_pool, pool, following))
        self.levels, self.pad = levels, (0, 0)
        self.tensor = following.output[0]
        self._follow(self.tensor)
        return self._next()

    def _top(self, node: Any) -> None:
        """The class of the largest output, as the end of a model: what `predictions` gives."""
        if node.op_type == "TopK":
            count = self._constant(node, 1)
            fine = count is not None and int(count.item()) == 1
            fine = fine and bool(self._attribute(node, "largest", 1))
        else:
            fine = not self._attribute(node, "select_last_index", 0)
        if not fine or self._attribute(node, "axis", -1 if node.op_type == "TopK" else 0) == 0:
            raise NetworkError(f"{node.name}: it does not give the first of the largest classes")

    def _weights(self, node: Any, values: NDArray) -> tuple[Bits, NDArray[np.float64]]:
        """Signs and magnitudes of weights whose last axis are neurons."""
        magnitudes = np.abs(values.reshape(-1, values.shape[-1]))
        scales = magnitudes[0].astype(np.float64)
        wrong = (magnitudes != magnitudes[0]).any(axis=0) | ~np.isfinite(scales) | (scales == 0)
        if wrong.any():
            number = int(np.flatnonzero(wrong)[0])
            several = np.unique(values.reshape(-1, values.shape[-1])[:, number])
            raise NetworkError(
                f"{node.name}: the weights of neuron {number} are not plus and minus one number, "
                f"but {', '.join(f'{value:g}' for value in several[:4])}"
                + (", ..." if len(several) > 4 else "")
            )
        return values > 0, scales

    def _dense(self, node: Any) -> tuple[_Product, None]:
        if node.input[0] != self.tensor:
            raise NetworkError(f"{node.name}: the weights must be its second input")
        values = np.asarray(self._constant(node, 1))
        bias = None
        if node.op_type == "Gemm":
            numbers = [self._attribute(node, name, 1.0) for name in ("alpha", "beta")]
            bias = self._constant(node, 2)
            if numbers[0] != 1 or (bias is not None and numbers[1] != 1):
                raise NetworkError(f"{node.name}: alpha and beta must be 1, not {numbers}")
            if self._attribute(node, "transA", 0):
                raise NetworkError(f"{node.name}: transA is not taken")
            values = values.T if self._attribute(node, "transB", 0) else values
        if self.pad != (0, 0):
            raise NetworkError(f"{node.name}: padding must come right before a convolution")
        if values.ndim != 2 or self.order.shape != (len(values),):
            raise NetworkError(
                f"{node.name}: weights of shape {values.shape} on inputs of shape "
                f"{self.order.shape}; a dense layer takes a flat input"
            )
        own = np.empty_like(values)
        own[self.order] = values
        weights, scales = self._weights(node, own)
        if bias is not None:
            bias = np.broadcast_to(bias.astype(np.float32).reshape(-1), scales.shape)
        levels = self.levels
        assert levels is not None
        return _Product(node.name, weights, scales, bias, levels), None

    def _convolution(self, node: Any) -> tuple[_Product, dict[str, tuple[int, int]]]:
        if node.input[0] != self.tensor:
            raise NetworkError(f"{node.name}: the weights must be its second input")
        values = np.asarray(self._constant(node, 1))
        spatial = values.ndim - 2
        if spatial not in (1, 2) or self.order.ndim != spatial + 1:
            raise NetworkError(f"{node.name}: convolutions have one or two dimensions here")
        pads = list(self._attribute(node, "pads", [0] * 2 * spatial))
        if self._attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
            raise NetworkError(f"{node.name}: padding must be given in numbers, not auto_pad")
        if self._attribute(node, "group", 1) != 1:
            raise NetworkError(f"{node.name}: grouped convolutions are not expressed")
        if any(step != 1 for step in self._attribute(node, "dilations", [])):
            raise NetworkError(f"{node.name}: dilated convolutions are not expressed")
        if pads[:spatial] != pads[spatial:]:
            raise NetworkError(f"{node.name}: padding must be equal on both sides, not {pads}")
        levels = self.levels
        assert levels is not None
        if any(pads) and levels.low != 0:
            raise NetworkError(
                f"{node.name}: it pads with 0, which is no value of its inputs ({levels.low:g} + "
                f"{levels.step:g} u): pad with {levels.low:g} before it, "
                f"torch.nn.functional.pad(x, ..., value={levels.low:g})"
            )
        if not np.array_equal(self.order.ravel(), np.arange(self.order.size)):
            raise NetworkError(f"{node.name}: a convolution of rearranged values")
        channels, *sizes = self.order.shape
        if not self.layers:
            high, wide = (1, *sizes)[-2:]
            self.input_shape = (channels, high, wide)
        if spatial == 1:
            values = values[:, :, None, :]
        weights, scales = self._weights(node, values.transpose(1, 2, 3, 0))
        bias = self._constant(node, 2)
        first, second = (0, *pads[:spatial])[-2:]
        down, right = (1, *self._attribute(node, "strides", [1] * spatial))[-2:]
        settings = {
            "padding": (first + self.pad[0], second + self.pad[1]),
            "stride": (down, right),
        }
        bias = None if bias is None else bias.astype(np.float32)
        return _Product(node.name, weights, scales, bias, levels, spatial), settings

    def _slack(self, product: _Product) -> NDArray[np.float64]:
        slack = product.slack()
        return np.zeros_like(slack) if self.round_once else slack

    def _hidden(
        self,
        product: _Product,
        settings: dict[str, tuple[int, int]] | None,
        chain: list[Any],
        before_pool: int | None,
        pool: tuple[tuple[int, int], bool],
        quantizer: Any,
    ) -> Layer:
        """A hidden layer: thresholds by running the chain on all sums."""
        slack = self._slack(product)
        neurons = product.weights.shape[-1]
        run = _Chain(self.model, [*chain, quantizer], product.spatial)
        low, step, _ = self._quantizer_levels(quantizer, 1)
        ambiguous = np.zeros(neurons, dtype=bool)
        missing = np.zeros(neurons, dtype=bool)

        def bits(sums: NDArray[np.float32]) -> Bits:
            return run(sums) > low + step / 2

        def fires(counts: Integers) -> Bits:
            nonlocal ambiguous, missing
            sums = product.sums(counts)
            found = bits(sums)
            missing |= ~np.isfinite(run.before).all(axis=0)
            if slack.any():
                for side in (-slack, slack):
                    ambiguous |= (bits((sums + side).astype(np.float32)) != found).any(axis=0)
            return found

        folded = fold(fires, np.full(neurons, product.largest), product.name)
        if missing.any():
            raise NetworkError(
                f"{product.name}: values of {name_some(missing)} come to infinity or "
                f"not-a-number before {quantizer.name}"
            )
        if ambiguous.any():
            raise NetworkError(
                f"{product.name}: a sum of {name_some(ambiguous)} is so near the threshold that "
                f"the rounding of float32 decides, since {self._inexact(product)}; --round-once "
                f"reads sums as exact"
            )
        weights = product.weights ^ folded.flipped
        if settings is None:
            return Dense(product.name, weights, folded.thresholds, product.levels.planes)
        every = np.zeros(neurons, dtype=bool)
        if before_pool is not None:
            # The largest of a window, of what falls with H up to there, is of the least H
            every = folded.flipped ^ self._falls(product, chain[:before_pool])
        return Convolution(
            product.name, weights, folded.thresholds, product.levels.planes,
            pool=pool[0], pool_ceil=pool[1], pool_all=every, **settings,
        )  # fmt: skip

    @staticmethod
    def _inexact(product: _Product) -> str:
        if product.bias is not None and not product._replace(bias=None).slack().any():
            return "the node adds a bias to the sums as it goes (leave it to batch norm)"
        return "scales are no powers of two"

    def _falls(self, product: _Product, chain: list[Any]) -> Bits:
        """Where what max-pooling sees falls with H; NetworkError if it does both."""
        neurons = product.weights.shape[-1]
        falls = np.zeros(neurons, dtype=bool)
        if not chain:
            return falls
        run = _Chain(self.model, chain, product.spatial)
        rises = falls.copy()
        last: NDArray[np.float32] | None = None
        for counts in chunks(product.largest, neurons):
            values = run(product.sums(counts))
            values = values if last is None else np.concatenate([last, values])
            rises |= (values[1:] > values[:-1]).any(axis=0)
            falls |= (values[1:] < values[:-1]).any(axis=0)
            last = values[-1:]
        if (rises & falls).any():
            raise NetworkError(
                f"{product.name}: what is pooled of {name_some(rises & falls)} both rises and "
                f"falls with the sum"
            )
        return falls

    def _output(self, product: _Product, chain: list[Any]) -> Output:
        """The last layer: integer thresholds that order all classes as the model's outputs do."""
        if self._slack(product).any():
            raise NetworkError(
                f"{product.name}: equal classes come out unequal by rounding, since "
                f"{self._inexact(product)}; --round-once reads sums as exact"
            )
        counts = np.arange(product.largest + 1)
        run = _Chain(self.model, chain)
        values = run(product.sums(counts)) if chain else product.sums(counts)
        weights = product.weights
        if not np.isfinite(values).all():
            raise NetworkError(f"{product.name}: its outputs come to infinity or not-a-number")
        falling = values[-1] < values[0]
        values = np.where(falling, values[::-1], values)
        flat = np.any(np.diff(values, axis=0) <= 0, axis=0)
        if flat.any():
            raise NetworkError(
                f"{product.name}: {name_some(flat)} gives one output for several sums, or does not "
                f"rise with them: the preactivations would tell classes apart that the model does "
                f"not"
            )
        thresholds = _class_thresholds(values)
        if thresholds is None:
            raise NetworkError(
                f"{product.name}: no whole thresholds order the classes as the model's outputs do: "
                f"their scales differ, or their biases are no multiples of the step between sums "
                f"({float(values[1, 0] - values[0, 0]):g}); use one scale and no bias"
            )
        return Output(product.name, weights ^ falling, thresholds, product.levels.planes)


def _class_thresholds(values: NDArray[np.float32]) -> Integers | None:
    """Whole T so that H - T orders classes, the lowest of equal ones first, as their outputs do.

    Parameters
    ----------
    values : float32 array (sums, classes)
        Output of each class at H = 0, 1, ...; strictly ascending along the sums.

    Returns
    -------
    int64 array (classes,) or None
        The smallest that are not negative; None if there are none. For one class, T so that H - T
        is positive where its output is.
    """
    count, classes = values.shape
    if classes == 1:
        return np.array([int((values[:, 0] <= 0).sum()) - 1])
    # With T = 0 for class 0, a later class at H beats it at all sums below H - T, and no others
    step = (float(values[-1, 0]) - float(values[0, 0])) / (count - 1)
    thresholds = np.zeros(classes, dtype=np.int64)
    for number in range(1, classes):
        middle = count // 2
        ahead = round((float(values[middle, number]) - float(values[middle, 0])) / step)
        least, most = max(0, -ahead), min(count - 1, count - 1 - ahead)
        if least > most:  # the outputs of these two never meet
            thresholds[number] = -ahead
            continue
        place = (least + most) // 2
        beaten = int(np.searchsorted(values[:, 0], values[place, number], side="left"))
        thresholds[number] = place - beaten
    keys = np.arange(count)[:, None] - thresholds
    index = np.broadcast_to(np.arange(classes), keys.shape).ravel()
    if not np.array_equal(
        np.lexsort((index, -keys.ravel())), np.lexsort((index, -values.ravel().astype(np.float64)))
    ):
        return None
    return thresholds - thresholds.min()


def _opset(versions: dict[str, int], node: Any) -> int:
    """Version of a node's operators, as the file says."""
    return versions.get(node.domain) or versions[""]


class _Chain:
    """Nodes one after the other, each run by qonnx's node execution, on (count, neurons) values.

    Parameters
    ----------
    model : ModelWrapper
        That they are of.
    nodes : list of node
        Elementwise, each on the output of the one before.
    spatial : int
        Dimensions of the images that the model has there; 0 behind dense layers.

    Attributes
    ----------
    before : float32 array (count, neurons)
        What the last node saw when it was last run.
    """

    def __init__(self, model: Any, nodes: list[Any], spatial: int = 0) -> None:
        self.spatial, self.nodes = spatial, nodes
        self.opsets = model.get_opset_imports()
        self.takes: list[str] = []  # tensor that each node goes on from
        self.constants: dict[str, NDArray] = {}
        shape: list[Any] = ["batch", "neurons", *(f"axis{number}" for number in range(spatial))]
        known = onnx.helper.make_tensor_value_info
        infos: dict[str, Any] = {}
        for node in nodes:
            constants = {name: model.get_initializer(name) for name in node.input if name}
            moving = [name for name, value in constants.items() if value is None]
            self.takes.append(moving[0])
            for name, value in constants.items():
                if value is None:
                    continue
                if spatial and value.ndim > 1 and any(
                    size > 1 for size in value.shape[-spatial:]
                ):  # fmt: skip
                    raise NetworkError(f"{node.name}: its numbers differ from place to place")
                if value.size == 1 and node.op_type in _SCALAR:
                    value = value.reshape(())  # whatever its dimensions
                self.constants[name] = value
                kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
                infos[name] = known(name, kind, value.shape)
            infos |= {name: known(name, 1, shape) for name in (moving[0], node.output[0])}
        values = list(infos.values())
        self.graph = onnx.helper.make_graph(nodes, "chain", [], [], value_info=values)
        self.before = np.zeros((0, 0), dtype=np.float32)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.spatial:  # as one image of one column
            tail = (1,) * (self.spatial - 1)
            start = np.ascontiguousarray(values.T).reshape(1, *values.T.shape, *tail)
        else:
            start = np.ascontiguousarray(values)
        context: dict[str, Any] = {**self.constants}
        current = self.before = start
        for takes, node in zip(self.takes, self.nodes, strict=True):
            context[takes] = self.before = current
            context[node.output[0]] = start
            try:
                execute_node(node, context, self.graph, _opset(self.opsets, node))
            except Exception as error:  # onnxruntime's own, of several names
                why = " ".join(str(error).split())
                raise NetworkError(f"{node.name}: it cannot be run: {why[:200]}") from None
            current = context[node.output[0]]
            if current.shape != start.shape:
                raise NetworkError(
                    f"{node.name}: its numbers do not fit one a neuron (shape {current.shape} of "
                    f"{start.shape})"
                )
        self.before = self._flat(self.before)
        return self._flat(current)

    def _flat(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self.spatial:
            return values
        return values.reshape(values.shape[1], values.shape[2]).T
