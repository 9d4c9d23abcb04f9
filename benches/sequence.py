"""Networks that read real digits row by row: an LSTM and a GRU, in float32 and quantized dynamically.

    python benches/sequence.py [--seeds 5] [--epochs 30] [--quick]

A minute; --quick: one seed. benches/README.md says what the columns mean.
"""

import argparse
from collections.abc import Callable

import numpy as np
from digits import accuracy, data, train
from measure import cpu_model, table
from peers import torch
from quantray import nn
from quantray import quantization as tq

UNITS = 64
#: How many points below float the integers may be, on the mean.
ALLOWED = 0.3


class RowReader(nn.Module):
    """Reads an image row by row, from the top; the last state says which digit it is."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.rows = kind(8, UNITS, batch_first=True)
        self.out = nn.Linear(UNITS, 10)

    def forward(self, images: np.ndarray) -> np.ndarray:
        """Shape (N, 1, 8, 8) to (N, 10)."""
        states, _ = self.rows(images.reshape(-1, 8, 8))
        return self.out(states[:, -1])


def torch_int8(model: RowReader) -> Callable[[np.ndarray], np.ndarray]:
    """What torch's `quantize_dynamic` makes of the same weights."""
    made = {"rows": getattr(torch.nn, type(model.rows).__name__)(8, UNITS, batch_first=True)}
    made["out"] = torch.nn.Linear(UNITS, 10)
    both = torch.nn.ModuleDict(made)
    both.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items()})
    kinds = {type(layer) for layer in made.values()}
    small = torch.ao.quantization.quantize_dynamic(both.eval(), kinds, dtype=torch.qint8)

    def call(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            states, _ = small["rows"](torch.tensor(images.reshape(-1, 8, 8)))
            return small["out"](states[:, -1]).numpy()

    return call


def measure(kind: type[nn.Module], seeds: int, epochs: int) -> list[str]:
    """One line of the table."""
    read: dict[str, list[float]] = {"float": [], "int8": [], "torch int8": []}
    differ, sizes = 0, []
    for seed in range(seeds):
        nn.manual_seed(seed)
        x, y, test_x, test_y = data(seed)
        model = train(RowReader(kind), x, y, epochs, seed=seed)
        small = tq.quantize_dynamic(model)
        calls = {"float": model, "int8": small}
        if torch:
            calls["torch int8"] = torch_int8(model)
        for name, call in calls.items():
            read[name].append(accuracy(call, test_x, test_y))
        differ += int((model(test_x).argmax(1) != small(test_x).argmax(1)).sum())
        sizes = [f"{tq.report(m).total:,}" for m in (model, small)]
    below = np.mean(read["float"]) - np.mean(read["int8"])
    cells = [f"{np.mean(v):.2f} ({min(v):.1f} to {max(v):.1f})" if v else "" for v in read.values()]
    met = "yes" if below <= ALLOWED else "no"
    name, others = kind.__name__, f"{differ} of {seeds * len(test_x)}"
    return [name, *cells, f"{below:.2f}", f"{ALLOWED}", met, others, " to ".join(sizes)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="of training (default 30)")
    parser.add_argument("--quick", action="store_true", help="one seed")
    args = parser.parse_args()
    seeds = 1 if args.quick else args.seeds
    print(f"CPU: {cpu_model()}; {seeds} seeds\n")
    header = ["layer", "float", "int8", "torch int8", "below float", "allowed", "met", "other digit", "bytes"]
    table(header, [measure(kind, seeds, args.epochs) for kind in (nn.LSTM, nn.GRU)])


if __name__ == "__main__":
    main()
