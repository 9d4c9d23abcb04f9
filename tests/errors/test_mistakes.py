"""Mistakes of beginners, each tried: an error of one line that teaches, or a result that is right."""

import pickle
import zipfile

import numpy as np
import pytest
import quantray as qt
from numpy.testing import assert_array_equal
from quantray import nn
from quantray import quantization as tq

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
Q = qt.quantize_per_tensor(X, 0.1, 0, qt.qint8)


def per_tensor(x=X, scale=0.1):
    return qt.quantize_per_tensor(x, scale, 0, "int8")


def four_bits():
    return tq.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear}, dtype="int4")


class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x):
        return self.inner(x)


def says(match, call, *kinds):
    with pytest.raises(kinds or (TypeError, ValueError, AttributeError), match=match) as error:
        call()
    assert "\n" not in str(error.value), "more than one line"


def test_what_is_right(tmp_path):
    import pandas

    assert qt.quantize_per_tensor(X, 0.1, 0, "int8").equal(Q)
    assert qt.quantize_per_tensor(X, 0.1, 0, np.int8).equal(Q)
    assert qt.quantize_per_tensor(pandas.DataFrame(X), 0.1, 0, "int8").equal(Q)
    assert qt.quantize_per_tensor([1, 2], 0.1, 0, "int8").tolist() == [1.0, 2.0]
    assert qt.quantize_per_tensor(np.float32(1), 0.1, 0, "int8").item() == 1.0
    assert isinstance(np.concatenate([Q, Q]), qt.QTensor)
    assert Q[Q > 0].shape == (6,)
    assert (Q + 1).dtype == np.float32
    assert_array_equal(pandas.DataFrame(Q), Q.dequantize())


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("dtype must be one of qint8, quint8", lambda: qt.quantize_per_tensor(X, 0.1, 0, "i8")),
        ("missing .* 'zero_point' and 'dtype'", lambda: qt.quantize_per_tensor(X, 0.1)),
        ("zero_point must be an integer, got 0.5", lambda: qt.quantize_per_tensor(X, 0.1, 0.5, "int8")),
        ("scale must be positive", lambda: qt.quantize_per_tensor(X, 0, 0, "int8")),
        ("array of real numbers", lambda: qt.quantize_per_tensor(["1", "2"], 0.1, 0, "int8")),
        (r"b must be of shape \(\.\.\., 3, N\)", lambda: Q @ Q),
        ("data must be batches", lambda: tq.quantize(nn.Linear(3, 2))),
        ("transform=lambda", lambda: tq.quantize(nn.Linear(3, 2), [(X, np.zeros(4))], verbose=False)),
        ("module must come from prepare", lambda: tq.convert(nn.Linear(3, 2))),
        ("dtype must be qint8 or quint8", lambda: tq.quantize_dynamic(nn.Linear(3, 2), dtype=np.float16)),
        ("qconfig_spec must be a set", lambda: tq.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), "Linear")),
        (
            "qconfig_spec must be a set",
            lambda: tq.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), nn.Linear),
        ),
        ("scale must be one number; quantize_per_channel", lambda: per_tensor(scale=[0.1, 0.2])),
        ("not of texts", lambda: per_tensor("1.5")),
        ("got None", lambda: per_tensor(None)),
        ("got Linear", lambda: per_tensor(nn.Linear(3, 2))),
        ("a QTensor is needed, got ndarray: quantize_per_tensor", lambda: qt.ops.PackedLinear(X)),
        ("a QTensor is needed, got ndarray", lambda: qt.ops.PackedLinear(Q)(X)),
        ("a QTensor is made by quantize_per_tensor", lambda: qt.QTensor(X)),
        ("a QTensor is made by quantize_per_tensor", lambda: qt.Tensor()),
        ("used for a single element", lambda: f"{Q:.2f}"),
        ("got a float model|must come from prepare", lambda: tq.convert(nn.Linear(3, 2))),
        ("got the class Linear: make one", lambda: tq.quantize(nn.Linear, X)),
        ("got the class ReLU: make one", lambda: nn.Sequential(nn.ReLU)),
        (r"write \* before it", lambda: nn.Sequential([nn.ReLU()])),
        ("in_features must be a whole number of at least 1, got '3'", lambda: nn.Linear("3", 2)),
        ("out_channels must be a whole number of at least 1, got 2.0", lambda: nn.Conv2d(1, 2.0, 3)),
        ("got Linear; give its state_dict", lambda: nn.Linear(3, 2).load_state_dict(nn.Linear(3, 2))),
        ("path must be a str or a path, got Linear", lambda: qt.save("model", nn.Linear(3, 2))),
        ("or a model; numpy.save writes arrays", lambda: qt.save(X, "array")),
        ("before example_inputs, got ndarray", lambda: qt.onnx.save(nn.Linear(3, 2), X, "model.onnx")),
        ("weight_only makes layers of weights of 2 to 8 bits", four_bits),
    ],
)
def test_errors_that_teach(match, call):
    says(match, call)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("arrays live in the CPU's memory", lambda: Q.cuda()),
        (r"q.dequantize\(\) gives the float32", lambda: Q.numpy()),
        ("nothing has to be compiled", lambda: qt.jit),
        ("call super", lambda: type("M", (nn.Module,), {"__init__": lambda s: setattr(s, "x", nn.ReLU())})()),
        ("quantize_per_tensor and quantize_per_channel make", lambda: qt.quantize),
        ("q.fill_.value. does it", lambda: Q.fill),
        (r"numpy.unique, which takes QTensors", lambda: Q.unique),
        ("assign instead: q.*numpy.arccos", lambda: Q.arccos_),
        (r"nn.value_and_grad\(model, loss\)", lambda: nn.ReLU().zero_grad),
        ("arrays live in the CPU's memory", lambda: nn.ReLU().cuda()),
        (r"use save\(model, path, example_inputs\)", lambda: qt.onnx.export),
        ("use numpy.einsum|numpy.cumsum", lambda: qt.cumsum),
    ],
)
def test_names_that_are_elsewhere(match, call):
    says(match, call, AttributeError)


def test_weights_of_four_bits():
    layer = nn.quantized.Linear(3, 2)
    weight = qt.quantize_per_tensor(np.float32([[0.5, -1.0, 0.25], [0, 1, -0.5]]), 0.25, 8, qt.quint4x2)
    layer.set_weight_bias(weight, None)
    assert_array_equal(layer.weight().dequantize(), weight.dequantize())
    layer.scale = 0.25
    assert layer(qt.quantize_per_tensor([[1.0, 0.0, 1.0]], 0.25, 0, qt.quint8)).tolist() == [[0.75, 0.0]]
    rows = qt.quantize_per_channel(
        np.ones((2, 3)), [0.1, 0.1], [0.5, 0.5], 0, qt.quint4x2, qscheme=qt.per_channel_affine_float_qparams
    )
    says("w must have integer zero points", lambda: layer.set_weight_bias(rows, None))


def test_files_of_torch_that_hold_more_than_tensors(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": Mine}))
    says("as torch.save writes .* safetensors.torch.save_file", lambda: qt.load(path), OSError)
    says("as torch.save writes", lambda: Mine().load_state_dict(path), OSError)
    path.write_bytes(pickle.dumps({"a": 1}))
    says("as torch.save writes", lambda: qt.load(path), OSError)
    says("No such file", lambda: qt.load(tmp_path / "nothing"), FileNotFoundError)


def test_a_class_model_that_is_called_as_it_is_loaded(tmp_path):
    path = tmp_path / "mine"
    model = Mine()
    model.save(path)
    loaded = qt.load(path)
    assert set(loaded) == {"inner.weight", "inner.bias"}
    says("make an instance of it and call its load_state_dict", lambda: loaded(X), TypeError)
    other = Mine()
    other.load_state_dict(path)
    assert_array_equal(other(X), model(X))
    assert type(pickle.loads(pickle.dumps(loaded))) is dict


def test_models_of_torch():
    """A class that says it is torch's, as far as it is looked at."""
    kind = type("Linear", (), {"__module__": "torch.nn.modules.linear"})
    says("build the same layers of quantray.nn", lambda: tq.quantize(kind(), X), TypeError)
    says("build the same layer of quantray.nn", lambda: nn.Sequential(kind()), TypeError)


def test_what_torch_holds_is_read_as_it_is():
    torch = pytest.importorskip("torch")
    q = per_tensor()
    for tensor in (
        torch.tensor(X, requires_grad=True),
        torch.nn.Parameter(torch.tensor(X)),
        torch.quantize_per_tensor(torch.tensor(X), 0.1, 0, torch.qint8),
    ):
        assert per_tensor(tensor).equal(q)
    assert_array_equal(per_tensor(torch.tensor([0.5, 1]).bfloat16()).int_repr(), [5, 10])
    assert qt.quantize_per_tensor(X, torch.tensor(0.1), torch.tensor(0), torch.qint8).equal(q)
    assert q.to(torch.float32).dtype == np.float32
    assert tq.MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric).dtype is qt.qint8


def test_batches_as_loaders_of_torch_give_them():
    """Lists: of one tensor without labels, of two with them."""
    model = nn.Sequential(nn.Linear(3, 2))
    assert tq.quantize(model, [[X[:2]], [X[2:]]], verbose=False)(X).shape == (4, 2)
    labelled = [[X, np.zeros(4)]]
    says("transform=lambda", lambda: tq.quantize(model, labelled, verbose=False))
    assert tq.quantize(model, labelled, transform=lambda batch: batch[0], verbose=False)(X).shape == (4, 2)


def test_save_takes_a_model(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    qt.save(model, tmp_path / "model")
    assert_array_equal(qt.load(tmp_path / "model")(X), model(X))
    says("metadata must be absent", lambda: qt.save(model, tmp_path / "other", metadata={"a": "b"}))
    assert not (tmp_path / "other").exists()


def test_few_names_that_do_not_fit_are_one_line():
    says("missing: bias", lambda: nn.Linear(3, 2).load_state_dict({"weight": np.ones((2, 3))}), KeyError)


def test_engines_of_torch():
    engines = qt.backends.quantized
    assert engines.engine == "x86"
    assert set(engines.supported_engines) == {"x86", "fbgemm", "onednn", "qnnpack"}
    engines.engine = "fbgemm"
    assert engines.engine == "fbgemm"
    says("engine must be one of", lambda: setattr(engines, "engine", "cuda"))
    engines.engine = "x86"
