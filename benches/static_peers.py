"""What peers make of a float network for images when they quantize it statically, each by its own tool."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from engines import Engine, nncf, of_onnxruntime, of_openvino, openvino, quiet
from onnx_models import as_onnx
from peers import onnx, onnxruntime
from quantray import nn


def static_peers(model: nn.Module, data: list[np.ndarray], threads: int) -> dict[str, dict[str, Engine]]:
    """By peer, the ways that it has in 8 bits, calibrated with `data`, and in "float"."""
    found: dict[str, dict[str, Engine]] = {}
    if not onnx:
        return found
    with tempfile.TemporaryDirectory() as folder:
        plain, small = str(Path(folder, "float.onnx")), str(Path(folder, "int8.onnx"))
        onnx.save(as_onnx(model, data[0]), plain)
        if onnxruntime:
            quantize_by_onnxruntime(plain, small, data)
            found["onnxruntime"] = {
                "float": of_onnxruntime(plain, threads),
                "QDQ, by channel": of_onnxruntime(small, threads),
            }
        if openvino:
            float32 = openvino.Core().read_model(plain)
            found["OpenVINO"] = {"float": of_openvino(float32, threads, INFERENCE_PRECISION_HINT="f32")}
            if onnxruntime:
                read = openvino.Core().read_model(small)
                found["OpenVINO"]["onnxruntime's file"] = of_openvino(read, threads)
            if nncf:
                for preset in ("MIXED", "PERFORMANCE"):
                    with quiet():
                        made = nncf.quantize(
                            float32.clone(),
                            nncf.Dataset(data),
                            preset=nncf.QuantizationPreset[preset],
                            subset_size=len(data),
                        )
                    found["OpenVINO"][f"NNCF, {preset.lower()}"] = of_openvino(made, threads)
    return found


def quantize_by_onnxruntime(plain: str, small: str, data: list[np.ndarray]) -> None:
    """Its own tool's 8 bits, QuantizeLinear and DequantizeLinear: uint8 and, by channel, int8."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    (name,) = (each.name for each in onnx.load(plain).graph.input)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[Any] = iter([{name: x} for x in data])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.batches, None)

    folded = f"{plain}.folded"
    # Its default for activations is int8 by now, for which most of its fusions are missing.
    kinds = {
        "weight_type": quantization.QuantType.QInt8,
        "activation_type": quantization.QuantType.QUInt8,
    }
    with quiet():
        quant_pre_process(plain, folded, skip_symbolic_shape=True)
        quantization.quantize_static(folded, small, Reader(), per_channel=True, **kinds)
