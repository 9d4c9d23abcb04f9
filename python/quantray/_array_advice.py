"""Floats are NumPy arrays: what torch's methods of float tensors are called there, the one list of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

#: Methods of torch's float tensors, and how NumPy writes them of an array `x`.
ARRAY_METHODS = MappingProxyType(
    {
        "detach numpy cpu data requires_grad requires_grad_ retain_grad grad": "nothing: an array has no "
        "gradient attached, and lies in the CPU's memory",
        "backward": "nn.value_and_grad(model, loss_fn)(...) gives the gradients, for "
        "optimizer.update(model, grads)",
        "float double half long int short char byte bool to type": "x.astype(np.float32)",
        "numel nelement": "x.size",
        "element_size": "x.itemsize",
        "dim ndimension": "x.ndim",
        "t": "x.T",
        "permute": "x.transpose(1, 0, 2)",
        "unsqueeze": "np.expand_dims(x, axis)",
        "expand expand_as broadcast_to": "np.broadcast_to(x, shape)",
        "contiguous": "np.ascontiguousarray(x)",
        "clone": "x.copy()",
        "clamp clamp_min clamp_max": "x.clip(least, most)",
        "repeat": "np.tile(x, (2, 1))",
        "max min": "x.max(axis), which is the values alone; x.argmax(axis) has their places",
        "topk": "quantray.topk(x, k)",
        "chunk": "np.array_split(x, parts, axis)",
        "split unbind narrow select index_select": "slices: x[:, 2:4], or np.split(x, parts, axis)",
        "masked_fill masked_fill_": "np.where(mask, value, x)",
        "softmax relu sigmoid log_softmax gelu": "nn.functional.softmax(x, axis), relu(x), ...",
        "norm": "np.linalg.norm(x)",
        "eq ne lt le gt ge": "x == y, x < y",
        "add sub mul div pow matmul mm bmm neg": "x + y, x * y, x @ y",
        "uniform_ normal_ zero_ fill_ copy_ random_ xavier_uniform_": "x[...] = values; nn.init has torch's "
        "initializations",
        "new_zeros new_ones new_full new_empty new_tensor": "np.zeros(shape, x.dtype)",
        "is_cuda device cuda layout is_quantized": "there is one device; isinstance(x, quantray.QTensor) "
        "tells tensors of codes",
    }
)


def array_advice(name: str) -> str:
    """What NumPy has instead of a method of torch's float tensors; nothing for other names.

    >>> from quantray._array_advice import array_advice
    >>> array_advice("numel")
    'x.size'
    >>> array_advice("exp")
    'np.exp(x)'
    """
    for names, text in ARRAY_METHODS.items():
        if name in names.split():
            return text
    plain = name.removesuffix("_")
    if callable(getattr(np, plain, None)):
        return f"x[...] = np.{plain}(x)" if plain != name else f"np.{plain}(x)"
    return ""


#: What NumPy says of torch's forms of calls whose names it has, and how it writes them.
_FORMS = (
    (
        r"'list' object cannot be interpreted as an integer",
        "axes are a tuple: x.mean((2, 3)), not x.mean([2, 3])",
    ),
    (r"'int' object is not callable", "x.size() is x.shape"),
    (
        r"Cannot interpret '-?\d+' as a data type|Type must be a sub-type of ndarray type",
        "x.view(-1, 4) is x.reshape(-1, 4)",
    ),
    (r"'(dim|keepdim|unbiased)'", "dim, keepdim and unbiased are axis, keepdims and ddof"),
    (r"axes don't match array", "x.transpose(1, 2) is x.swapaxes(1, 2)"),
    (r"order must be str, not int", "x.flatten(1) is x.reshape(len(x), -1)"),
    (r"repeat\(\) takes at most 2 arguments", "x.repeat(2, 1, 1) is np.tile(x, (2, 1, 1))"),
)

#: What the note of an exception begins with.
_HEAD = "floats are NumPy arrays here: "


def _of_boxes(error: BaseException) -> bool:
    """Whether NumPy was given what autograd traces, which it takes for an object."""
    return "ArrayBox" in str(error) or "ArrayBox" in str(error.__cause__)


def note(error: Exception) -> None:
    """Adds to an exception of a model's own code what NumPy has instead of what it asked an array for."""
    if any(text.startswith(_HEAD) for text in getattr(error, "__notes__", ())):
        return
    text = ""
    if isinstance(error, AttributeError) and error.name:
        # An array's memory is what `x.data` is; a stand-in of a capture speaks of arrays, too.
        is_array = isinstance(error.obj, (np.ndarray, np.generic, memoryview))
        if is_array or re.search(r"'(numpy\.ndarray|ArrayBox)' object", str(error)):
            found = array_advice(error.name)
            text = found and f"instead of .{error.name}, {found}"
    elif _of_boxes(error):
        text = (
            "NumPy's functions see no gradients; nn.functional's, quantray's (quantray.cat, quantray.mean) "
            "and those of `import autograd.numpy as np` do"
        )
    elif isinstance(error, (TypeError, ValueError)):
        text = next((text for pattern, text in _FORMS if re.search(pattern, str(error))), "")
    if text:
        error.add_note(_HEAD + text)


def explained(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose exceptions get such a note."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            note(error)
            raise

    return call
