"""QONNX import: the same predictions as qonnx's own executor, ties included."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from networks import form
from tests.needs import need

need("torch")
need("qonnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from qonnx.core.datatype import DataType  # noqa: E402
from qonnx.core.modelwrapper import ModelWrapper  # noqa: E402
from qonnx.core.onnx_exec import execute_onnx  # noqa: E402
from qonnx.transformation.change_batchsize import ChangeBatchSize  # noqa: E402
from qonnx.transformation.infer_shapes import InferShapes  # noqa: E402

from networks import qonnx  # noqa: E402
from networks.form import NetworkError  # noqa: E402
from networks.importing import load_network  # noqa: E402

INPUTS = 1000


def executor(path, x):
    """Outputs of qonnx's own executor, for a batch."""
    model = ModelWrapper(str(path))
    if len(x) != 1:
        model = model.transform(ChangeBatchSize(len(x))).transform(InferShapes())
    given = [entry.name for entry in model.graph.input if model.get_initializer(entry.name) is None]
    found = execute_onnx(model, {given[0]: x.astype(np.float32)})
    return found[model.graph.output[0].name]


def compare(path, x, unit=None):
    """Hold an import against the executor; returns both answers.

    `unit` is what one step of H is worth in the model's outputs, where they are exact.
    """
    expected = executor(path, x)
    found = qonnx.read(path)
    answers = form.evaluate(found.network, found.inputs(x))
    np.testing.assert_array_equal(answers.predictions, expected.argmax(axis=1))
    if unit is not None:
        shift = expected / unit - answers.preactivations
        assert np.ptp(shift) == 0
    return found.network, answers, expected


class Brevitas:
    """Builds, randomizes and exports networks as a user of Brevitas would."""

    def __init__(self):
        need("brevitas")
        import brevitas.nn as layers
        import torch
        from brevitas.quant import (
            SignedBinaryActPerTensorConst,
            SignedBinaryWeightPerTensorConst,
            Uint8ActPerTensorFloat,
        )

        class Weights(SignedBinaryWeightPerTensorConst):
            scaling_const = 1.0

        class Signs(SignedBinaryActPerTensorConst):
            min_val, max_val = -1.0, 1.0

        class Planes(Uint8ActPerTensorFloat):
            """Unsigned, a step of 1."""

            scaling_impl_type = "const"

        self.torch, self.layers = torch, layers
        self.Weights, self.Signs, self.Planes = Weights, Signs, Planes

    def weights(self, scale):
        return type("Scaled", (self.Weights,), {"scaling_const": scale})

    def signs(self):
        return self.layers.QuantIdentity(act_quant=self.Signs)

    def planes(self, bits):
        top = float((1 << bits) - 1)
        settings = {"bit_width": bits, "scaling_init": top, "max_val": top}
        return self.layers.QuantIdentity(act_quant=type("Bits", (self.Planes,), settings))

    def dense(self, inputs, outputs, scale=1.0, bias=False):
        return self.layers.QuantLinear(
            inputs, outputs, bias=bias, weight_quant=self.weights(scale))

    def convolution(self, dimensions, channels, filters, kernel, scale=1.0, **more):
        kind = self.layers.QuantConv1d if dimensions == 1 else self.layers.QuantConv2d
        return kind(
            channels, filters, kernel, bias=False, weight_quant=self.weights(scale), **more)

    def norm(self, neurons, dimensions=0):
        nn = self.torch.nn
        return (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)[dimensions](neurons)

    def randomize(self, network, x, seed):
        """Batch norm of both signs, in the middle of its sums; half tie at whole sums."""
        torch = self.torch
        generator = torch.Generator().manual_seed(seed)
        kind = torch.nn.modules.batchnorm._NormBase
        norms = [module for module in network.modules() if isinstance(module, kind)]
        for module in norms:
            module.momentum = 1.0
            gamma = torch.randn(module.num_features, generator=generator)
            gamma[torch.rand(len(gamma), generator=generator) < 0.1] = 0
            module.weight.data.copy_(gamma)
        with torch.no_grad():
            network.train()(torch.from_numpy(x))
            for module in norms:
                count = module.num_features
                whole = torch.rand(count, generator=generator) < 0.5
                mean = module.running_mean
                mean.copy_(torch.where(whole, mean.round(), mean))
                bias = torch.randn(count, generator=generator) * module.weight / 2
                module.bias.copy_(torch.where(whole, torch.zeros(count), bias))
        return network.eval()

    def export(self, network, shape, path, batch=1, **more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from brevitas.export import export_qonnx

            data = self.torch.zeros(batch, *shape)
            export_qonnx(network.eval(), data, export_path=str(path), **more)
        return path


@pytest.fixture(scope="module")
def brevitas():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Brevitas()


def dense_network(b, widths, bits, scale=1.0, bias=False):
    parts = [b.planes(bits) if bits > 1 else b.signs()]
    for inputs, outputs in zip(widths[:-2], widths[1:-1], strict=True):
        parts += [b.dense(inputs, outputs, scale, bias), b.norm(outputs), b.signs()]
    return b.torch.nn.Sequential(*parts, b.dense(widths[-2], widths[-1], scale))


def images(b):
    """Two convolutions; pooling before batch norm, and behind the quantizer."""
    nn = b.torch.nn
    return nn.Sequential(
        b.planes(4), b.convolution(2, 2, 5, 3, padding=1), nn.MaxPool2d(2), b.norm(5, 2), b.signs(),
        b.convolution(2, 5, 7, (2, 3)), b.norm(7, 2), b.signs(), nn.MaxPool2d(2, ceil_mode=True),
        nn.Flatten(), b.dense(7 * 2 * 1, 9), b.norm(9), b.signs(), b.dense(9, 4),
    )  # fmt: skip


def padded(b):
    """Padding with -1 between bipolar layers, a stride, and pooling behind batch norm."""
    nn = b.torch.nn
    return nn.Sequential(
        b.signs(), nn.ConstantPad2d((1, 1, 1, 1), -1.0), b.convolution(2, 1, 6, 3, stride=2),
        b.norm(6, 2), nn.MaxPool2d((2, 1)), b.signs(), nn.Flatten(), b.dense(6 * 2 * 5, 3),
    )  # fmt: skip


def signals(b):
    nn = b.torch.nn
    return nn.Sequential(
        b.planes(6), b.convolution(1, 3, 8, 5), b.norm(8, 1), b.signs(), nn.MaxPool1d(2),
        b.convolution(1, 8, 5, 3, stride=2), nn.MaxPool1d(2), b.norm(5, 1), b.signs(), nn.Flatten(),
        b.dense(5 * 2, 2),
    )  # fmt: skip


#: Name to (network, shape of an input, bits of an input, value of one step of H).
SHAPES = {
    "one of everything": (lambda b: dense_network(b, (1, 1, 1), 1), (1,), 1, 2.0),
    "a single hidden neuron": (lambda b: dense_network(b, (13, 1, 3), 1), (13,), 1, 2.0),
    "a single class": (lambda b: dense_network(b, (20, 7, 1), 2), (20,), 2, 2.0),
    "published": (lambda b: dense_network(b, (116, 64, 10), 1), (116,), 1, 2.0),
    "one more than a block": (lambda b: dense_network(b, (59, 59, 10), 1), (59,), 1, 2.0),
    "no whole bytes": (lambda b: dense_network(b, (101, 33, 17, 5), 3), (101,), 3, 2.0),
    "no hidden layer": (lambda b: dense_network(b, (30, 6), 4), (30,), 4, 1.0),
    "eight planes": (lambda b: dense_network(b, (64, 40, 10), 8), (64,), 8, 2.0),
    "scales of 1/8": (lambda b: dense_network(b, (64, 40, 10), 4, 0.125), (64,), 4, 0.25),
    "images": (images, (2, 8, 8), 4, 2.0),
    "padded images": (padded, (1, 9, 9), 1, 2.0),
    "signals": (signals, (3, 26), 6, 2.0),
}


def random_inputs(shape, bits, seed=0):
    rng = np.random.default_rng(seed)
    if bits == 1:
        return rng.normal(size=(INPUTS, *shape)).astype(np.float32)
    return rng.uniform(-1, 1 << bits, (INPUTS, *shape)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_brevitas_networks_predict_as_qonnx_executes_them(name, brevitas, tmp_path):
    make, shape, bits, unit = SHAPES[name]
    brevitas.torch.manual_seed(len(name))
    network = brevitas.randomize(make(brevitas), random_inputs(shape, bits, 1), len(name))
    path = brevitas.export(network, shape, tmp_path / "model.onnx")
    found, answers, _ = compare(path, random_inputs(shape, bits), unit)
    assert found.input_bits == bits
    if found.classes > 2:
        ordered = np.sort(answers.preactivations, axis=1)
        assert (ordered[:, -1] == ordered[:, -2]).any(), "no ties to decide"
        assert len(set(answers.predictions)) > 1


@pytest.mark.slow
def test_a_trained_brevitas_network(brevitas, tmp_path):
    """Really trained, on scikit-learn's digits: 8x8 pixels of 4 bits and a bit."""
    from sklearn.datasets import load_digits

    torch, nn = brevitas.torch, brevitas.torch.nn
    torch.manual_seed(3)
    digits = load_digits()
    x = np.minimum(digits.data, 15).astype(np.float32)
    network = dense_network(brevitas, (64, 100, 59, 10), 4)
    with torch.no_grad():
        network[2].weight[::3] *= -1
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    data, labels = torch.from_numpy(x), torch.from_numpy(digits.target)
    for _ in range(8):
        for chosen in torch.randperm(1200).split(200):
            loss = nn.functional.cross_entropy(network(data[chosen]) / 8, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    path = brevitas.export(network, (64,), tmp_path / "digits.onnx")
    found, answers, _ = compare(path, x[-INPUTS:], 2.0)
    assert (answers.predictions[-500:] == digits.target[-500:]).mean() > 0.7
    gamma = network[2].weight.detach().numpy()
    assert (gamma < 0).any() and (gamma > 0).any()


@pytest.mark.slow
@pytest.mark.parametrize("batch, more", [(16, {}), (1, {"dynamo": False})])
def test_finns_fully_connected_network_of_either_exporter(batch, more, brevitas, tmp_path):
    """Images scaled by arithmetic, dropout, and a normalisation of all classes together."""
    torch, nn = brevitas.torch, brevitas.torch.nn

    class Normalize(nn.Module):
        def forward(self, x):
            return (x - 3.1) / torch.sqrt(torch.tensor([17.0]) + 1e-4) * 1.3 - 0.2

    class Signed(nn.Module):
        def forward(self, x):
            return 2.0 * x.view(x.shape[0], -1) - torch.tensor([1.0])

    torch.manual_seed(2)
    network = nn.Sequential(
        Signed(), brevitas.signs(), nn.Dropout(0.2), brevitas.dense(64, 30), brevitas.norm(30),
        brevitas.signs(), nn.Dropout(0.2), brevitas.dense(30, 10), Normalize(),
    )  # fmt: skip
    x = np.random.default_rng(0).uniform(0, 1, (64, 1, 8, 8)).astype(np.float32)
    network = brevitas.randomize(network, x, 1)
    path = brevitas.export(network, (1, 8, 8), tmp_path / "tfc.onnx", batch, **more)
    found = qonnx.read(path)
    assert found.network.input_shape == (1, 8, 8)
    answers = form.evaluate(found.network, found.inputs(x))
    for first in range(0, len(x), batch):
        part = slice(first, first + batch)
        model = ModelWrapper(str(path)).transform(InferShapes())
        given = next(i.name for i in model.graph.input if model.get_initializer(i.name) is None)
        expected = execute_onnx(model, {given: x[part]})[model.graph.output[0].name]
        np.testing.assert_array_equal(answers.predictions[part], expected.argmax(axis=1))


@pytest.mark.slow
def test_the_example_of_the_docs(brevitas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    docs = Path(__file__).parents[2] / "docs" / "bring_your_own.md"
    blocks = re.findall(r"```python\n(.*?)```", docs.read_text(), re.DOTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(next(b for b in blocks if "export_qonnx" in b), str(docs), "exec"), {})
    assert load_network("mine.onnx").weight_bits == 116 * 64 + 640


# Graphs by hand: fast, and every corner on purpose


class Graph:
    """An ONNX graph, one node after the other."""

    def __init__(self, shape):
        self.shape, self.tensor, self.nodes, self.constants = shape, "x", [], []

    def add(self, operator, *constants, name=None, outputs=1, **attributes):
        name = name or f"{operator.lower()}{len(self.nodes)}"
        inputs = [self.tensor]
        for number, constant in enumerate(constants):
            inputs.append(f"{name}_{number}")
            kind = np.int64 if np.asarray(constant).dtype.kind == "i" else np.float32
            self.constants.append(
                numpy_helper.from_array(np.asarray(constant, dtype=kind), inputs[-1]))
        made = [f"{name}_out{number}" for number in range(outputs)]
        domain = "qonnx.custom_op.general" if "Quant" in operator else ""
        self.nodes.append(
            helper.make_node(operator, inputs, made, name=name, domain=domain, **attributes))
        self.tensor = made[-1]
        return self

    def sign(self, scale=1.0, name=None):
        return self.add("BipolarQuant", float(scale), name=name)

    def bits(self, count, scale=1.0, signed=0, narrow=0, zero=0.0, name=None):
        return self.add("Quant", float(scale), float(zero), float(count), name=name,
                        signed=signed, narrow=narrow, rounding_mode="ROUND")  # fmt: skip

    def norm(self, gamma, beta, mean, variance, name=None):
        return self.add("BatchNormalization", *map(np.float32, (gamma, beta, mean, variance)),
                        name=name)  # fmt: skip

    def model(self):
        kind = TensorProto.INT64 if self.nodes[-1].op_type in ("ArgMax", "TopK") else 1
        graph = helper.make_graph(
            self.nodes, "graph", [helper.make_tensor_value_info("x", 1, [1, *self.shape])],
            [helper.make_tensor_value_info(self.tensor, kind, None)], self.constants,
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("qonnx.custom_op.general", 1)]
        return helper.make_model(graph, opset_imports=opsets)

    def save(self, folder, kind=None):
        path = folder / "model.onnx"
        model = ModelWrapper(self.model()).transform(InferShapes())
        if kind is not None:
            model.set_tensor_datatype("x", DataType[kind])
        model.save(str(path))
        return path


def signs(rng, *shape):
    return rng.choice([-1.0, 1.0], size=shape)


def all_bits(count):
    """Every input of so many bits, as signs."""
    return 2.0 * (np.arange(1 << count)[:, None] >> np.arange(count) & 1) - 1


def hidden(rng, graph, inputs, neurons, **norm):
    settings = {
        "gamma": rng.normal(size=neurons), "beta": np.zeros(neurons),
        "mean": rng.integers(-2, 3, neurons), "variance": rng.uniform(0.1, 4, neurons),
    } | norm  # fmt: skip
    return graph.add("MatMul", signs(rng, inputs, neurons), name="fc").norm(**settings)


@pytest.mark.parametrize("inputs, neurons, classes", [(1, 1, 1), (3, 1, 2), (8, 5, 3), (10, 33, 7)])
def test_every_input_with_every_tie(inputs, neurons, classes, tmp_path):
    rng = np.random.default_rng(inputs)
    graph = hidden(rng, Graph((inputs,)).sign(), inputs, neurons).sign()
    graph.add("MatMul", signs(rng, neurons, classes))
    found, answers, expected = compare(graph.save(tmp_path), all_bits(inputs), 2.0)
    if classes == 1:
        np.testing.assert_array_equal(answers.preactivations > 0, expected > 0)


def test_a_tie_of_batch_norm_fires_as_in_the_file_whichever_the_sign_of_gamma(tmp_path):
    """sign(0) is +1 there, and a tie reads 0 here: gamma of each sign."""
    weights = np.ones((4, 4))
    graph = Graph((4,)).sign().add("MatMul", weights, name="fc")
    graph.norm([1, -1, 0, 0], [0, 0, 0, -1], [2, 2, 2, 2], np.ones(4) - 1e-5).sign()
    graph.add("MatMul", np.eye(4) * 2 - 1)
    found, answers, _ = compare(graph.save(tmp_path), all_bits(4), 2.0)
    ups = (all_bits(4) > 0).sum(axis=1)  # the sum is 2 where three are +1
    np.testing.assert_array_equal(answers.hidden[0][:, 0], ups >= 3)
    np.testing.assert_array_equal(answers.hidden[0][:, 1], ups <= 3)
    assert answers.hidden[0][:, 2].all() and not answers.hidden[0][:, 3].any()
    assert found.layers[0].thresholds.tolist() == [[2, 0, -1, 4]]


@pytest.mark.parametrize(
    "bits, settings",
    [(1, {}), (3, {}), (8, {"signed": 1, "scale": 2.0**-7}), (4, {"signed": 1, "narrow": 1}),
     (2, {"zero": 2.0}), (8, {"narrow": 1}), (1, {"signed": 1})],
)  # fmt: skip
def test_input_quantizers(bits, settings, tmp_path):
    rng = np.random.default_rng(bits)
    graph = Graph((2, 9)).add("Mul", 2.0).add("Add", -0.5).bits(bits, **settings)
    graph = hidden(rng, graph.add("Flatten", axis=1), 18, 11).sign(0.5)
    graph.add("MatMul", signs(rng, 11, 4))
    reach = (1 << bits) * settings.get("scale", 1.0)
    x = rng.uniform(-reach, reach, (300, 2, 9))
    found, _, _ = compare(graph.save(tmp_path), x, 1.0)
    assert found.input_bits == bits and found.input_shape == (2, 1, 9)


@pytest.mark.parametrize("kind, low, high", [("BIPOLAR", -1, 1), ("UINT4", 0, 15), ("INT3", -4, 3)])
def test_inputs_annotated_with_a_datatype(kind, low, high, tmp_path):
    rng = np.random.default_rng(0)
    graph = hidden(rng, Graph((12,)), 12, 6).sign().add("MatMul", signs(rng, 6, 3))
    x = rng.choice([low, high], (200, 12)) if kind == "BIPOLAR" else rng.integers(
        low, high + 1, (200, 12))
    compare(graph.save(tmp_path, kind), x, 2.0)


def test_bits_as_0_and_1_with_zero_padding_pooling_and_transposes(tmp_path):
    """Zero is bit 0 there; channels last before a dense layer; -1 and +1 made of 0 and 1."""
    rng = np.random.default_rng(5)
    graph = Graph((2, 6, 6)).bits(2)
    graph.add("Conv", signs(rng, 4, 2, 3, 3), name="first", pads=[1, 1, 1, 1], strides=[1, 1])
    graph.norm(rng.normal(size=4), rng.normal(size=4), rng.integers(-2, 5, 4), np.ones(4))
    graph.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2], name="pool").bits(1)
    graph.add("Conv", signs(rng, 5, 4, 2, 2), name="second", pads=[1, 0, 1, 0])
    graph.add("Neg").add("MaxPool", kernel_shape=[2, 1], strides=[2, 1], ceil_mode=1)
    graph.add("Mul", rng.normal(size=(1, 5, 1, 1))).add("Sub", rng.normal(size=(5, 1, 1))).bits(1)
    graph.add("Mul", 2.0).add("Sub", np.ones((1, 1, 1, 1)))
    graph.add("Transpose", perm=[0, 2, 3, 1]).add("Reshape", np.array([1, -1]))
    graph.add("MatMul", signs(rng, 20, 3))
    found, answers, _ = compare(graph.save(tmp_path), rng.uniform(-1, 4, (200, 2, 6, 6)), 2.0)
    assert found.layers[1].padding == (1, 0)
    assert 0 < answers.hidden[1].mean() < 1


@pytest.mark.parametrize(
    "make, works",
    [
        (lambda g: g.add("Mul", 0.5).add("Add", [4.0, 0.0, -3.0]), True),
        (lambda g: g.add("Mul", -2.0), True),
        (lambda g: g.add("Sub", 3.0).add("Div", 0.7).add("Mul", 1.3).add("Add", -0.2), True),
        (lambda g: g.add("Add", [0.5, 0.3, 0.0]), True),  # fractions favour the classes in order
        (lambda g: g.add("Add", [0.0, 0.3, 0.6]), False),
        (lambda g: g.add("Mul", [1.0, 1.0, 2.0]), False),
        (lambda g: g.add("Mul", [1.0, -1.0, 1.0]), True),
        (lambda g: g.add("Add", [1000.0, 0.0, 0.0]), True),
        (lambda g: g.add("Relu"), False),
    ],
)
def test_class_scales_and_biases(make, works, tmp_path):
    rng = np.random.default_rng(2)
    graph = hidden(rng, Graph((9,)).sign(), 9, 12).sign().add(
        "MatMul", signs(rng, 12, 3), name="last")
    path = make(graph).save(tmp_path)
    if works:
        compare(path, all_bits(9))
    else:
        with pytest.raises(NetworkError, match="model.onnx: last: "):
            qonnx.load(path)


@pytest.mark.parametrize("end", ["ArgMax", "TopK"])
def test_a_model_that_ends_with_the_class(end, tmp_path):
    rng = np.random.default_rng(2)
    graph = hidden(rng, Graph((8,)).sign(), 8, 12).sign().add("MatMul", signs(rng, 12, 5))
    if end == "ArgMax":
        graph.add("ArgMax", axis=1, keepdims=0)
    else:
        graph.add("TopK", np.array([1]), axis=1, outputs=2)
    path = graph.save(tmp_path)
    found = qonnx.read(path)
    answers = form.evaluate(found.network, found.inputs(all_bits(8)))
    for number, x in enumerate(all_bits(8)[:64]):
        assert executor(path, x[None]).item() == answers.predictions[number]


def scaled(scale, rng, inputs=40):
    """Weights of a scale that is no power of two; thresholds well between sums."""
    graph = Graph((inputs,)).sign().add("MatMul", signs(rng, inputs, 20) * np.float32(scale),
                                        name="first")  # fmt: skip
    graph.norm(rng.normal(size=20), np.zeros(20), scale * (2 * rng.integers(-3, 4, 20) + 0.5),
               np.ones(20)).sign()  # fmt: skip
    return graph


def test_scales_that_are_no_powers_of_two(tmp_path):
    """Hidden layers where rounding cannot matter are taken; the rest only when asked."""
    rng = np.random.default_rng(8)
    x = signs(rng, INPUTS, 40)
    path = scaled(0.1, rng).add("MatMul", signs(rng, 20, 4), name="last").save(tmp_path)
    compare(path, x, 2.0)
    path = scaled(0.1, rng).add("MatMul", signs(rng, 20, 4) * 0.1, name="last").save(tmp_path)
    with pytest.raises(NetworkError, match="last: equal classes come out unequal by rounding, since"
                       " scales are no powers of two; --round-once"):  # fmt: skip
        load_network(path)
    found = qonnx.read(path, round_once=True)
    answers = form.evaluate(found.network, found.inputs(x))
    alone = np.sort(answers.preactivations, axis=1)
    alone = alone[:, -1] > alone[:, -2]  # the executor's rounding decides equal classes as it likes
    assert 0.5 < alone.mean() < 1
    np.testing.assert_array_equal(
        answers.predictions[alone], executor(path, x).argmax(axis=1)[alone])


def test_a_sum_that_rounding_decides_is_refused(tmp_path):
    rng = np.random.default_rng(8)
    graph = Graph((40,)).sign().add("MatMul", signs(rng, 40, 3) * 0.1, name="first")
    graph.add("Sub", np.array([0.1, 0.8, 0.03]).astype(np.float32) * 4).sign()
    path = graph.add("MatMul", signs(rng, 3, 2)).save(tmp_path)
    with pytest.raises(NetworkError, match=r"first: a sum of neurons 0 and 1 is so near"):
        qonnx.load(path)
    assert qonnx.load(path, round_once=True).classes == 2


@pytest.mark.parametrize("bias, works", [([0.5, -3.25, 0.0], True), ([0.3, -3.1, 0.7], True)])
def test_a_bias_within_the_product(bias, works, tmp_path):
    rng = np.random.default_rng(1)
    graph = Graph((10,)).sign()
    graph.add("Gemm", signs(rng, 3, 10), np.array(bias), name="fc", transB=1).sign()
    compare(graph.add("MatMul", signs(rng, 3, 2)).save(tmp_path), all_bits(10), 2.0)


RNG = np.random.default_rng(0)
START = lambda: Graph((6,)).sign()  # noqa: E731
DENSE = lambda: START().add("MatMul", signs(RNG, 6, 4), name="fc")  # noqa: E731
IMAGE = lambda: Graph((2, 6, 6)).sign()  # noqa: E731
KERNEL = signs(RNG, 3, 2, 3, 3)


def ternary():
    weights = signs(RNG, 6, 4)
    weights[2, 3] = 0
    return weights


@pytest.mark.parametrize(
    "graph, message",
    [
        (lambda: Graph((6,)).add("MatMul", signs(RNG, 6, 4), name="fc"),
         "fc: its inputs are not quantized: put a QuantIdentity"),
        (lambda: START().add("MatMul", ternary(), name="fc"),
         "fc: the weights of neuron 3 are not plus and minus one number, but -1, 0, 1"),
        (lambda: DENSE().bits(2, name="two"), "two: it gives 2 bits, but an output"),
        (lambda: DENSE().add("Softmax", name="soft"), "soft: Softmax cannot stand between fc and"),
        (lambda: DENSE().sign(), "the model ends behind fc with bits: its last layer"),
        (lambda: DENSE().add("MatMul", signs(RNG, 4, 4), name="next"),
         "next: MatMul cannot stand between fc and its quantizer"),
        (lambda: DENSE().add("Sub", 1.0).add("Clip", 0.0, 1.0).add("Sub", 2.0).add("Div", 0.0)
         .sign(name="end").add("MatMul", signs(RNG, 4, 2)),
         "fc: values of neurons 0, 1, 2 and 3 come to inf"),
        (lambda: IMAGE().add("Conv", KERNEL, name="conv", pads=[1, 1, 1, 1]),
         r"conv: it pads with 0, which is no value of its inputs .*value=-1"),
        (lambda: IMAGE().add("Conv", KERNEL, name="conv", pads=[0, 0, 1, 1]),
         "conv: padding must be equal on both sides"),
        (lambda: IMAGE().add("Conv", KERNEL[:, :1], name="conv", group=2), "conv: grouped"),
        (lambda: IMAGE().add("Conv", KERNEL, name="conv", dilations=[2, 2]), "conv: dilated"),
        (lambda: IMAGE().add("Conv", KERNEL, name="conv"), "conv: the last layer must be dense"),
        (lambda: IMAGE().add("Conv", KERNEL, name="conv").add(
            "MaxPool", kernel_shape=[3, 3], strides=[2, 2], name="pool"),
         "pool: pooling windows must lie side by side"),
        (lambda: IMAGE().add("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), 1.0, name="pad"),
         r"pad: it pads with 1; what is exact .*, -1 \(bit 0\)"),
        (lambda: START().add("Sigmoid", name="bend"), "bend: operator Sigmoid has no place"),
        (lambda: Graph((6,)).bits(9, name="wide"), "wide: it gives 9 bits, but inputs have 1 to 8"),
        (lambda: Graph((6,)).bits(3).sign(name="half").add("MatMul", signs(RNG, 6, 4)),
         "half: behind it, the values of the quantizer before are no longer"),
        (lambda: Graph((6,)).add("BipolarQuant", np.ones(6), name="each"),
         "each: scale, zero point and bits .* single numbers"),
        (lambda: DENSE().add("Reshape", np.array([1, 2, 2]), name="shape"),
         "shape: Reshape cannot stand between fc and"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused_by_name(graph, message, tmp_path):
    with pytest.raises(NetworkError, match=f"^model.onnx: {message}") as error:
        qonnx.load(graph().save(tmp_path))
    assert "\n" not in str(error.value)


def test_branches_are_refused(tmp_path):
    graph = DENSE().sign(name="bits")
    graph.nodes.append(helper.make_node("Add", [graph.tensor, graph.tensor], ["twice"], name="sum"))
    graph.tensor = "twice"
    with pytest.raises(NetworkError, match="sum: Add takes bits_out0 twice"):
        qonnx.load(graph.save(tmp_path))
    graph = DENSE().sign(name="bits")
    graph.add("MatMul", signs(RNG, 4, 2), name="one")
    graph.nodes.append(helper.make_node("Add", ["bits_out0", "one_out0"], ["y"], name="sum"))
    graph.tensor = "y"
    with pytest.raises(NetworkError, match="tensor bits_out0 goes to one, sum: .* branches"):
        qonnx.load(graph.save(tmp_path))


@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x08\x07"])
def test_what_is_no_onnx_file(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match="model.onnx: this is not an ONNX file"):
        load_network(path)


def test_a_wide_layer_of_eight_planes_is_folded_in_pieces(tmp_path, monkeypatch):
    """The same thresholds whether sums come all at once or few at a time."""
    rng = np.random.default_rng(4)
    graph = hidden(rng, Graph((50,)).bits(8), 50, 9, mean=rng.integers(-3000, 3000, 9)).sign()
    path = graph.add("MatMul", signs(rng, 9, 3)).save(tmp_path)
    whole = qonnx.load(path)
    monkeypatch.setattr("networks.folding._AT_ONCE", 1000)
    pieces = qonnx.load(path)
    for one, other in zip(whole.layers, pieces.layers, strict=True):
        np.testing.assert_array_equal(one.thresholds, other.thresholds)
        np.testing.assert_array_equal(one.weights, other.weights)
