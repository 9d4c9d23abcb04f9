"""Graphs as JSON, and back: names of functions, wires, plain values. Arrays are tensors of a file beside it.

Nothing that is read is executed: a function is a name that `_functions` knows, a value is of a kind that is
registered here, and each wire must come from a node before it.

A value that JSON has is itself, a list is a list; all else is an object of one key, which says what it is:

| key | value |
| --- | --- |
| `tuple`, `dict`, `slice` | its items; pairs of key and value; start, stop and step |
| `named` | of a named tuple: its name, its fields and their values |
| `wire` | a node's name and the number of the output |
| `length` | the operation and its arguments |
| `float`, `number` | a float that JSON has not, as text; a number of NumPy's: its dtype and its value |
| `dtype`, `type` | a dtype of NumPy's; a type of Python's or NumPy's |
| `quantized` | a dtype of quantized tensors, by its name |
| `function` | a function, by its name |
| `tensor` | an array, by the name of the file's tensor |
| `ellipsis` | true |
"""

from quantray.graph._files._read import Reader
from quantray.graph._files._registry import Unreadable, register_kinds, register_value
from quantray.graph._files._write import Writer

__all__ = ["Reader", "Unreadable", "Writer", "register_kinds", "register_value"]
