"""Writes observer_functions.json: torch 2.15's choose_qparams_optimized and fused_moving_avg_obs_fake_quant.

python tests/reference/observer_functions.py
"""

import json
import pathlib

import numpy as np
import torch

rng = np.random.default_rng(0)


def choose():
    for i in range(24):
        n = int(rng.integers(2, 40))
        x = rng.laplace(size=n) if i % 2 else np.maximum(rng.standard_normal(n), 0) + i % 3
        x = x.astype(np.float32)
        given = [n, (200, 50)[i % 2], (0.16, 0.5, 1.0)[i % 3], (2, 4, 8)[i // 2 % 3]]
        high, low = torch.choose_qparams_optimized(torch.from_numpy(x), *given)
        yield {"x": x.tolist(), "given": given, "range": [float(high), float(low)]}


def fused():
    limits = [(0, 255), (-128, 127), (-127, 127), (0, 15)]
    for i in range(32):
        rows, symmetric = bool(i % 2), bool(i // 2 % 2)
        channels = 3 if rows else 1
        state = [torch.full((channels,), np.inf), torch.full((channels,), -np.inf), torch.ones(channels)]
        state.append(torch.zeros(channels, dtype=torch.int32))
        case = {"rows": rows, "symmetric": symmetric, "limits": limits[i // 4 % 4], "calls": []}
        for _ in range(2):
            x = (rng.standard_normal((3, 4)) * (1, 10, 1e-6, 1e-3)[i % 4]).astype(np.float32)
            x = (x, np.abs(x), -np.abs(x), 0 * x)[(0, 0, 0, 1, 2, 3)[i % 6]]
            options = (0.1, *case["limits"], 0, rows, symmetric)
            on = torch.tensor([1])
            y = torch.fused_moving_avg_obs_fake_quant(torch.from_numpy(x), on, on, *state, *options)
            call = {"x": x.tolist(), "y": y.tolist(), "state": [s.tolist() for s in state]}
            case["calls"].append(call)
        yield case


if __name__ == "__main__":
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"choose": list(choose()), "fused": list(fused())}) + "\n")
