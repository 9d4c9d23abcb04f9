"""Models: modules over NumPy arrays, with torch's names, shapes and state_dict keys.

Inference needs NumPy alone; gradients come from autograd, which is imported when they are asked for.
"""

from quantray.nn._containers import ModuleDict, ModuleList, Sequential
from quantray.nn._gradients import value_and_grad
from quantray.nn._module import Module, Parameter

__all__ = ["Module", "ModuleDict", "ModuleList", "Parameter", "Sequential", "value_and_grad"]
