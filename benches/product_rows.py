"""Time over the number of rows: it grows as the work does, without a cliff where rows do not fill a tile."""

import numpy as np
import quantray as qt
from measure import Call, compare, table

K, N = 768, 768
US = 1e-6
SHOWN = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]
# Ragged ones around multiples of the tiles: 12 rows, 16, 32.
RAGGED = [95, 96, 97, 108, 127, 129, 132, 255, 256, 257, 264, 1023, 1025, 1032]


def sweep(threads: int, rounds: int) -> None:
    """Prints time per row, and the greatest ratio of a number of rows to the next multiple of a tile."""
    random = np.random.default_rng(1)
    w = random.integers(-127, 128, (N, K), dtype=np.int8)
    linear = qt.ops.PackedLinear(qt.make_per_tensor_quantized_tensor(w, 0.01, 0))
    codes = random.integers(0, 256, (max(SHOWN), K), dtype=np.uint8)

    def call(m: int) -> Call:
        q = qt.make_per_tensor_quantized_tensor(codes[:m], 0.02, 7)
        return Call(lambda: linear(q, 0.5, 128), threads)

    print(f"## Rows (K = {K}, N = {N}), microseconds\n")
    times = {m: compare({"": call(m)}, rounds, max(1, 200 // m), 1)[""].median for m in SHOWN}
    table(["M", "all", "a row"], [[str(m), f"{t / US:.3g}", f"{t / m / US:.3g}"] for m, t in times.items()])
    ragged = [*range(1, 65), *RAGGED]
    tiles = {"avx2": 6, "avxvnni": 6, "amx": 32}
    tile = tiles.get(linear.kernel, 12)
    rows = set(ragged) | {-(-m // tile) * tile for m in ragged}
    times = compare({str(m): call(m) for m in sorted(rows)}, rounds, 10, 1)
    ratios = {m: times[str(m)].median / times[str(-(-m // tile) * tile)].median for m in ragged}
    worst = sorted(ratios, key=ratios.__getitem__, reverse=True)[:5]
    print(f"Rows by the next multiple of {tile} rows, the largest of {len(ratios)} ratios: ", end="")
    print(", ".join(f"{m} rows {ratios[m]:.2f}" for m in worst), end="\n\n")
