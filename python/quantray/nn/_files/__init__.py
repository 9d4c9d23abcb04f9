"""Models in files: arrays in safetensors; beside them, as JSON, modules and what runs these.

The JSON has `modules`, a list, and `model`, which one of them the model is. Each module stands there once,
whatever names it has, with the numbers of those inside it as `children`:

- one of quantray's own by its `type`, with the arguments of its constructor, `config`, where it has some;
- one of another class without `type`, by the name of its `class`; only an instance of that takes the file;
- one of another class inside a model of graphs as "GraphModule", with the names of its own arrays.

What runs a module is its `runner`: see `quantization/_files.py`. `same` names what is stored under another
name: arrays of modules that have two names, and arrays that two modules share. A prepared model has no
modules there: what it was made from is code. Version 1 had a tree of types and configs.
"""

from quantray.nn._files._load import load_into, rebuilt
from quantray.nn._files._save import save

__all__ = ["load_into", "rebuilt", "save"]
