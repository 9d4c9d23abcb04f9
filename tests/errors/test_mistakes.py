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
        ("arrays live in the CPU's memory", lambda: Q.cuda()),
        (r"q.dequantize\(\) gives the float32", lambda: Q.numpy()),
        ("nothing has to be compiled", lambda: qt.jit),
        ("call super", lambda: type("M", (nn.Module,), {"__init__": lambda s: setattr(s, "x", nn.ReLU())})()),
        ("data must be batches", lambda: tq.quantize(nn.Linear(3, 2))),
        ("transform=lambda", lambda: tq.quantize(nn.Linear(3, 2), [(X, np.zeros(4))], verbose=False)),
        ("module must come from prepare", lambda: tq.convert(nn.Linear(3, 2))),
        ("dtype must be qint8 or quint8", lambda: tq.quantize_dynamic(nn.Linear(3, 2), dtype=np.float16)),
        ("qconfig_spec must be a set", lambda: tq.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), "Linear")),
        (
            "qconfig_spec must be a set",
            lambda: tq.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), nn.Linear),
        ),
    ],
)
def test_errors_that_teach(match, call):
    if "compiled" in match or "super" in match or "CPU" in match or "gives" in match:
        says(match, call, AttributeError)
    else:
        says(match, call)


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


def test_files_of_torch_are_known_by_their_first_bytes(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"a": 1}))
    says("as torch.save writes .* safetensors.torch.save_file", lambda: qt.load(path), OSError)
    says("as torch.save writes", lambda: Mine().load_state_dict(path), OSError)
    path.write_bytes(pickle.dumps({"a": 1}))
    says("as torch.save writes", lambda: qt.load(path), OSError)
    says("No such file", lambda: qt.load(tmp_path / "nothing"), OSError)


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
