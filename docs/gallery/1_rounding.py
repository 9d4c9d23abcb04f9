"""What a value becomes

Values along a line, and what is left of them with 16 and with 4 codes. Each step is one `scale` wide;
between two codes a value goes to the nearer one, and beyond the last code it saturates.
"""

import matplotlib.pyplot as plt
import numpy as np
import quantray as qt

x = np.linspace(-1.2, 1.2, 2001)

figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharey=True)
for axis, dtype, codes in zip(axes, (qt.quint4x2, qt.quint2x4), (16, 4), strict=True):
    q = qt.quantize_per_tensor(x, scale=2 / codes, zero_point=codes // 2, dtype=dtype)
    axis.plot(x, x, linewidth=1, color="#888888")
    axis.plot(x, q.dequantize(), linewidth=2, color="#2b8cbe")
    axis.set_title(f"{codes} codes")
    axis.set_xlabel("value")
axes[0].set_ylabel("value of its code")
