"""The workflows in one call each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from quantray import nn
from quantray.quantization._batches import Batch, as_arguments, as_batches, check_arguments, check_model
from quantray.quantization._classes import Classes
from quantray.quantization._in_floats import in_floats
from quantray.quantization._metric import Metric, check_held_out
from quantray.quantization._static import quantized
from quantray.quantization.convert import convert
from quantray.quantization.prepare import prepare, prepare_qat
from quantray.quantization.qconfig_mapping import QConfigMapping, default_quantize_mapping
from quantray.quantization.report import is_in_integers, report

if TYPE_CHECKING:
    from quantray.quantization.qconfig import QConfig

M = TypeVar("M", bound=nn.Module)


def quantize(
    model: M,
    data: Iterable[Batch] | Callable[..., object] | None = None,
    qconfig_mapping: QConfig | QConfigMapping | Sequence[object] | None = None,
    mapping: Classes | bool | None = None,
    inplace: bool = False,
    *,
    run_fn: Callable[..., object] | None = None,
    run_args: Sequence[object] | None = None,
    transform: Callable[[Batch], object] | None = None,
    verbose: bool = True,
    metric: Metric | None = None,
    max_drop: float | None = None,
    data_held_out: object = None,
) -> M:
    """Post-training static quantization in one call.

    It fuses layers, finds where floats and integers meet, calibrates, converts, and reports. With a metric
    it goes on while that loses too much: remedies one after the other, cheapest first, each kept if it
    helps; at last some layers stay in floats.

    Parameters
    ----------
    model : Module
        Trained.
    data : iterable
        Some hundred samples like those that the model will see, in batches: arrays, or tuples of its
        arguments. One array is one batch.
    qconfig_mapping : QConfigMapping or QConfig, optional
        How each module is quantized; by default as `get_default_qconfig_mapping()` says, and LSTM and GRU
        dynamically: integers of weights, the range of each frame found in each call. By default, too, some
        rows of the data show what 8 bits of a fixed range are too little for: linear layers then find the
        range of each row in the call, and nodes that lose most for the least time stay in floats; the report
        says how much they would have lost. Where that would break the model (below 20 dB), channels of very
        different ranges are made alike beforehand, by powers of two: not a bit of the float function changes.
        For this, data are gone through once more; of what passes once only, a generator's batches, the first
        512 samples are kept. Whoever gives a mapping gets what it says.
    mapping : mapping, optional
        As for `convert`.
    inplace : bool
        Whether `model` itself is changed, and not a copy.
    run_fn, run_args : callable and sequence, optional
        In the place of `data` and `qconfig_mapping`, by name or by position, as in torch: `run_fn(model,
        *run_args)` calls the model with data; `qconfig` attributes say how layers are quantized.
    transform : callable, optional
        What makes the model's arguments of a batch: `lambda batch: batch[0]` for batches like `(x, y)`.
    verbose : bool
        Whether to print what became of each module, and to show bars.
    metric : callable, optional
        `metric(model, data_held_out)`, or `metric(model)`: a number, larger is better. Whatever it calls is
        a model.
    max_drop : float, optional
        How much less than the float model's the metric may be; without it the search goes on until nothing
        is lost.
    data_held_out : optional
        What `metric` is given: other data than `data`.

    Returns
    -------
    Module
        The model of integers. With a metric it has a `plan`: what each step gained and cost, which budget
        was kept, and the float model that the result was made of. Ctrl-C ends the search with the best
        model so far.

    Raises
    ------
    ValueError
        For no data; for a metric that gives no finite number, with the model that it was asked of; for a
        budget without a metric; for `data_held_out` that is `data`.

    Warns
    -----
    UserWarning
        Where the budget cannot be kept; where the default settings leave all of the model in floats, and
        nothing that is printed says so.

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
    model = in_floats(model, bool(inplace))
    if metric is not None:
        return _by_metric(
            model,
            cast("Iterable[Batch]", data),
            cast("QConfig | QConfigMapping | None", qconfig_mapping),
            bool(inplace),
            transform,
            verbose,
            metric,
            max_drop,
            data_held_out,
        )
    if max_drop is not None:
        raise ValueError(f"max_drop needs a metric that is to lose no more, got max_drop={max_drop!r} alone")
    if callable(data) and not isinstance(data, nn.Module):
        run_fn, run_args, data = data, cast("Sequence[object] | None", qconfig_mapping), None
        qconfig_mapping = None
    if isinstance(mapping, bool):
        inplace, mapping = mapping, None
    settings = cast("QConfig | QConfigMapping | None", qconfig_mapping)
    if run_fn is not None:
        if data is not None:
            raise ValueError("data and run_fn must not be given together")
        prepared = prepare(model, settings, inplace=inplace)
        run_fn(prepared, *(run_args or ()))
        return convert(prepared, mapping, inplace=True)
    if run_args is not None:
        raise ValueError("run_args must go with run_fn, got run_args alone")
    if data is None:
        raise ValueError("data must be batches that the model can be called with, got None")
    if settings is None and not _brings_settings(model):
        settings = default_quantize_mapping()
    spares = isinstance(settings, QConfigMapping) and settings._spares
    made = quantized(
        model,
        cast("Iterable[Batch]", data),
        settings,
        spares=spares,
        mapping=mapping,
        transform=transform,
        inplace=inplace,
        show_progress=verbose,
    )
    if verbose:
        print(report(made).short())
    elif spares and not is_in_integers(made):
        warnings.warn(
            "nothing of the model computes in integers: report(...) says why of each node", stacklevel=2
        )
    return made


def _brings_settings(model: nn.Module) -> bool:
    """Whether a model says itself how it is to be quantized."""
    return "qconfig_mapping" in model.__dict__ or any("qconfig" in m.__dict__ for m in model.modules())


def _by_metric(
    model: M,
    data: Iterable[Batch],
    qconfig_mapping: QConfig | QConfigMapping | None,
    inplace: bool,
    transform: Callable[[Batch], object] | None,
    verbose: bool,
    metric: Metric,
    max_drop: float | None,
    data_held_out: object,
) -> M:
    from quantray.quantization._ladder import Ladder
    from quantray.quantization.remedies._rewriting import mapping_of

    if inplace:
        raise ValueError("inplace must be False with a metric, which is asked of several models, got True")
    if max_drop is not None and not 0 <= max_drop < float("inf"):
        raise ValueError(f"max_drop must be a finite number of at least 0, got {max_drop!r}")
    check_held_out(data, data_held_out, metric)
    batches = [batch if transform is None else transform(batch) for batch in as_batches(data)]
    if not batches:
        raise ValueError("data must hold at least one batch, got none")
    check_arguments(model, as_arguments(batches[0]))
    mapping = mapping_of(model, qconfig_mapping)
    copied = model.copy()
    copied.eval()
    copied.__dict__["qconfig_mapping"] = mapping
    spares = mapping._spares or (isinstance(qconfig_mapping, QConfigMapping) and qconfig_mapping._spares)
    made = Ladder(copied, batches, metric, data_held_out, max_drop, verbose, spares=spares).climb()
    if verbose:
        print(made.__dict__["plan"])
    return cast("M", made)


def quantize_qat(
    model: M, run_fn: Callable[..., object], run_args: Sequence[object] = (), inplace: bool = False
) -> M:
    """Quantization aware training in one call.

    Parameters
    ----------
    model : Module
        `qconfig` attributes say how layers are trained; by default `get_default_qat_qconfig_mapping()`.
    run_fn : callable
        `run_fn(model, *run_args)` trains the prepared model.
    run_args : sequence
    inplace : bool
        Whether `model` itself is changed, and not a copy.

    Returns
    -------
    Module
        The model of integers.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> x = np.random.default_rng(0).standard_normal((8, 4), np.float32)
    >>> small = tq.quantize_qat(nn.Linear(4, 2), lambda model, x: model(x), (x,))
    >>> small(x).shape
    (8, 2)

    Source: `torch.ao.quantization.quantize_qat`.
    """
    if not callable(run_fn):
        raise TypeError(f"run_fn must be callable, got {type(run_fn).__name__}")
    ready = prepare_qat(model, inplace=inplace)
    run_fn(ready, *run_args)
    return convert(ready, inplace=True)
