"""Data for a prepared model's observers: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from quantray import nn
from quantray.quantization._batches import Batch, as_arguments, as_batches, check_arguments, check_model
from quantray.quantization._prepared import prepared_of
from quantray.quantization._progress import progress
from quantray.quantization.fake_quantize import FakeQuantizeBase
from quantray.quantization.observer import ObserverBase

if TYPE_CHECKING:
    from quantray.quantization._cluster import Client


M = TypeVar("M", bound=nn.Module)


def calibrate(
    model: M,
    data: Iterable[Batch],
    *,
    transform: Callable[[Batch], object] | None = None,
    client: Client | None = None,
    show_progress: bool = True,
) -> M:
    """Calls a prepared model with data, so that its observers see what its values are.

    Parameters
    ----------
    model : Module
        From `prepare`; it is changed.
    data : iterable
        Batches: arrays, or tuples of the model's arguments. One array is one batch. With `client` it may be
        a Dask array, whose blocks along the first axis are batches.
    transform : callable, optional
        What makes the model's arguments of a batch: `lambda batch: batch[0]` for batches like `(x, y)`.
    client : dask.distributed.Client, optional
        Spreads the batches over a cluster's workers. What the observers come to is exactly the same, but
        for moving averages, which depend on an order and are refused.
    show_progress : bool
        Whether to show a bar.

    Returns
    -------
    Module
        `model`.

    Raises
    ------
    ValueError
        For NaN, naming the module and the batch; for no data at all.
    TypeError
        For batches of more parts than the model takes.

    Source: the calibration of PyTorch's post-training static quantization.
    """
    if client is not None:
        from quantray.quantization._cluster import calibrate_on

        return calibrate_on(client, model, data, show_progress, transform)
    check_model(model)
    runner = prepared_of(model)
    if runner is not None and not runner.is_trained:
        for module in model.modules():
            if isinstance(module, FakeQuantizeBase):
                module.train()
    count = 0
    for i, batch in enumerate(progress(as_batches(data), "calibrate", show_progress, transform)):
        run(model, batch, i)
        count += 1
    if count == 0:
        raise ValueError("data must hold at least one batch, got none")
    return model


def run(model: nn.Module, batch: object, index: int) -> object:
    """Calls the model with one batch; what is wrong with it is said with its number."""
    args = as_arguments(batch, model)
    check_arguments(model, args)
    try:
        return model(*args)
    except ValueError as error:
        raise ValueError(f"batch {index}: {error}") from None


def observers_of(model: nn.Module) -> dict[str, ObserverBase]:
    """The observers inside a model, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, ObserverBase)}
