"""How many bits a network needs: quantized after training, and trained for it, beside its accuracy in float.

    python benches/qat.py [--seeds 5] [--epochs 10]

Some minutes. benches/README.md says what the columns mean.
"""

import argparse

import numpy as np
from analysis import by_one_rule, evened
from digits import accuracy, data, small_cnn, train
from measure import cpu_model, table
from quantray import nn
from quantray import quantization as tq

#: Bits of weights and of activations, how many points below float training must stay, and what it must reach.
CASES = [
    (8, 8, 0.5, None),
    (4, 8, 0.5, None),
    (4, 4, 0.5, 98.3),
    (3, 3, 1.5, 97.7),
    (2, 4, 2.5, 97.8),
    (2, 2, 12.0, 95.7),
]


def quantized_after(model: nn.Module, x: np.ndarray, weight: int, activation: int) -> nn.Module:
    """Post-training: weights per channel, activations per tensor, by the least and the greatest value."""
    return tq.quantize(model, [x], tq.qconfig_for_bits(weight, activation, qat=False), verbose=False)


def trained_for(
    model: nn.Module, x: np.ndarray, y: np.ndarray, weight: int, activation: int, epochs: int, seed: int
) -> nn.Module:
    """Quantization aware training from the float model that the one rule rounds, with learned step sizes.

    Where all have 8 bits there is little to learn again: a smaller rate keeps what the float model has.
    """
    rate = 1e-3 if min(weight, activation) == 8 else 5e-3
    start = evened(model, [x[:512]], tq.qconfig_for_bits(weight, activation, qat=False))
    qconfig = tq.qconfig_for_bits(weight, activation, learnable=True)
    qat = tq.prepare_qat(start, qconfig, x[:256])
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
    found: dict[tuple[int, int], list[list[float]]] = {case[:2]: [] for case in CASES}
    for seed in range(args.seeds):
        nn.manual_seed(seed)
        x, y, test_x, test_y = data(seed)
        model = train(small_cnn(), x, y, 30, seed=seed)
        floats.append(accuracy(model, test_x, test_y))
        for weight, activation, *_ in CASES:
            bits = tq.qconfig_for_bits(weight, activation, qat=False)
            made = [
                quantized_after(model, x[:512], weight, activation),
                by_one_rule(model, [x[:512]], bits),
                trained_for(model, x, y, weight, activation, args.epochs, seed),
            ]
            found[weight, activation].append([accuracy(each, test_x, test_y) for each in made])
    best = np.mean(floats)
    rows = []
    for weight, activation, below, target in CASES:
        ptq, ruled, qat = np.transpose(found[weight, activation])
        gap = best - np.mean(qat)
        is_met = gap <= below and np.mean(qat) >= max(np.mean(ptq), target or 0)
        cells = [f"{np.mean(v):.2f} ({min(v):.1f} to {max(v):.1f})" for v in (floats, ptq, ruled, qat)]
        wanted = "" if target is None else f"{target}"
        met = "yes" if is_met else "no"
        rows.append([f"W{weight}A{activation}", *cells, f"{gap:.2f}", f"{below}", wanted, met])
    heads = [
        "float",
        "after training",
        "one rule",
        "trained for it",
        "below float",
        "allowed",
        "to reach",
        "met",
    ]
    table(["bits", *heads], rows)


if __name__ == "__main__":
    main()
