"""`quantray run`: a file's outputs for some arrays, and how long they take."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np

from quantray._cli._data import batches, positive
from quantray._cli._difference import as_tuple
from quantray._cli._output import check_output, save_arrays
from quantray._cli._result import Result

if TYPE_CHECKING:
    from quantray._typing import Array

HELP = "compute a file's outputs for some arrays, and time it"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be typed."""
    parser.add_argument("model", help="an ONNX file")
    parser.add_argument(
        "--data", required=True, help="an .npz with an array for each input, or an .npy for the only one"
    )
    parser.add_argument("-o", "--output", help="an .npz to write the outputs to")
    parser.add_argument("--batch", type=positive, default=16, help="samples in one call (16)")
    parser.add_argument("--repeat", type=positive, default=1, help="how often to go through all samples")
    parser.add_argument("--threads", type=positive, help="by default one for each core")


def run(given: argparse.Namespace) -> Result:
    """Computes all batches."""
    import quantray as qt

    if given.output:
        check_output(given.output, given.model, given.data, ending=".npz")
    if given.threads is not None:
        qt.set_num_threads(given.threads)
    model = qt.onnx.load(given.model)
    data = batches(given.data, model, given.batch)
    # The first call of each shape makes its program, too.
    first: list[float] = []
    times: list[float] = []
    known: set[tuple[tuple[int, ...], ...]] = set()
    outputs: list[tuple[Array, ...]] = []
    for turn in range(given.repeat):
        for batch in data:
            began = time.perf_counter()
            made = model(*batch)
            shapes = tuple(np.shape(array) for array in batch)
            (times if shapes in known else first).append(time.perf_counter() - began)
            known.add(shapes)
            if turn == 0:
                outputs.append(as_tuple(made))
    names = [value.name for value in model.outputs]
    whole = {
        name: np.concatenate([np.atleast_1d(each) for each in column])
        for name, column in zip(names, zip(*outputs, strict=True), strict=True)
    }
    if given.output:
        save_arrays(given.output, whole)
    median = 1e3 * float(np.median(times or first))
    count = len(first) + len(times)
    result: dict[str, object] = {
        "calls": count,
        "first_ms": 1e3 * first[0],
        "median_ms": median,
        "outputs": {name: list(array.shape) for name, array in whole.items()},
    }
    if not given.json and not given.quiet:
        for name, array in whole.items():
            print(f"{name} {array.dtype} {array.shape}")
        if times:
            said = (
                f"{count} calls, median {median:.3f} ms; the first one, which prepares the model, not counted"
            )
        else:
            said = f"1 call, {median:.3f} ms, in which the model was prepared: --repeat times it afterwards"
        print(said)
    return Result(result)
