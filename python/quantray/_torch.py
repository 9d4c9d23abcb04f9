"""Tensors of torch, as what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from quantray._typing import Array


def values_of(tensor: object) -> Array | None:
    """The array of a tensor that NumPy refuses to read, or None for what is no tensor of torch.

    Parameters, which ask for gradients, are read as they are; quantized tensors and those of bfloat16 as
    floats.

    Raises
    ------
    TypeError
        For memory that NumPy cannot see.
    """
    if not any(base.__module__.split(".")[0] == "torch" for base in type(tensor).__mro__):
        return None
    if not hasattr(tensor, "detach"):
        return None
    # torch may not be there to be asked for its types.
    read = cast("Any", tensor).detach()
    if read.device.type != "cpu":
        raise TypeError(f"a tensor must be in the CPU's memory, got one on {read.device}: use tensor.cpu()")
    read = read.dequantize() if read.is_quantized else read.float() if read.is_floating_point() else read
    return np.asarray(read.resolve_conj().resolve_neg() if read.is_complex() else read)
