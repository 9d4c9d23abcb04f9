"""Writes recurrent_nn.json and recurrent_nn.npz: what torch's recurrent layers and cells give.

Outputs and states, gradients of the sum of each times its `g`, and, where torch has one, outputs of the
dynamically quantized module.

python tests/reference/make_recurrent_nn.py      (torch 2.15)
"""

import json
import pathlib

import numpy as np
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic

HERE = pathlib.Path(__file__).parent
CASES, ARRAYS = [], {}
INPUTS, UNITS = 5, 6


def flat(y):
    """Tensors of nested tuples."""
    return [each for part in y for each in flat(part)] if isinstance(y, tuple) else [y]


def case(kind, shape, states=(), kwargs=None):
    """One module, called with an input of a shape and first states of others, none where zeros are meant."""
    kwargs = kwargs or {}
    made = getattr(nn, kind)(INPUTS, UNITS, **kwargs)
    x = torch.randn(shape, requires_grad=True)
    given = [torch.randn(s, requires_grad=True) for s in states]
    args = (x,) if not given else (x, tuple(given) if kind.startswith("LSTM") else given[0])
    outputs = flat(made(*args))
    gs = [torch.randn(y.shape) for y in outputs]
    wanted = {"x": x, **{f"state.{k}": p for k, p in made.named_parameters()}}
    wanted |= {f"hx.{i}": h for i, h in enumerate(given)}
    total = sum((y * g).sum() for y, g in zip(outputs, gs, strict=True))
    grads = torch.autograd.grad(total, list(wanted.values()))
    arrays = dict(wanted) | {f"out.{i}": y for i, y in enumerate(outputs)}
    arrays |= {f"g.{i}": g for i, g in enumerate(gs)}
    arrays |= {f"grad.{k}": g for k, g in zip(wanted, grads, strict=True)}
    # torch's take batches only, have biases and no projections.
    batched = len(shape) == (2 if kind.endswith("Cell") else 3)
    if kind != "RNN" and batched and not {"proj_size", "bias"} & set(kwargs):
        small = quantize_dynamic(nn.Sequential(made), {type(made)}, dtype=torch.qint8)[0]
        with torch.no_grad():
            arrays |= {f"int8.{i}": y for i, y in enumerate(flat(small(*args)))}
    told = {"name": kind, "kwargs": {"input_size": INPUTS, "hidden_size": UNITS, **kwargs}}
    for key, value in arrays.items():
        at = f"{len(CASES):02}.{key}"
        ARRAYS[at] = value.detach().numpy().copy()
        told[key] = {"array": at}
    CASES.append(told)


def layers(kind, extra=()):
    both = (lambda shape: [shape] * 2) if kind == "LSTM" else lambda shape: [shape]
    case(kind, (7, 3, INPUTS))
    case(kind, (7, 3, INPUTS), both((1, 3, UNITS)))
    case(kind, (1, 2, INPUTS), both((1, 2, UNITS)))
    case(kind, (7, INPUTS), both((1, UNITS)))
    case(kind, (7, INPUTS), (), {"num_layers": 2, "bidirectional": True, "batch_first": True})
    case(kind, (3, 7, INPUTS), both((1, 3, UNITS)), {"bias": False, "batch_first": True})
    how = {"num_layers": 2, "bidirectional": True}
    case(kind, (7, 3, INPUTS), both((4, 3, UNITS)), how)
    case(kind, (3, 7, INPUTS), (), {"num_layers": 3, "batch_first": True})
    for shape, states, kwargs in extra:
        case(kind, shape, states, kwargs)


def main():
    torch.manual_seed(0)
    relu = {"nonlinearity": "relu"}
    layers("RNN", [((7, 3, INPUTS), (), relu), ((7, INPUTS), [(2, UNITS)], {**relu, "num_layers": 2})])
    layers("GRU")
    how = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    projected = [
        ((7, 3, INPUTS), (), {"proj_size": 2}),
        ((7, INPUTS), [(1, 2), (1, UNITS)], {"proj_size": 2, "bias": False}),
        ((3, 7, INPUTS), [(4, 3, 4), (4, 3, UNITS)], {**how, "proj_size": 4}),
    ]
    layers("LSTM", projected)
    for kind, count in (("RNNCell", 1), ("GRUCell", 1), ("LSTMCell", 2)):
        case(kind, (3, INPUTS))
        case(kind, (3, INPUTS), [(3, UNITS)] * count)
        case(kind, (INPUTS,), [(UNITS,)] * count)
        case(kind, (3, INPUTS), [(3, UNITS)] * count, {"bias": False})
    case("RNNCell", (3, INPUTS), [(3, UNITS)], relu)
    (HERE / "recurrent_nn.json").write_text(json.dumps(CASES, indent=1) + "\n")
    np.savez_compressed(HERE / "recurrent_nn.npz", **ARRAYS)


if __name__ == "__main__":
    main()
