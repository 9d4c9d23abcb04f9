"""Writes transformer.json and transformer.npz: what torch's layers give, with gradients of sum(output * g).

python tests/reference/make_transformer.py      (torch 2.15)
"""

import json
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn import functional

HERE = pathlib.Path(__file__).parent
CASES, ARRAYS = [], {}


def add(name, of, kwargs, state, args, call, outputs, wanted):
    """One case: `args` of the call, its `outputs`, and gradients of what is `wanted`."""
    first = outputs[0]
    g = torch.randn(first.shape)
    total = (first * g).sum()
    if len(outputs) > 1 and outputs[1] is not None:
        total = total + (outputs[1] * outputs[1]).sum()
    grads = torch.autograd.grad(total, list(wanted.values())) if wanted else []
    case = {"name": name, "of": of, "kwargs": kwargs, "call": call}
    arrays = {f"state.{k}": v for k, v in state.items()} | {f"arg.{k}": v for k, v in args.items()}
    arrays |= {f"out.{i}": v for i, v in enumerate(outputs) if v is not None} | {"g": g}
    arrays |= {f"grad.{k}": v for k, v in zip(wanted, grads, strict=True)}
    for key, value in arrays.items():
        at = f"{len(CASES):02}.{key}"
        ARRAYS[at] = value.detach().numpy().copy()
        case[key] = {"array": at}
    CASES.append(case)


def shaken(module):
    """With biases and weights that are not 0 and 1."""
    with torch.no_grad():
        for p in module.parameters():
            p += 0.1 * torch.randn(p.shape)
    return module


def module(kind, kwargs, args, floats, call=None, outputs=lambda y: (y,)):
    made = shaken(getattr(nn, kind)(**kwargs))
    args = {k: v.requires_grad_() if k in floats else v for k, v in args.items()}
    state = {k: v.detach().clone() for k, v in made.state_dict().items()}
    positional = {k: v for k, v in args.items() if k[0] != "_"}
    found = outputs(
        made(*positional.values(), **{k[1:]: v for k, v in args.items() if k[0] == "_"}, **(call or {}))
    )
    wanted = {f"state.{k}": p for k, p in made.named_parameters()} | {f"arg.{k}": args[k] for k in floats}
    add(kind, "module", kwargs, state, args, call or {}, found, wanted)


def function(kind, args, floats, call):
    args = {k: v.requires_grad_() if k in floats else v for k, v in args.items()}
    found = (getattr(functional, kind)(*args.values(), **call),)
    add(kind, "function", {}, {}, args, call, found, {f"arg.{k}": args[k] for k in floats})


def padding(n, length):
    mask = torch.zeros(n, length, dtype=torch.bool)
    mask[0, -2:] = True
    return mask


def main():
    torch.manual_seed(0)
    r = torch.randn
    for kwargs in ({}, {"padding_idx": 2}, {"padding_idx": -1, "scale_grad_by_freq": True}):
        index = torch.tensor([[0, 2, 4], [2, 2, 1]])
        module("Embedding", {"num_embeddings": 5, "embedding_dim": 3, **kwargs}, {"input": index}, [])
    index, offsets = torch.tensor([0, 2, 4, 2, 2, 1, 3]), torch.tensor([0, 3, 3, 5])
    for mode in ("sum", "mean", "max"):
        for extra in ({}, {"padding_idx": 2}):
            kwargs = {"num_embeddings": 5, "embedding_dim": 3, "mode": mode, **extra}
            module("EmbeddingBag", kwargs, {"input": index, "offsets": offsets}, [])
        module("EmbeddingBag", {**kwargs, "padding_idx": None}, {"input": index[:6].reshape(2, 3)}, [])
    kwargs = {"num_embeddings": 5, "embedding_dim": 3, "mode": "sum", "include_last_offset": True}
    args = {"input": index, "offsets": torch.tensor([0, 2, 7]), "per_sample_weights": r(7)}
    module("EmbeddingBag", kwargs, args, ["per_sample_weights"])
    for kwargs in ({"normalized_shape": 8}, {"normalized_shape": [3, 8], "eps": 1e-3}):
        module("LayerNorm", kwargs, {"input": r(2, 3, 8)}, ["input"])
        module("RMSNorm", kwargs, {"input": r(2, 3, 8)}, ["input"])
    module("LayerNorm", {"normalized_shape": 8, "bias": False}, {"input": r(2, 3, 8)}, ["input"])
    module("RMSNorm", {"normalized_shape": 8, "elementwise_affine": False}, {"input": r(2, 3, 8)}, ["input"])

    q, k, v = (2, 3, 5, 4), (2, 3, 6, 4), (2, 3, 6, 7)
    names = ["query", "key", "value"]
    qkv = lambda: dict(zip(names, (r(q), r(k), r(v)), strict=True))  # noqa: E731
    keep = r(5, 6) > -1
    keep[2] = False
    function("scaled_dot_product_attention", qkv(), names, {})
    function("scaled_dot_product_attention", qkv(), names, {"is_causal": True})
    function("scaled_dot_product_attention", qkv(), names, {"scale": 0.3})
    function("scaled_dot_product_attention", {**qkv(), "attn_mask": keep}, names, {})
    function("scaled_dot_product_attention", {**qkv(), "attn_mask": r(2, 1, 5, 6)}, [*names, "attn_mask"], {})
    shared = {"query": r(2, 6, 5, 4), "key": r(2, 3, 6, 4), "value": r(2, 3, 6, 7)}
    function("scaled_dot_product_attention", shared, names, {"enable_gqa": True})

    both = lambda y: y  # noqa: E731
    base = {"embed_dim": 8, "num_heads": 2}
    seq, first = (5, 2, 8), (2, 5, 8)
    qkv = lambda shape, keys: dict(zip(names, (r(shape), r(keys), r(keys)), strict=True))  # noqa: E731
    for kwargs in ({}, {"bias": False}, {"add_bias_kv": True, "add_zero_attn": True}):
        args = {**qkv(seq, (6, 2, 8)), "_key_padding_mask": padding(2, 6)}
        module("MultiheadAttention", base | kwargs, args, names, {}, both)
    args = {
        **qkv(first, (2, 6, 8)),
        "_attn_mask": r(4, 5, 6),
        "_key_padding_mask": padding(2, 6).float() * -2,
    }
    module(
        "MultiheadAttention", base | {"batch_first": True}, args, names, {"average_attn_weights": False}, both
    )
    args = {"query": r(first), "key": r(2, 6, 3), "value": r(2, 6, 7)}
    kwargs = {"batch_first": True, "kdim": 3, "vdim": 7}
    module("MultiheadAttention", base | kwargs, args, names, {"need_weights": False}, both)
    args = {**qkv((5, 8), (6, 8)), "_attn_mask": r(5, 6) > 1}
    module("MultiheadAttention", base, args, names, {}, both)

    base = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
    for kwargs in (
        {},
        {"batch_first": True, "activation": "gelu"},
        {"norm_first": True, "activation": "gelu", "bias": False},
        {"batch_first": True, "norm_first": True, "layer_norm_eps": 1e-3},
    ):
        shape = first if kwargs.get("batch_first") else seq
        args = {"src": r(shape), "_src_key_padding_mask": padding(2, 5)}
        module("TransformerEncoderLayer", base | kwargs, args, ["src"])
    args = {"src": r(first), "_src_mask": ~torch.ones(5, 5).tril().bool()}
    module("TransformerEncoderLayer", base | {"batch_first": True}, args, ["src"])

    (HERE / "transformer.json").write_text(json.dumps(CASES, indent=1) + "\n")
    np.savez_compressed(HERE / "transformer.npz", **ARRAYS)


if __name__ == "__main__":
    main()
