"""Helpers of models.

Source: `torch.nn.utils`.
"""

from quantray.nn.utils import rnn

__all__ = ["rnn"]
