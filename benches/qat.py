"""How many bits a network needs: quantized after training, and trained for it, beside its accuracy in float.

    python benches/qat.py [--seeds 5] [--epochs 10]

Some minutes. benches/README.md says what the columns mean.
"""

import argparse

import numpy as np
from digits import accuracy, data, small_cnn, train
from measure import cpu_model, table
from quantray import nn
from quantray import quantization as tq

#: Bits of weights and of activations, and how many points below float training must stay.
CASES = [(8, 8, 0.5), (4, 8, 0.5), (4, 4, 0.5), (3, 3, 1.5), (2, 4, 2.5), (2, 2, 12.0)]


def quantized_after(model: nn.Module, x: np.ndarray, weight: int, activation: int) -> nn.Module:
    """Post-training: weights per channel, activations per tensor, by the least and the greatest value."""
    return tq.quantize(model, [x], tq.qconfig_for_bits(weight, activation, qat=False), verbose=False)


def trained_for(
    model: nn.Module, x: np.ndarray, y: np.ndarray, weight: int, activation: int, epochs: int, seed: int
) -> nn.Module:
    """Quantization aware training from the float model's weights, with learned step sizes.

    Where all have 8 bits there is little to learn again: a smaller rate keeps what the float model has.
    """
    rate = 1e-3 if min(weight, activation) == 8 else 5e-3
    fused = tq.fuse_modules(model, example_inputs=x[:8])
    qconfig = tq.qconfig_for_bits(weight, activation, learnable=True)
    qat = tq.prepare_qat(fused, qconfig, x[:256])
    return tq.convert(train(qat, x, y, epochs, lr=rate, seed=seed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10, help="of training for quantization (default 10)")
    args = parser.parse_args()
    print(f"CPU: {cpu_model()}; {args.seeds} seeds\n")
    floats: list[float] = []
    after: dict[tuple[int, int], list[float]] = {case[:2]: [] for case in CASES}
    trained: dict[tuple[int, int], list[float]] = {case[:2]: [] for case in CASES}
    for seed in range(args.seeds):
        nn.manual_seed(seed)
        x, y, test_x, test_y = data(seed)
        model = train(small_cnn(), x, y, 30, seed=seed)
        floats.append(accuracy(model, test_x, test_y))
        for weight, activation, _ in CASES:
            made = quantized_after(model, x[:512], weight, activation)
            after[weight, activation].append(accuracy(made, test_x, test_y))
            made = trained_for(model, x, y, weight, activation, args.epochs, seed)
            trained[weight, activation].append(accuracy(made, test_x, test_y))
    best = np.mean(floats)
    rows = []
    for weight, activation, below in CASES:
        ptq, qat = after[weight, activation], trained[weight, activation]
        gap = best - np.mean(qat)
        met = "yes" if gap <= below and np.mean(qat) >= np.mean(ptq) else "no"
        cells = [f"{np.mean(v):.2f} ({min(v):.1f} to {max(v):.1f})" for v in (floats, ptq, qat)]
        rows.append([f"W{weight}A{activation}", *cells, f"{gap:.2f}", f"{below}", met])
    table(
        ["bits", "float", "after training", "trained for it", "below float", "allowed", "met"],
        rows,
    )


if __name__ == "__main__":
    main()
