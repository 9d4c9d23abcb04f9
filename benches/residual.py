"""A residual block in integers: what it costs, and gains, to round its sum once.

    OPENBLAS_NUM_THREADS=1 python benches/residual.py [--quick] [--threads 1] [--isa avx2]

"twice": the second convolution's output is rounded to 8 bits, then the sum; "once": it goes into the sum in
float32, as `fuse_modules` has it. Errors are root mean squares, relative to that of the output.
"""

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin
from quantray import nn
from quantray import quantization as tq

US = 1e-6
SHAPES = ((1, 64, 56), (8, 64, 56), (1, 256, 14), (8, 256, 14), (64, 16, 16))
FIRST = ["conv1", "bn1", "relu1"]
FUSED = {"twice": [FIRST, ["conv2", "bn2"]], "once": [FIRST, ["conv2", "bn2", "join"]]}


class Block(nn.Module):
    """A basic block of ResNet-18, between quantized values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.quant, self.dequant = nn.QuantStub(), nn.DeQuantStub()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.relu1 = nn.BatchNorm2d(channels, momentum=1), nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2, self.join = nn.BatchNorm2d(channels, momentum=1), nn.FloatFunctional()

    def forward(self, x):
        x = self.quant(x)
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.dequant(self.join.add_relu(y, x))


def integers(model: nn.Module, x: np.ndarray, names: list[list[str]]) -> nn.Module:
    """The block, calibrated; its output stays quantized, as in the middle of a network."""
    ready = tq.prepare(tq.fuse_modules(model, names))
    made = tq.convert(tq.calibrate(ready, x, show_progress=False))
    made.set_submodule("dequant", nn.Identity())
    return made


def main() -> None:
    args, _ = begin(__doc__)
    rows = []
    for batch, channels, side in SHAPES:
        nn.manual_seed(0)
        x = np.random.default_rng(0).standard_normal((batch, channels, side, side), np.float32)
        x, model = np.maximum(x, 0), Block(channels)
        model(x)  # running statistics
        exact = model.eval()(x)
        made = {name: integers(model, x, names) for name, names in FUSED.items()}
        q = made["once"].quant(x)
        # Channels last in memory, as what the block before would have left.
        codes = np.moveaxis(np.ascontiguousarray(np.moveaxis(q.int_repr(), 1, -1)), -1, 1)
        q = qt.make_per_tensor_quantized_tensor(codes, q.q_scale(), q.q_zero_point())
        calls = {name: Call(lambda m=m, q=q: m(q), args.threads) for name, m in made.items()}
        times = compare(calls, 7 if args.quick else 31, 3, 1)
        errors = [
            np.sqrt(np.mean((np.asarray(m(q)) - exact) ** 2) / np.mean(exact**2)) for m in made.values()
        ]
        shape = f"{batch} x {channels} x {side} x {side}"
        rows.append([shape, *(times[n].text(US) for n in made), *(f"{100 * error:.2f}%" for error in errors)])
    print("\n## A block, microseconds, and the error of its output\n")
    table(["input", *made, *(f"error, {name}" for name in made)], rows)
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
