"""Codes of 1 to 16 bits, one after the other in bytes: flat, the first in the low bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from quantray._typing import ArrayLike


def packed(codes: ArrayLike, bits: int) -> NDArray[np.uint8]:
    """Bytes of codes, which are from 0 to `2**bits - 1`; as quint4x2 and quint2x4 have them."""
    flat = np.ascontiguousarray(codes, np.uint16).ravel()
    if bits in (8, 16):
        return flat.astype(np.uint8 if bits == 8 else "<u2").view(np.uint8)
    if bits in (1, 2, 4):
        count = 8 // bits
        rows = np.append(flat.astype(np.uint8), np.zeros(-flat.size % count, np.uint8)).reshape(-1, count)
        shifts = np.arange(count, dtype=np.uint8) * np.uint8(bits)
        return np.bitwise_or.reduce(rows << shifts, axis=1)
    each = flat[:, None] >> np.arange(bits, dtype=np.uint16) & np.uint16(1)
    return np.packbits(each.astype(np.uint8).ravel(), bitorder="little")


def unpacked(data: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """So many codes of bytes, as uint16: the inverse of `packed`."""
    if bits == 8:
        return data[:count].astype(np.uint16)
    if bits == 16:
        return data.view("<u2")[:count].astype(np.uint16)
    if bits in (1, 2, 4):
        shifts = np.arange(8 // bits, dtype=np.uint8) * np.uint8(bits)
        return (data[:, None] >> shifts & np.uint8(2**bits - 1)).ravel()[:count].astype(np.uint16)
    each = np.unpackbits(data, bitorder="little", count=count * bits).reshape(count, bits)
    return (each.astype(np.uint16) << np.arange(bits, dtype=np.uint16)).sum(1, dtype=np.uint16)


def packed_size(count: int, bits: int) -> int:
    """How many bytes so many codes take."""
    return -(-count * bits // 8)
