"""Writes observer_ranges.json: what torch's and onnxruntime's calibrations make of the arrays of `ranges.py`.

    python tests/reference/observer_ranges.py torch          # with torch 2.15
    python tests/reference/observer_ranges.py onnxruntime    # with onnxruntime 1.32

Each fills in its own part. torch: scale and zero point of HistogramObserver with 2 to 7 bits. onnxruntime:
the range that its entropy calibration finds, with its defaults of 128 bins and 128 codes.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

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


def of_onnxruntime():
    from onnxruntime.quantization.calibrate import HistogramCollector

    found = {}
    for name, x in distributions().items():
        collector = HistogramCollector("entropy", False, 128, 128, 99.999, "same")
        collector.collect({"x": [x]})
        low, high = collector.compute_collection_result()["x"][:2]
        found[name] = [float(low), float(high)]
    return found


if __name__ == "__main__":
    path = HERE / "observer_ranges.json"
    stored = json.loads(path.read_text()) if path.exists() else {}
    for peer in sys.argv[1:]:
        stored[peer] = {"torch": of_torch, "onnxruntime": of_onnxruntime}[peer]()
    path.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
