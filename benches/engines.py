"""Models with their inputs and outputs in place: quantray's, and those of peers that can be imported."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import onnxruntime, onnxruntime_options, torch

try:
    import openvino
except ImportError:
    openvino = None
try:
    import nncf
except ImportError:
    nncf = None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps to themselves what the peers' tools have to say: bars, warnings, notes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@dataclass(frozen=True)
class Bound:
    """What `run` computes of arrays that were given before lies in `output` afterwards."""

    run: Callable[[], object]
    output: Callable[[], np.ndarray]


#: Binds arrays to a model.
Engine = Callable[..., Bound]


def ours(model: Callable[..., np.ndarray]) -> Engine:
    """A model of quantray: its call takes the arrays and makes the result."""
    return lambda *arrays: Bound(lambda: model(*arrays), lambda: np.asarray(model(*arrays)))


def of_torch(model: Any) -> Engine:
    """A model of torch, likewise."""

    def bind(*arrays: np.ndarray) -> Bound:
        tensors = [torch.from_numpy(array) for array in arrays]

        def run() -> Any:
            with torch.inference_mode():
                return model(*tensors)

        return Bound(run, lambda: run().numpy().copy())

    return bind


def of_onnxruntime(file: str, threads: int) -> Engine:
    """A file in onnxruntime: it reads the arrays where they lie, and writes into memory of its own."""
    session = onnxruntime.InferenceSession(file, onnxruntime_options(threads), ["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    (result,) = (each.name for each in session.get_outputs())

    def bind(*arrays: np.ndarray) -> Bound:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
        (first,) = session.run(None, dict(zip(names, arrays, strict=True)))
        output = onnxruntime.OrtValue.ortvalue_from_numpy(first)
        binding = session.io_binding()
        for name, value in zip(names, values, strict=True):
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(result, output)

        def read() -> np.ndarray:
            session.run_with_iobinding(binding)
            return output.numpy().copy()

        return Bound(lambda: session.run_with_iobinding(binding), read)

    return bind


def of_openvino(model: Any, threads: int, **settings: Any) -> Engine:
    """A model in OpenVINO, compiled for the shapes that it is bound to."""
    config = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
        **settings,
    }

    def bind(*arrays: np.ndarray) -> Bound:
        fixed = model.clone()
        fixed.reshape({i: list(array.shape) for i, array in enumerate(arrays)})
        request = openvino.Core().compile_model(fixed, "CPU", config).create_infer_request()
        # The request does not hold them.
        tensors = [openvino.Tensor(array, shared_memory=True) for array in arrays]
        for i, tensor in enumerate(tensors):
            request.set_input_tensor(i, tensor)

        def run(tensors: list[Any] = tensors) -> None:
            request.infer(share_outputs=True)

        def read() -> np.ndarray:
            run()
            return np.array(request.get_output_tensor(0).data)

        return Bound(run, read)

    return bind


def fastest(engines: Mapping[str, Engine], *arrays: np.ndarray) -> tuple[str, Engine, Bound]:
    """Of several ways that a peer has: the one that is fastest for these arrays, its name first."""

    def seconds(bound: Bound) -> float:
        found = []
        begin = time.perf_counter()
        while len(found) < 5 or (time.perf_counter() - begin < 0.2 and len(found) < 1000):
            start = time.perf_counter()
            bound.run()
            found.append(time.perf_counter() - start)
        # The least: what other processes take has no part in it.
        return min(found)

    made = [(name, engine, engine(*arrays)) for name, engine in engines.items()]
    return min(made, key=lambda each: seconds(each[2])) if len(made) > 1 else made[0]
