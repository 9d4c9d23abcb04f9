"""all-MiniLM-L6-v2 in torch, onnxruntime and OpenVINO, in float32 and 8 bits, each by its own tool."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from engines import Engine, nncf, of_onnxruntime, of_openvino, of_torch, openvino, quiet
from minilm import HEADS, LAYERS, WIDTH, MiniLM, text
from peers import onnx, onnxruntime, torch


def torch_minilm(state: dict[str, np.ndarray]):
    """The same in torch; heads are cut by hand, so that it can be exported and its layers quantized."""
    from torch.nn import functional

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.three, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
            self.up, self.down = torch.nn.Linear(WIDTH, 4 * WIDTH), torch.nn.Linear(4 * WIDTH, WIDTH)
            self.norm1, self.norm2 = (torch.nn.LayerNorm(WIDTH, eps=1e-12) for _ in range(2))

        def forward(self, x, mask):
            n, length, _ = x.shape
            thirds = self.three(x).split(WIDTH, -1)
            q, k, v = (t.view(n, length, HEADS, WIDTH // HEADS).transpose(1, 2) for t in thirds)
            scores = q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + mask
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, WIDTH)
            x = self.norm1(x + self.out(mixed))
            return self.norm2(x + self.down(functional.gelu(self.up(x))))

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            tables = (torch.nn.Embedding(rows, WIDTH) for rows in (30522, 512, 2))
            self.words, self.positions, self.types = tables
            self.norm = torch.nn.LayerNorm(WIDTH, eps=1e-12)
            self.layers = torch.nn.ModuleList(Layer() for _ in range(LAYERS))

        def forward(self, ids, mask):
            x = self.words(ids) + self.positions(torch.arange(ids.shape[1])) + self.types.weight[0]
            x, kept = self.norm(x), mask[:, :, None].float()
            for layer in self.layers:
                x = layer(x, (1 - mask[:, None, None, :].float()) * -1e9)
            return functional.normalize((x * kept).sum(1) / kept.sum(1), dim=1)

    renamed = {
        "self_attn.in_proj_": "three.",
        "self_attn.out_proj": "out",
        "linear1": "up",
        "linear2": "down",
    }
    made = {}
    for name, value in state.items():
        name = name.removeprefix("encoder.")
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        made[name] = torch.tensor(np.array(value))
    model = Model().eval()
    model.load_state_dict(made)
    return model


PEERS = ("torch", "onnxruntime", "OpenVINO")


def minilm_peers(
    model: MiniLM, threads: int, wanted: Collection[str] = PEERS
) -> dict[str, dict[str, Engine]]:
    """By peer, the ways that it has in 8 bits, and in "float". The model is exported by torch."""
    if not torch:
        return {}
    torch.set_num_threads(threads)
    exact = torch_minilm(model.state_dict())
    small = torch.ao.quantization.quantize_dynamic(exact, {torch.nn.Linear}, dtype=torch.qint8)
    found = {"torch": {"float": of_torch(exact), "dynamic": of_torch(small)}}
    if not onnx:
        return found
    with tempfile.TemporaryDirectory() as folder:
        plain, small = str(Path(folder, "float.onnx")), str(Path(folder, "int8.onnx"))
        export(exact, plain)
        if onnxruntime and "onnxruntime" in wanted:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            with quiet():
                quantize_dynamic(plain, small, weight_type=QuantType.QInt8, per_channel=True)
            found["onnxruntime"] = {
                "float": of_onnxruntime(plain, threads),
                "dynamic, by channel": of_onnxruntime(small, threads),
            }
        if openvino and "OpenVINO" in wanted:
            found["OpenVINO"] = by_openvino(openvino.Core().read_model(plain), threads)
    return found


def export(model: Any, path: str) -> None:
    """Writes the ONNX file."""
    axes = {name: {0: "n", 1: "l"} for name in ("ids", "mask")}
    ids = torch.ones(2, 16, dtype=torch.long)
    with quiet():
        torch.onnx.export(
            model,
            (ids, ids),
            path,
            input_names=list(axes),
            dynamic_axes=axes,
            dynamo=False,
            opset_version=17,
        )


def by_openvino(model: Any, threads: int) -> dict[str, Engine]:
    """Static activations, with other floats as it likes (bfloat16, where it has that) and in float32; and
    8-bit weights with activations quantized as it runs.
    """
    found = {"float": of_openvino(model, threads, INFERENCE_PRECISION_HINT="f32")}
    if not nncf:
        return found
    texts = [text([length]) for length in (8, 12, 16, 24, 32, 48, 64, 128)]
    data = nncf.Dataset([dict(zip(("ids", "mask"), each, strict=True)) for each in texts])
    kind, mode = nncf.ModelType.TRANSFORMER, nncf.CompressWeightsMode.INT8_SYM
    with quiet():
        static = nncf.quantize(model.clone(), data, model_type=kind, subset_size=len(texts))
        weights = nncf.compress_weights(model.clone(), mode=mode)
    found["static, default floats"] = of_openvino(static, threads)
    found["static, float32"] = of_openvino(static, threads, INFERENCE_PRECISION_HINT="f32")
    found["dynamic, default floats"] = of_openvino(weights, threads, DYNAMIC_QUANTIZATION_GROUP_SIZE=WIDTH)
    return found
