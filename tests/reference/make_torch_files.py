"""Makes torch-archive.pt and torch-stream.pt: what torch 2.15 saves, in the form of 1.6 on and of before.

`tests/io/test_torch_files.py` says in NumPy what they hold. Needs torch.
`python tests/reference/make_torch_files.py` in the repository's folder.
"""

import pathlib

import torch

HERE = pathlib.Path(__file__).parent


def main():
    row = torch.arange(6, dtype=torch.float32)
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(row.reshape(2, 3))
        layer.bias.copy_(torch.tensor([0.5, -0.5]))
    grid = torch.tensor([0.5, 0.25], dtype=torch.float64), torch.tensor([0, 3])
    saved = {
        "model": layer.state_dict(),
        "epoch": 3,
        "notes": ["a", (1.5, None, True)],
        "turned": torch.arange(12).reshape(3, 4).t()[1:],
        "shared": (row, row[2:]),
        "half": torch.tensor([1.5, -2.0]).half(),
        "bfloat16": torch.tensor([1.5, -2.0, 3e38]).bfloat16(),
        "bools": torch.tensor([True, False]),
        "bytes": torch.tensor([255], dtype=torch.uint8),
        "complex": torch.tensor([1 + 2j]),
        "none": torch.empty(0, 3),
        "one": torch.tensor(2.5, dtype=torch.float64),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "shape": torch.Size([1, 2]),
        "codes": torch.quantize_per_tensor(torch.tensor([0.5, 1.0]), 0.5, 3, torch.quint8),
        "channels": torch.quantize_per_channel(torch.tensor([[0.5], [1.0]]), *grid, 0, torch.qint8),
    }
    torch.save(saved, HERE / "torch-archive.pt")
    torch.save(saved, HERE / "torch-stream.pt", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
