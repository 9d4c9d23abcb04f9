"""`quantray quantize`: a float model's file becomes one of integers."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import TYPE_CHECKING, TypedDict

from quantray._cli._data import batches, positive, share
from quantray._cli._errors import Usage
from quantray._cli._metrics import METRICS, metric_of
from quantray._cli._output import check_output
from quantray._cli._result import Result
from quantray._cli._words import in_words, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from quantray._typing import Array
    from quantray.nn import Module
    from quantray.onnx import Model
    from quantray.quantization import QConfig

HELP = "make a file of integers of a float model"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be typed."""
    parser.add_argument("model", help="an ONNX file in floats")
    parser.add_argument("-o", "--output", required=True, help="the file to write")
    parser.add_argument(
        "--data", help="an .npz with some hundred samples for each input, or an .npy for the only one"
    )
    parser.add_argument(
        "--dynamic", action="store_true", help="integer weights alone in the file; needs no data"
    )
    parser.add_argument("--bits", type=int, default=8, choices=range(2, 9), metavar="2..8", help="of weights")
    parser.add_argument("--batch", type=positive, default=16, help="samples in one call (16)")
    parser.add_argument(
        "--float", action="append", default=[], metavar="NODE", help="a node that stays in float"
    )
    parser.add_argument("--convolutions", action="store_true", help="with --dynamic: convolutions too")
    parser.add_argument(
        "--max-drop",
        type=share,
        metavar="DROP",
        help="with --data: go on, remedy by remedy, until the outputs lose no more than this against the "
        "float model's, which have 1; end with 1 where that cannot be",
    )
    parser.add_argument(
        "--metric",
        choices=sorted(METRICS),
        help="what --max-drop is of: the mean cosine of the outputs (the default), or the share of samples "
        "whose greatest output is the same",
    )
    parser.add_argument(
        "--held-out",
        metavar="FILE",
        help="what --max-drop is measured on; by default a quarter of --data, which is not calibrated with",
    )


def run(given: argparse.Namespace) -> Result:
    """Quantizes, writes, and says what became of each node."""
    from quantray import onnx
    from quantray import quantization as tq

    _check(given)
    check_output(given.output, given.model, given.data, given.held_out)
    model = onnx.load(given.model)
    names = {name for name, _ in model.named_modules()} | model._file_names.keys()
    for name in given.float:
        if name not in names:
            raise Usage(
                f"--float names {name!r}, which the model does not have; `quantray inspect --steps` "
                "lists its nodes"
            )
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        made = _dynamic(given, model) if given.dynamic else _static(given, model)
    onnx.save(made, given.output)
    size, size_before = os.path.getsize(given.output), os.path.getsize(given.model)
    seconds = round(time.perf_counter() - began, 2)
    texts = list(dict.fromkeys(said(str(warning.message)) for warning in warned))
    report = in_words(tq.report(made), bool(given.float))
    if not any(line.in_integers for line in report.lines) and not texts:
        texts.append("nothing of the model computes in integers")
    result: dict[str, object] = {
        "output": given.output,
        "bytes": size,
        "bytes_before": size_before,
        "seconds": seconds,
        "warnings": texts,
        "nodes": [
            {
                "name": line.name,
                "type": line.kind,
                "computes_in": line.computes,
                "in_integers": line.in_integers,
                "weight_bits": line.weight_bits,
                "activation_bits": line.activation_bits,
                "bytes": line.bytes,
                "note": line.note,
            }
            for line in report.lines
        ],
    }
    code = 0
    if given.max_drop is not None:
        plan = made.__dict__["plan"]
        best = next(step.metric for step in plan if step.is_chosen)
        result |= {"metric": best, "drop": plan.float_metric - best, "ok": plan.is_within}
        code = 0 if plan.is_within else 1
    if _is_told(given):
        if given.max_drop is None:
            print(report.short())
        for text in texts:
            print(f"warning: {text}")
        ratio = size_before / max(size, 1)
        change = f"{ratio:.1f} times smaller" if ratio >= 1 else f"{1 / ratio:.1f} times larger"
        print(f"{given.output}: {size:,} bytes, {change}, in {seconds} s")
    return Result(result, code)


def _check(given: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    if given.dynamic == bool(given.data):
        what = ", not both" if given.dynamic else ""
        raise Usage(f"give --data for static quantization, or --dynamic{what}")
    if given.dynamic and given.bits != 8:
        raise Usage(f"--bits must be 8 with --dynamic, got {given.bits}")
    if given.max_drop is None and (given.metric or given.held_out):
        raise Usage("give --max-drop with --metric and --held-out")
    if given.max_drop is not None and given.dynamic:
        raise Usage("--max-drop goes with --data, not with --dynamic")
    if given.convolutions and not given.dynamic:
        raise Usage("--convolutions goes with --dynamic; with --data they are quantized anyway")


def _dynamic(given: argparse.Namespace, model: Model) -> Model:
    from quantray import nn
    from quantray import quantization as tq

    kinds = [nn.Linear, nn.LSTM, nn.GRU, nn.Embedding, nn.MultiheadAttention]
    if given.convolutions:
        kinds += [nn.Conv1d, nn.Conv2d, nn.Conv3d]
    spec: dict[type[nn.Module] | str, tq.QConfig | None] = {
        **dict.fromkeys(kinds, tq.per_channel_dynamic_qconfig),
        **dict.fromkeys(given.float),
    }
    return tq.quantize_dynamic(model, spec if given.float or given.convolutions else None)


def _static(given: argparse.Namespace, model: Model) -> Model:
    from quantray import quantization as tq
    from quantray.quantization._static import quantized
    from quantray.quantization.qconfig_mapping import default_quantize_mapping

    mapping = default_quantize_mapping()
    if given.bits != 8:
        mapping = tq.get_default_qconfig_mapping().set_global(_few_bits(given.bits))
    for name in given.float:
        mapping.set_module_name(name, None)
    data, search = _data_of(given, model)
    if search:
        return tq.quantize(model, data, mapping, verbose=_is_told(given), **search)
    return quantized(model, data, mapping, spares=mapping._spares, show_progress=_is_told(given))


def _is_told(given: argparse.Namespace) -> bool:
    """Whether texts are for a person."""
    return not given.json and not given.quiet


class _Search(TypedDict, total=False):
    """Arguments of `quantize` that keep a budget."""

    metric: Callable[[Module, list[tuple[Array, ...]]], float]
    max_drop: float
    data_held_out: list[tuple[Array, ...]]


def _data_of(given: argparse.Namespace, model: Model) -> tuple[list[tuple[Array, ...]], _Search]:
    """Batches to calibrate with, and what the search for a model that keeps a budget needs."""
    data = batches(given.data, model, given.batch)
    if given.max_drop is None:
        return data, {}
    if given.held_out:
        held_out = batches(given.held_out, model, given.batch)
    else:
        if len(data) < 2:
            raise Usage(
                f"{given.data} must have samples for two calls and more, a quarter of which --max-drop is "
                "measured on; give --held-out, or a smaller --batch"
            )
        # Every fourth one: files are often sorted.
        held_out = data[3::4] or data[-1:]
        data = [batch for i, batch in enumerate(data) if i % 4 != 3] if len(data) > 3 else data[:-1]
    metric = metric_of(given.metric or "cosine", model)
    return data, {"metric": metric, "max_drop": given.max_drop, "data_held_out": held_out}


def _few_bits(bits: int) -> QConfig:
    """Weights of so many bits, per channel; activations of eight."""
    from quantray import quantization as tq

    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    default = tq.get_default_qconfig()
    weight = tq.default_per_channel_weight_observer.with_args(quant_min=low, quant_max=high)
    return tq.QConfig(activation=default.activation, weight=weight)
