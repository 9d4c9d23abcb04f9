"""Fourier transforms."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray._typing import Array


def dft(
    x: Array, length: int | None = None, axis: int = 1, inverse: bool = False, onesided: bool = False
) -> Array:
    """The discrete Fourier transform along an axis.

    Parameters
    ----------
    x : array
        The last axis holds the real part, or the real and the imaginary part.
    length : int, optional
        Of the axis: what it lacks is 0.
    inverse : bool
    onesided : bool
        Whether the half that says all is given; inverse: is what is given, and the result is real.

    Source: the ONNX operator DFT.
    """
    whole = x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0]
    axis %= x.ndim
    if inverse and onesided:
        made = np.fft.irfft(whole, length, axis)[..., None]
    elif onesided and whole.dtype.kind != "c":
        made = _parts(np.fft.rfft(whole, length, axis))
    elif onesided:
        full = np.fft.fft(whole, length, axis)
        made = _parts(np.take(full, np.arange(full.shape[axis] // 2 + 1), axis))
    else:
        made = _parts((np.fft.ifft if inverse else np.fft.fft)(whole, length, axis))
    return made.astype(np.float32)


def _parts(x: Array) -> Array:
    made = np.ascontiguousarray(x, np.complex64)
    return made.view(np.float32).reshape(*made.shape, 2)


def stft(
    x: Array, step: int, window: Array | None = None, length: int | None = None, onesided: bool = True
) -> Array:
    """Fourier transforms of frames of a signal.

    Parameters
    ----------
    x : array
        Shape (batch, samples) or (batch, samples, 1 or 2).
    step : int
        From a frame to the next one.
    window : array, optional
        Factors of the samples of a frame.
    length : int, optional
        Of a frame; the window's by default.

    Returns
    -------
    array
        Shape (batch, frames, frequencies, 2).

    Source: the ONNX operator STFT.
    """
    x = x[..., None] if x.ndim == 2 else x
    size = int(length) if length is not None else len(window) if window is not None else x.shape[1]
    if step <= 0 or not 0 < size <= x.shape[1]:
        raise ValueError(f"frames of {size} samples, {step} apart, do not fit a signal of {x.shape[1]}")
    frames = np.lib.stride_tricks.sliding_window_view(x, size, 1)[:, ::step]
    if x.shape[2] == 1 and onesided:
        # Frames lie one after the other, and both parts side by side, as they come out.
        real = frames[:, :, 0]
        real = np.ascontiguousarray(real) if window is None else real * np.asarray(window, real.dtype)
        made = np.fft.rfft(real, size, -1).astype(np.complex64, copy=False)
        return made.view(np.float32).reshape(*made.shape, 2)
    frames = np.moveaxis(frames, -1, 2)
    if window is not None:
        frames = frames * np.asarray(window).reshape(1, 1, -1, 1)
    return dft(frames, size, 2, False, onesided)


def mel_weight_matrix(bins: int, length: int, rate: int, low: float, high: float) -> Array:
    """How much each frequency of a transform belongs to each band of the mel scale.

    Returns
    -------
    array of float32
        Shape (length // 2 + 1, bins).

    Source: the ONNX operator MelWeightMatrix.
    """
    count = length // 2 + 1
    lowest = 2595 * np.log10(1 + low / 700)
    highest = 2595 * np.log10(1 + high / 700)
    mels = np.arange(bins + 2) * ((highest - lowest) / (bins + 2)) + lowest
    places = ((length + 1) * (700 * (10 ** (mels / 2595) - 1)) // rate).astype(np.int64)
    made = np.zeros((count, bins), np.float32)
    for i in range(bins):
        first, middle, last = places[i : i + 3]
        if first == middle:
            made[middle, i] = 1
        else:
            rise = np.arange(first, middle + 1)
            made[rise, i] = (rise - first) / (middle - first)
        fall = np.arange(middle, last)
        if last > middle:
            made[fall, i] = (last - fall) / (last - middle)
    return made


_WINDOWS = {
    "HannWindow": (0.5, 0.5, 0.0),
    "HammingWindow": (25 / 46, 21 / 46, 0.0),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


def window(kind: str, size: int, periodic: bool = True) -> Array:
    """Factors of the samples of a frame, which fall to its ends.

    Source: the ONNX operators HannWindow, HammingWindow and BlackmanWindow.
    """
    base, first, second = _WINDOWS[kind]
    count = size if periodic else size - 1
    angle = 2 * np.pi * np.arange(size) / max(count, 1)
    return (base - first * np.cos(angle) + second * np.cos(2 * angle)).astype(np.float32)
