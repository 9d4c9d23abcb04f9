"""A small network that reads real digits, quantized after training: accuracy, and time beside onnxruntime's.

    python benches/static.py [--seeds 5] [--quick] [--threads 1]

benches/README.md says what the columns mean. onnxruntime has columns where it can be imported.
"""

import os
import tempfile
from collections.abc import Callable

import numpy as np
from digits import accuracy, data, small_cnn, train
from measure import Call, Timing, compare, load, table
from onnx_models import as_onnx
from peers import begin, onnx, onnxruntime, onnxruntime_options
from quantray import nn
from quantray import quantization as tq
from static_peers import quantize_by_onnxruntime

US = 1e-6


def sessions(model: nn.Module, x: np.ndarray, threads: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """onnxruntime's float network, and the one that its own tool quantizes, weights per channel."""
    with tempfile.TemporaryDirectory() as folder:
        plain, static = os.path.join(folder, "float.onnx"), os.path.join(folder, "static.onnx")
        onnx.save(as_onnx(model, x[:2]), plain)
        quantize_by_onnxruntime(plain, static, [x])
        made = {
            name: onnxruntime.InferenceSession(path, onnxruntime_options(threads), ["CPUExecutionProvider"])
            for name, path in (("onnxruntime float", plain), ("onnxruntime int8", static))
        }
    return {
        name: lambda x, s=session: s.run(None, {s.get_inputs()[0].name: x})[0]
        for name, session in made.items()
    }


def main() -> None:
    args, _ = begin(__doc__, lambda parser: parser.add_argument("--seeds", type=int, default=5))
    rows, last = [], None
    for seed in range(1 if args.quick else args.seeds):
        nn.manual_seed(seed)
        x, y, test_x, test_y = data(seed)
        model = train(small_cnn(norm=True), x, y, 30, seed=seed)
        int8 = tq.quantize(model, x[:512], verbose=False)
        calls = {"float": model, "int8": int8}
        if onnxruntime:
            calls |= sessions(model, x[:512], args.threads)
        rows.append([str(seed), *(f"{accuracy(call, test_x, test_y):.2f}" for call in calls.values())])
        last = calls
    print("\n## Accuracy on the test set, percent\n")
    table(["seed", *last], rows)
    images = np.concatenate([test_x] * 2)
    times: dict[int, dict[str, Timing]] = {}
    for batch in (1, 256):
        some = images[:batch]
        calls = {name: Call(lambda c=call, some=some: c(some), args.threads) for name, call in last.items()}
        times[batch] = compare(calls, 7 if args.quick else 31, 200 if batch == 1 else 5, 1)
    print("## Time of a batch, microseconds\n")
    header = ["batch", *last, *(f"{name} / int8" for name in last if name != "int8")]
    lines = []
    for batch, found in times.items():
        ratios = [f"{found[n].median / found['int8'].median:.2f}" for n in last if n != "int8"]
        lines.append([str(batch), *(found[n].text(US) for n in last), *ratios])
    table(header, lines)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
