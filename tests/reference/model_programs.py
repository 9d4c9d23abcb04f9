"""Programs of quantized models that mean the same in torch and here: see `make_model_names.py`."""

# A line of a program may be long.
# ruff: noqa: E501

ON_GRID = "m.scale, m.zero_point = 0.1, 90\n"
OBSERVED = """
qconfig = tq.QConfig(
    activation=tq.MinMaxObserver.with_args(quant_min=0, quant_max=255), weight=tq.default_weight_observer)
def observed(m, *args):
    m.qconfig = qconfig
    m.activation_post_process = qconfig.activation()
    m.activation_post_process(m(*args))
    return m
def given(layer, weight, bias):
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
"""
QAT = """
qat_qconfig = tq.QConfig(
    activation=tq.FakeQuantize.with_args(observer=tq.MinMaxObserver, quant_min=0, quant_max=255),
    weight=tq.default_weight_fake_quant)
def given(layer, weight, bias):
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    layer.qconfig = qat_qconfig
    return layer
"""


def _cases():
    yield "nn.quantized.Linear", f"m = nnq.Linear(4, 3)\nm.set_weight_bias(w, fb)\n{ON_GRID}result = m(q)"
    yield (
        "nn.quantized.Linear",
        OBSERVED
        + (
            "m = nnq.Linear.from_float(observed(given(nn.Linear(4, 3), fw, fb), x))\n"
            "result = [m(q), float(m.scale), int(m.zero_point), m.weight(), m.in_features, m.out_features]"
        ),
    )
    yield (
        "nn.intrinsic.quantized.LinearReLU",
        (f"m = nniq.LinearReLU(4, 3)\nm.set_weight_bias(w, fb)\n{ON_GRID}result = m(q)"),
    )
    yield (
        "nn.intrinsic.quantized.LinearReLU",
        OBSERVED
        + (
            "fused = observed(nni.LinearReLU(given(nn.Linear(4, 3), fw, fb), nn.ReLU()), x)\n"
            "fused[0].qconfig = qconfig\nm = nniq.LinearReLU.from_float(fused)\n"
            "result = [m(q), float(m.scale), int(m.zero_point)]"
        ),
    )
    for d in (1, 2, 3):
        kernel = 3 if d < 3 else 2
        q = {1: "q3", 2: "q4", 3: "q5"}[d]
        for space, name in (("nnq", f"Conv{d}d"), ("nniq", f"ConvReLU{d}d")):
            place = {"nnq": "nn.quantized", "nniq": "nn.intrinsic.quantized"}[space]
            yield (
                f"{place}.{name}",
                (
                    f"m = {space}.{name}(4, 3, {kernel}, stride=2, padding=1)\nm.set_weight_bias(w{d}, fb)\n"
                    f"{ON_GRID}result = [m({q}), list(m.kernel_size), list(m.stride), m.in_channels, m.groups]"
                ),
            )
        if d < 3:
            yield (
                f"nn.quantized.ConvTranspose{d}d",
                (
                    f"m = nnq.ConvTranspose{d}d(4, 3, {kernel}, stride=2, padding=1, output_padding=1)\n"
                    f"m.set_weight_bias(t{d}, fb)\n{ON_GRID}result = m({q})"
                ),
            )
        yield (
            f"nn.quantized.functional.conv{d}d",
            (f"result = qF.conv{d}d({q}, w{d}, fb, padding=1, scale=0.2, zero_point=70)"),
        )
    for d in (2, 3):
        for space, name in (("nnq", f"BatchNorm{d}d"), ("nniq", f"BNReLU{d}d")):
            place = {"nnq": "nn.quantized", "nniq": "nn.intrinsic.quantized"}[space]
            yield (
                f"{place}.{name}",
                (
                    f"m = {space}.{name}(4)\nm.weight, m.bias = nn.Parameter(ones4), nn.Parameter(fb4)\n"
                    f"m.running_mean, m.running_var = fb4, ones4\nm.scale, m.zero_point = number(0.07), number(80)\n"
                    f"result = m.eval()(q{d + 2})"
                ),
            )
    yield "nn.quantized.Hardswish", "result = nnq.Hardswish(0.04, 70)(q)"
    yield "nn.quantized.ELU", "result = nnq.ELU(0.04, 70, 0.8)(q)"
    yield "nn.quantized.LeakyReLU", "result = nnq.LeakyReLU(0.04, 70, 0.2)(q)"
    yield "nn.quantized.Sigmoid", "result = nnq.Sigmoid(1 / 256, 0)(q)"
    yield "nn.quantized.Softmax", "result = nnq.Softmax(1, 1 / 256, 0)(q)"
    yield "nn.quantized.ReLU6", "result = nnq.ReLU6()(q)"
    yield "nn.quantized.PReLU", "m = nnq.PReLU(0.04, 70)\nm.set_weight(slope)\nresult = m(q4)"
    yield "nn.quantized.Dropout", "result = nnq.Dropout(0.5)(q)"
    yield "nn.quantized.MaxPool2d", "result = nnq.MaxPool2d(2)(q4)"
    yield (
        "nn.quantized.LayerNorm",
        "result = nnq.LayerNorm(4, nn.Parameter(ones4), nn.Parameter(fb4), 0.05, 90)(q)",
    )
    yield (
        "nn.quantized.GroupNorm",
        "result = nnq.GroupNorm(2, 4, nn.Parameter(ones4), nn.Parameter(fb4), 0.05, 90)(q4)",
    )
    for d in (1, 2, 3):
        yield (
            f"nn.quantized.InstanceNorm{d}d",
            (f"result = nnq.InstanceNorm{d}d(4, nn.Parameter(ones4), nn.Parameter(fb4), 0.05, 90)(q{d + 2})"),
        )
    yield "nn.quantized.Quantize", "result = nnq.Quantize(0.1, 20, quint8)(x)"
    yield "nn.quantized.Quantize", "result = nnq.Quantize(number(0.1), number(-20), qint8)(x)"
    yield "nn.quantized.DeQuantize", "result = nnq.DeQuantize()(q)"
    for name in ("add(q, q2)", "mul(q, q2)", "add_relu(q, q2)", "cat([q, q2], 1)", "add_scalar(q, 0.3)",
                 "mul_scalar(q, 0.3)"):  # fmt: skip
        yield "nn.quantized.QFunctional", f"m = nnq.QFunctional()\n{ON_GRID}result = m.{name}"
    yield (
        "nn.quantized.QFunctional",
        OBSERVED
        + (
            "m = nnq.FloatFunctional()\nm.activation_post_process = qconfig.activation()\n"
            "m.activation_post_process(x)\nmade = nnq.QFunctional.from_float(m)\n"
            "result = [made.add(q, q2), float(made.scale), int(made.zero_point)]"
        ),
    )
    for name in ("add(x, x)", "mul(x, x)", "add_relu(x, x)", "cat([x, x], 1)", "add_scalar(x, 0.3)"):
        yield "nn.quantized.FloatFunctional", f"result = nnq.FloatFunctional().{name}"
    for call in (
        "adaptive_avg_pool2d(q4, (2, 2))", "adaptive_avg_pool3d(q5, (2, 2, 2))", "avg_pool2d(q4, 2)",
        "avg_pool3d(q5, 2)", "celu(q, 0.04, 70, 0.8)", "clamp(q, -0.5, 1.0)", "elu(q, 0.04, 70, 0.8)",
        "hardsigmoid(q)", "hardswish(q, 0.04, 70)", "hardtanh(q, -0.5, 1.0)",
        "interpolate(q4, scale_factor=2.0)", "leaky_relu(q, 0.2)", "leaky_relu(q, 0.2, False, 0.04, 70)",
        "linear(q, w, fb, 0.1, 90)", "max_pool1d(q3, 2)", "max_pool2d(q4, 2)", "threshold(q, 0.1, 0.5)",
        "upsample(q4, scale_factor=2.0)", "upsample_nearest(q4, scale_factor=2.0)",
        "upsample_bilinear(q4, scale_factor=2.0)",
    ):  # fmt: skip
        yield f"nn.quantized.functional.{call.partition('(')[0]}", f"result = qF.{call}"
    tables = "m.qconfig = tq.float_qparams_weight_only_qconfig\n"
    yield (
        "nn.quantized.Embedding",
        (
            f"m = nn.Embedding(5, 8)\nm.weight = nn.Parameter(table)\n{tables}"
            "result = nnq.Embedding.from_float(m)(idx)"
        ),
    )
    yield (
        "nn.quantized.EmbeddingBag",
        (
            f"m = nn.EmbeddingBag(5, 8, mode='sum', include_last_offset=True)\nm.weight = nn.Parameter(table)\n{tables}"
            "result = nnq.EmbeddingBag.from_float(m)(idx, offsets)"
        ),
    )
    # Training
    for name in ("Linear", "Conv2d"):
        settings, weight, x = ("4, 3", "fw", "x") if name == "Linear" else ("4, 3, 3", "fw2", "x4")
        yield (
            f"nn.qat.{name}",
            QAT
            + (f"m = nnqat.{name}({settings}, qconfig=qat_qconfig)\ngiven(m, {weight}, fb)\nresult = m({x})"),
        )
        yield (
            f"nn.qat.{name}",
            QAT
            + (
                f"m = nnqat.{name}.from_float(given(nn.{name}({settings}), {weight}, fb))\n"
                f"result = [m({x}), m.to_float()({x})]"
            ),
        )
    yield (
        "nn.qat.dynamic.Linear",
        QAT
        + (
            "m = nnqatd.Linear(4, 3, qconfig=tq.default_dynamic_qat_qconfig)\ngiven(m, fw, fb)\nresult = m(x)"
        ),
    )
    tables = "m.qconfig = tq.default_embedding_qat_qconfig\n"
    yield (
        "nn.qat.Embedding",
        (
            f"m = nn.Embedding(5, 8)\nm.weight = nn.Parameter(table)\n{tables}"
            "result = nnqat.Embedding.from_float(m)(idx)"
        ),
    )
    yield (
        "nn.qat.EmbeddingBag",
        (
            f"m = nn.EmbeddingBag(5, 8, mode='sum')\nm.weight = nn.Parameter(table)\n{tables}"
            "result = nnqat.EmbeddingBag.from_float(m)(idx, offsets)"
        ),
    )
    for fused, parts in (
        ("LinearReLU", "given(nn.Linear(4, 3), fw, fb), nn.ReLU()"),
        ("ConvReLU2d", "given(nn.Conv2d(4, 3, 3), fw2, fb), nn.ReLU()"),
        ("ConvBn2d", "given(nn.Conv2d(4, 3, 3), fw2, fb), nn.BatchNorm2d(3)"),
        ("ConvBnReLU2d", "given(nn.Conv2d(4, 3, 3), fw2, fb), nn.BatchNorm2d(3), nn.ReLU()"),
    ):
        x = "x" if fused == "LinearReLU" else "x4"
        yield f"nn.intrinsic.{fused}", QAT + f"result = nni.{fused}({parts})({x})"
        yield (
            f"nn.intrinsic.qat.{fused}",
            QAT
            + (
                f"m = nni.{fused}({parts})\nm.qconfig = qat_qconfig\nmade = nniqat.{fused}.from_float(m)\n"
                # Evaluated, torch observes the weight anew where the normalization's moments have moved.
                f"result = [made({x}){'' if 'Bn' in fused else f', made.eval()({x})'}]"
            ),
        )
    yield (
        "nn.intrinsic.LinearLeakyReLU",
        QAT + ("result = nni.LinearLeakyReLU(given(nn.Linear(4, 3), fw, fb), nn.LeakyReLU(0.2))(x)"),
    )
    yield (
        "nn.intrinsic.LinearTanh",
        QAT + ("result = nni.LinearTanh(given(nn.Linear(4, 3), fw, fb), nn.Tanh())(x)"),
    )
    # Recurrent layers and attention that can be observed.
    weights = "wi, wh = fill(16, 4), fill(16, 4)\nbi, bh = fill(16), fill(16)\n"
    for split in (False, True):
        yield (
            "nn.quantizable.LSTMCell",
            weights
            + (f"m = nnz.LSTMCell.from_params(wi, wh, bi, bh, split_gates={split})\nresult = list(m(x))"),
        )
    yield (
        "nn.quantizable.LSTM",
        (
            "m = nnz.LSTM(4, 4, bidirectional=True)\nfilled(m)\ny, (h, c) = m(steps)\n"
            "result = [y, h, c, sorted(m.state_dict())]"
        ),
    )
    yield (
        "nn.quantizable.MultiheadAttention",
        (
            "m = nn.MultiheadAttention(4, 2)\nfilled(m)\nm.qconfig = tq.default_qconfig\nm.eval()\n"
            "made = nnz.MultiheadAttention.from_float(m).eval()\nresult = list(made(steps, steps, steps))"
        ),
    )
    # Functions
    for call in (
        "PerTensor()", "PerAxis(1)", "PerRow()", "PerGroup(2)", "PerToken()",
    ):  # fmt: skip
        yield "quantization.get_block_size", f"result = list(tq.get_block_size((4, 8), tq.{call}))"
    for name in ("MappingType", "ZeroPointDomain", "TorchAODType", "QuantType"):
        yield f"quantization.{name}", f"result = [e.name for e in tq.{name}]"
    for name in ("static_quant", "dynamic_quant", "qat"):
        yield (
            f"quantization.get_default_{name}_module_mappings",
            (f"result = names(tq.get_default_{name}_module_mappings())"),
        )
    for name in ("get_embedding_qat_module_mappings", "get_embedding_static_quant_module_mappings"):
        yield f"quantization.{name}", f"result = names(tq.{name}())"
    yield "quantization.no_observer_set", "result = sorted(c.__name__ for c in tq.no_observer_set())"
    yield (
        "quantization.get_default_custom_config_dict",
        ("result = {k: names(v) for k, v in tq.get_default_custom_config_dict().items()}"),
    )
    yield (
        "quantization.get_static_quant_module_class",
        ("result = tq.get_static_quant_module_class(nn.Linear).__name__"),
    )
    yield (
        "quantization.get_dynamic_quant_module_class",
        ("result = tq.get_dynamic_quant_module_class(nn.LSTM).__name__"),
    )
    for layer, norm, function in (
        ("nn.Conv2d(4, 3, 3), fw2", "nn.BatchNorm2d(3)", "fuse_conv_bn"),
        ("nn.Linear(4, 3), fw", "nn.BatchNorm1d(3)", "fuse_linear_bn"),
    ):
        x = "x4" if "conv" in function else "x"
        yield (
            f"quantization.{function}",
            QAT
            + (
                f"norm = {norm}.eval()\nnorm.weight, norm.bias = nn.Parameter(ones3), nn.Parameter(fb)\n"
                f"norm.running_mean, norm.running_var = fb, ones3\n"
                f"result = tq.{function}(False, given({layer}, fb).eval(), norm)({x})"
            ),
        )
    yield "quantization.QuantWrapper", QAT + ("result = tq.QuantWrapper(given(nn.Linear(4, 3), fw, fb))(x)")
    yield (
        "quantization.add_quant_dequant",
        QAT
        + (
            "m = nn.Sequential(given(nn.Linear(4, 3), fw, fb), nn.ReLU())\n"
            "result = [type(each).__name__ for each in tq.add_quant_dequant(m)]"
        ),
    )
    yield (
        "quantization.propagate_qconfig_",
        (
            "m = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU()))\nm.qconfig = tq.default_qconfig\n"
            "m[1].qconfig = tq.default_per_channel_qconfig\ntq.propagate_qconfig_(m)\n"
            "result = [tq.qconfig_equals(m[0].qconfig, tq.default_qconfig), m[1][0].qconfig is not None]"
        ),
    )
    yield (
        "quantization.swap_module",
        OBSERVED
        + (
            "m = observed(given(nn.Linear(4, 3), fw, fb), x)\n"
            "made = tq.swap_module(m, tq.get_default_static_quant_module_mappings(), {})\nresult = made(q)"
        ),
    )
    yield (
        "quantization.default_eval_fn",
        ("seen = []\ntq.default_eval_fn(lambda x: seen.append(x), [(1, 2), (3, 4)])\nresult = seen"),
    )
    yield (
        "quantization.get_fuser_method",
        (
            "made = tq.get_fuser_method((nn.Linear, nn.ReLU))(False, nn.Linear(4, 3), nn.ReLU())\n"
            "result = type(made).__name__"
        ),
    )
    yield (
        "quantization.QConfigDynamic",
        (
            "result = str(tq.QConfigDynamic(weight=tq.default_weight_observer).weight().dtype).rpartition('.')[2]"
        ),
    )
    for name in ("get_default_qconfig_dict", "get_default_qat_qconfig_dict"):
        yield f"quantization.{name}", f"result = sorted(k for k in tq.{name}() if k in ('', 'object_type'))"
    # The flows of eager mode, whole.
    flow = OBSERVED + (
        "m = tq.QuantWrapper(nn.Sequential(given(nn.Linear(4, 3), fw, fb), nn.ReLU())).eval()\n"
        "m.qconfig = qconfig\n"
    )
    yield (
        "quantization.prepare",
        flow
        + (
            "tq.fuse_modules(m, [['module.0', 'module.1']], inplace=True)\nready = tq.prepare(m)\nready(x)\n"
            "made = tq.convert(ready)\nresult = made(x)"
        ),
    )
    yield (
        "quantization.quantize",
        flow
        + (
            "tq.fuse_modules(m, ['module.0', 'module.1'], True)\n"
            "result = tq.quantize(m, lambda model, data: model(data), [x])(x)"
        ),
    )
    yield (
        "quantization.quantize_qat",
        QAT
        + (
            "m = tq.QuantWrapper(given(nn.Linear(4, 3), fw, fb))\nm.qconfig = qat_qconfig\n"
            "made = tq.quantize_qat(m, lambda model, data: model(data), [x])\nresult = made(x)"
        ),
    )
    yield (
        "quantization.get_observer_state_dict",
        flow + ("ready = tq.prepare(m)\nready(x)\nresult = len(tq.get_observer_state_dict(ready)) > 0"),
    )
    yield (
        "quantization.load_observer_state_dict",
        flow
        + (
            "tq.fuse_modules(m, ['module.0', 'module.1'], True)\nready = tq.prepare(m)\nready(x)\nfresh = tq.prepare(m)\nfresh(x * 0.5)\n"
            "tq.load_observer_state_dict(fresh, tq.get_observer_state_dict(ready))\nresult = tq.convert(fresh)(x)"
        ),
    )


CASES = [{"of": of, "code": code} for of, code in _cases()]
