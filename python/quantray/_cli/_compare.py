"""`quantray compare`: how far the outputs of two files are apart."""

from __future__ import annotations

import argparse

import numpy as np

from quantray._cli._data import batches, cosine, positive
from quantray._cli._difference import Pair, as_tuple, difference, pair
from quantray._cli._errors import Usage
from quantray._cli._result import Result

HELP = "how far the outputs of two files are apart"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be typed."""
    parser.add_argument("first", help="an ONNX file, most often the one in floats")
    parser.add_argument("second", help="another one with the same inputs and outputs")
    parser.add_argument(
        "--data", required=True, help="an .npz with samples for each input, or an .npy for the only one"
    )
    parser.add_argument("--batch", type=positive, default=16, help="samples in one call (16)")
    parser.add_argument(
        "--min-cosine", type=cosine, help="end with 1 where an output's mean cosine is below it"
    )


def run(given: argparse.Namespace) -> Result:
    """Prints a row for each output."""
    from quantray import onnx
    from quantray._tables import Column, Table

    first, second = onnx.load(given.first), onnx.load(given.second)
    takes = [[value.name for value in model.inputs] for model in (first, second)]
    if takes[0] != takes[1]:
        one, two = (", ".join(each) for each in takes)
        raise Usage(f"{given.first} takes {one}, and {given.second} {two}")
    names = [value.name for value in first.outputs]
    if len(names) != len(second.outputs):
        raise Usage(f"{given.first} has {len(names)} outputs, and {given.second} {len(second.outputs)}")
    found: list[list[Pair]] = [[] for _ in names]
    for batch in batches(given.data, first, given.batch):
        ones, twos = (as_tuple(model(*batch)) for model in (first, second))
        for pairs, one, two in zip(found, ones, twos, strict=True):
            if np.shape(one) != np.shape(two):
                raise Usage(
                    f"an output is of shape {np.shape(one)} in the first file, {np.shape(two)} in the second"
                )
            pairs.append(pair(one, two))
    rows = [difference(name, pairs) for name, pairs in zip(names, found, strict=True)]
    if not given.json and not given.quiet:
        heads = (
            "output",
            "samples",
            "cosine",
            "least cosine",
            "SQNR dB",
            "greatest difference",
            "same greatest %",
        )
        columns = [Column(heads[0]), *(Column(head, right=True) for head in heads[1:])]
        texts = [
            [str(value) if isinstance(value, str) else f"{value:,.6g}" for value in row.values()]
            for row in rows
        ]
        print(Table(columns, texts))
    if given.min_cosine is None:
        return Result({"outputs": rows})
    is_near = all(row["cosine"] >= given.min_cosine for row in rows)
    return Result({"outputs": rows, "ok": is_near}, 0 if is_near else 1)
