"""A picture in 8, 4 and 2 bits

A photograph (it comes with matplotlib) as a quantized tensor. Four bits are hard to tell from eight on a
small picture; with two there are four shades for each colour.
"""

import matplotlib.pyplot as plt
import numpy as np
import quantray as qt
from matplotlib.cbook import get_sample_data

with get_sample_data("grace_hopper.jpg") as file:
    photo = plt.imread(file)[:480, :] / np.float32(255)

figure, axes = plt.subplots(1, 3, figsize=(8, 3.4))
for axis, dtype, levels in zip(axes, (qt.quint8, qt.quint4x2, qt.quint2x4), (256, 16, 4), strict=True):
    q = qt.quantize_per_tensor(photo, scale=1 / (levels - 1), zero_point=0, dtype=dtype)
    axis.imshow(q.dequantize().clip(0, 1))
    axis.set_title(f"{levels} levels, {q.int_repr().nbytes // 1024} KB")
    axis.axis("off")
