"""What training for integers follows

Fake quantization rounds on the way forward. On the way back the rounding counts as nothing, so the gradient
is 1 where a value has a code of its own, and 0 where it saturates; a learned scale has the gradient of LSQ.
"""

import matplotlib.pyplot as plt
import numpy as np
import quantray as qt

x = np.linspace(-1.5, 1.5, 1501, dtype=np.float32)
grid = {"scale": 0.25, "zero_point": 0, "quant_min": -4, "quant_max": 3}
ones = np.ones_like(x)
forward = qt.fake_quantize_per_tensor_affine(x, **grid)
to_value = qt.fake_quantize_per_tensor_affine_backward(ones, x, **grid)
# Each value's own part of the scale's gradient.
to_scale = [qt.fake_quantize_learnable_per_tensor_affine_backward(ones[:1], [v], **grid)[1] for v in x]

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4))
left.plot(x, forward, color="#2b8cbe", linewidth=2)
left.set_title("forward: 8 codes")
right.plot(x, to_value, color="#d95f0e", linewidth=2, label="to the value")
right.plot(x, np.ravel(to_scale), color="#31a354", linewidth=1, label="to the scale (LSQ)")
right.set_title("backward")
right.legend(fontsize=8)
for axis in (left, right):
    axis.set_xlabel("value")
