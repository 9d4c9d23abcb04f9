"""More than one machine: observers that see parts of the data are merged, and models map over blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from quantray import nn
from quantray._typing import Array, DType
from quantray.quantization._batches import Batch, as_arguments, as_batches
from quantray.quantization._prepared import prepared_of
from quantray.quantization._progress import progress
from quantray.quantization.calibrate import observers_of, run
from quantray.quantization.observer import (
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Future(Protocol[T_co]):
    """What will be there: of `dask.distributed`."""

    def result(self) -> T_co: ...
    def release(self) -> None: ...


class Client(Protocol):
    """What is asked of a `dask.distributed.Client`."""

    def scatter(self, data: list[T], /, *, broadcast: bool = False) -> Iterable[Future[T]]: ...
    def submit(self, function: Callable[..., T], /, *args: object, pure: bool = True) -> Future[T]: ...
    def compute(self, collections: list[object], /) -> Iterable[Future[object]]: ...


class DaskArray(Protocol):
    """What is asked of a `dask.array.Array`."""

    @property
    def ndim(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> DType: ...
    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]: ...
    def rechunk(self, chunks: dict[int, int], /) -> DaskArray: ...
    def to_delayed(self) -> NDArray[np.object_]: ...


def _observe(model: nn.Module, batch: object, index: int) -> nn.Module:
    """On a worker: a copy of the model, which other batches see too, that has seen one batch."""
    model = model.copy()
    run(model, batch, index)
    return model


def calibrate_on(
    client: Client,
    model: M,
    data: Iterable[Batch] | DaskArray,
    show_progress: bool,
    transform: Callable[[Batch], object] | None = None,
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


def _batches(client: Client, data: Iterable[object] | DaskArray) -> list[Future[object]]:
    """Batches on the workers: a Dask array's blocks along its first axis, or the items of anything else."""
    if hasattr(data, "to_delayed"):
        return list(client.compute(list(_in_blocks(cast("DaskArray", data)).to_delayed().ravel())))
    return list(client.scatter(list(as_batches(cast("Iterable[object]", data)))))


def _in_blocks(data: DaskArray) -> DaskArray:
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


def map_blocks(model: nn.Module, data: DaskArray, **kwargs: object) -> DaskArray:
    """A model over the blocks of a Dask array along its first axis: a Dask array of its outputs."""
    import importlib

    da = importlib.import_module("dask.array")
    whole = _in_blocks(data)
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


def _call(block: Array, model: nn.Module) -> Array:
    return np.asarray(model(block))
