"""More than one machine: observers that see parts of the data are merged, and models map over blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from quantray import nn
from quantray.quantization._batches import as_arguments, as_batches
from quantray.quantization._prepared import prepared_of
from quantray.quantization._progress import progress
from quantray.quantization.calibrate import observers_of, run
from quantray.quantization.observer import (
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)

M = TypeVar("M", bound=nn.Module)


def _observe(model: nn.Module, batch: Any, index: int) -> nn.Module:
    """On a worker: a copy of the model, which other batches see too, that has seen one batch."""
    model = model.copy()
    run(model, batch, index)
    return model


def calibrate_on(
    client: Any,
    model: M,
    data: Any,
    show_progress: bool,
    transform: Callable[[Any], Any] | None = None,
) -> M:
    """Calibrates on a cluster: each batch on some worker, the observers merged here in the batches' order."""
    moving = [
        name
        for name, observer in observers_of(model).items()
        if isinstance(observer, (MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver))
    ]
    if moving:
        raise ValueError(
            f"moving averages depend on the order of the data and cannot be merged, got one in {moving[0]}; "
            "use MinMaxObserver or HistogramObserver with client"
        )
    batches = _batches(client, data)
    if transform is not None:
        batches = [client.submit(transform, batch, pure=False) for batch in batches]
    if not batches:
        raise ValueError("data must hold at least one batch, got none")
    # Where floats and integers meet is found here, once, so that all workers agree.
    runner = prepared_of(model)
    if runner is None:
        raise ValueError("model must come from prepare")
    if not runner.graphs:
        runner.plan(model, as_arguments(batches[0].result(), model))
    (plan,) = client.scatter([model], broadcast=True)
    futures = [client.submit(_observe, plan, batch, i, pure=False) for i, batch in enumerate(batches)]
    for future in progress(futures, "calibrate", show_progress):
        _merge(model, future.result())
        future.release()
    return model


def _batches(client: Any, data: Any) -> list[Any]:
    """Batches on the workers: a Dask array's blocks along its first axis, or the items of anything else."""
    if hasattr(data, "to_delayed"):
        return list(client.compute(list(_in_blocks(data).to_delayed().ravel())))
    return list(client.scatter(list(as_batches(data))))


def _in_blocks(data: Any) -> Any:
    """A Dask array cut along its first axis alone."""
    return data.rechunk(dict.fromkeys(range(1, data.ndim), -1))


def _merge(model: nn.Module, seen: nn.Module) -> None:
    """Takes over what the observers of a copy have seen."""
    for name in observers_of(seen):
        # Shapes that only this worker saw have observers of their own.
        parent, _, last = name.rpartition(".")
        home = model.get_submodule(parent)
        if last not in home._modules:
            home.add_module(last, seen.get_submodule(name))
    mine = observers_of(model)
    for name, observer in observers_of(seen).items():
        mine[name].merge(observer)


def map_blocks(model: nn.Module, data: Any, **kwargs: Any) -> Any:
    """A model over the blocks of a Dask array along its first axis: a Dask array of its outputs."""
    import importlib

    da: Any = importlib.import_module("dask.array")
    whole = data.rechunk(dict.fromkeys(range(1, data.ndim), -1))
    probe = np.asarray(model(np.zeros((1, *whole.shape[1:]), whole.dtype)))
    chunks = (whole.chunks[0], *((n,) for n in probe.shape[1:]))
    drop = list(range(probe.ndim, whole.ndim))
    new = list(range(whole.ndim, probe.ndim))
    return da.map_blocks(
        _call,
        whole,
        model=model,
        dtype=probe.dtype,
        chunks=chunks,
        drop_axis=drop,
        new_axis=new or None,
        **kwargs,
    )


def _call(block: Any, model: nn.Module) -> Any:
    return np.asarray(model(block))
