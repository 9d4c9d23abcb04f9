"""Models of other libraries, which people will try: what to do with them is said, not how they fail."""

from __future__ import annotations

import os

from quantray.nn._module import Module


def check_model(model: object) -> None:
    """Raises where a model is none of quantray's.

    Raises
    ------
    TypeError
        It says what to do with a model of torch's.
    """
    if isinstance(model, Module):
        return
    kind = f"{type(model).__module__}.{type(model).__name__}"
    if is_torch(model):
        raise TypeError(
            f"model must be a quantray.nn.Module, got a torch module ({kind}): build the same layers of "
            "quantray.nn, whose names and state_dict keys are torch's, then "
            "load_state_dict(model.state_dict()); or torch.onnx.export(model, example, path), then "
            "quantray.onnx.load(path)"
        )
    if isinstance(model, type):
        call = f"{model.__name__}()"
        raise TypeError(f"model must be a quantray.nn.Module, got the class {call[:-2]}: make one, {call}")
    of_file = isinstance(model, (str, os.PathLike)) or hasattr(model, "SerializeToString")
    hint = ": quantray.onnx.load makes one of an ONNX file or ModelProto" if of_file else ""
    raise TypeError(f"model must be a quantray.nn.Module, got {kind}{hint}")


def is_torch(model: object) -> bool:
    """Whether it is a module of torch's."""
    return any(base.__module__.split(".")[0] == "torch" for base in type(model).__mro__)
