"""Makes model_names.json: torch 2.15's names of quantized models, their arguments, and what they compute.

NAMES are taken from torch itself. CASES are programs that run in both libraries: `tq`, `nn`, `nnq`, `nnqd`,
`nnqat`, `nni`, `nniqat`, `nniq`, `nnz`, `qF` are modules, `q`, `q4`, `w`, `wc` quantized tensors, `x`, `x4`,
`fw`, `fb` floats; what they leave in `result` is stored. Needs torch.
`python tests/reference/make_model_names.py` in the repository's folder.
"""

# ruff: noqa: SIM905

import inspect
import json
import pathlib
import warnings

import numpy as np
from model_programs import CASES

HERE = pathlib.Path(__file__).parent
SCALE, ZERO_POINT = 0.05, 100

#: By torch.ao's place of names.
PLACES = """
    quantization nn.quantized nn.quantized.dynamic nn.qat nn.qat.dynamic nn.intrinsic nn.intrinsic.qat
    nn.intrinsic.quantized nn.intrinsic.quantized.dynamic nn.quantizable nn.quantized.functional
""".split()

rng = np.random.default_rng(0)
SHAPES = {"q": (3, 4), "q2": (3, 4), "q3": (2, 4, 6), "q4": (2, 4, 5, 5), "q5": (1, 4, 3, 3, 3)}
CODES = {name: rng.integers(60, 140, shape).tolist() for name, shape in SHAPES.items()}
FLOATS = {
    "x": rng.normal(size=(6, 4)),
    "x3": rng.normal(size=(2, 4, 6)),
    "x4": rng.normal(size=(2, 4, 5, 5)),
    "x5": rng.normal(size=(1, 4, 3, 3, 3)),
    "fw": rng.normal(size=(3, 4)) / 2,
    "fb": rng.normal(size=3),
    "ones4": rng.normal(size=4) ** 2 + 0.5,
    "fb4": rng.normal(size=4),
    "table": rng.normal(size=(5, 8)),
    "steps": rng.normal(size=(3, 2, 4)),
}
FLOATS = {name: np.float32(np.round(value, 3)).tolist() for name, value in FLOATS.items()}
WEIGHTS = {
    "w": rng.integers(-50, 50, (3, 4)).tolist(),
    "w1": rng.integers(-50, 50, (3, 4, 3)).tolist(),
    "w2": rng.integers(-50, 50, (3, 4, 3, 3)).tolist(),
    "w3": rng.integers(-50, 50, (3, 4, 2, 2, 2)).tolist(),
    "t1": rng.integers(-50, 50, (4, 3, 3)).tolist(),
    "t2": rng.integers(-50, 50, (4, 3, 3, 3)).tolist(),
    "t3": rng.integers(-50, 50, (4, 3, 2, 2, 2)).tolist(),
}


def fill(*shape):
    """Numbers that both libraries make alike."""
    size = int(np.prod(shape))
    return np.sin(np.arange(size, dtype=np.float64) * 1.7).reshape(shape).astype(np.float32) / 2


def names(table):
    """Classes by name."""
    return {
        kind.__name__: made.__name__
        for kind, made in table.items()
        # A subclass of Linear that torch has inside of attention.
        if kind.__name__ != "NonDynamicallyQuantizableLinear"
    }


def _spaces():
    import torch
    import torch.ao.nn.intrinsic as nni
    import torch.ao.nn.intrinsic.qat as nniqat
    import torch.ao.nn.intrinsic.quantized as nniq
    import torch.ao.nn.intrinsic.quantized.dynamic as nniqd
    import torch.ao.nn.qat as nnqat
    import torch.ao.nn.qat.dynamic as nnqatd
    import torch.ao.nn.quantizable as nnz
    import torch.ao.nn.quantized as nnq
    import torch.ao.nn.quantized.dynamic as nnqd
    import torch.ao.nn.quantized.functional as qF
    import torch.ao.quantization as tq

    spaces = dict(zip(PLACES, (tq, nnq, nnqd, nnqat, nnqatd, nni, nniqat, nniq, nniqd, nnz, qF), strict=True))
    return torch, spaces


def _names(space, is_functions):
    if is_functions:
        return sorted(
            n for n, v in vars(space).items() if inspect.isfunction(v) and v.__module__ == space.__name__
        )
    own = getattr(space, "__all__", None) or [n for n, v in vars(space).items() if inspect.isclass(v)]
    return sorted(n for n in own if hasattr(space, n) and not n.startswith("_"))


def _arguments(value):
    """Names of arguments in their order; None where it is no function, or passes on what it gets."""
    if not callable(value):
        return None
    try:
        found = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return None
    kinds = {p.kind for p in found.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds or not (inspect.isclass(value) or inspect.isfunction(value)):
        return None
    return [n for n, p in found.items() if p.kind is not inspect.Parameter.VAR_KEYWORD]


def stored(torch, value):
    """A result as JSON."""
    if isinstance(value, torch.Tensor) and value.is_quantized:
        return {
            "codes": value.int_repr().flatten().tolist(),
            "shape": list(value.shape),
            "scale": value.q_scale(),
            "zero_point": value.q_zero_point(),
            "dtype": str(value.dtype).removeprefix("torch."),
        }
    if isinstance(value, torch.Tensor):
        return {"values": value.detach().flatten().tolist(), "shape": list(value.shape)}
    if isinstance(value, dict):
        return {key: stored(torch, v) for key, v in value.items()}
    return [stored(torch, v) for v in value] if isinstance(value, (tuple, list)) else value


def main():
    torch, spaces = _spaces()
    tq, nnq, nnqd, nnqat, nnqatd, nni, nniqat, nniq, nniqd, nnz, qF = spaces.values()

    def tensors():
        quantized = {
            name: torch._make_per_tensor_quantized_tensor(
                torch.tensor(codes, dtype=torch.uint8), SCALE, ZERO_POINT
            )
            for name, codes in CODES.items()
        }
        weights = {
            name: torch._make_per_tensor_quantized_tensor(torch.tensor(c, dtype=torch.int8), 0.01, 0)
            for name, c in WEIGHTS.items()
        }
        floats = {name: torch.tensor(value, dtype=torch.float32) for name, value in FLOATS.items()}
        return {**quantized, **weights, **floats}

    def filled(module):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.tensor(fill(*parameter.shape)))

    environment = {
        "nn": torch.nn, "tq": tq, "nnq": nnq, "nnqd": nnqd, "nnqat": nnqat, "nnqatd": nnqatd, "nni": nni,
        "nniqat": nniqat, "nniq": nniq, "nniqd": nniqd, "nnz": nnz, "qF": qF, "names": names,
        "filled": filled, "number": torch.tensor, "quint8": torch.quint8, "qint8": torch.qint8,
        "idx": torch.tensor([0, 3, 3, 1]), "offsets": torch.tensor([0, 2, 4]),
        "fill": lambda *shape: torch.tensor(fill(*shape)),
    }  # fmt: skip
    for case in CASES:
        made = {**environment, **tensors()}
        made["fw2"], made["ones3"] = made["w2"].dequantize(), made["ones4"][:3].clone()
        made["slope"] = torch.quantize_per_tensor(torch.tensor([0.25]), 0.01, 0, torch.quint8)
        try:
            exec(case["code"], made)
            case["result"] = stored(torch, made["result"])
        except Exception as error:
            print(case["of"], type(error).__name__, str(error)[:150])
            case["fails"] = type(error).__name__
    table = [
        {"place": place, "name": name, "arguments": _arguments(getattr(space, name))}
        for place, space in spaces.items()
        for name in _names(space, place.endswith("functional"))
    ]
    made = {"scale": SCALE, "zero_point": ZERO_POINT, "codes": CODES, "weights": WEIGHTS, "floats": FLOATS}
    made |= {"names": table, "cases": CASES}
    text = json.dumps(made, separators=(",", ":"))
    text = text.replace('{"place"', '\n{"place"').replace('{"of"', '\n{"of"')
    (HERE / "model_names.json").write_text(text + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
