"""Dynamic quantization: integer weights, activations quantized in each call by their own range."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

import numpy as np

from quantray import nn
from quantray._core import PerTensorAffineQuantizer, qint8
from quantray._typing import Args, QDType
from quantray.graph.kinds import registered_layers
from quantray.nn._state import nearest
from quantray.nn.quantized._weights import NO_FLOAT16, is_float16
from quantray.quantization._batches import Batch, as_arguments, as_batches, check_arguments, check_model
from quantray.quantization._classes import Choices, Classes
from quantray.quantization._dynamic_layers import (
    TABLES,
    WEIGHTS,
    DynamicLayers,
    Wanted,
    integer_classes,
    is_convolution,
    kinds_of,
)
from quantray.quantization._dynamic_runner import Dynamic
from quantray.quantization.observer._zeros import warn_of_zero_values
from quantray.quantization.prepare import check_is_float

M = TypeVar("M", bound=nn.Module)


def quantize_dynamic(
    model: M,
    qconfig_spec: Collection[type[nn.Module] | str] | Choices | None = None,
    dtype: QDType = qint8,
    mapping: Classes | None = None,
    inplace: bool = False,
    *,
    per_row: bool = True,
    per_channel: bool = True,
    data: Iterable[Batch] | None = None,
    transform: Callable[[Batch], object] | None = None,
) -> M:
    """A model with integer weights, whose activations are quantized in each call, by their own range.

    No data are needed, though a few make it more exact. It suits models whose time goes into reading weights
    or into products of them: transformers, recurrent networks, linear layers.

    Parameters
    ----------
    model : Module
        Trained; the result is in evaluation mode.
    qconfig_spec : set or mapping, optional
        Which modules: a set of classes and of dotted names, or a mapping from these to a QConfig, or to
        None for what stays in float. By default all classes that there is an integer version of, but
        convolutions: these gain by `quantize`, which takes their ranges from data, and lose accuracy by
        ranges of single images. A class of layers is meant where they are fused, too.
    dtype : dtype
        Of the weights: qint8, or quint8; tables of embeddings are quint8, or quint4x2 if asked for.
    mapping : mapping, optional
        Float classes to classes with `from_float`, beside and before those that are known.
    inplace : bool
        Whether `model` itself is changed, and not a copy.
    per_row : bool
        Whether each row of activations (each token; each image, where it is a convolution) has a scale of its
        own: more exact, and hardly slower. torch has one for all rows.
    per_channel : bool
        Whether each output has a scale for its weights. torch has one for all.
    data : iterable, optional
        Some samples like those that the model will see, in batches: arrays, or tuples of its arguments.
        Linear layers then multiply their inputs by a factor for each channel before they round them, where
        that loses less: SmoothQuant, hardly slower.
    transform : callable, optional
        What makes the model's arguments of a batch of `data`.

    Returns
    -------
    Module
        The model; `report(model)` shows what each module computes in.

    Raises
    ------
    ValueError
        For a class that there is no integer version of, and for names that the model does not have; for
        weights that are not finite, with the module's name; for data without a batch. The model is left as it
        was.

    Warns
    -----
    UserWarning
        Where nothing was quantized; for layers of a file whose outputs are levels of a signal, which stay in
        float unless they are named; and for modules with a matrix, or more, of weights that were asked for
        and are left in float, since they have no integer version.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    >>> print(tq.report(tq.quantize_dynamic(model, {nn.Linear})))
    module  type    computes in       bits   bytes
    ----------------------------------------------
    0       Linear  qint8 -> float32  w8 a8  4,352
    2       Linear  qint8 -> float32  w8 a8    544
    ----------------------------------------------
    total                                    4,896

    Source: `torch.ao.quantization.quantize_dynamic`; "SmoothQuant" (Xiao et al., arXiv:2211.10438).
    """
    check_model(model)
    check_is_float(model)
    known = {**integer_classes(), **registered_layers(), **(mapping or {})}
    settings = {"dtype": _dtype_of_weights(dtype), "per_row": per_row, "per_channel": per_channel}
    wanted = _wanted(qconfig_spec, known, model)
    # Weights that are rounded anew are those of floats.
    exact = model.copy().eval() if inplace and data is not None else model
    samples = None if data is None else _samples(data, transform, exact)
    model = model if inplace else model.copy()
    layers = DynamicLayers(model, wanted, known, settings, by_default=qconfig_spec is None)
    result = layers.put()
    for name, weight in layers.seen:
        warn_of_zero_values(weight, weight, float(np.finfo(np.float32).eps), name, stacklevel=3)
    if layers.left and layers.count:
        warnings.warn(f"left in float, without an integer version: {', '.join(layers.left)}", stacklevel=2)
    if layers.stays:
        said = ", ".join(f"{path} ({why})" for path, why in layers.stays.items())
        warnings.warn(f"left in float, unless qconfig_spec names them: {said}", stacklevel=2)
    elif layers.count == 0:
        warnings.warn(_nothing(model, layers.asked, known), stacklevel=2)
    result.eval()
    if layers.count:
        # Layers that are called by themselves need none.
        result.__dict__["_runner"] = Dynamic() if result._modules else None
    if layers.count and samples is not None:
        from quantray.quantization.remedies._input_factors import smooth_inputs

        smooth_inputs(exact, result, samples)
    return cast("M", result)


def _dtype_of_weights(dtype: QDType) -> QDType:
    known = _known(dtype)
    if known not in (*WEIGHTS, *TABLES):
        other = "quantization.remedies.weight_only makes layers of weights of 2 to 8 bits"
        raise ValueError(
            f"dtype must be qint8 or quint8, or quint4x2 for tables, got {dtype!r}; "
            f"{NO_FLOAT16 if is_float16(dtype) else other}"
        )
    return known


def _wanted(
    spec: Collection[type[nn.Module] | str] | Choices | None, known: Classes, model: nn.Module
) -> Wanted:
    """What is asked for, by classes that are known and names that the model has."""
    if isinstance(spec, (str, type)):
        raise TypeError(
            f"qconfig_spec must be a set of classes and names, or a mapping, got {spec!r}: write "
            "{...} around it"
        )
    if spec is None:
        return {kind: True for kind in known if not is_convolution(kind)}
    given: Wanted = dict(cast("Choices", spec)) if isinstance(spec, Mapping) else dict.fromkeys(spec, True)
    wanted = {model._file_names.get(key, key) if isinstance(key, str) else key: q for key, q in given.items()}
    names = {name for name, _ in model.named_modules()}
    for key in wanted:
        if isinstance(key, str) and key not in names:
            hint = nearest(key, sorted(names)) or "; types are classes, such as nn.Linear"
            raise ValueError(f"qconfig_spec names {key!r}, which the model does not have{hint}")
        if isinstance(key, type) and key.__module__.split(".")[0] == "torch":
            raise ValueError(
                f"qconfig_spec has torch's class {key.__name__}: write quantray.nn.{key.__name__}, of which "
                "the model's layers are"
            )
        if isinstance(key, type) and key not in known:
            have = ", ".join(sorted(kind.__name__ for kind in known))
            raise ValueError(
                f"qconfig_spec has {key.__name__}, which has no integer version; these have: {have}"
            )
    return wanted


def _samples(
    data: Iterable[Batch], transform: Callable[[Batch], object] | None, model: nn.Module
) -> Iterator[Args]:
    """The model's arguments, batch by batch; the first ones are looked at before anything changes."""
    batches = iter(as_batches(data))
    first = next(batches, None)
    if first is None:
        raise ValueError("data must hold at least one batch, got none")
    args = as_arguments(first if transform is None else transform(first), model)
    check_arguments(model, args)
    if not model.training:
        model(*args)
    rest = (as_arguments(each if transform is None else transform(each), model) for each in batches)
    return itertools.chain([args], rest)


def _nothing(model: nn.Module, asked: Sequence[type], known: Classes) -> str:
    """Which classes were looked for, and which ones there are instead."""
    classes = ", ".join(sorted(kind.__name__ for kind in asked)) or "none"
    said = f"nothing was quantized: the model has no layer of the classes asked for ({classes})"
    kinds = {kind for module in model.modules() for kind in kinds_of(module) if kind in known}
    if not kinds.isdisjoint(asked):
        return f"nothing was quantized: all layers of the classes asked for ({classes}) are left out by name"
    others = {kind.__name__ for kind in kinds}
    return f"{said}; it has {', '.join(sorted(others))}, which qconfig_spec may name" if others else said


def _known(dtype: QDType) -> QDType:
    """A dtype from its name, or from NumPy's or torch's one; what is none stays for the message."""
    try:
        return PerTensorAffineQuantizer(1.0, 0, dtype).dtype
    except (TypeError, ValueError):
        return dtype
