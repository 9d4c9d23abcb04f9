"""Dynamic quantization: integer weights, activations quantized in each call by their own range."""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar, cast, runtime_checkable

import numpy as np

from quantray import nn
from quantray._core import PerTensorAffineQuantizer, QTensor, qint8, quint4x2, quint8
from quantray._typing import Args, Array, QDType
from quantray.graph._trees import is_array
from quantray.graph.kinds import registered_layers
from quantray.nn._conv import _Conv
from quantray.nn._state import nearest
from quantray.nn.intrinsic import FusedWeighted
from quantray.nn.intrinsic._fused import PATTERNS
from quantray.nn.quantized._weights import NO_FLOAT16, is_float16
from quantray.quantization._batches import Batch, as_arguments, as_batches, check_arguments, check_model
from quantray.quantization._classes import Choices, Classes, from_float
from quantray.quantization._dynamic_runner import Dynamic
from quantray.quantization._in_floats import float_layer
from quantray.quantization.observer._zeros import warn_of_zero_values
from quantray.quantization.prepare import check_is_float
from quantray.quantization.qconfig import QConfig

M = TypeVar("M", bound=nn.Module)


@runtime_checkable
class SaysWhatStays(Protocol):
    """A module that knows which of its layers lose too much by 8 bits."""

    def stays_in_float(self) -> Mapping[str, str]:
        """Paths of layers below it, and why they stay in float unless they are asked for by name."""
        ...


#: What weights of products, and tables of embeddings, can be.
_WEIGHTS, _TABLES = (qint8, quint8), (quint8, quint4x2)


@functools.cache
def _modules() -> dict[type[nn.Module], type[nn.Module]]:
    """The class of integer weights that takes each float class's place."""
    from quantray.nn import quantized
    from quantray.nn.quantized import dynamic

    pairs: dict[type[nn.Module], type[nn.Module]] = {
        nn.Embedding: quantized.Embedding,
        nn.EmbeddingBag: quantized.EmbeddingBag,
    }
    for name in dynamic.__all__:
        pairs[getattr(nn, name)] = getattr(dynamic, name)
    fused = {kind: pairs[types[0]] for types, kind in PATTERNS.items() if types[0] in pairs}
    return pairs | fused


def _kinds(module: nn.Module) -> list[type[nn.Module]]:
    """The classes that a module may be asked for by: what is said of a layer holds where it is fused, too."""
    return [type(module), *([type(module.layer)] if isinstance(module, FusedWeighted) else [])]


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
    known_dtype = _known(dtype)
    if known_dtype not in (*_WEIGHTS, *_TABLES):
        other = "quantization.remedies.weight_only makes layers of weights of 2 to 8 bits"
        raise ValueError(
            f"dtype must be qint8 or quint8, or quint4x2 for tables, got {dtype!r}; "
            f"{NO_FLOAT16 if is_float16(dtype) else other}"
        )
    if isinstance(qconfig_spec, (str, type)):
        raise TypeError(
            f"qconfig_spec must be a set of classes and names, or a mapping, got {qconfig_spec!r}: write "
            "{...} around it"
        )
    known = {**_modules(), **registered_layers(), **(mapping or {})}
    wanted = _wanted(qconfig_spec, known)
    wanted = {
        model._file_names.get(key, key) if isinstance(key, str) else key: q for key, q in wanted.items()
    }
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
    # Weights that are rounded anew are those of floats.
    exact = model.copy().eval() if inplace and data is not None else model
    samples = None if data is None else _samples(data, transform, exact)
    model = model if inplace else model.copy()
    stays = {
        f"{path}.{name}" if path else name: why
        for path, module in model.named_modules()
        if isinstance(module, SaysWhatStays)
        for name, why in module.stays_in_float().items()
    }
    stays = {path: why for path, why in stays.items() if path not in wanted}
    settings: dict[str, object] = {"dtype": known_dtype, "per_row": per_row, "per_channel": per_channel}
    asked = tuple(key for key, choice in wanted.items() if isinstance(key, type) and choice)
    made: dict[int, nn.Module] = {}
    # Put in place once all are made, so that an error leaves the model as it was.
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    left: list[str] = []
    #: Weights that the default observer sees, whose smallest scale is `eps`.
    seen: list[tuple[str, Array]] = []
    count = 0

    def change(module: nn.Module, path: str, own: QConfig | bool | None) -> nn.Module:
        nonlocal count
        if id(module) in made:
            return made[id(module)]
        held, module = module, float_layer(module) or module
        kinds = _kinds(module)
        by_kind = [wanted[kind] for kind in kinds if kind in wanted]
        inherited = wanted.get(path, own)
        choice = wanted.get(path, by_kind[0] if by_kind else own if path and kinds[0] in known else False)
        new = held
        if path in stays:
            made[id(held)] = held
            return held
        if choice is not False and choice is not None and kinds[0] in known and _is_taken(module):
            try:
                new = _from_float(known[kinds[0]], module, choice, settings)
            except (ValueError, TypeError) as error:
                raise type(error)(f"{path or 'model'} ({kinds[0].__name__}): {error}") from None
            new._take_hooks(module)
            count += 1
            weight = getattr(module, "weight", None)
            if choice is True and is_array(weight):
                seen.append((f"{path}.weight" if path else "weight", weight))
        else:
            if isinstance(module, FusedWeighted) and choice:
                inherited = choice
            meant = bool(inherited) or (qconfig_spec is None and not _is_convolution(kinds[0]))
            meant = meant or isinstance(module, asked)
            alone = path in wanted and not module._modules
            if meant and choice is not None and (alone or _has_matrix(module)):
                left.append(f"{path or 'model'} ({module._get_name()})")
            for name, child in module._modules.items():
                if child is not None:
                    inner = f"{path}.{name}" if path else name
                    replaced.append((module, name, change(child, inner, inherited)))
        made[id(held)] = new
        return new

    result = change(model, "", False)
    for parent, name, new in replaced:
        if parent._modules[name] is not new:
            parent.add_module(name, new)
    for name, weight in seen:
        warn_of_zero_values(weight, weight, float(np.finfo(np.float32).eps), name, stacklevel=3)
    if left and count:
        warnings.warn(f"left in float, without an integer version: {', '.join(left)}", stacklevel=2)
    if stays:
        said = ", ".join(f"{path} ({why})" for path, why in stays.items())
        warnings.warn(f"left in float, unless qconfig_spec names them: {said}", stacklevel=2)
    elif count == 0:
        warnings.warn(_nothing(model, asked, known), stacklevel=2)
    result.eval()
    if count:
        # Layers that are called by themselves need none.
        result.__dict__["_runner"] = Dynamic() if result._modules else None
    if count and samples is not None:
        from quantray.quantization.remedies._input_factors import smooth_inputs

        smooth_inputs(exact, result, samples)
    return cast("M", result)


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
    kinds = {kind for module in model.modules() for kind in _kinds(module) if kind in known}
    if not kinds.isdisjoint(asked):
        return f"nothing was quantized: all layers of the classes asked for ({classes}) are left out by name"
    others = {kind.__name__ for kind in kinds}
    return f"{said}; it has {', '.join(sorted(others))}, which qconfig_spec may name" if others else said


def _is_taken(module: nn.Module) -> bool:
    """Whether what is fused with a layer goes into its integer version: ReLU does, others stay beside it."""
    return not isinstance(module, FusedWeighted) or type(module.activation) in (type(None), nn.ReLU)


def _has_matrix(module: nn.Module) -> bool:
    """Whether a module itself has weights along two axes or more, in float: not a number for each channel."""
    own = module._own_state().values()
    return any(not isinstance(value, QTensor) and sum(n > 1 for n in np.shape(value)) > 1 for value in own)


def _known(dtype: QDType) -> QDType:
    """A dtype from its name, or from NumPy's or torch's one; what is none stays for the message."""
    try:
        return PerTensorAffineQuantizer(1.0, 0, dtype).dtype
    except (TypeError, ValueError):
        return dtype


def _wanted(
    spec: Collection[type[nn.Module] | str] | Choices | None, known: Classes
) -> dict[type[nn.Module] | str, QConfig | bool | None]:
    """For each class and name: a qconfig, True for settings of the call, None for float."""
    if spec is None:
        return {kind: True for kind in known if not _is_convolution(kind)}
    if isinstance(spec, Mapping):
        return dict(cast("Choices", spec))
    return dict.fromkeys(spec, True)


def _is_convolution(kind: type[nn.Module]) -> bool:
    """Whether its inputs are images, whose range is that of all their channels together."""
    return issubclass(kind, _Conv) or kind in {
        fused for types, fused in PATTERNS.items() if issubclass(types[0], _Conv)
    }


def _from_float(
    kind: type[nn.Module], module: nn.Module, choice: QConfig | bool, settings: dict[str, object]
) -> nn.Module:
    """The integer version of a module: told what it understands of the settings."""
    make = from_float(kind)
    taken = inspect.signature(make).parameters
    given = {key: value for key, value in settings.items() if key in taken}
    if given.get("dtype") not in (
        _TABLES if "padding_idx" in inspect.signature(kind).parameters else _WEIGHTS
    ):
        given.pop("dtype", None)
    if isinstance(choice, QConfig):
        weight = choice.weight()
        given["dtype"] = weight.dtype
        given["per_channel"] = hasattr(weight, "ch_axis")
        given = {key: value for key, value in given.items() if key in taken}
    return make(module, **given)
