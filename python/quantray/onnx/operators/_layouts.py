"""Images in blocks of channels, and with channels last: what a pass writes for layouts of onnxruntime."""

# Arrays and stand-ins of them are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import numpy as np

from quantray.onnx.operators._registry import Array, Call, operator


@operator("ChannelsSecond", domain="quantray")
def _channels_second(call: Call, x: Array) -> Array:
    return np.moveaxis(x, -1, 1)


@operator("ChannelsLast", domain="quantray")
def _channels_last(call: Call, x: Array) -> Array:
    return np.moveaxis(x, 1, -1)


@operator("WholeBlocks", domain="quantray")
def _whole_blocks(call: Call, x: Array) -> Array:
    """As many channels as fill whole blocks, with zeros."""
    more = -int(np.shape(x)[1]) % call.get("block")
    return np.pad(x, [(0, 0), (0, more), *[(0, 0)] * (np.ndim(x) - 2)]) if more else x


@operator("FirstChannels", domain="quantray")
def _first_channels(call: Call, x: Array) -> Array:
    channels = call.get("channels")
    return x[:, :channels] if 0 < channels < int(np.shape(x)[1]) else x
