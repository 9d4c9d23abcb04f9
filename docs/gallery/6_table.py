"""A function of codes is a table

Between two grids of 256 codes any function of one number is a table of 256 bytes: GELU costs a look-up, and
is right for each code to the nearest one of the result's grid.
"""

import matplotlib.pyplot as plt
import numpy as np
import quantray as qt

every = qt.make_per_tensor_quantized_tensor(np.arange(-128, 128).astype(np.int8), 4 / 127, 0)
made = qt.ops.gelu(every, scale=4.2 / 255, zero_point=-118, dtype=qt.qint8)

figure, axes = plt.subplots(1, 2, figsize=(8, 3.4))
axes[0].step(every.int_repr(), made.int_repr(), color="#2b8cbe", where="mid")
axes[0].set_title("the table: code to code")
axes[1].plot(every.dequantize(), made.dequantize(), ".", markersize=3, color="#2b8cbe")
axes[1].set_title("what it stands for")
for axis, label in zip(axes, ("code", "value"), strict=True):
    axis.set_xlabel(label)
