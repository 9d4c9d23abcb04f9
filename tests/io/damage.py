"""Ways to damage a file: its text, value by value, and its bytes."""

import copy
import json
import struct

MODEL = "quantray.model"

#: What may stand where something else stood.
VALUES = [
    None,
    True,
    0,
    1,
    -1,
    7,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.0,
    1e308,
    "",
    "x",
    "0",
    "numpy.save",
    "numpy.os.system",
    "ndarray.tofile",
    "Linear",
    "quantized.Linear",
    "GraphModule",
    "float32",
    "O",
    "int.layer",
    "linear",
    "..",
    [],
    [[]],
    {},
    [0] * 5,
    {"module": 0},
    {"wire": ["0", 0]},
    {"wire": ["x", 99]},
    {"tensor": "0.weight"},
    {"tuple": [1]},
    {"named": ["a", ["b"], [1]]},
    {"named": ["__class__", ["x y"], [1]]},
    {"type": "numpy.load"},
    {"function": "numpy.save"},
    {"dtype": "O"},
    {"number": ["O", 1]},
    {"float": "x"},
    {"length": ["dim", 1, 2]},
    {"length": ["system", 1]},
    {"slice": [None]},
    {"dict": [[[], 1]]},
    {"type": "Linear", "config": {"in_features": 16384, "out_features": 16384}},
]


def split(content):
    """A safetensors file's header, as JSON, and its data."""
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def joined(header, data):
    """The inverse of `split`."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_model(content, about):
    """A file whose model is another one: JSON, or text."""
    header, data = split(content)
    header["__metadata__"][MODEL] = about if isinstance(about, str) else json.dumps(about)
    return joined(header, data)


def model_of(content):
    """What a file says of its model."""
    return json.loads(split(content)[0]["__metadata__"][MODEL])


def places(tree):
    """All places of a tree: where each is, and its key there."""
    found = []
    todo = [tree]
    while todo:
        each = todo.pop()
        keys = each.keys() if isinstance(each, dict) else range(len(each))
        for key in keys:
            found.append((each, key))
            if isinstance(each[key], (dict, list)):
                todo.append(each[key])
    return found


def damaged(content, rng):
    """A file with one to three values of its model replaced, moved, doubled or left out, or bytes changed."""
    if rng.random() < 0.15:
        return damaged_bytes(content, rng)
    about = model_of(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = places(about)
        if not found:
            break
        home, key = rng.choice(found)
        match rng.randrange(5):
            case 0:
                home[key] = copy.deepcopy(rng.choice(VALUES))
            case 1:
                del home[key]
            case 2:
                # Something else of the same file.
                other, name = rng.choice(found)
                home[key] = copy.deepcopy(other[name])
            case 3 if isinstance(home, list):
                home.insert(key, copy.deepcopy(home[key]))
            case 3:
                home[rng.choice(["x", "type", "config", "children", "runner", "value", "args"])] = home.pop(
                    key
                )
            case _:
                value = home[key]
                if isinstance(value, bool) or value is None:
                    home[key] = not value
                elif isinstance(value, (int, float)):
                    home[key] = rng.choice([value + 1, -value, value * 1000, value * 10**9, 0])
                elif isinstance(value, str):
                    home[key] = value[:-1] if rng.random() < 0.5 else value + "x"
                else:
                    home[key] = copy.deepcopy(rng.choice(VALUES))
    return with_model(content, about)


def damaged_bytes(content, rng):
    """A file with some bytes changed, most of them in its text."""
    made = bytearray(content)
    (size,) = struct.unpack("<Q", content[:8])
    for _ in range(rng.choice([1, 2, 8])):
        end = len(made) if rng.random() < 0.2 else min(8 + size, len(made))
        made[rng.randrange(end)] = rng.randrange(256)
    return bytes(made[: rng.randrange(len(made))] if rng.random() < 0.1 else made)
