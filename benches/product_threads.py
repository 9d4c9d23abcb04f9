"""What another core gains: calls back to back meet its worker awake, after a pause it sleeps."""

import time

import numpy as np
import quantray as qt
from measure import Call, compare, others, table

US = 1e-6
SIZES = [(1, 64, 64), (16, 64, 64), (8, 256, 256), (1, 768, 768), (1, 768, 3072), (16, 768, 768)]
SIZES += [(48, 768, 768), (128, 768, 768), (512, 512, 512), (1, 4096, 4096), (1024, 1024, 1024)]


def gains(threads: int, rounds: int) -> None:
    """Prints one thread's time by that of several, for calls back to back and after a millisecond."""
    random = np.random.default_rng(2)
    rows = []
    for m, k, n in SIZES:
        w = random.integers(-127, 128, (n, k), dtype=np.int8)
        linear = qt.ops.PackedLinear(qt.make_per_tensor_quantized_tensor(w, 0.01, 0))
        q = qt.make_per_tensor_quantized_tensor(random.integers(0, 256, (m, k), dtype=np.uint8), 0.02, 7)
        calls = {str(n): Call(lambda q=q, f=linear: f(q, 0.5, 128), n) for n in (1, threads)}
        # As many calls as take some milliseconds: a sleeping worker may need half of one to wake up.
        many = min(3000, max(4, int(1e9 / (m * k * n + 3e5))))
        line = [f"{m} x {k} x {n}"]
        start, before = time.perf_counter(), others()
        for number, warm, pause, turns in [(many, many, 0.0, rounds), (1, 0, 1e-3, 5 * rounds)]:
            one, more = compare(calls, turns, number, warm, pause).values()
            line += [one.text(US), more.text(US), f"{one.median / more.median:.2f}"]
        taken = (others() - before) / (time.perf_counter() - start)
        rows.append([*line, f"{max(0.0, taken):.2f}"])
    print(f"## {threads} cores: microseconds with one thread and with {threads}\n")
    several = f"{threads} threads"
    table(["M x K x N", "back to back", several, "gain", "after 1 ms", several, "gain", "others"], rows)
