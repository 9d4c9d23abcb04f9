"""Makes nn.json and nn.npz: what torch 2.15's float functions, modules and optimizers return.

Functions with their gradients.

Needs torch. `python tests/reference/make_nn.py` in the repository's folder.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
cases, arrays = [], {}


def put(case, key, value):
    name = f"{len(cases):03}.{key}"
    arrays[name] = np.array(value.detach() if isinstance(value, torch.Tensor) else value)
    case[key] = {"array": name}


def normal(*shape):
    return rng.normal(size=shape).astype(np.float32)


def function(op, inputs, settings=None, fixed=None, of=F):
    """One call: inputs that gradients are made for, fixed arrays by name, and settings."""
    settings, fixed = settings or {}, fixed or {}
    case = {"kind": "function", "op": op, "name": op, "inputs": len(inputs), "settings": settings}
    case["fixed"] = list(fixed)
    given = [torch.tensor(x, requires_grad=True) for x in inputs]
    named = {k: torch.tensor(v) for k, v in fixed.items()}
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    y = torch.cat(given, **tuples) if op == "cat" else getattr(of, op)(*given, **named, **tuples)
    g = torch.tensor(normal(*y.shape))
    (y * g).sum().backward()
    for i, x in enumerate(given):
        put(case, f"x{i}", inputs[i])
        put(case, f"d{i}", x.grad)
    for name, value in fixed.items():
        put(case, name, value)
    put(case, "y", y.detach())
    put(case, "g", g)
    cases.append(case)


def convolutions():
    for d in (1, 2, 3):
        lengths, kernel = (6, 5, 4)[:d], (3, 2, 3)[:d]
        for s in (
            {},
            {"stride": 2, "padding": 1},
            {"padding": "same", "dilation": 2},
            {"groups": 2, "padding": list((1, 0, 1)[:d])},
            {"groups": 4, "stride": 2},
        ):
            groups = s.get("groups", 1)
            x = normal(2, 4, *lengths) if "stride" not in s else normal(4, *lengths)
            function(f"conv{d}d", [x, normal(8, 4 // groups, *kernel), normal(8)], s)
        function(f"conv{d}d", [normal(2, 4, *lengths), normal(3, 4, *[1] * d), normal(3)], {})
        for s in (
            {},
            {"stride": 2, "padding": 1, "output_padding": 1},
            {"groups": 2, "dilation": 2},
            {"groups": 4, "stride": 3},
        ):
            groups = s.get("groups", 1)
            x = normal(2, 4, *lengths) if "groups" in s else normal(4, *lengths)
            function(f"conv_transpose{d}d", [x, normal(4, 8 // groups, *kernel), normal(8)], s)


def pools():
    for d in (1, 2, 3):
        lengths = (6, 5, 4)[:d]
        windows = [
            {"kernel_size": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1},
            {"kernel_size": 3, "stride": list((2, 1, 2)[:d]), "ceil_mode": True},
        ]
        for s in windows:
            for kind in ("max", "avg"):
                function(f"{kind}_pool{d}d", [normal(2, 3, *lengths)], s)
        function(f"max_pool{d}d", [normal(3, *lengths)], {"kernel_size": 2, "stride": 1, "dilation": 2})
        # Many equal elements: the first one has the gradient.
        ties = rng.integers(0, 2, (2, 3, *lengths)).astype(np.float32)
        function(f"max_pool{d}d", [ties], {"kernel_size": 3, "stride": 1})
        function(f"avg_pool{d}d", [normal(2, 3, *lengths)], {**windows[1], "count_include_pad": False})
        if d > 1:
            function(f"avg_pool{d}d", [normal(2, 3, *lengths)], {"kernel_size": 2, "divisor_override": 3})
        for size in (1, 4, list((3, 2, 5)[:d])):
            for kind in ("max", "avg"):
                function(f"adaptive_{kind}_pool{d}d", [normal(2, 3, *lengths)], {"output_size": size})


def activations():
    wide = np.concatenate([np.linspace(-9, 9, 37), [30, -30, 100, -100]]).astype(np.float32) + np.float32(
        0.01
    )
    names = "relu relu6 hardtanh leaky_relu elu gelu silu sigmoid tanh hardsigmoid hardswish softplus"
    for op in names.split():
        function(op, [wide], of=torch if op in ("sigmoid", "tanh") else F)
    function("gelu", [wide], {"approximate": "tanh"})
    function("leaky_relu", [wide], {"negative_slope": 0.2})
    function("elu", [wide], {"alpha": 0.5})
    function("softplus", [wide], {"beta": 2.0, "threshold": 5.0})
    function("hardtanh", [wide], {"min_val": -2.0, "max_val": 3.0})
    for op in ("softmax", "log_softmax"):
        for axis in (-1, 0, 1):
            function(op, [normal(4, 3, 5) * 4], {"dim": axis})
    function("prelu", [normal(3, 4, 5), normal(4)])
    function("prelu", [normal(3, 4, 5), normal(1)])


def normalizations():
    x, w, b = normal(4, 6, 5, 3) * 3 + 2, normal(6), normal(6)
    moments = {"running_mean": normal(6), "running_var": np.abs(normal(6)) + 1}
    function("group_norm", [x], {"num_groups": 3})
    function("instance_norm", [x])
    for op, settings in (("group_norm", {"num_groups": 2}), ("instance_norm", {})):
        for shape in ((4, 6, 5, 3), (4, 6, 9)):
            case_inputs = [normal(*shape) * 3 + 2]
            function(op, case_inputs, settings, {"weight": w, "bias": b})
    function("batch_norm", [x], {"training": True}, moments | {"weight": w, "bias": b})
    function("batch_norm", [x], {"training": False}, moments | {"weight": w, "bias": b})
    function("batch_norm", [normal(7, 6) + 9], {"training": True, "momentum": 0.3, "eps": 1e-3}, moments)


def others():
    function("linear", [normal(2, 3, 5), normal(4, 5), normal(4)])
    function("linear", [normal(5), normal(4, 5)])
    for mode in ("reflect", "replicate", "circular"):
        function("pad", [normal(2, 3, 5, 4)], {"pad": [2, 1, 1, 3], "mode": mode})
    function("pad", [normal(2, 3, 5, 4)], {"pad": [2, -1, -1, 3], "value": 2.0})
    for mode in ("nearest", "nearest-exact", "bilinear"):
        for s in ({"size": [7, 3]}, {"scale_factor": 2.5}, {"scale_factor": [0.6, 1.7]}):
            function("interpolate", [normal(2, 3, 5, 4)], {"mode": mode, **s})
    function("interpolate", [normal(1, 2, 5)], {"mode": "linear", "size": 9, "align_corners": True})
    function("interpolate", [normal(1, 2, 3, 4, 2)], {"mode": "trilinear", "scale_factor": 2})
    function("cat", [normal(2, 3), normal(2, 4), normal(2, 1)], {"dim": 1})
    shapes = [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((3,), (3,)), ((5, 1, 2, 3), (6, 3, 4))]
    for a, b in shapes:
        function("matmul", [normal(*a), normal(*b)], of=torch)
    for op in ("add", "mul"):
        function(op, [normal(2, 1, 3), normal(4, 1)], of=torch)
    function("flatten", [normal(2, 3, 4)], {"start_dim": 1}, of=torch)
    function("unflatten", [normal(2, 12)], {"dim": 1, "sizes": [3, -1]}, of=torch)


def losses():
    classes, weight = rng.integers(0, 4, 6), np.float32([0.5, 1, 2, 3])
    classes[2] = -100
    shares = rng.dirichlet(np.ones(4), 6).astype(np.float32)
    for reduction in ("mean", "sum", "none"):
        s = {"reduction": reduction}
        for smoothing in (0.0, 0.2):
            given = s | {"label_smoothing": smoothing}
            function("cross_entropy", [normal(6, 4)], given, {"target": classes, "weight": weight})
            function("cross_entropy", [normal(6, 4)], given, {"target": shares, "weight": weight})
        function("cross_entropy", [normal(2, 4, 5)], s, {"target": rng.integers(0, 4, (2, 5))})
        function("nll_loss", [normal(6, 4)], s, {"target": classes, "weight": weight})
        function("mse_loss", [normal(3, 4), normal(3, 4)], s)
        function("l1_loss", [normal(3, 4), normal(3, 4)], s)
        fixed = {"weight": weight, "pos_weight": weight * 2}
        function("binary_cross_entropy_with_logits", [normal(3, 4) * 9, normal(3, 4)], s, fixed)


def module(kind, config, shape, calls=1, training=False):
    """A module with torch's first weights: its last output and the buffers after some calls."""
    torch.manual_seed(len(cases))
    m = getattr(torch.nn, kind)(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})
    m.train(training)
    case = {"kind": "module", "type": kind, "name": kind, "config": config, "calls": calls}
    case |= {"training": training, "state": list(m.state_dict()), "repr": repr(m)}
    for name, value in m.state_dict().items():
        put(case, f"before.{name}", value)
    for i in range(calls):
        x = normal(*shape)
        put(case, f"x{i}", x)
        y = m(torch.tensor(x))
    put(case, "y", y.detach())
    for name, value in m.state_dict().items():
        put(case, f"after.{name}", value)
    cases.append(case)


def modules():
    module("Linear", {"in_features": 5, "out_features": 3, "bias": False}, (2, 5))
    conv = {"in_channels": 4, "out_channels": 6, "kernel_size": 3}
    for mode in ("reflect", "replicate", "circular"):
        module("Conv2d", conv | {"padding": [1, 2], "padding_mode": mode, "groups": 2}, (2, 4, 5, 6))
    module("Conv1d", conv | {"padding": "same", "kernel_size": 4, "padding_mode": "reflect"}, (2, 4, 7))
    module("Conv3d", conv | {"stride": [1, 2, 1], "bias": False}, (2, 4, 5, 6, 4))
    more = conv | {"stride": 2, "padding": 1, "output_padding": 1, "dilation": 2}
    module("ConvTranspose2d", more, (2, 4, 5, 6))
    for d, shape in ((1, (5, 3)), (1, (5, 3, 4)), (2, (5, 3, 4, 2)), (3, (2, 3, 4, 2, 2))):
        for momentum in (0.1, None):
            for training in (True, False):
                module(f"BatchNorm{d}d", {"num_features": 3, "momentum": momentum}, shape, 3, training)
    module("BatchNorm2d", {"num_features": 3, "affine": False, "track_running_stats": False}, (5, 3, 4, 2))
    for d, shape in ((1, (5, 3, 4)), (2, (3, 4, 2)), (3, (2, 3, 4, 2, 2))):
        module(f"InstanceNorm{d}d", {"num_features": 3}, shape)
        own = {"num_features": 3, "affine": True, "track_running_stats": True}
        module(f"InstanceNorm{d}d", own, shape, 2, True)
        module(f"InstanceNorm{d}d", own, shape)
    module("GroupNorm", {"num_groups": 2, "num_channels": 4}, (3, 4, 5))
    names = "ReLU ReLU6 Hardtanh LeakyReLU ELU GELU SiLU Sigmoid Tanh Hardsigmoid Hardswish Softplus PReLU"
    for name in names.split():
        module(name, {}, (3, 4))
    module("Softmax", {"dim": 1}, (3, 4))
    module("LogSoftmax", {"dim": 1}, (3, 4))
    module("MaxPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, (2, 3, 7, 6))
    module("AvgPool2d", {"kernel_size": [3, 2], "count_include_pad": False, "padding": 1}, (2, 3, 7, 6))
    module("AdaptiveAvgPool2d", {"output_size": [3, None]}, (2, 3, 7, 6))
    module("AdaptiveMaxPool1d", {"output_size": 3}, (2, 3, 7))
    module("Flatten", {}, (2, 3, 4))
    module("Unflatten", {"dim": 1, "unflattened_size": [3, 2]}, (2, 6))
    module("Upsample", {"scale_factor": 2.0, "mode": "bilinear"}, (2, 3, 4, 3))
    module("Dropout", {"p": 0.3}, (2, 3))
    module("Dropout2d", {"p": 1.0}, (2, 3, 4, 2), 1, True)
    module("Identity", {}, (2, 3))


def optimizers():
    settings = [
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.05}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("Adam", {"lr": 0.1}),
        ("Adam", {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-3, "weight_decay": 0.1}),
        ("AdamW", {"lr": 0.1}),
        ("AdamW", {"lr": 0.1, "weight_decay": 0.3}),
    ]
    for kind, config in settings:
        case = {"kind": "optimizer", "type": kind, "name": kind, "config": config, "steps": 6}
        w = torch.nn.Parameter(torch.tensor(normal(3, 2)))
        put(case, "before", w.detach().clone())
        opt = getattr(torch.optim, kind)([w], **config)
        for i in range(6):
            w.grad = torch.tensor(normal(3, 2))
            put(case, f"g{i}", w.grad)
            opt.step()
        put(case, "after", w.detach())
        cases.append(case)


def formulas():
    """Activations and losses of formulas, and modules that move or pad elements."""
    wide = np.concatenate([np.linspace(-9, 9, 37), [30, -30, 100, -100]]).astype(np.float32) + np.float32(
        0.01
    )
    for op in ["selu", "mish", "softsign", "logsigmoid", "tanhshrink", "hardshrink", "softshrink", "celu"]:
        function(op, [wide])
    function("hardshrink", [wide], {"lambd": 2.0})
    function("softshrink", [wide], {"lambd": 2.0})
    function("celu", [wide], {"alpha": 0.5})
    function("threshold", [wide], {"threshold": 0.7, "value": -3.0})
    function("softmin", [normal(4, 3, 5) * 4], {"dim": 1})
    for axis in (-1, 1):
        function("glu", [normal(3, 4, 6)], {"dim": axis})
    chances = rng.random((3, 4), np.float32), rng.random((3, 4), np.float32)
    shares = rng.dirichlet(np.ones(4), 3).astype(np.float32)
    shares[0, 0] = 0
    for reduction in ("mean", "sum", "none"):
        s = {"reduction": reduction}
        function("smooth_l1_loss", [normal(3, 4) * 2, normal(3, 4)], s)
        function("smooth_l1_loss", [normal(3, 4), normal(3, 4)], s | {"beta": 0.0})
        function("smooth_l1_loss", [normal(3, 4), normal(3, 4)], s | {"beta": 0.3})
        function("huber_loss", [normal(3, 4), normal(3, 4)], s | {"delta": 0.7})
        function("binary_cross_entropy", list(chances), s, {"weight": np.float32([0.5, 1, 2, 3])})
        function("kl_div", [normal(3, 4)], s, {"target": shares})
        function("kl_div", [normal(3, 4), normal(3, 4)], s | {"log_target": True})
    function("kl_div", [normal(3, 4)], {"reduction": "batchmean"}, {"target": shares})
    sharp = np.float32([[0, 1, 1e-9, 0.5]])
    function("binary_cross_entropy", [sharp], {}, {"target": np.float32([[0, 1, 1, 0.25]])})
    for name in [
        "CELU",
        "SELU",
        "Mish",
        "Softsign",
        "LogSigmoid",
        "Tanhshrink",
        "Hardshrink",
        "Softshrink",
        "GLU",
    ]:
        module(name, {}, (3, 4))
    module("Threshold", {"threshold": 0.3, "value": 2.0}, (3, 4))
    module("Softmin", {"dim": 1}, (3, 4))
    module("Softmax2d", {}, (2, 3, 4, 2))
    for d, shape in ((1, (2, 3, 5)), (2, (2, 3, 5, 4)), (3, (2, 3, 5, 4, 3))):
        several = [2, 1, 0, 1, 1, 2][: 2 * d]
        for kind in ("Zero", "Reflection", "Replication", "Circular"):
            for padding in (1, several):
                module(f"{kind}Pad{d}d", {"padding": padding}, shape)
        module(f"ConstantPad{d}d", {"padding": several, "value": 1.5}, shape)
    module("UpsamplingNearest2d", {"scale_factor": 2.0}, (2, 3, 4, 3))
    module("UpsamplingBilinear2d", {"size": 7}, (2, 3, 4, 3))
    module("PixelShuffle", {"upscale_factor": 2}, (2, 8, 3, 2))
    module("PixelUnshuffle", {"downscale_factor": 2}, (2, 2, 6, 4))
    module("ChannelShuffle", {"groups": 3}, (2, 6, 3, 2))
    for name in ("Dropout3d", "AlphaDropout", "FeatureAlphaDropout"):
        module(name, {"p": 0.3}, (2, 3, 2, 2, 2))


for make in (convolutions, pools, activations, normalizations, others, losses, modules, optimizers, formulas):
    make()
(HERE / "nn.json").write_text(json.dumps(cases, indent=1) + "\n")
np.savez_compressed(HERE / "nn.npz", **arrays)
print(len(cases), "cases")
