"""Makes dynamic_conv.json and dynamic_conv.npz: what torch 2.15's dynamically quantized convolutions return.

Of one scale of 7 bits for the input, which torch rounds the output to as well, and one for the weight.
Transposed ones have as many outputs as inputs: with others torch returns something that is off by more than
the float module's results are large.

Needs torch. `python tests/reference/make_dynamic_conv.py` in the repository's folder.
"""

import json
import pathlib
import warnings

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
cases, arrays = [], {}


def put(case, key, value):
    name = f"{len(cases):03}.{key}"
    arrays[name] = np.array(value.detach() if isinstance(value, torch.Tensor) else value)
    case[key] = {"array": name}


def case(name, outputs, settings):
    """One module, and what it makes of random numbers."""
    layer = getattr(torch.nn, name)(4, outputs, 3, **settings)
    layer.qconfig = torch.ao.quantization.default_dynamic_qconfig
    small = getattr(torch.ao.nn.quantized.dynamic, name).from_float(layer)
    x = torch.tensor(rng.normal(size=(2, 4, 8, 7, 5)[: layer.weight.ndim]).astype(np.float32))
    found = {"module": name, "name": name, "outputs": outputs, "settings": settings}
    put(found, "weight", layer.weight)
    if layer.bias is not None:
        put(found, "bias", layer.bias)
    put(found, "x", x)
    put(found, "y", small(x))
    put(found, "y_float", layer(x))
    cases.append(found)


def main():
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    for dims in (1, 2, 3):
        for settings in (
            {},
            {"stride": 2, "padding": 1, "bias": False},
            {"groups": 2, "dilation": 2},
            {"groups": 4, "padding": 2},
        ):
            case(f"Conv{dims}d", 8, settings)
        for settings in ({"stride": 2, "padding": 1, "output_padding": 1}, {"dilation": 2, "bias": False}):
            case(f"ConvTranspose{dims}d", 4, settings)
    (HERE / "dynamic_conv.json").write_text(json.dumps(cases, indent=1) + "\n")
    np.savez_compressed(HERE / "dynamic_conv.npz", **arrays)


main()
