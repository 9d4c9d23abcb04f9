"""`quantray inspect`: what a file holds."""

from __future__ import annotations

import argparse
from collections import Counter

from quantray._cli._result import Result

HELP = "show what a file holds: inputs, outputs, steps"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be typed."""
    parser.add_argument("file", help="an ONNX file")
    parser.add_argument("--steps", action="store_true", help="list all steps, not how many of each kind")


def run(given: argparse.Namespace) -> Result:
    """Prints the model, or its steps."""
    from quantray import onnx
    from quantray import quantization as tq
    from quantray._tables import Column, Table

    model = onnx.load(given.file)
    steps = [(row.path, model.get_submodule(row.path)._get_name()) for row in model.plan.rows]
    parameters = sum(int(parameter.size) for parameter in model.parameters())
    report = tq.report(model)
    integers = sum(bool(line.in_integers) for line in report.counted)
    result: dict[str, object] = {
        "producer": model.producer,
        "opset": model.opset,
        "inputs": [value._asdict() for value in model.inputs],
        "outputs": [value._asdict() for value in model.outputs],
        "parameters": parameters,
        "bytes": report.total,
        "in_integers": integers,
        "steps": dict(Counter(kind for _, kind in steps)),
        "metadata": model.metadata,
    }
    if given.steps:
        result["nodes"] = [{"name": path, "step": kind} for path, kind in steps]
    if not given.json and not given.quiet:
        text = str(Table([Column("name", wraps=True), Column("step")], steps) if given.steps else model)
        print(text)
        if not integers:
            print(f"{parameters:,} parameters")
        elif report.headline() not in text:
            print(report.headline())
    return Result(result)
