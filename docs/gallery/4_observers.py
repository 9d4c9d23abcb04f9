"""Where observers cut

A stream of values with a few far from the others. Each observer answers another question: hold everything,
lose least, hold most. All keep a small state whatever the amount of data, and those here give the same
answer however it was cut into batches.
"""

import matplotlib.pyplot as plt
import numpy as np
from quantray import quantization as tq

random = np.random.default_rng(0)
stream = [random.standard_normal(4096, dtype=np.float32) for _ in range(16)]
for batch in stream:
    batch[:2] *= 12
observers = {
    "MinMaxObserver": tq.MinMaxObserver(),
    "HistogramObserver": tq.HistogramObserver(),
    "MSEObserver": tq.MSEObserver(),
    "EntropyObserver": tq.EntropyObserver(),
    "PercentileObserver": tq.PercentileObserver(),
}

figure, axis = plt.subplots(figsize=(8, 3.6))
axis.hist(np.concatenate(stream), bins=300, log=True, color="#88888888")
for height, (name, observer) in enumerate(observers.items()):
    for batch in stream:
        observer(batch)
    scale, zero_point = (float(np.squeeze(v)) for v in observer.calculate_qparams())
    ends = (0 - zero_point) * scale, (255 - zero_point) * scale
    axis.plot(ends, [3 * 4**height] * 2, "|-", markersize=12, linewidth=2, label=name)
axis.set_xlabel("value")
axis.set_ylabel("how many")
axis.set_ylim(top=3e4)
axis.legend(ncols=3, loc="upper center", fontsize=8)
