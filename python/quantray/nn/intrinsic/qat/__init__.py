"""Fused modules for quantization aware training, with their weights fake-quantized.

`quantization.prepare_qat` makes them of fused modules. ReLU, and the batch normalization, are modules inside.

Source: `torch.ao.nn.intrinsic.qat`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantray import nn
from quantray.nn import intrinsic
from quantray.nn.intrinsic._fused import FusedWeighted
from quantray.nn.intrinsic.qat._base import Trained, TrainedConv, TrainedConvBn
from quantray.nn.qat._statistics import freeze_bn_stats, update_bn_stats
from quantray.nn.qat._weighted import check_qconfig

if TYPE_CHECKING:
    from quantray.nn.qat._weighted import QConfig

__all__ = [
    "ConvBn1d",
    "ConvBn2d",
    "ConvBn3d",
    "ConvBnReLU1d",
    "ConvBnReLU2d",
    "ConvBnReLU3d",
    "ConvReLU1d",
    "ConvReLU2d",
    "ConvReLU3d",
    "LinearBn1d",
    "LinearReLU",
    "freeze_bn_stats",
    "update_bn_stats",
]


class LinearReLU(Trained):
    """Linear with a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_features, out_features, bias
        As for `nn.Linear`.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.LinearReLU(2, 4, qconfig=tq.get_default_qat_qconfig())
    >>> layer([[1.0, 2.0]]).shape
    (1, 4)

    Source: `torch.ao.nn.intrinsic.qat.LinearReLU`.
    """

    fused, kinds = intrinsic.LinearReLU, (nn.Linear, None)

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, qconfig: QConfig | None = None
    ) -> None:
        check_qconfig(type(self), qconfig)
        self._begin(nn.Linear(in_features, out_features, bias), qconfig)


class LinearBn1d(Trained):
    """Linear with its BatchNorm1d folded into a fake-quantized weight.

    Parameters
    ----------
    in_features, out_features, bias
        As for `nn.Linear`.
    eps, momentum
        As for `nn.BatchNorm1d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.LinearBn1d(2, 4, qconfig=tq.get_default_qat_qconfig())
    >>> layer([[1.0, 2.0], [3.0, 5.0]]).shape
    (2, 4)

    Source: `torch.ao.nn.intrinsic.qat.LinearBn1d`.
    """

    fused, kinds = intrinsic.LinearBn1d, (nn.Linear, nn.BatchNorm1d)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        eps: float = 1e-5,
        momentum: float = 0.1,
        freeze_bn: bool = False,
        qconfig: QConfig | None = None,
    ) -> None:
        check_qconfig(type(self), qconfig)
        norm = nn.BatchNorm1d(out_features, eps, momentum)
        self._begin(nn.Linear(in_features, out_features, bias), qconfig, norm, freeze_bn)


class ConvReLU1d(TrainedConv):
    """Conv1d with a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv1d`.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvReLU1d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5), np.float32)).shape
    (2, 4, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvReLU1d`.
    """

    fused, kinds = intrinsic.ConvReLU1d, (nn.Conv1d, None)


class ConvBn1d(TrainedConvBn):
    """Conv1d with its BatchNorm1d folded into a fake-quantized weight.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv1d`.
    eps, momentum
        As for `nn.BatchNorm1d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvBn1d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5), np.float32)).shape
    (2, 4, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvBn1d`.
    """

    fused, kinds = intrinsic.ConvBn1d, (nn.Conv1d, nn.BatchNorm1d)


class ConvBnReLU1d(TrainedConvBn):
    """Conv1d with its BatchNorm1d folded into a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv1d`.
    eps, momentum
        As for `nn.BatchNorm1d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvBnReLU1d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5), np.float32)).shape
    (2, 4, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvBnReLU1d`.
    """

    fused, kinds = intrinsic.ConvBnReLU1d, (nn.Conv1d, nn.BatchNorm1d)


class ConvReLU2d(TrainedConv):
    """Conv2d with a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv2d`.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvReLU2d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5, 5), np.float32)).shape
    (2, 4, 3, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvReLU2d`.
    """

    fused, kinds = intrinsic.ConvReLU2d, (nn.Conv2d, None)


class ConvBn2d(TrainedConvBn):
    """Conv2d with its BatchNorm2d folded into a fake-quantized weight.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv2d`.
    eps, momentum
        As for `nn.BatchNorm2d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvBn2d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5, 5), np.float32)).shape
    (2, 4, 3, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvBn2d`.
    """

    fused, kinds = intrinsic.ConvBn2d, (nn.Conv2d, nn.BatchNorm2d)


class ConvBnReLU2d(TrainedConvBn):
    """Conv2d with its BatchNorm2d folded into a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv2d`.
    eps, momentum
        As for `nn.BatchNorm2d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvBnReLU2d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5, 5), np.float32)).shape
    (2, 4, 3, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvBnReLU2d`.
    """

    fused, kinds = intrinsic.ConvBnReLU2d, (nn.Conv2d, nn.BatchNorm2d)


class ConvReLU3d(TrainedConv):
    """Conv3d with a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv3d`.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvReLU3d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5, 5, 5), np.float32)).shape
    (2, 4, 3, 3, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvReLU3d`.
    """

    fused, kinds = intrinsic.ConvReLU3d, (nn.Conv3d, None)


class ConvBn3d(TrainedConvBn):
    """Conv3d with its BatchNorm3d folded into a fake-quantized weight.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv3d`.
    eps, momentum
        As for `nn.BatchNorm3d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvBn3d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5, 5, 5), np.float32)).shape
    (2, 4, 3, 3, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvBn3d`.
    """

    fused, kinds = intrinsic.ConvBn3d, (nn.Conv3d, nn.BatchNorm3d)


class ConvBnReLU3d(TrainedConvBn):
    """Conv3d with its BatchNorm3d folded into a fake-quantized weight, then ReLU.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `nn.Conv3d`.
    eps, momentum
        As for `nn.BatchNorm3d`.
    freeze_bn : bool
        Whether running statistics stay as they are.
    qconfig : QConfig
        Its weight half makes the fake quantization.

    >>> import numpy as np
    >>> from quantray import nn, quantization as tq
    >>> layer = nn.intrinsic.qat.ConvBnReLU3d(1, 4, 3, qconfig=tq.get_default_qat_qconfig())
    >>> layer(np.ones((2, 1, 5, 5, 5), np.float32)).shape
    (2, 4, 3, 3, 3)

    Source: `torch.ao.nn.intrinsic.qat.ConvBnReLU3d`.
    """

    fused, kinds = intrinsic.ConvBnReLU3d, (nn.Conv3d, nn.BatchNorm3d)


#: Which class fused modules become, by their own.
TRAINED: dict[type[FusedWeighted], type[Trained]] = {
    kind.fused: kind
    for kind in (
        ConvBn1d,
        ConvBn2d,
        ConvBn3d,
        ConvBnReLU1d,
        ConvBnReLU2d,
        ConvBnReLU3d,
        ConvReLU1d,
        ConvReLU2d,
        ConvReLU3d,
        LinearBn1d,
        LinearReLU,
    )
}
