"""The workflows in one call each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from quantray import nn
from quantray.quantization._batches import as_arguments, as_batches, check_arguments, check_model
from quantray.quantization.calibrate import calibrate
from quantray.quantization.convert import convert
from quantray.quantization.prepare import prepare
from quantray.quantization.report import report

if TYPE_CHECKING:
    from quantray.quantization.qconfig import QConfig
    from quantray.quantization.qconfig_mapping import QConfigMapping

M = TypeVar("M", bound=nn.Module)


def quantize(
    model: M,
    data: Iterable[Any] | Any,
    qconfig_mapping: QConfig | QConfigMapping | None = None,
    inplace: bool = False,
    *,
    transform: Callable[[Any], Any] | None = None,
    verbose: bool = True,
) -> M:
    """Post-training static quantization in one call.

    It fuses layers, finds where floats and integers meet, calibrates, converts, and reports.

    Parameters
    ----------
    model : Module
        Trained.
    data : iterable
        Some hundred samples like those that the model will see, in batches: arrays, or tuples of its
        arguments. One array is one batch.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How each module is quantized; `get_default_qconfig_mapping()` by default.
    inplace : bool
        Whether `model` itself is changed, and not a copy.
    transform : callable, optional
        What makes the model's arguments of a batch: `lambda batch: batch[0]` for batches like `(x, y)`.
    verbose : bool
        Whether to print what became of each module, and to show bars.

    Returns
    -------
    Module
        The model of integers.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = np.random.default_rng(0).standard_normal((64, 4), np.float32)
    >>> small = tq.quantize(model, x, verbose=False)
    >>> bool(np.abs(small(x) - model(x)).max() < 0.05)
    True

    Source: PyTorch's post-training static quantization, without stubs.
    """
    check_model(model)
    given = as_batches(data)
    batches: Iterator[Any] = iter(given)
    first = next(batches, None)
    if first is None:
        raise ValueError("data must hold at least one batch, got none")
    args = as_arguments(first if transform is None else transform(first), model)
    check_arguments(model, args)
    ready = prepare(model, qconfig_mapping, args, inplace=inplace)
    # What can be gone through once only goes on; of others the bar knows how many there are.
    rest = itertools.chain([first], batches) if batches is given else given
    calibrate(ready, rest, transform=transform, show_progress=verbose)
    made = convert(ready, inplace=True)
    if verbose:
        print(report(made).short())
    return made
