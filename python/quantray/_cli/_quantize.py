"""`quantray quantize`: a float model's file becomes one of integers."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from typing import Any

from quantray._cli._data import batches, positive
from quantray._cli._errors import Usage

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


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Quantizes, writes, and says what became of each node."""
    from quantray import nn, onnx
    from quantray import quantization as tq

    if given.dynamic == bool(given.data):
        raise Usage("give --data for static quantization, or --dynamic")
    if given.dynamic and given.bits != 8:
        raise Usage(f"--bits must be 8 with --dynamic, got {given.bits}")
    model = onnx.load(given.model)
    names = {name for name, _ in model.named_modules()}
    for name in given.float:
        if name not in names:
            raise Usage(
                f"--float names {name!r}, which the model does not have; `quantray inspect` lists its nodes"
            )
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if given.dynamic:
            asked: Any = dict.fromkeys(given.float)
            kinds = [nn.Linear, nn.LSTM, nn.GRU, nn.Embedding, nn.MultiheadAttention]
            if given.convolutions:
                kinds += [nn.Conv1d, nn.Conv2d, nn.Conv3d]
            spec = (
                {**dict.fromkeys(kinds, tq.per_channel_dynamic_qconfig), **asked}
                if given.float or given.convolutions
                else None
            )
            made = tq.quantize_dynamic(model, spec)
        else:
            mapping = tq.get_default_qconfig_mapping()
            if given.bits != 8:
                mapping.set_global(_few_bits(given.bits))
            for name in given.float:
                mapping.set_module_name(name, None)
            made = tq.quantize(
                model,
                batches(given.data, model, given.batch),
                mapping,
                verbose=not given.json and not given.quiet,
            )
    onnx.save(made, given.output)
    result: dict[str, Any] = {
        "output": given.output,
        "bytes": os.path.getsize(given.output),
        "bytes_before": os.path.getsize(given.model),
        "seconds": round(time.perf_counter() - began, 2),
        "warnings": list(dict.fromkeys(str(warning.message) for warning in said)),
    }
    if not given.json and not given.quiet:
        if given.dynamic:
            print(tq.report(made))
        for text in result["warnings"]:
            print(f"warning: {text}")
        ratio = result["bytes_before"] / max(result["bytes"], 1)
        print(
            f"{given.output}: {result['bytes']:,} bytes, {ratio:.1f} times smaller, in {result['seconds']} s"
        )
    return result


def _few_bits(bits: int) -> Any:
    """Weights of so many bits, per channel; activations of eight."""
    from quantray import quantization as tq

    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    default = tq.get_default_qconfig()
    weight = tq.default_per_channel_weight_observer.with_args(quant_min=low, quant_max=high)
    return tq.QConfig(activation=default.activation, weight=weight)
