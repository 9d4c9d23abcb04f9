"""Makes packed.json: what torch 2.15's recurrent layers give for packed sequences.

Needs torch. `python tests/reference/make_packed.py` in the repository's folder.
"""

import json
import pathlib

import numpy as np
import torch
from torch.nn.utils import rnn

HERE = pathlib.Path(__file__).parent


def main():
    rng = np.random.default_rng(0)
    cases = []
    for kind in ("LSTM", "GRU", "RNN"):
        for both in (False, True):
            for lengths, is_sorted in (([5, 3, 3, 1], True), ([2, 5, 1, 5], False)):
                layer = getattr(torch.nn, kind)(3, 4, 2, bidirectional=both, batch_first=is_sorted)
                for parameter in layer.parameters():
                    # Few digits, which JSON holds exactly enough.
                    parameter.data = (parameter.data * 64).round() / 64
                x = rng.normal(size=(4, 5, 3) if is_sorted else (5, 4, 3)).round(2).astype(np.float32)
                packed = rnn.pack_padded_sequence(
                    torch.tensor(x), lengths, batch_first=is_sorted, enforce_sorted=is_sorted
                )
                output, states = layer(packed)
                padded, got = rnn.pad_packed_sequence(output, batch_first=is_sorted, total_length=6)
                states = states if isinstance(states, tuple) else (states,)
                cases.append(
                    {
                        "kind": kind,
                        "settings": {"bidirectional": both, "batch_first": is_sorted},
                        "state": {k: v.tolist() for k, v in layer.state_dict().items()},
                        "x": x.tolist(),
                        "lengths": lengths,
                        "is_sorted": is_sorted,
                        "data": packed.data.tolist(),
                        "batch_sizes": packed.batch_sizes.tolist(),
                        "output": padded.tolist(),
                        "got": got.tolist(),
                        "states": [s.tolist() for s in states],
                    }
                )
    text = json.dumps(cases, separators=(",", ":")).replace('{"kind"', '\n{"kind"')
    (HERE / "packed.json").write_text(text + "\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
