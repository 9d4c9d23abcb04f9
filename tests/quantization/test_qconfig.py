"""QConfigs and their mappings: torch's defaults in all 8 bits, torch's priorities."""

import pickle

import numpy as np
import pytest
import quantray as qt
from quantray import nn
from quantray import quantization as tq


@pytest.mark.parametrize("backend", ["x86", "fbgemm", "onednn", "qnnpack"])
def test_defaults_have_all_8_bits(backend):
    for qconfig in (
        tq.get_default_qconfig(backend),
        tq.get_default_qat_qconfig(backend),
        tq.get_default_qat_qconfig(backend, version=0),
    ):
        activation, weight = qconfig.activation(), qconfig.weight()
        assert (activation.quant_min, activation.quant_max, activation.dtype) == (0, 255, qt.quint8)
        assert (weight.quant_min, weight.quant_max, weight.dtype) == (-128, 127, qt.qint8)
        per_tensor = backend == "qnnpack"
        assert weight.qscheme == (qt.per_tensor_symmetric if per_tensor else qt.per_channel_symmetric)


@pytest.mark.parametrize("name", [name for name in tq.__all__ if "qconfig" in name and "default" in name])
def test_every_qconfig_makes_what_it_names(name):
    qconfig = getattr(tq, name)
    if not isinstance(qconfig, tq.QConfig):
        return
    for make in qconfig:
        assert isinstance(make(), nn.Module)
        assert make() is not make()
    assert pickle.loads(pickle.dumps(qconfig)) == qconfig
    assert tq.qconfig_equals(qconfig, pickle.loads(pickle.dumps(qconfig)))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"activation must make observers.*got one MinMaxObserver"):
        tq.QConfig(tq.MinMaxObserver(), tq.default_weight_observer)
    with pytest.raises(TypeError, match="weight must be callable, got 8"):
        tq.QConfig(tq.MinMaxObserver, 8)
    with pytest.raises(ValueError, match="backend must be one of x86, fbgemm, onednn, qnnpack, got 'cuda'"):
        tq.get_default_qconfig("cuda")
    with pytest.raises(ValueError, match="version must be one of 0, 1, got 2"):
        tq.get_default_qat_qconfig(version=2)
    with pytest.raises(ValueError, match="weight must be from 2 to 8 bits, got 9"):
        tq.qconfig_for_bits(9)
    with pytest.raises(TypeError, match="qconfig must be a QConfig or None"):
        tq.QConfigMapping().set_global("x86")
    with pytest.raises(ValueError, match="module_name_regex must be a regular expression"):
        tq.QConfigMapping().set_module_name_regex("(", None)
    with pytest.raises(ValueError, match="qconfig_dict must have keys of"):
        tq.QConfigMapping.from_dict({"modules": []})


def test_priorities():
    by_global, by_type, by_regex, by_name = (tq.qconfig_for_bits(bits) for bits in (8, 7, 6, 5))
    mapping = (
        tq.QConfigMapping()
        .set_global(by_global)
        .set_object_type(nn.Sequential, by_type)
        .set_module_name_regex("block.*conv", by_regex)
        .set_module_name_regex("block.*", None)
        .set_module_name("block.3", by_name)
    )
    layer = nn.Sequential()
    assert mapping.resolve("head", nn.ModuleList()) == by_global
    assert mapping.resolve("head", layer) == by_type
    assert mapping.resolve("head", "Sequential") == by_global
    assert mapping.resolve("block.1.conv", layer) == by_regex
    assert mapping.resolve("block.1.norm", layer) is None
    assert mapping.resolve("my.block.1.conv", layer) == by_type
    assert mapping.resolve("block.3.conv", layer) == by_name
    assert mapping.resolve("block.30", layer) is None
    again = tq.QConfigMapping.from_dict(mapping.to_dict())
    assert again.to_dict() == mapping.to_dict()
    assert "block.*conv" in repr(mapping)


def test_a_subclass_is_another_type():
    class Mine(nn.Sequential):
        pass

    mapping = tq.QConfigMapping().set_object_type(nn.Sequential, tq.default_qconfig)
    assert mapping.resolve("x", Mine()) is None


def test_default_mappings_know_fixed_ranges():
    post, qat = tq.get_default_qconfig_mapping(), tq.get_default_qat_qconfig_mapping()
    assert isinstance(post.resolve("a", "Sigmoid").activation(), tq.FixedQParamsObserver)
    assert isinstance(qat.resolve("a", "Tanh").activation(), tq.FixedQParamsFakeQuantize)
    assert post.resolve("a", "Linear") == tq.get_default_qconfig()
    assert qat.resolve("a", "ConvTranspose2d").weight().qscheme == qt.per_tensor_symmetric


def test_names_that_nothing_has_are_said():
    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.encoder(x) + x)

    x = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    mapping = tq.get_default_qconfig_mapping()
    for name in ("head", "encoder", "encoder.0", "add"):
        mapping.set_module_name(name, None)
    int8 = tq.quantize(Summed().eval(), x, mapping, verbose=False)
    assert not any(node.kind == "int.layer" for node in int8.graph)
    mapping = tq.get_default_qconfig_mapping().set_module_name("haed", None)
    with pytest.warns(UserWarning, match=r"no module and no node 'haed' \(did you mean 'head'\?\)"):
        tq.quantize(Summed().eval(), x, mapping, verbose=False)


@pytest.mark.parametrize("backend", ["fbgemm", "qnnpack"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_convolutions_take_the_qconfigs_of_all_layers(backend, dims):
    """A scale for each output, which are on the weight's second axis: torch refuses these weights."""
    layer = getattr(nn, f"ConvTranspose{dims}d")(3, 5, 2)
    model = nn.Sequential(layer, nn.ReLU())
    x = np.random.default_rng(0).standard_normal((2, 3, *[6] * dims)).astype(np.float32)
    want = model.eval()(x)
    model.qconfig = tq.get_default_qconfig(backend)
    ready = tq.prepare(model)
    ready(x)
    int8 = tq.convert(ready)
    weight = int8[0].weight()
    axes = (0, *range(2, dims + 2))
    widest = np.abs(layer.weight).max(axes if backend == "fbgemm" else None)
    np.testing.assert_allclose(
        weight.q_per_channel_scales() if backend == "fbgemm" else weight.q_scale(), widest / 127.5, rtol=1e-6
    )
    assert np.abs(int8(x) - want).max() < 0.03
    assert (
        tq.quantize(nn.Sequential(layer), x, tq.get_default_qconfig(backend), verbose=False)(x).shape
        == want.shape
    )


def test_training_with_transposed_convolutions_is_what_integers_compute():
    rng = np.random.default_rng(1)
    model = nn.Sequential(
        nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.ConvTranspose2d(6, 4, 2)
    )
    model.qconfig = tq.get_default_qat_qconfig("fbgemm")
    ready = tq.prepare_qat(model.train())
    x = rng.standard_normal((4, 4, 5, 5)).astype(np.float32)
    ready(x)
    want = ready.eval()(x)
    np.testing.assert_array_equal(tq.convert(ready)(x), want)
    layer = nn.ConvTranspose2d(4, 6, 3)
    layer.qconfig = tq.get_default_qat_qconfig("fbgemm")
    assert nn.qat.ConvTranspose2d.from_float(layer).weight_fake_quant.ch_axis == 1
