"""Writes observer_ranges.json: what torch's and onnxruntime's calibrations make of the arrays of `ranges.py`.

    python tests/reference/observer_ranges.py torch torch_16_bits    # with torch 2.15
    python tests/reference/observer_ranges.py onnxruntime            # with onnxruntime 1.32

Each fills in its own part. torch: scale and zero point of HistogramObserver with 2 to 7 bits, and
of observers of 16. onnxruntime: the range that its entropy calibration finds, with its defaults of 128 bins
and 128 codes.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "quantization"))

from ranges import distributions, with_outliers  # noqa: E402


def of_torch():
    import torch
    from torch.ao.quantization import HistogramObserver

    found = {}
    for name, x in with_outliers().items():
        found[name] = {}
        for bits in range(2, 8):
            observer = HistogramObserver(quant_min=0, quant_max=2**bits - 1)
            observer(torch.from_numpy(x))
            scale, zero_point = observer.calculate_qparams()
            found[name][str(bits)] = [float(scale), int(zero_point)]
    return found


def of_torch_16_bits():
    import torch
    from torch.ao import quantization

    x = torch.from_numpy(distributions()["shifted"])
    found = {}
    for kind in ("MinMaxObserver", "HistogramObserver", "MovingAverageMinMaxObserver"):
        for dtype in ("int16", "uint16"):
            for qscheme in ("per_tensor_affine", "per_tensor_symmetric"):
                make = getattr(quantization, kind)
                observer = make(dtype=getattr(torch, dtype), qscheme=getattr(torch, qscheme))
                observer(x)
                scale, zero_point = observer.calculate_qparams()
                found[f"{kind} {dtype} {qscheme}"] = [float(scale), int(zero_point)]
    return found


def of_onnxruntime():
    from onnxruntime.quantization.calibrate import HistogramCollector

    found = {}
    for name, x in distributions().items():
        collector = HistogramCollector("entropy", False, 128, 128, 99.999, "same")
        collector.collect({"x": [x]})
        low, high = collector.compute_collection_result()["x"][:2]
        found[name] = [float(low), float(high)]
    return found


WRITE = {"torch": of_torch, "torch_16_bits": of_torch_16_bits, "onnxruntime": of_onnxruntime}

if __name__ == "__main__":
    path = HERE / "observer_ranges.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    for peer in sys.argv[1:]:
        stored[peer] = WRITE[peer]()
    path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
