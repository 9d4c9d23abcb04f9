"""Code written for torch that arrays do not understand: what the exception says to write instead."""

import importlib
import importlib.util
import re

import numpy as np
import pytest
import quantray as qt
from quantray import nn, optim
from quantray import quantization as tq
from quantray._array_advice import ARRAY_METHODS, array_advice

#: What a `forward` does with its input, and a part of the note.
FORWARDS = {
    "detach": (lambda x: x.detach(), "instead of .detach, nothing"),
    "numel": (lambda x: x.numel(), "instead of .numel, x.size"),
    "exp": (lambda x: x.exp(), r"instead of .exp, np.exp\(x\)"),
    "axes": (lambda x: x.mean([1, 2]), "axes are a tuple"),
    "size": (lambda x: x.size(0), r"x.size\(\) is x.shape"),
    "view": (lambda x: x.view(-1, 4), "is x.reshape"),
    "view one": (lambda x: x.view(-1), "is x.reshape"),
    "dim": (lambda x: x.sum(dim=1), "are axis, keepdims"),
    "transpose": (lambda x: x.transpose(1, 2), "is x.swapaxes"),
    "flatten": (lambda x: x.flatten(1), "is x.reshape"),
    "repeat": (lambda x: x.repeat(2, 1, 1), "is np.tile"),
    "data": (lambda x: x.data.uniform_(0, 1), "instead of .uniform_, x"),
}


class Written(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        return self.function(self.inner(x))


def notes(error):
    return "\n".join(getattr(error, "__notes__", ()))


@pytest.mark.parametrize("what", FORWARDS)
def test_a_forward_that_asks_for_torchs_methods_is_told(what):
    function, says = FORWARDS[what]
    model = nn.Sequential(Written(function)).eval()
    with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
        model(np.ones((2, 3, 4), np.float32))
    assert len(caught.value.__notes__) == 1, "once, and not for each module around it"
    assert re.search(says, notes(caught.value))


@pytest.mark.parametrize("what", ["detach", "numel"])
def test_a_capture_says_it_too(what):
    function, says = FORWARDS[what]
    model = tq.prepare(nn.Sequential(Written(function)).eval())
    with pytest.raises(AttributeError) as caught:
        model(np.ones((2, 3, 4), np.float32))
    assert says in notes(caught.value)


def test_other_exceptions_are_left_as_they_are():
    def fails(x):
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$") as caught:
        Written(fails)(np.ones((1, 4), np.float32))
    assert not notes(caught.value)

    class Other:
        pass

    with pytest.raises(AttributeError) as caught:
        Written(lambda x: Other().numel)(np.ones((1, 4), np.float32))
    assert not notes(caught.value)


def test_no_name_of_the_table_is_an_arrays_own_with_that_meaning():
    named = {name for names in ARRAY_METHODS for name in names.split()}
    # `data` is an array's memory there, and `repeat`, `max` and `min` have other meanings.
    shared = {name for name in named if hasattr(np.ndarray, name)}
    assert shared <= {"data", "repeat", "max", "min", "to_device", "device"}
    assert array_advice("nonsense") == ""


@pytest.mark.parametrize(
    "line",
    [
        "from quantray.quantization import prepare_fx",
        "from quantray.ao.quantization.quantize_fx import prepare_fx, convert_fx",
        "import quantray.ao.quantization.quantize_fx",
        "import quantray.ao.ns._numeric_suite as ns",
        "import quantray.quantization._numeric_suite",
        "from quantray.ao.quantization.backend_config import BackendConfig",
        "from quantray.ao.quantization.quantizer.xnnpack_quantizer import XNNPACKQuantizer",
        "from quantray.utils.data import DataLoader",
        "from quantray.optim.lr_scheduler import StepLR",
        "from quantray.nn import DataParallel",
        "import quantray.jit",
        "from quantray.nn.modules.utils import _pair",
        "from quantray.ao.nn.quantized.modules.utils import _quantize_weight",
        "from quantray.ao.nn.quantized import reference",
        "from quantray.ao import pruning",
        "from quantray.ao.quantization.utils import get_combined_dict",
        "from quantray.nn import SyncBatchNorm",
        "from quantray import abs",
    ],
)
def test_imports_of_names_left_out_say_what_to_write_instead(line):
    with pytest.raises(ImportError, match=r"has no attribute '\w+': \w"):
        exec(line, {})


def test_other_imports_are_pythons():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'quantray\.nonsense'"):
        importlib.import_module("quantray.nonsense")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from quantray.nn import nonsense", {})
    assert importlib.util.find_spec("quantray.nonsense") is None


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_an_optimizer_that_is_given_parameters_says_who_takes_them(kind):
    model = nn.Linear(2, 2)
    for given in (model.parameters(), list(model.parameters())):
        with pytest.raises(TypeError, match=rf"must be lr, got .*{kind}\(lr=0.1\), then optimizer.update"):
            getattr(optim, kind)(given, lr=0.1)
    assert getattr(optim, kind)(np.float32(0.5)).learning_rate == 0.5


def test_names_below_ops_and_optim_say_where_to_go():
    for module, name in (
        (optim, "lr_scheduler"),
        (qt, "quantized_max_pool2d"),
        (qt, "_empty_affine_quantized"),
    ):
        with pytest.raises(AttributeError, match=f"has no attribute '{name}': \\w"):
            getattr(module, name)


def test_a_constructor_that_asks_for_torchs_methods_is_told():
    class Initialized(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)
            self.inner.weight.data.uniform_(-0.1, 0.1)

    with pytest.raises(AttributeError) as caught:
        Initialized()
    assert "nn.init has torch's initializations" in notes(caught.value)
    assert len(caught.value.__notes__) == 1


def test_losses_that_speak_torch_are_told():
    pytest.importorskip("autograd")
    model, x = nn.Linear(4, 2), np.ones((1, 4), np.float32)
    for loss, says in (
        (lambda m: m(x).detach().sum(), "instead of .detach"),
        (lambda m: m(x).sum().backward(), "nn.value_and_grad"),
        (lambda m: nn.functional.relu(np.asarray([m(x)])).sum(), "NumPy's functions see no gradients"),
    ):
        with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
            nn.value_and_grad(model, loss)(model)
        assert says in notes(caught.value)


def test_arrays_are_tensors_where_code_for_torch_asks():
    q = qt.quantize_per_tensor([1.0], 0.5, 0, qt.qint8)
    assert isinstance(np.zeros(2), qt.Tensor)
    assert isinstance(q, qt.Tensor)
    assert not isinstance([0.0], qt.Tensor)
    assert not isinstance(np.float32(0), qt.Tensor)
    assert issubclass(np.ndarray, qt.Tensor)
    assert issubclass(qt.QTensor, qt.Tensor)
    assert not issubclass(float, qt.Tensor)
    assert qt.Tensor.int_repr is qt.QTensor.int_repr
    with pytest.raises(TypeError, match=r"tensor\(data\)"):
        qt.Tensor([1.0])


def test_the_variance_of_torch_is_told_apart():
    with pytest.raises(AttributeError, match="ddof=1"):
        qt.var  # noqa: B018


def test_packed_parameters_say_what_they_are_here():
    for layer in (nn.quantized.Linear(3, 4), nn.quantized.dynamic.Linear(3, 4)):
        for name in ("_packed_params", "_weight_bias"):
            with pytest.raises(AttributeError, match=r"weight\(\) and bias\(\) are the layer's"):
                getattr(layer, name)


@pytest.mark.parametrize("kind", [nn.Linear, nn.LSTM, nn.GRUCell])
def test_weights_of_float16_are_refused_and_never_made_integers_in_silence(kind):
    layer = kind(4, 4)
    with pytest.raises(ValueError, match=r"float16.*remedies.weight_only"):
        tq.quantize_dynamic(nn.Sequential(layer), {kind}, dtype=np.float16)
    layer.qconfig = tq.float16_dynamic_qconfig
    with pytest.raises(ValueError, match=r"float16.*remedies.weight_only"):
        getattr(nn.quantized.dynamic, kind.__name__).from_float(layer)


def test_an_unseen_model_says_how_a_saved_one_is_read():
    with pytest.raises(ValueError, match=r"load_state_dict\(path\) of an instance"):
        tq.convert(tq.prepare(nn.Sequential(nn.Linear(2, 2))))


OTHERS = {
    "quantize_": "weight_only",
    "Int8WeightOnlyConfig": "weight_only",
    "BitsAndBytesConfig": "weight_only",
    "Int8DynamicActivationInt8WeightConfig": "quantize_dynamic",
    "QATConfig": "prepare_qat",
    "QuantConv2d": "prepare_qat",
    "XNNPACKQuantizer": "captured as graphs",
    "PrepareCustomConfig": "set_module_name",
    "AutoQuantizationConfig": "quantize_dynamic",
    "TFLiteConverter": "tf2onnx",
}


@pytest.mark.parametrize("name", OTHERS)
def test_names_of_other_quantizers_say_what_does_it_here(name):
    with pytest.raises(AttributeError, match=rf"no attribute '{name}': .*{OTHERS[name]}"):
        getattr(tq, name)


def test_settings_as_a_dict_say_what_makes_a_mapping_of_them():
    given = {"": tq.get_default_qconfig()}
    with pytest.raises(TypeError, match=r"got dict: QConfigMapping.from_dict\(...\) makes one"):
        tq.prepare(nn.Sequential(nn.Linear(2, 2)), given)
    assert tq.prepare(nn.Sequential(nn.Linear(2, 2)), tq.QConfigMapping.from_dict(given))
