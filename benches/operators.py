"""Operators on 8-bit codes beside torch's, and as a share of a copy's speed.

    OPENBLAS_NUM_THREADS=1 python benches/operators.py [--quick] [--threads 1] [--isa avx2] [--only pool]

benches/README.md says what the columns mean. torch has columns where it can be imported.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import quantray as qt
from measure import Call, compare, load, table
from peers import begin, torch

RNG = np.random.default_rng(0)
US = 1e-6
SCALE, ZERO = 0.05, 128
Q = qt.QTensor


@dataclass(frozen=True)
class Work:
    """An operator: quantray's call and torch's, if it has the operator, and the bytes they read and write."""

    name: str
    shape: tuple[int, ...]
    own: Callable[[], object]
    peer: Callable[[], object] | None
    moved: int


def codes(shape: tuple[int, ...], last: bool = False) -> np.ndarray:
    """Random ones; images in memory with their channels last, or first."""
    made = RNG.integers(0, 256, shape, np.uint8)
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(made, 1, -1)), -1, 1) if last else made


def pair(x: np.ndarray, last: bool = False) -> tuple[Q, object]:
    """The same codes for both."""
    q = qt.make_per_tensor_quantized_tensor(x, SCALE, ZERO)
    if not torch:
        return q, None
    t = torch._make_per_tensor_quantized_tensor(torch.tensor(np.ascontiguousarray(x)), SCALE, ZERO)
    return q, t.contiguous(memory_format=torch.channels_last) if last else t


def images() -> Iterator[Work]:
    """Pooling and other sizes."""
    functional = torch.nn.functional if torch else None
    windows = {
        "max_pool2d 2": ("max_pool2d", (2,), [(1, 64, 56, 56), (256, 16, 8, 8), (256, 32, 4, 4)]),
        "max_pool2d 3/2": ("max_pool2d", (3, 2, 1), [(1, 64, 56, 56)]),
        "avg_pool2d 2": ("avg_pool2d", (2,), [(1, 64, 56, 56), (256, 16, 8, 8)]),
        "avg_pool2d 3/2": ("avg_pool2d", (3, 2, 1), [(1, 64, 56, 56)]),
        "adaptive_avg_pool2d 1": ("adaptive_avg_pool2d", (1,), [(1, 512, 7, 7), (32, 64, 56, 56)]),
        "adaptive_avg_pool2d 7": ("adaptive_avg_pool2d", (7,), [(1, 64, 56, 56)]),
    }
    for last in (True, False):
        order = "channels last" if last else "channels first"
        for name, (op, args, shapes) in windows.items():
            for shape in shapes:
                q, t = pair(codes(shape, last), last)
                own, moved = getattr(qt.ops, op), math.prod(shape) + own_size(op, q, args)
                peer = (lambda op=op, t=t, args=args: getattr(functional, op)(t, *args)) if torch else None
                yield Work(
                    f"{name}, {order}",
                    shape,
                    lambda own=own, q=q, args=args: own(q, *args),
                    peer,
                    moved,
                )
        for mode in ("nearest", "bilinear"):
            shape = (1, 64, 56, 56)
            q, t = pair(codes(shape, last), last)
            peer = (
                (lambda t=t, mode=mode: functional.interpolate(t, scale_factor=2, mode=mode))
                if torch
                else None
            )
            yield Work(
                f"interpolate {mode} x2, {order}",
                shape,
                lambda q=q, mode=mode: qt.ops.interpolate(q, scale_factor=2, mode=mode),
                peer,
                5 * q.numel(),
            )
    q, t = pair(codes((1, 64, 56, 56)))
    peer = (lambda: functional.pad(t, (1, 1, 1, 1))) if torch else None
    yield Work("pad 1", q.shape, lambda: qt.ops.pad(q, (1, 1, 1, 1)), peer, 2 * q.numel())


def own_size(op: str, q: Q, args: tuple[int, ...]) -> int:
    return getattr(qt.ops, op)(q, *args).numel()


def elementwise() -> Iterator[Work]:
    """Sums, products and functions of one input."""
    shape = (1024, 768)
    (a, t), (b, u) = pair(codes(shape)), pair(codes(shape))
    n, to = a.numel(), (0.1, 120)
    peers = torch.ops.quantized if torch else None
    functional = torch.nn.functional if torch else None
    ones = np.ones(shape[-1], np.float32)
    binary = {
        "add": (lambda: qt.ops.add(a, b, *to), lambda: peers.add(t, u, *to)),
        "add_relu": (lambda: qt.ops.add(a, b, *to, relu=True), lambda: peers.add_relu(t, u, *to)),
        "mul": (lambda: qt.ops.mul(a, b, *to), lambda: peers.mul(t, u, *to)),
        "sub": (lambda: qt.ops.sub(a, b, *to), None),
        "cat": (lambda: qt.ops.cat([a, b], 0, *to), lambda: peers.cat([t, u], 0, *to)),
        "cat, same scale": (lambda: qt.ops.cat([a, b], 0), lambda: peers.cat([t, u], 0, SCALE, ZERO)),
    }
    weights = (torch.tensor(ones), torch.zeros(shape[-1])) if torch else None
    unary = {
        "softmax": (lambda: qt.ops.softmax(a, -1, 1 / 256, 0), lambda: peers.softmax(t, -1, 1 / 256, 0)),
        "layer_norm": (
            lambda: qt.ops.layer_norm(a, shape[-1], ones, 0 * ones, scale=SCALE, zero_point=ZERO),
            lambda: peers.layer_norm(t, [shape[-1]], *weights, 1e-5, SCALE, ZERO),
        ),
        "sigmoid": (lambda: qt.ops.sigmoid(a, 1 / 256, 0), lambda: peers.sigmoid(t, 1 / 256, 0)),
        "tanh": (lambda: qt.ops.tanh(a, 1 / 128, 128), lambda: torch.tanh(t)),
        "hardswish": (lambda: qt.ops.hardswish(a, *to), lambda: peers.hardswish(t, *to)),
        "hardsigmoid": (lambda: qt.ops.hardsigmoid(a, 1 / 256, 0), lambda: functional.hardsigmoid(t)),
        "leaky_relu": (lambda: qt.ops.leaky_relu(a, *to), lambda: peers.leaky_relu(t, 0.01, False, *to)),
        "elu": (lambda: qt.ops.elu(a, *to), lambda: peers.elu(t, *to)),
        "gelu": (lambda: qt.ops.gelu(a, SCALE, ZERO), lambda: functional.gelu(t)),
        "silu": (lambda: qt.ops.silu(a, *to), None),
        "relu6": (lambda: qt.ops.relu6(a), lambda: peers.relu6(t, False)),
    }
    for name, (own, peer) in binary.items():
        yield Work(name, shape, own, peer if torch else None, 4 * n if "cat" in name else 3 * n)
    for name, (own, peer) in unary.items():
        yield Work(name, shape, own, peer if torch else None, 2 * n)
    x, y = RNG.standard_normal((2, *shape), dtype=np.float32)
    f, g = (torch.tensor(x), torch.tensor(y)) if torch else (None, None)
    yield Work("np.add of floats", shape, lambda: np.add(x, y), (lambda: f + g) if torch else None, 12 * n)
    yield Work(
        "residual and layer_norm of floats",
        shape,
        lambda: qt.ops.layer_norm(x, shape[-1], ones, residual=y),
        (lambda: functional.layer_norm(f + g, shape[-1:], weights[0])) if torch else None,
        12 * n,
    )


def tables() -> Iterator[Work]:
    """Rows of tables of 8 and of 4 bits, alone and added up."""
    rows, width, bags, each = 10_000, 64, 32, 20
    real = RNG.standard_normal((rows, width), dtype=np.float32)
    indices = RNG.integers(0, rows, bags * each)
    offsets = np.arange(0, bags * each, each)
    shape = (rows, width)
    for bits, dtype in ((8, qt.quint8), (4, qt.quint4x2)):
        low, high = real.min(1), real.max(1)
        scales = (high - low) / (2**bits - 1)
        q = qt.quantize_per_channel(real, scales, -low / scales, 0, dtype)
        single = several = None
        if torch:
            kind = torch.quint8 if bits == 8 else torch.quint4x2
            params = torch.tensor(scales), torch.tensor(-low / scales)
            t = torch.quantize_per_channel(torch.tensor(real), *params, 0, kind)
            packed = torch.ops.quantized.embedding_bag_prepack(t)
            i, o = torch.tensor(indices), torch.tensor(offsets)
            name = "byte" if bits == 8 else "4bit"
            one = getattr(torch.ops.quantized, f"embedding_{name}")
            bag = getattr(torch.ops.quantized, f"embedding_bag_{name}")
            single = lambda one=one, packed=packed, i=i: one(packed, i)  # noqa: E731
            several = lambda bag=bag, packed=packed, i=i, o=o: bag(packed, i, o)  # noqa: E731
        read = bags * each * (width * bits // 8 + 8)
        yield Work(
            f"embedding, {bits} bits",
            shape,
            lambda q=q: qt.ops.embedding(q, indices),
            single,
            read + bags * each * width * 4,
        )
        yield Work(
            f"embedding_bag, {bits} bits",
            shape,
            lambda q=q: qt.ops.embedding_bag(q, indices, offsets),
            several,
            read + bags * width * 4,
        )


def measure(work: Work, threads: int, rounds: int) -> list[str]:
    half = work.moved // 2
    source, target = np.ones(half, np.uint8), np.ones(half, np.uint8)
    calls = {"ours": Call(work.own, threads), "copy": Call(lambda: np.copyto(target, source))}
    if work.peer:
        try:
            work.peer()
            calls["torch"] = Call(work.peer, threads)
        except (RuntimeError, NotImplementedError):  # it has no such operator for these codes
            pass
    times = compare(calls, rounds, 20 if work.moved < 1 << 22 else 3, 2)
    mine = times["ours"].median
    peer = times.get("torch")
    return [
        f"{work.name}, {' x '.join(map(str, work.shape))}",
        times["ours"].text(US),
        peer.text(US) if peer else "",
        f"{peer.median / mine:.2f}" if peer else "",
        f"{times['copy'].median / mine:.0%}",
    ]


def main() -> None:
    args, _ = begin(__doc__, lambda parser: parser.add_argument("--only", default="", help="part of a name"))
    if torch:
        torch.set_num_threads(args.threads)
    print("microseconds\n")
    works = (work for group in (images, elementwise, tables) for work in group() if args.only in work.name)
    rounds = 9 if args.quick else 41
    table(
        ["work", "ours", "torch", "torch / ours", "of a copy"],
        [measure(work, args.threads, rounds) for work in works],
    )
    print(f"load after: {load()}")


if __name__ == "__main__":
    main()
