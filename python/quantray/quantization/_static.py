"""From a float model and data to integers whose ranges are known beforehand: what all static workflows do."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from quantray import nn
from quantray._typing import Args
from quantray.graph._trees import is_array, leaves, map_tree
from quantray.quantization._batches import Batch, as_arguments, as_batches, check_arguments
from quantray.quantization._prepared import prepared_of
from quantray.quantization._scalings import scaled
from quantray.quantization._sparing import BROKEN, Examined, SomeRows, examined, hand_over, spare
from quantray.quantization.calibrate import calibrate
from quantray.quantization.convert import convert
from quantray.quantization.prepare import prepare

if TYPE_CHECKING:
    from quantray.graph import Graph
    from quantray.quantization._classes import Classes
    from quantray.quantization.qconfig import QConfig
    from quantray.quantization.qconfig_mapping import QConfigMapping

M = TypeVar("M", bound=nn.Module)

#: The part of a broken model's loss that has to be gone where channels are made alike.
_EVENED = 0.7
#: Samples that ranges of channels are told by, and numbers in them.
_SAMPLES, _NUMBERS = 512, 1 << 21
#: Batches of rows that it is tried on beforehand.
_TRIED = 4


def calibrated(
    model: M,
    batches: Iterable[Batch],
    settings: QConfig | QConfigMapping | None = None,
    *,
    transform: Callable[[Batch], object] | None = None,
    keep: _First | None = None,
    inplace: bool = False,
    show_progress: bool = False,
) -> tuple[M, list[Args]]:
    """A prepared model that has seen all batches, and some of their rows; `keep` makes arguments of batches,
    and keeps the first ones.

    Raises
    ------
    ValueError
        For no batches.
    """
    given = as_batches(batches)
    passing = iter(given)
    first = next(passing, None)
    if first is None:
        raise ValueError("data must hold at least one batch, got none")
    args = as_arguments(first if transform is None else transform(first), model)
    check_arguments(model, args)
    ready = prepare(model, settings, args, inplace=inplace)
    # What can be gone through once only goes on; of others the bar knows how many there are.
    rest = itertools.chain([first], passing) if passing is given else given
    seen = SomeRows(ready, keep or transform, copies=passing is given)
    _calibrate(ready, rest, seen, inplace, show_progress)
    return ready, seen.rows


def _calibrate(
    ready: nn.Module,
    batches: Iterable[Batch],
    transform: Callable[[Batch], object] | None,
    inplace: bool,
    show_progress: bool,
) -> None:
    """Data for observers; nobody but this module has a copy's weights."""
    runner = prepared_of(ready)
    with contextlib.nullcontext() if runner is None or inplace else runner.fixed():
        calibrate(ready, batches, transform=transform, show_progress=show_progress)


def quantized(
    model: M,
    batches: Iterable[Batch],
    settings: QConfig | QConfigMapping | None = None,
    *,
    spares: bool = False,
    mapping: Classes | None = None,
    transform: Callable[[Batch], object] | None = None,
    inplace: bool = False,
    show_progress: bool = False,
) -> M:
    """A model of integers; `spares` is whether what 8 bits are too little for is spared."""
    given = as_batches(batches)
    original = model.copy() if inplace and spares else model
    from quantray.quantization.remedies._input_factors import smooth_inputs

    # Of what passes once only, the first samples stay.
    first = _First(model, transform) if spares and iter(given) is given else None
    ready, rows = calibrated(
        model,
        given,
        settings,
        transform=transform,
        keep=first,
        inplace=inplace,
        show_progress=show_progress,
    )
    if not spares:
        return convert(ready, mapping, inplace=True)
    again: Iterable[object] = given if first is None else first.batches
    how: Callable[..., object] | None = transform if first is None else None
    runner = prepared_of(ready)
    known = examined(ready, runner, rows)
    # It is the same model yet, and what was captured of it serves whoever reads it again.
    captured = [] if runner is None or runner.changing else list(runner.captured)
    if known is not None and known.loss > BROKEN:
        ready, known = _evened(original, ready, known, settings, again, how, rows, captured)
    runner = prepared_of(ready)
    if known is not None and runner is not None and spare(ready, runner, known):
        _calibrate(ready, again, how, inplace, show_progress=False)
    spared = None if runner is None else runner.settings.spared
    made = convert(ready, mapping, inplace=True)
    if spared:
        smooth_inputs(original, made, rows, captured)
    if inplace and made is not model and type(made) is type(model):
        # It was made of a copy, whose channels were made alike.
        model.__dict__.clear()
        model.__dict__.update(made.__dict__)
        return model
    return made


class _First:
    """The first samples of data, kept as they go by: as many as ranges of channels can be told by.

    Attributes
    ----------
    batches : list of tuple
        A model's arguments.
    is_enough : bool
        Whether there are as many.
    """

    def __init__(self, model: nn.Module, transform: Callable[..., object] | None) -> None:
        self._model, self._transform = model, transform
        self._samples = self._numbers = 0
        self.batches: list[Args] = []

    @property
    def is_enough(self) -> bool:
        return self._samples >= _SAMPLES or self._numbers >= _NUMBERS

    def __call__(self, batch: object) -> object:
        """The model's arguments of a batch, as `transform` makes them."""
        made = batch if self._transform is None else self._transform(batch)
        if self.is_enough:
            return made
        # Whoever makes batches may fill the same array again.
        args: Args = map_tree(_copied, as_arguments(made, self._model))
        sizes = [np.shape(leaf) for leaf in leaves(args) if np.ndim(leaf)]
        self.batches.append(args)
        self._samples += max((shape[0] for shape in sizes), default=1)
        self._numbers += sum(map(math.prod, sizes))
        return args


def _copied(leaf: object) -> object:
    return np.array(leaf) if is_array(leaf) else leaf


def _some(batches: Iterable[object], transform: Callable[..., object] | None, model: nn.Module) -> list[Args]:
    """The first samples of data that can be gone through again."""
    first = _First(model, transform)
    for batch in batches:
        first(batch)
        if first.is_enough:
            break
    return first.batches


def _evened(
    model: M,
    ready: M,
    known: Examined,
    settings: QConfig | QConfigMapping | None,
    batches: Iterable[object],
    transform: Callable[..., object] | None,
    rows: list[Args],
    captured: list[Graph],
) -> tuple[M, Examined]:
    """The same with channels made alike beforehand, where that loses less."""
    from quantray.quantization._evening import even_scalings

    before = prepared_of(ready)
    assert before is not None
    some = _some(batches, transform, model)
    scalings = even_scalings(model, some, before.settings.mapping, captured)
    if not scalings:
        return ready, known
    even = scaled(model, scalings)
    # A few rows say whether it is worth going through all data once more.
    few = rows[:_TRIED]
    trial, _ = calibrated(even, few, settings)
    tried = examined(trial, prepared_of(trial), few)
    if tried is None or tried.loss > _EVENED * known.loss:
        return ready, known
    made, _ = calibrated(even, batches, settings, transform=transform)
    found = examined(made, prepared_of(made), rows)
    runner = prepared_of(made)
    if runner is None or found is None or found.loss > known.loss:
        return ready, known
    # Wires that are as they were have been seen with all of the data, which may be more than is there now.
    alike = known.roundings.alike(found.roundings)
    hand_over(made, known.roundings.graph, found.roundings.graph, alike, of=ready)
    runner.settings.scalings = scalings
    return made, found
