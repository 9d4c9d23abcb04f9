"""What the analysis' remedies give back: accuracies of models that quantization harms, seed by seed.

    python benches/analysis.py [--seeds 5] [--drop 0.005] [--only MLP]

Each case is made to fail in one known way, of scikit-learn's digits. "today" is `tq.quantize`, "ladder" the
same with a metric and a budget; half of the data that was not trained with is held out for the metric, the
other half is what the table shows. "one rule" is the same for all, without a metric: equalization,
SmoothQuant, ranges of activations, GPTQ. "default" is `tq.quantize` without settings, which makes channels
alike, and spares what 8 bits are too little for.
"to reach" is what is aimed at: of the ladder, or of the one rule where bits are few.
"""

import argparse
import time

import digits
import numpy as np
import quantray as qt
from digits import accuracy
from measure import table
from quantray import nn
from quantray import quantization as tq

PER_TENSOR, PER_CHANNEL = (tq.get_default_qconfig_mapping(name) for name in ("qnnpack", "x86"))


def mlp(seed: int) -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """Three linear layers, whose hidden channels are multiplied by 2^U(-6, 6) and divided again."""
    qt.manual_seed(seed)
    data = digits.data(seed)
    layers = (nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    model = nn.Sequential(nn.Flatten(), *layers)
    digits.train(model, *data[:2], 20, seed=seed)
    rng = np.random.default_rng(seed)
    for a, b in ((1, 3), (3, 5)):
        _rescale(model[a], model[b], rng, 6)
    return model, data


def _rescale(first: nn.Module, second: nn.Module, rng: np.random.Generator, octaves: float) -> None:
    factors = (2.0 ** rng.uniform(-octaves, octaves, len(first.weight))).astype(np.float32)
    first.weight = first.weight * factors.reshape(-1, *[1] * (first.weight.ndim - 1))
    first.bias = first.bias * factors
    second.weight = second.weight / factors


def depthwise(seed: int) -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """Depthwise and pointwise convolutions, whose normalizations differ wildly from channel to channel."""
    qt.manual_seed(seed)
    data = digits.data(seed)

    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False)),
            *(nn.BatchNorm2d(outputs), nn.ReLU()),
        ]

    first = [nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10)]
    model = nn.Sequential(*first, *block(16, 32), *block(32, 48), *last)
    digits.train(model, *data[:2], 30, seed=seed)
    rng = np.random.default_rng(seed)
    norms = [i for i, layer in enumerate(model) if isinstance(layer, nn.BatchNorm2d)]
    for at in norms:
        after = next(layer for layer in list(model)[at + 1 :] if hasattr(layer, "weight"))
        factors = (2.0 ** rng.uniform(-6, 6, len(model[at].weight))).astype(np.float32)
        model[at].weight, model[at].bias = model[at].weight * factors, model[at].bias * factors
        by_rows = after.weight.shape[1] == 1
        shape = (-1, 1, 1, 1) if by_rows else (1, -1, *[1] * (after.weight.ndim - 2))
        after.weight = after.weight / factors.reshape(shape)
    return model.eval(), data


def normalized(seed: int) -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """Layer normalizations, of which some channels are multiplied by 200, and what takes them divided."""
    qt.manual_seed(seed)
    data = digits.data(seed)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 64),
        nn.LayerNorm(64),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.LayerNorm(64),
        nn.Linear(64, 10),
    )
    digits.train(model, *data[:2], 20, seed=seed)
    rng = np.random.default_rng(seed)
    for norm, after in ((2, 3), (5, 6)):
        factors = np.ones(64, np.float32)
        factors[rng.choice(64, 4, replace=False)] = 200
        model[norm].weight, model[norm].bias = model[norm].weight * factors, model[norm].bias * factors
        model[after].weight = model[after].weight / factors
    return model, data


def cnn(seed: int) -> tuple[nn.Module, tuple[np.ndarray, ...]]:
    """The small network of convolutions of the other benchmarks."""
    qt.manual_seed(seed)
    data = digits.data(seed)
    return digits.train(digits.small_cnn(), *data[:2], 30, seed=seed), data


def decibels(want: np.ndarray, got: np.ndarray) -> float:
    """SQNR."""
    return 10 * float(np.log10((want**2).sum(dtype=float) / ((got - want) ** 2).sum(dtype=float)))


def by_one_rule(model: nn.Module, batches: list[np.ndarray], mapping: object) -> nn.Module:
    """Quantized without a metric and without training, by the same remedies whatever the bits."""
    ranged = tq.remedies.activation_ranges(evened(model, batches, mapping), batches)
    return tq.quantize(tq.remedies.gptq(ranged, batches), batches, verbose=False)


def evened(model: nn.Module, batches: list[np.ndarray], mapping: object) -> nn.Module:
    """The same function, with channels alike: what the one rule rounds, and what training starts from."""
    return tq.remedies.smooth(tq.remedies.equalize(model, batches, mapping), batches)


def run(make: object, seed: int, mapping: object, max_drop: float) -> tuple[list[float], object]:
    """Accuracies of the float model, as quantized today, and by the ladder; SQNRs; the plan."""
    model, (x, _, held, labels) = make(seed)  # type: ignore[operator]
    half = len(held) // 2
    shown = held[half:], labels[half:]
    batches = [x[:256], x[256:512]]

    def metric(model: nn.Module, data: tuple[np.ndarray, np.ndarray]) -> float:
        return accuracy(model, *data) / 100

    plain = tq.quantize(model, batches, mapping, verbose=False)
    best = tq.quantize(
        model,
        batches,
        mapping,
        metric=metric,
        max_drop=max_drop,
        data_held_out=(held[:half], labels[:half]),
        verbose=False,
    )
    ruled = by_one_rule(model, batches, mapping)
    default = tq.quantize(model, batches, verbose=False)
    want = model(shown[0])
    found = [accuracy(each, *shown) for each in (model, plain, default, ruled, best)]
    return [*found, decibels(want, plain(shown[0])), decibels(want, best(shown[0]))], best.plan


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--drop", type=float, default=0.005)
    parser.add_argument("--only", default="", help="cases whose name has this")
    given = parser.parse_args()
    seeds, drop = range(given.seeds), given.drop
    bits = {(4, 8): 98.3, (3, 8): 98.0, (2, 8): 97.0, (4, 4): 98.2, (3, 3): 97.6, (2, 4): 97.4, (2, 2): 92.0}
    cases = [
        ("MLP, channels x 2^U(-6, 6), per tensor", mlp, PER_TENSOR, 96.3),
        ("MLP, channels x 2^U(-6, 6), per channel", mlp, PER_CHANNEL, 96.3),
        ("depthwise, wild normalizations, per tensor", depthwise, PER_TENSOR, 97.5),
        ("depthwise, wild normalizations, per channel", depthwise, PER_CHANNEL, 97.5),
        ("LayerNorm, channels x 200", normalized, PER_CHANNEL, 96.8),
        *(
            (f"CNN w{w} a{a}", cnn, tq.qconfig_for_bits(w, a, qat=False), target)
            for (w, a), target in bits.items()
        ),
    ]
    lines = []
    for name, make, mapping, target in cases:
        if given.only not in name:
            continue
        begin = time.perf_counter()
        found, plans = zip(*(run(make, seed, mapping, drop) for seed in seeds), strict=True)
        mean = np.mean(found, axis=0)
        kept = sum(plan.is_within for plan in plans)
        steps = ", ".join(sorted({plan.chosen.name for plan in plans}))
        # Of the steps that were tried after the first one, which all others are foretold by.
        tried = [step for plan in plans for step in list(plan)[1:]]
        foretold = sum(step.seconds for step in tried) / max(1e-9, sum(step.foretold for step in tried))
        numbers = [*(f"{v:.1f}" for v in mean), f"{target:.1f}"]
        lines.append([name, *numbers, f"{kept} of {len(plans)}", steps, f"{foretold:.2f}"])
        print(lines[-1], f"{time.perf_counter() - begin:.0f} s", flush=True)
    heads = [
        "",
        "float",
        "today",
        "default",
        "one rule",
        "ladder",
        "today dB",
        "ladder dB",
        "to reach",
        "budget kept",
        "chosen",
        "time / foretold",
    ]
    table(heads, lines)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")
    main()
