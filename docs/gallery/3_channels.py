"""One scale for all, or one for each channel

Weights of a convolution whose channels differ in size. With one scale the small channels have a few codes
between them; with one each they lose no more than the large ones.
"""

import matplotlib.pyplot as plt
import numpy as np
import quantray as qt

random = np.random.default_rng(0)
sizes = np.geomspace(0.01, 1, 24)
weight = random.standard_normal((24, 16, 3, 3)) * sizes[:, None, None, None]
largest = abs(weight).max(axis=(1, 2, 3))

whole = qt.quantize_per_tensor(weight, largest.max() / 127, 0, qt.qint8)
channels = qt.quantize_per_channel(weight, largest / 127, np.zeros(24, int), axis=0, dtype=qt.qint8)


def noise(q):
    error = weight - q.dequantize()
    return 10 * np.log10((weight**2).mean(axis=(1, 2, 3)) / (error**2).mean(axis=(1, 2, 3)))


figure, axis = plt.subplots(figsize=(8, 3.4))
axis.plot(noise(whole), "o-", label="one scale", color="#d95f0e")
axis.plot(noise(channels), "o-", label="a scale for each channel", color="#2b8cbe")
axis.set_xlabel("channel, from small weights to large ones")
axis.set_ylabel("signal to noise, dB")
axis.set_ylim(0)
axis.legend()
