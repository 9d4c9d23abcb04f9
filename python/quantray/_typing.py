"""Types of what functions and modules take and give, for type checkers."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: An array of any dtype and shape.
Array: TypeAlias = NDArray[Any]
#: What floats are computed in.
Floats: TypeAlias = NDArray[np.float32]

__all__ = ["Array", "ArrayLike", "Floats"]
