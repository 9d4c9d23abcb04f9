"""The compiled part of quantray. Everything public here is re-exported by `quantray` or `quantray.ops`."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple, Self, SupportsIndex, TypeAlias, final, overload

import numpy as np
import numpy.typing as npt

__version__: str

_Floats: TypeAlias = npt.NDArray[np.float32]
_Ints: TypeAlias = npt.NDArray[np.int64]
_Codes: TypeAlias = npt.NDArray[np.int8] | npt.NDArray[np.uint8] | npt.NDArray[np.int32]
_Input: TypeAlias = npt.ArrayLike | QTensor
_DType: TypeAlias = dtype | str | np.dtype[Any] | type[np.generic]
_Scheme: TypeAlias = qscheme | str
_Path: TypeAlias = str | PathLike[str]
_Number: TypeAlias = float | np.floating[Any] | np.integer[Any]
_DTypeObject: TypeAlias = dtype
_SchemeObject: TypeAlias = qscheme
_PerAxis: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
_Axes: TypeAlias = int | Sequence[int] | None
_Biases: TypeAlias = Sequence[Sequence[npt.ArrayLike | None] | None]
_StatePair: TypeAlias = tuple[_Input, _Input]
_Quantizer: TypeAlias = PerTensorAffineQuantizer | PerChannelAffineQuantizer

@final
class dtype:
    @property
    def name(self) -> str: ...
    @property
    def qmin(self) -> int: ...
    @property
    def qmax(self) -> int: ...
    @property
    def bits(self) -> int: ...
    @property
    def numpy_dtype(self) -> np.dtype[Any]: ...
    def __reduce__(self) -> str: ...

@final
class qscheme:
    @property
    def name(self) -> str: ...
    def __reduce__(self) -> str: ...

qint8: dtype
quint8: dtype
qint32: dtype
quint4x2: dtype
quint2x4: dtype
per_tensor_affine: qscheme
per_tensor_symmetric: qscheme
per_channel_affine: qscheme
per_channel_symmetric: qscheme
per_channel_affine_float_qparams: qscheme

class ValuesAndIndices(NamedTuple):
    values: QTensor
    indices: _Ints

@final
class PerTensorAffineQuantizer:
    def __new__(
        cls, scale: _Number, zero_point: SupportsIndex, dtype: _DType, qscheme: _Scheme | None = None
    ) -> Self: ...
    @property
    def scale(self) -> float: ...
    @property
    def zero_point(self) -> int: ...
    @property
    def dtype(self) -> _DTypeObject: ...
    @property
    def qscheme(self) -> _SchemeObject: ...
    def quantize(self, input: _Input) -> QTensor: ...
    def dequantize(self, codes: _Codes | QTensor) -> _Floats: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]: ...

@final
class PerChannelAffineQuantizer:
    def __new__(
        cls,
        scales: npt.ArrayLike,
        zero_points: npt.ArrayLike,
        axis: int,
        dtype: _DType,
        qscheme: _Scheme | None = None,
    ) -> Self: ...
    @property
    def scales(self) -> npt.NDArray[np.float64] | _Floats: ...
    @property
    def zero_points(self) -> _Ints | _Floats: ...
    @property
    def axis(self) -> int: ...
    @property
    def dtype(self) -> _DTypeObject: ...
    @property
    def qscheme(self) -> _SchemeObject: ...
    def quantize(self, input: _Input) -> QTensor: ...
    def dequantize(self, codes: _Codes | QTensor) -> _Floats: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[type[Self], tuple[Any, ...]]: ...

@final
class QTensor:
    # Reading
    def dequantize(self, out: _Floats | None = None) -> _Floats: ...
    def int_repr(self) -> _Codes: ...
    def q_scale(self) -> float: ...
    def q_zero_point(self) -> int: ...
    def q_per_channel_scales(self) -> npt.NDArray[np.float64] | _Floats: ...
    def q_per_channel_zero_points(self) -> _Ints | _Floats: ...
    def q_per_channel_axis(self) -> int: ...
    def qscheme(self) -> _SchemeObject: ...
    @property
    def quantizer(self) -> _Quantizer: ...
    @property
    def dtype(self) -> _DTypeObject: ...
    @property
    def numpy_dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @overload
    def size(self, dim: None = None) -> tuple[int, ...]: ...
    @overload
    def size(self, dim: int) -> int: ...
    @property
    def ndim(self) -> int: ...
    def dim(self) -> int: ...
    def numel(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def element_size(self) -> int: ...
    @property
    def is_quantized(self) -> bool: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @overload
    def stride(self, dim: None = None) -> tuple[int, ...]: ...
    @overload
    def stride(self, dim: int) -> int: ...
    def is_contiguous(self) -> bool: ...
    def contiguous(self) -> QTensor: ...
    def data_ptr(self) -> int: ...
    def item(self) -> float: ...
    def tolist(self) -> Any: ...

    # Python's and NumPy's protocols
    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]: ...
    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any: ...
    def __array_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[QTensor]: ...
    def __contains__(self, value: object, /) -> bool: ...
    def __float__(self) -> float: ...
    def __int__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __format__(self, spec: str, /) -> str: ...
    def __hash__(self) -> int: ...
    def __reduce__(self) -> tuple[Any, ...]: ...
    def __copy__(self) -> QTensor: ...
    def __deepcopy__(self, _memo: Any) -> QTensor: ...
    def _repr_html_(self) -> str: ...
    def save(self, path: _Path) -> None: ...

    # Indexing and assignment
    def __getitem__(self, key: Any, /) -> QTensor: ...
    def __setitem__(self, key: Any, value: _Input, /) -> None: ...
    def __delitem__(self, key: Any, /) -> None: ...
    def copy_(self, src: _Input) -> QTensor: ...
    def fill_(self, value: _Number) -> QTensor: ...

    # Views
    def reshape(self, *shape: int | Sequence[int]) -> QTensor: ...
    def view(self, *shape: int | Sequence[int]) -> QTensor: ...
    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> QTensor: ...
    def ravel(self) -> QTensor: ...
    def transpose(self, *dims: int | Sequence[int]) -> QTensor: ...
    def permute(self, *dims: int | Sequence[int]) -> QTensor: ...
    @property
    def T(self) -> QTensor: ...
    def squeeze(self, dim: int | None = None, *, axis: int | None = None) -> QTensor: ...
    def unsqueeze(self, dim: int) -> QTensor: ...
    def movedim(self, source: int, destination: int) -> QTensor: ...
    def expand(self, *sizes: int | Sequence[int]) -> QTensor: ...
    def select(self, dim: int, index: int) -> QTensor: ...
    def narrow(self, dim: int, start: int, length: int) -> QTensor: ...
    def unbind(self, dim: int = 0) -> tuple[QTensor, ...]: ...
    def flip(self, *dims: int | Sequence[int]) -> QTensor: ...
    def split(
        self, split_size_or_sections: int | Sequence[int], dim: int = 0, *, axis: int | None = None
    ) -> tuple[QTensor, ...]: ...
    def chunk(self, chunks: int, dim: int = 0, *, axis: int | None = None) -> tuple[QTensor, ...]: ...

    # Copies
    def clone(self) -> QTensor: ...
    @staticmethod
    def empty_like(input: QTensor) -> QTensor: ...
    @staticmethod
    def zeros_like(input: QTensor) -> QTensor: ...
    @staticmethod
    def full_like(input: QTensor, fill_value: _Number) -> QTensor: ...
    def requantize(
        self,
        scale: npt.ArrayLike,
        zero_point: npt.ArrayLike,
        dtype: _DType | None = None,
        *,
        axis: int | None = None,
    ) -> QTensor: ...
    def relu(self) -> QTensor: ...
    def clamp(self, min: _Number | None = None, max: _Number | None = None) -> QTensor: ...
    def where(self, condition: npt.ArrayLike, other: _Input) -> QTensor: ...

    # Comparisons
    def __eq__(self, other: Any, /) -> Any: ...
    def __ne__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: _Input, /) -> Any: ...
    def __le__(self, other: _Input, /) -> Any: ...
    def __gt__(self, other: _Input, /) -> Any: ...
    def __ge__(self, other: _Input, /) -> Any: ...
    def equal(self, other: QTensor) -> bool: ...
    def allclose(
        self, other: _Input, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
    ) -> bool: ...

    # Arithmetic: of two QTensors, + - * @ give a QTensor; all else gives a float32 array
    @overload
    def __add__(self, other: QTensor, /) -> QTensor: ...
    @overload
    def __add__(self, other: npt.ArrayLike, /) -> Any: ...
    def __radd__(self, other: npt.ArrayLike, /) -> Any: ...
    @overload
    def __sub__(self, other: QTensor, /) -> QTensor: ...
    @overload
    def __sub__(self, other: npt.ArrayLike, /) -> Any: ...
    def __rsub__(self, other: npt.ArrayLike, /) -> Any: ...
    @overload
    def __mul__(self, other: QTensor, /) -> QTensor: ...
    @overload
    def __mul__(self, other: npt.ArrayLike, /) -> Any: ...
    def __rmul__(self, other: npt.ArrayLike, /) -> Any: ...
    @overload
    def __matmul__(self, other: QTensor, /) -> QTensor: ...
    @overload
    def __matmul__(self, other: npt.ArrayLike, /) -> Any: ...
    def __rmatmul__(self, other: npt.ArrayLike, /) -> Any: ...
    def __truediv__(self, other: _Input, /) -> Any: ...
    def __rtruediv__(self, other: npt.ArrayLike, /) -> Any: ...
    def __floordiv__(self, other: _Input, /) -> Any: ...
    def __rfloordiv__(self, other: npt.ArrayLike, /) -> Any: ...
    def __mod__(self, other: _Input, /) -> Any: ...
    def __rmod__(self, other: npt.ArrayLike, /) -> Any: ...
    def __divmod__(self, other: _Input, /) -> Any: ...
    def __rdivmod__(self, other: npt.ArrayLike, /) -> Any: ...
    def __pow__(self, other: _Input, modulo: None = None, /) -> Any: ...
    def __rpow__(self, other: npt.ArrayLike, modulo: None = None, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __pos__(self) -> _Floats: ...
    def __abs__(self) -> Any: ...

    # Reductions and sorting
    @overload
    def min(
        self, dim: None = None, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
    ) -> QTensor: ...
    @overload
    def min(
        self, dim: int, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
    ) -> ValuesAndIndices: ...
    @overload
    def min(
        self, dim: None = None, keepdim: bool = False, *, axis: int, keepdims: bool | None = None
    ) -> ValuesAndIndices: ...
    @overload
    def max(
        self, dim: None = None, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
    ) -> QTensor: ...
    @overload
    def max(
        self, dim: int, keepdim: bool = False, *, axis: None = None, keepdims: bool | None = None
    ) -> ValuesAndIndices: ...
    @overload
    def max(
        self, dim: None = None, keepdim: bool = False, *, axis: int, keepdims: bool | None = None
    ) -> ValuesAndIndices: ...
    def argmin(
        self,
        dim: int | None = None,
        keepdim: bool = False,
        *,
        axis: int | None = None,
        keepdims: bool | None = None,
    ) -> Any: ...
    def argmax(
        self,
        dim: int | None = None,
        keepdim: bool = False,
        *,
        axis: int | None = None,
        keepdims: bool | None = None,
    ) -> Any: ...
    def sum(
        self, dim: _Axes = None, keepdim: bool = False, *, axis: _Axes = None, keepdims: bool | None = None
    ) -> Any: ...
    def mean(
        self, dim: _Axes = None, keepdim: bool = False, *, axis: _Axes = None, keepdims: bool | None = None
    ) -> QTensor: ...
    def std(
        self,
        dim: _Axes = None,
        keepdim: bool = False,
        *,
        correction: float = 1.0,
        axis: _Axes = None,
        keepdims: bool | None = None,
    ) -> Any: ...
    def sort(
        self, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int | None = None
    ) -> ValuesAndIndices: ...
    def argsort(
        self, dim: int = -1, descending: bool = False, stable: bool = True, *, axis: int | None = None
    ) -> _Ints: ...
    def topk(
        self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, axis: int | None = None
    ) -> ValuesAndIndices: ...

@overload
def quantize_per_tensor(
    input: _Input,
    scale: _Number,
    zero_point: SupportsIndex,
    dtype: _DType,
    *,
    qscheme: _Scheme | None = None,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def quantize_per_tensor(
    input: Sequence[_Input],
    scale: Sequence[float] | npt.NDArray[Any],
    zero_point: SupportsIndex | Sequence[int] | npt.NDArray[Any],
    dtype: _DType,
    *,
    qscheme: _Scheme | None = None,
    out: None = None,
) -> tuple[QTensor, ...]: ...
def quantize_per_channel(
    input: _Input,
    scales: npt.ArrayLike,
    zero_points: npt.ArrayLike,
    axis: int,
    dtype: _DType,
    *,
    qscheme: _Scheme | None = None,
    out: _Codes | None = None,
) -> QTensor: ...
def quantize_per_tensor_dynamic(input: _Input, dtype: _DType, reduce_range: bool = False) -> QTensor: ...
def make_per_tensor_quantized_tensor(
    input: _Codes,
    scale: _Number,
    zero_point: SupportsIndex,
    *,
    qscheme: _Scheme | None = None,
    dtype: _DType | None = None,
    size: Sequence[int] | None = None,
) -> QTensor: ...
def make_per_channel_quantized_tensor(
    input: _Codes,
    scales: npt.ArrayLike,
    zero_points: npt.ArrayLike,
    axis: int,
    *,
    qscheme: _Scheme | None = None,
    dtype: _DType | None = None,
    size: Sequence[int] | None = None,
) -> QTensor: ...
def fake_quantize_per_tensor_affine(
    input: _Input,
    scale: _Number,
    zero_point: SupportsIndex,
    quant_min: int,
    quant_max: int,
    *,
    out: _Floats | None = None,
) -> _Floats: ...
def fake_quantize_per_channel_affine(
    input: _Input,
    scales: npt.ArrayLike,
    zero_points: npt.ArrayLike,
    axis: int,
    quant_min: int,
    quant_max: int,
    *,
    out: _Floats | None = None,
) -> _Floats: ...
def fake_quantize_per_tensor_affine_backward(
    grad_output: npt.ArrayLike,
    input: _Input,
    scale: _Number,
    zero_point: SupportsIndex,
    quant_min: int,
    quant_max: int,
) -> _Floats: ...
def fake_quantize_per_channel_affine_backward(
    grad_output: npt.ArrayLike,
    input: _Input,
    scales: npt.ArrayLike,
    zero_points: npt.ArrayLike,
    axis: int,
    quant_min: int,
    quant_max: int,
) -> _Floats: ...
def fake_quantize_learnable_per_tensor_affine_backward(
    grad_output: npt.ArrayLike,
    input: _Input,
    scale: _Number,
    zero_point: SupportsIndex,
    quant_min: int,
    quant_max: int,
    grad_factor: float = 1.0,
) -> tuple[_Floats, _Floats, _Floats]: ...
def fake_quantize_learnable_per_channel_affine_backward(
    grad_output: npt.ArrayLike,
    input: _Input,
    scales: npt.ArrayLike,
    zero_points: npt.ArrayLike,
    axis: int,
    quant_min: int,
    quant_max: int,
    grad_factor: float = 1.0,
) -> tuple[_Floats, _Floats, _Floats]: ...
@overload
def min_max(input: _Input, *, axis: None = None) -> tuple[np.float32, np.float32]: ...
@overload
def min_max(input: _Input, *, axis: int) -> tuple[_Floats, _Floats]: ...
def _histogram(input: _Input, exponent: int, first: int, bins: int) -> _Ints: ...
def _power_sums(input: _Input) -> list[_Ints]: ...
def cat(tensors: Sequence[QTensor], dim: int = 0, *, axis: int | None = None) -> QTensor: ...
def stack(tensors: Sequence[QTensor], dim: int = 0, *, axis: int | None = None) -> QTensor: ...
def where(condition: npt.ArrayLike, input: QTensor, other: _Input) -> QTensor: ...
def equal(input: QTensor, other: QTensor) -> bool: ...
def allclose(
    input: QTensor, other: _Input, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool: ...

@final
class PackedConv1d:
    def __new__(
        cls,
        weight: QTensor,
        bias: npt.ArrayLike | None = None,
        stride: _PerAxis = 1,
        padding: _PerAxis | str = 0,
        dilation: _PerAxis = 1,
        groups: SupportsIndex = 1,
    ) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[int, ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Program:
    def __new__(
        cls,
        inputs: Sequence[str],
        steps: Sequence[tuple[str, Sequence[int], int | tuple[int, ...], dict[str, Any]]],
        outputs: Sequence[int | tuple[str, int]],
        *,
        names: Sequence[str] | None = None,
    ) -> Self: ...
    def __call__(self, *args: Any) -> tuple[Any, ...]: ...
    def steps(
        self, *shapes: Sequence[int]
    ) -> list[tuple[str, str, tuple[int, ...] | None, str | None, int | None]]: ...
    def memory(self, *shapes: Sequence[int]) -> int: ...

@final
class PackedConv2d:
    def __new__(
        cls,
        weight: QTensor,
        bias: npt.ArrayLike | None = None,
        stride: _PerAxis = 1,
        padding: _PerAxis | str = 0,
        dilation: _PerAxis = 1,
        groups: SupportsIndex = 1,
    ) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[int, ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedConv3d:
    def __new__(
        cls,
        weight: QTensor,
        bias: npt.ArrayLike | None = None,
        stride: _PerAxis = 1,
        padding: _PerAxis | str = 0,
        dilation: _PerAxis = 1,
        groups: SupportsIndex = 1,
    ) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[int, ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedConvTranspose1d:
    def __new__(
        cls,
        weight: QTensor,
        bias: npt.ArrayLike | None = None,
        stride: _PerAxis = 1,
        padding: _PerAxis = 0,
        output_padding: _PerAxis = 0,
        groups: SupportsIndex = 1,
        dilation: _PerAxis = 1,
    ) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[int, ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    @property
    def output_padding(self) -> tuple[int, ...]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedConvTranspose2d:
    def __new__(
        cls,
        weight: QTensor,
        bias: npt.ArrayLike | None = None,
        stride: _PerAxis = 1,
        padding: _PerAxis = 0,
        output_padding: _PerAxis = 0,
        groups: SupportsIndex = 1,
        dilation: _PerAxis = 1,
    ) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[int, ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    @property
    def output_padding(self) -> tuple[int, ...]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedConvTranspose3d:
    def __new__(
        cls,
        weight: QTensor,
        bias: npt.ArrayLike | None = None,
        stride: _PerAxis = 1,
        padding: _PerAxis = 0,
        output_padding: _PerAxis = 0,
        groups: SupportsIndex = 1,
        dilation: _PerAxis = 1,
    ) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_channels(self) -> int: ...
    @property
    def out_channels(self) -> int: ...
    @property
    def kernel_size(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def padding(self) -> tuple[int, ...] | str: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    @property
    def output_padding(self) -> tuple[int, ...]: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedLinear:
    def __new__(cls, weight: QTensor, bias: npt.ArrayLike | None = None) -> Self: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        dtype: None = None,
        *,
        relu: bool = False,
        out: _Floats | None = None,
    ) -> _Floats: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: _Number,
        zero_point: SupportsIndex | None = None,
        dtype: _DType | None = None,
        *,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    @overload
    def __call__(
        self,
        input: QTensor,
        scale: None = None,
        zero_point: None = None,
        *,
        dtype: _DType,
        relu: bool = False,
        out: _Codes | None = None,
    ) -> QTensor: ...
    def dynamic(
        self, input: _Input, *, per_row: bool = False, relu: bool = False, out: _Floats | None = None
    ) -> _Floats: ...
    def weight(self) -> QTensor: ...
    def bias(self) -> _Floats | npt.NDArray[np.int32] | None: ...
    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedLSTM:
    def __new__(
        cls,
        weights: Sequence[Sequence[QTensor]],
        biases: _Biases | None = None,
        batch_first: bool = False,
        bidirectional: bool = False,
    ) -> Self: ...
    def __call__(
        self, input: _Input, state: _StatePair | None = None
    ) -> tuple[_Floats, tuple[_Floats, _Floats]]: ...
    def weights(self) -> list[tuple[QTensor, ...]]: ...
    def biases(self) -> list[tuple[_Floats | None, _Floats | None]]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def proj_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def bidirectional(self) -> bool: ...
    @property
    def batch_first(self) -> bool: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedGRU:
    def __new__(
        cls,
        weights: Sequence[Sequence[QTensor]],
        biases: _Biases | None = None,
        batch_first: bool = False,
        bidirectional: bool = False,
    ) -> Self: ...
    def __call__(self, input: _Input, state: _Input | None = None) -> tuple[_Floats, _Floats]: ...
    def weights(self) -> list[tuple[QTensor, ...]]: ...
    def biases(self) -> list[tuple[_Floats | None, _Floats | None]]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def bidirectional(self) -> bool: ...
    @property
    def batch_first(self) -> bool: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedLSTMCell:
    def __new__(
        cls,
        w_ih: QTensor,
        w_hh: QTensor,
        b_ih: npt.ArrayLike | None = None,
        b_hh: npt.ArrayLike | None = None,
    ) -> Self: ...
    def __call__(self, input: _Input, state: _StatePair | None = None) -> tuple[_Floats, _Floats]: ...
    def weights(self) -> tuple[QTensor, QTensor]: ...
    def biases(self) -> tuple[_Floats | None, _Floats | None]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedGRUCell:
    def __new__(
        cls,
        w_ih: QTensor,
        w_hh: QTensor,
        b_ih: npt.ArrayLike | None = None,
        b_hh: npt.ArrayLike | None = None,
    ) -> Self: ...
    def __call__(self, input: _Input, state: _Input | None = None) -> _Floats: ...
    def weights(self) -> tuple[QTensor, QTensor]: ...
    def biases(self) -> tuple[_Floats | None, _Floats | None]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class PackedRNNCell:
    def __new__(
        cls,
        w_ih: QTensor,
        w_hh: QTensor,
        b_ih: npt.ArrayLike | None = None,
        b_hh: npt.ArrayLike | None = None,
        nonlinearity: str = "tanh",
    ) -> Self: ...
    def __call__(self, input: _Input, state: _Input | None = None) -> _Floats: ...
    def weights(self) -> tuple[QTensor, QTensor]: ...
    def biases(self) -> tuple[_Floats | None, _Floats | None]: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def nonlinearity(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def lstm(
    input: _Input,
    weights: Sequence[Sequence[npt.ArrayLike]],
    biases: _Biases | None = None,
    state: _StatePair | None = None,
    *,
    batch_first: bool = False,
    bidirectional: bool = False,
) -> tuple[_Floats, tuple[_Floats, _Floats]]: ...
def gru(
    input: _Input,
    weights: Sequence[Sequence[npt.ArrayLike]],
    biases: _Biases | None = None,
    state: _Input | None = None,
    *,
    batch_first: bool = False,
    bidirectional: bool = False,
) -> tuple[_Floats, _Floats]: ...
def rnn(
    input: _Input,
    weights: Sequence[Sequence[npt.ArrayLike]],
    biases: _Biases | None = None,
    state: _Input | None = None,
    *,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    bidirectional: bool = False,
) -> tuple[_Floats, _Floats]: ...

@final
class PackedWeightOnlyLinear:
    def __new__(
        cls,
        weight: _Input,
        bias: npt.ArrayLike | None = None,
        *,
        bits: SupportsIndex = 4,
        group_size: SupportsIndex = 128,
        symmetric: bool = True,
        input_bits: SupportsIndex = 24,
    ) -> Self: ...
    @classmethod
    def from_codes(
        cls,
        codes: npt.ArrayLike,
        scales: npt.ArrayLike,
        zero_points: npt.ArrayLike | None = None,
        bias: npt.ArrayLike | None = None,
        bits: SupportsIndex = 4,
        group_size: SupportsIndex = 128,
        input_bits: SupportsIndex = 24,
    ) -> Self: ...
    def __call__(self, input: _Input, *, relu: bool = False, out: _Floats | None = None) -> _Floats: ...
    def weight(self) -> _Floats: ...
    def codes(self) -> npt.NDArray[np.uint8]: ...
    def scales(self) -> _Floats: ...
    def zero_points(self) -> npt.NDArray[np.uint8] | None: ...
    def bias(self) -> _Floats | None: ...
    @property
    def in_features(self) -> int: ...
    @property
    def out_features(self) -> int: ...
    @property
    def bits(self) -> int: ...
    @property
    def group_size(self) -> int: ...
    @property
    def input_bits(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def kernel(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

def max_pool1d(
    input: QTensor,
    kernel_size: _PerAxis,
    stride: _PerAxis | None = None,
    padding: _PerAxis = 0,
    dilation: _PerAxis = 1,
    ceil_mode: bool = False,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def avg_pool1d(
    input: QTensor,
    kernel_size: _PerAxis,
    stride: _PerAxis | None = None,
    padding: _PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def adaptive_max_pool1d(
    input: QTensor,
    output_size: SupportsIndex | Sequence[SupportsIndex | None] | None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def adaptive_avg_pool1d(
    input: QTensor,
    output_size: SupportsIndex | Sequence[SupportsIndex | None] | None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def max_pool2d(
    input: QTensor,
    kernel_size: _PerAxis,
    stride: _PerAxis | None = None,
    padding: _PerAxis = 0,
    dilation: _PerAxis = 1,
    ceil_mode: bool = False,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def avg_pool2d(
    input: QTensor,
    kernel_size: _PerAxis,
    stride: _PerAxis | None = None,
    padding: _PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def adaptive_max_pool2d(
    input: QTensor,
    output_size: SupportsIndex | Sequence[SupportsIndex | None] | None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def adaptive_avg_pool2d(
    input: QTensor,
    output_size: SupportsIndex | Sequence[SupportsIndex | None] | None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def max_pool3d(
    input: QTensor,
    kernel_size: _PerAxis,
    stride: _PerAxis | None = None,
    padding: _PerAxis = 0,
    dilation: _PerAxis = 1,
    ceil_mode: bool = False,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def avg_pool3d(
    input: QTensor,
    kernel_size: _PerAxis,
    stride: _PerAxis | None = None,
    padding: _PerAxis = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def adaptive_max_pool3d(
    input: QTensor,
    output_size: SupportsIndex | Sequence[SupportsIndex | None] | None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def adaptive_avg_pool3d(
    input: QTensor,
    output_size: SupportsIndex | Sequence[SupportsIndex | None] | None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def explain(op: object) -> str: ...
def peaks() -> dict[str, float]: ...
def read_bandwidth(nbytes: SupportsIndex) -> float: ...
@overload
def add(
    a: QTensor,
    b: _Input,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    relu: bool = False,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def add(
    a: npt.ArrayLike,
    b: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    relu: bool = False,
    out: _Codes | None = None,
) -> QTensor: ...
def mul(
    a: QTensor,
    b: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    relu: bool = False,
    out: _Codes | None = None,
) -> QTensor: ...
def sub(
    a: QTensor,
    b: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    relu: bool = False,
    out: _Codes | None = None,
) -> QTensor: ...
def elu(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    alpha: float = 1.0,
    out: _Codes | None = None,
) -> QTensor: ...
def _resize(
    input: QTensor, lows: Sequence[npt.NDArray[np.int64]], parts: Sequence[npt.NDArray[np.float32]] | None
) -> QTensor: ...
def embedding(
    weight: QTensor, indices: npt.ArrayLike, *, out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]: ...
def embedding_bag(
    weight: QTensor,
    indices: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    mode: Literal["sum", "mean", "max"] = "sum",
    per_sample_weights: npt.ArrayLike | None = None,
    include_last_offset: bool = False,
    out: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.float32]: ...
@overload
def gelu(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    approximate: Literal["none", "tanh"] = "none",
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def gelu(
    input: npt.ArrayLike,
    scale: None = None,
    zero_point: None = None,
    dtype: None = None,
    *,
    approximate: Literal["none", "tanh"] = "none",
    out: _Floats | None = None,
) -> _Floats: ...
def hardsigmoid(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def hardswish(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
def leaky_relu(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    negative_slope: float = 0.01,
    out: _Codes | None = None,
) -> QTensor: ...
def relu6(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def sigmoid(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def sigmoid(
    input: npt.ArrayLike,
    scale: None = None,
    zero_point: None = None,
    dtype: None = None,
    *,
    out: _Floats | None = None,
) -> _Floats: ...
@overload
def silu(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def silu(
    input: npt.ArrayLike,
    scale: None = None,
    zero_point: None = None,
    dtype: None = None,
    *,
    out: _Floats | None = None,
) -> _Floats: ...
@overload
def tanh(
    input: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def tanh(
    input: npt.ArrayLike,
    scale: None = None,
    zero_point: None = None,
    dtype: None = None,
    *,
    out: _Floats | None = None,
) -> _Floats: ...
@overload
def softmax(
    input: QTensor,
    axis: int = -1,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    factor: float = 1.0,
    mask: npt.ArrayLike | None = None,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def softmax(
    input: npt.ArrayLike,
    axis: int = -1,
    scale: None = None,
    zero_point: None = None,
    dtype: None = None,
    *,
    factor: float = 1.0,
    mask: npt.ArrayLike | None = None,
    out: _Floats | None = None,
) -> _Floats: ...
@overload
def layer_norm(
    input: QTensor,
    normalized_shape: int | Sequence[int],
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
    *,
    residual: _Input | None = None,
    out: _Codes | None = None,
) -> QTensor: ...
@overload
def layer_norm(
    input: npt.ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: npt.ArrayLike | None = None,
    bias: npt.ArrayLike | None = None,
    eps: float = 1e-5,
    scale: None = None,
    zero_point: None = None,
    dtype: None = None,
    *,
    residual: _Input | None = None,
    out: _Floats | None = None,
) -> _Floats: ...
def self_attention(
    qkv: npt.ArrayLike,
    num_heads: int,
    mask: npt.ArrayLike | None = None,
    *,
    out: _Floats | None = None,
) -> _Floats: ...
def int_mm(
    a: npt.ArrayLike, b: npt.ArrayLike, *, out: npt.NDArray[np.int32] | None = None
) -> npt.NDArray[np.int32]: ...
def matmul(
    a: QTensor,
    b: QTensor,
    scale: _Number | None = None,
    zero_point: SupportsIndex | None = None,
    dtype: _DType | None = None,
) -> QTensor: ...
def save(
    obj: QTensor | Mapping[str, QTensor | npt.NDArray[Any]],
    path: _Path,
    *,
    metadata: Mapping[str, str] | None = None,
) -> None: ...
def read_metadata(path: _Path) -> dict[str, str]: ...
def load(path: _Path) -> Any: ...
def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None: ...
def cpu_info() -> dict[str, Any]: ...
def set_isa(name: str) -> None: ...
def set_num_threads(num_threads: int) -> None: ...
def get_num_threads() -> int: ...
def _rebuild(
    codes: _Codes,
    dtype: str,
    scheme: str,
    scales: list[float],
    zero_points: list[int] | list[float],
    axis: int | None,
    size: Sequence[int] | None,
) -> QTensor: ...
