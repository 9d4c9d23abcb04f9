"""Writes docs/differences-from-torch.md: what is not as in torch, on purpose.

    python scripts/differences.py

The rows below are the whole list of differences; what keeps the grid stands in `help(quantray.QTensor)`, and
names that are left out in `quantray.left_out()`. A test holds the page to them.
"""

import re
from pathlib import Path

import quantray as qt
from quantray._array_advice import ARRAY_METHODS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "differences-from-torch.md"

#: Where, what torch 2.15 does, what quantray does.
DIFFERENCES = {
    "Tensors": [
        (
            "A scale of 0, negative, NaN or infinite; a zero point of 256",
            "is taken, and fails later",
            "ValueError",
        ),
        (
            "NaN",
            "becomes 255, 0 or the least integer, by the code path",
            "ValueError, with count and first place",
        ),
        ("Infinities", "become 0 or 127 at the end of an array, saturate inside", "saturate everywhere"),
        ("float64, float16, integers, lists", "are refused", "are taken, rounded to float32 first"),
        ("`q[0] = other`", "copies codes, whatever the scales", "converts values"),
        (
            "`q.copy_(other)`",
            "swaps the scale under older views",
            "converts values; views keep their base's grid",
        ),
        ("`q[0]` of one axis", "is a view", "is an element of its own, as NumPy's; `q[0, ...]` is the view"),
        ("`q += 1`, `q[::2] = x`, assignment by a mask, of a list", "raise", "work, in the grid of `q`"),
        ("`q + q`, `q @ q`, `q.sum()`, `q.argmax()`, `where`", "raise", "work: see what keeps the grid"),
        (
            "Views per channel",
            "have a wrong axis or stale scales, or fail late",
            "carry their channels; what cannot raises",
        ),
        ("`np.asarray(q)`, `q.tolist()`, pickling, DLPack", "raise", "work"),
        ("`q.int_repr()`", "is a copy", "is the memory itself"),
        ("`make_per_tensor_quantized_tensor(codes, ...)`", "copies", "adopts the array"),
        ("`q.std()`", "is rounded to the grid", "is float32"),
        (
            "Dequantized channels",
            "are scaled in float64",
            "in float32, so that a view shows its base's values",
        ),
        ("`str(q.qscheme())`", "has `torch.` in front", "is the name alone"),
    ],
    "Operators": [
        ("Vector bodies and ends of arrays", "differ by one step, here and there", "are the same everywhere"),
        ("8-bit sums on CPUs without VNNI", "saturate in 16 bits; depthwise ones on all", "are exact"),
        (
            "`q.data_ptr()`, `q.layout`, `q.type()`",
            "speak of storage",
            "an address, `strided`, the module's name in front",
        ),
        (
            "`q` between two steps after bilinear resizing",
            "goes to either code, by the rounding of its weights",
            "the same, where weights are rounded otherwise",
        ),
    ],
    "Observers and training": [
        (
            "Default activations (`get_default_qconfig`, `default_observer`)",
            "leave a bit unused",
            "use all 8 bits",
        ),
        ("Learnable fake quantization", "is off by a step of its gradient below zero", "is right"),
        ("`FusedMovingAvgObsFakeQuantize`", "computes scales in a way of its own", "as its observer does"),
        (
            "`calculate_qparams()` of an observer that saw nothing",
            "warns, and gives scale 1, zero point 0",
            "RuntimeError",
        ),
        (
            "The state of `HistogramObserver`",
            "has `histogram`, which changes with the order of batches",
            "has finer counts, which do not; torch's is not loaded",
        ),
        ("Observers in `eval()`", "go on observing", "rest, unless they saw nothing yet"),
        ("Ranges of values near 3.4e38", "give infinite codes", "give the largest scale that is finite"),
        ("The trained and the converted model", "may differ by steps", "have the same scales and weights"),
    ],
    "Models": [
        (
            "`prepare`, `convert` without stubs and `fuse_modules`",
            "quantize nothing",
            "do it all from a call",
        ),
        (
            "`prepare(model, inplace)`, `quantize(model, run_fn, run_args)`",
            "are the only form",
            "are one form of two, told apart by type",
        ),
        (
            "`convert(mapping=...)`",
            "replaces classes",
            "`graph.register_layer` does; another mapping is refused",
        ),
        (
            "Dynamic layers",
            "quantize inputs to 7 bits, one scale for all",
            "8 bits, a scale for each row, unless told",
        ),
        (
            "Weights of dynamic layers (`default_dynamic_qconfig`)",
            "have one scale",
            "a scale for each output channel, unless told",
        ),
        (
            "A fused layer after `convert`",
            "is a `ConvReLU2d`, which is no `Conv2d`",
            "is a `Conv2d` or `Linear` with `relu`; the graph says what is fused",
        ),
        ("`nn.quantized.Linear().state_dict()`", "has `_packed_params`", "has `weight` and `bias`"),
        ("`nn.quantized.Embedding().weight()`", "is a method", "is the table itself, `.weight`"),
        ("Tables of 4 bits", "round scales and zero points to float16 when they look up", "do not"),
        (
            "`prepare`, `convert`, then `load_state_dict` of a quantized state",
            "fills layers that saw no data",
            "`load(path)`, or `load_state_dict(path)` of the float instance",
        ),
        (
            "`quantize_dynamic(dtype=torch.float16)`, `float16_dynamic_qconfig`",
            "keep weights in float16",
            "ValueError; `remedies.weight_only(model, bits=8)` has half as many bytes",
        ),
        (
            "`convert` of tables that were never called",
            "works",
            "wants one call, to see the graph; `quantize_dynamic` wants none",
        ),
        (
            "`optim.SGD(model.parameters(), lr=0.1)`",
            "holds the parameters",
            "`optim.SGD(0.1)`, then `update(model, grads)`",
        ),
        ("Dynamic convolutions", "round their output to the input's grid", "give the sums"),
        ("A second layer of `nn.quantizable.LSTM`, both ways", "fails", "works"),
        (
            "A call of a float model in `eval()`",
            "runs layer by layer",
            "is one program where that shows in nothing but the time, and the last bits of sums",
        ),
    ],
    "Files": [
        (
            "`torch.load`",
            "runs what a file says",
            "`load` runs nothing: of a `.pt` file it reads tensors, numbers and dicts, and refuses more",
        ),
        ("`torch.save(state, io.BytesIO())`", "takes what is open", "`save` takes a path"),
        (
            "Quantized models",
            "need their class and a state of packed objects",
            "load by their graph, without the class",
        ),
    ],
}


def table(rows: list[tuple[str, ...]], heads: tuple[str, ...]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]


def grids() -> list[tuple[str, str]]:
    """The table of `help(quantray.QTensor)`."""
    lines = (qt.QTensor.__doc__ or "").splitlines()
    rules = [i for i, line in enumerate(lines) if line.strip().startswith("====")]
    rows = []
    for line in lines[rules[0] + 1 : rules[1]]:
        # Columns are two blanks apart, or one where the first is as long as there is room.
        parts = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        if len(parts) == 1:
            left, _, right = line.strip().rpartition("` ")
            parts = [f"{left}`", right]
        rows.append((parts[0], parts[1]))
    return rows


def array_methods() -> list[tuple[str, str]]:
    """The table of `quantray._array_advice`."""
    return [(", ".join(f"`{name}`" for name in names.split()), text) for names, text in ARRAY_METHODS.items()]


def page() -> str:
    """The page."""
    lines = [
        "# Differences from torch",
        "",
        "Names, arguments and integers are torch 2.15's, bit for bit, but for what stands here. This page is",
        "written by `scripts/differences.py`, and tests hold what it says.",
    ]
    for where, rows in DIFFERENCES.items():
        lines += ["", f"## {where}", "", *table(rows, ("what", "torch", "quantray"))]
    lines += [
        "",
        "## Floats are NumPy arrays",
        "",
        "Parameters, activations, `dequantize()` and `int_repr()` are NumPy arrays `x`, with NumPy's",
        "methods. Where the `forward` of a model asks one of torch's, the exception says what stands here.",
        "One name means something else without an exception: `x.max(1)` is an array, and not values with",
        "indices.",
        "",
        *table(array_methods(), ("torch", "NumPy")),
    ]
    lines += ["", "## What keeps the grid", "", "A grid is a scale, a zero point and a dtype.", ""]
    lines += table(grids(), ("written", "what becomes of it"))
    lines += [
        "",
        "## Left out on purpose",
        "",
        "Each raises an AttributeError, or an ImportError, that says the same.",
        "",
    ]
    by_text: dict[str, list[str]] = {}
    for name, text in qt.left_out().items():
        by_text.setdefault(text, []).append(f"`{name}`")
    rows = [(", ".join(names), text) for text, names in by_text.items()]
    return "\n".join([*lines, *table(rows, ("names", "instead"))]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
