"""Torch's names that are left out on purpose, and where to go from each: the one list of them."""

from __future__ import annotations

from types import MappingProxyType

#: Names of torch's modules and functions, and what quantray has instead.
LEFT_OUT = MappingProxyType(
    {
        "cuda mps xpu": "arrays live in the CPU's memory; threads are set with quantray.set_num_threads",
        "device": 'the only device is "cpu"',
        "jit fx compile export _dynamo _inductor script trace": "nothing has to be compiled: models run",
        "autograd Generator": "quantray.nn computes gradients, quantray.manual_seed seeds the random numbers",
        "sparse sparse_coo_tensor sparse_csr_tensor to_mkldnn mkldnn": "there is one layout, the strided one",
        "bfloat16": "NumPy lacks it; arrays of ml_dtypes.bfloat16 are taken, and files of it loaded",
        "quint8_t qint8_t": "dtypes are quantray.qint8, quantray.quint8 and quantray.qint32",
        "slice_inverse": "integers have no gradient: train floats with FakeQuantize or quantray.nn.qat",
        "has_torch_function has_torch_function_unary has_torch_function_variadic": "classes of your own "
        "define NumPy's __array_function__, which numpy's functions and quantray's ask",
        "DataParallel DistributedDataParallel parallel": "a call's work is shared between threads by itself; "
        "quantray.set_num_threads says between how many",
        "lr_scheduler": "optimizers take schedules: optim.SGD(optim.step_decay(0.1, 0.5, 100))",
        "autocast amp": "floats are float32; quantization.remedies.weight_only(model, bits=8) makes weights "
        "smaller",
        "hub utils distributed multiprocessing": "data comes from NumPy, more processes from joblib or dask",
        "convert_jit convert_dynamic_jit fuse_conv_bn_jit prepare_jit prepare_dynamic_jit quantize_jit "
        "quantize_dynamic_jit script_qconfig script_qconfig_dict": "nothing is compiled: quantize, "
        "quantize_dynamic, prepare, convert and fuse_modules take models as they are",
        "prepare_fx prepare_qat_fx convert_fx convert_to_reference_fx fuse_fx quantize_fx FXFloatFunctional "
        "get_fuser_method_new MatchAllNode Pattern get_combined_dict prepare_pt2e convert_pt2e "
        "quantize_pt2e pt2e quantizer prepare_qat_pt2e XNNPACKQuantizer X86InductorQuantizer "
        "get_symmetric_quantization_config move_exported_model_to_eval": "models are captured as graphs by "
        "themselves: prepare, prepare_qat "
        "and convert do it, quantray.graph shows it",
        "PrepareCustomConfig ConvertCustomConfig FuseCustomConfig": "what cannot be captured runs as Python "
        "by itself; QConfigMapping.set_module_name(name, None) leaves a module in float, "
        "graph.register_layer says what one of your own becomes",
        "DEFAULT_REFERENCE_STATIC_QUANT_MODULE_MAPPINGS get_default_static_quant_reference_module_mappings": (
            "there are no reference modules: quantray.graph says what a model computes"
        ),
        "DEFAULT_STATIC_SPARSE_QUANT_MODULE_MAPPINGS DEFAULT_DYNAMIC_SPARSE_QUANT_MODULE_MAPPINGS "
        "get_default_static_sparse_quant_module_mappings get_default_dynamic_sparse_quant_module_mappings": (
            "weights are dense: the tables without SPARSE are all"
        ),
        "ns _numeric_suite _numeric_suite_fx": "quantray.analysis.compare(model, int8, batches) says what "
        "each node loses, and why",
        "modules": "names are those of the module above: leave out `.modules` and what comes after it",
        "reference": "there are no reference modules: quantray.graph says what a model computes",
        "pruning": "set weights to 0 as arrays, w[numpy.abs(w) < t] = 0: integers keep zeros",
        "SyncBatchNorm": "there is one process: BatchNorm1d, 2d and 3d do it",
        "ParameterList ParameterDict": "give each parameter a name, setattr(self, f'w{i}', "
        "nn.Parameter(w)), or a module of its own in a ModuleList",
        "Buffer": "self.register_buffer(name, array) does it",
        "LazyLinear LazyConv1d LazyConv2d LazyConv3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d": (
            "layers are made with their lengths: those without Lazy take them"
        ),
        "_saturate_weight_to_fp16": "numpy.clip(w, -65504, 65504) does it",
        "_empty_affine_quantized _empty_per_channel_affine_quantized": "make_per_tensor_quantized_tensor and "
        "make_per_channel_quantized_tensor take an array of codes, such as numpy.zeros(shape, numpy.uint8)",
        "quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d": "ops.max_pool1d, max_pool2d and "
        "max_pool3d take tensors of codes",
        "quantized_batch_norm": "nn.quantized.BatchNorm2d does it",
        "quantized_lstm_cell quantized_gru_cell quantized_rnn_relu_cell quantized_rnn_tanh_cell": "ops."
        "PackedLSTMCell, PackedGRUCell and PackedRNNCell do it",
        "BackendPatternConfig DTypeConfig backend_config BackendConfig get_native_backend_config": "there is "
        "one backend; quantray.graph.register_layer tells what layers of one's own become",
    }
)


def left_out() -> dict[str, str]:
    """Torch's names that are not here on purpose, each with what to write instead.

    >>> import quantray as qt
    >>> qt.left_out()["prepare_fx"].partition(":")[0]
    'models are captured as graphs by themselves'
    """
    return {name: text for names, text in LEFT_OUT.items() for name in names.split()}


#: Torch's words for functions that NumPy has by another name.
_NUMPY = MappingProxyType(
    {
        "absolute": "abs",
        "acos": "arccos",
        "acosh": "arccosh",
        "asin": "arcsin",
        "asinh": "arcsinh",
        "atan": "arctan",
        "atan2": "arctan2",
        "atanh": "arctanh",
        "clamp_max": "minimum",
        "clamp_min": "maximum",
        "div": "divide",
        "fix": "trunc",
        "gather": "take_along_axis",
        "ger": "outer",
        "inverse": "linalg.inv",
        "logdet": "linalg.slogdet",
        "mm": "matmul",
        "bmm": "matmul",
        "mv": "matmul",
        "addmm": "matmul",
        "addmv": "matmul",
        "baddbmm": "matmul",
        "mul": "multiply",
        "neg": "negative",
        "pinverse": "linalg.pinv",
        "pow": "power",
        "sgn": "sign",
        "std_mean": "std",
        "sub": "subtract",
        "unique_consecutive": "unique",
        "var_mean": "var",
    }
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Names of other quantizers (onnxruntime, NNCF, optimum, Neural Compressor, torchao, bitsandbytes, Brevitas,
#: TensorFlow Lite), and what does the same here.
_OTHER_TOOLS = MappingProxyType(
    {
        "InferenceSession SessionOptions": "quantray.onnx.load(path) makes a model, whose run, get_inputs "
        "and get_outputs are a session's; quantray.set_num_threads sets threads",
        "quantize_static ORTQuantizer PostTrainingQuantConfig StaticQuantConfig fit": "quantray.onnx.save("
        "quantization.quantize(quantray.onnx.load(path), batches), out)",
        "quantize_dynamic": "quantray.onnx.save(quantization.quantize_dynamic(quantray.onnx.load(path)), "
        "out)",
        "CalibrationDataReader Dataset": "batches are any iterable of arrays, tuples or dicts by the names "
        "of inputs; readers and data sets of other tools are taken as they are",
        "CalibrationMethod": "MinMaxObserver, EntropyObserver and PercentileObserver of quantization, in a "
        "QConfig",
        "AutoQuantizationConfig AutoCalibrationConfig QuantizationConfig QuantizeConfig TuningCriterion": (
            "quantization.quantize(model, batches) and quantize_dynamic(model) need no settings; "
            "a QConfigMapping has them"
        ),
        "quantize_ autoquant Int8WeightOnlyConfig Int4WeightOnlyConfig int8_weight_only int4_weight_only "
        "BitsAndBytesConfig Linear8bitLt Linear4bit GPTQConfig AWQConfig quantize_weights": "quantization."
        "remedies.weight_only(model, bits=8), or bits=4, by GPTQ where data are given",
        "Int8DynamicActivationInt8WeightConfig int8_dynamic_activation_int8_weight": "quantization."
        "quantize_dynamic(model)",
        "QATConfig QuantConv1d QuantConv2d QuantLinear QuantReLU QuantIdentity quantize_model": "quantization"
        ".prepare_qat(model, quantization.qconfig_for_bits(weight=4, activation=4)), then convert",
        "TFLiteConverter Optimize": "files of TensorFlow come by tf2onnx: quantization.quantize("
        "quantray.onnx.load(path), batches)",
        "QuantType QuantFormat": "weights are int8, activations uint8, files QDQ; a QConfig says otherwise",
        "quant_pre_process shape_inference preprocess": "quantray.onnx.load does it",
        "IgnoredScope Subgraph": "quantization.get_default_qconfig_mapping().set_module_name(name, None), or "
        "set_module_name_regex and set_object_type",
        "quantize_with_accuracy_control AccuracyCriterion": "quantization.quantize(model, batches, "
        "metric=accuracy, max_drop=0.01, data_held_out=validation)",
        "compress_weights": "quantization.remedies.weight_only(model, bits=4)",
        "create_weight_matching compute_weight_error create_activation_matching compute_activation_error "
        "collect_activations modify_model_output_intermediate_tensors qdq_loss_debug": "quantray.analysis."
        "compare(model, int8, batches) has the errors of weights and activations of each node",
    }
)


def other_tools(name: str) -> str:
    """What does here what a name of another quantizer does there, as the end of a sentence; or nothing."""
    return next((f": {text}" for names, text in _OTHER_TOOLS.items() if name in names.split()), "")


#: NumPy's names whose work has another one here.
_ARRAYS = MappingProxyType(
    {
        "fill": "q.fill_(value) does it",
        "flat": "q.ravel() has the elements along one axis",
        "H real conjugate": "the numbers are real: q.mT turns the last two axes around",
        "base byteswap getfield setfield setflags to_device": "q.int_repr() is the NumPy array of the codes, "
        "in the same memory",
    }
)
#: Names of torch's tensors and functions that only floats or other libraries have.
_FLOATS = _words(
    """
    addbmm addcdiv addcmul addr aminmax apply as_strided_scatter as_subclass bernoulli bincount
    bucketize cartesian_prod cauchy cdist cfloat chalf cholesky_inverse cholesky_solve combinations
    cosine_similarity cummax cummin cumulative_trapezoid diag_embed diagonal_scatter digamma dist eq
    erf erfc erfinv exponential frac ge geometric geqrf gt hardshrink hash_tensor histc igamma
    igammac index_add index_copy index_fill index_reduce is_nonzero is_set_to is_signed istft
    kthvalue le lerp lgamma log_normal logcumsumexp logit logsumexp lt lu lu_solve mH map map2
    matrix_exp masked_scatter mode module_load multinomial mvlgamma narrow_copy ne new new_empty
    new_empty_strided new_full new_ones new_zeros nonzero_static normal orgqr ormqr
    pairwise_distance pdist poisson polar polygamma renorm rsqrt rsub scatter scatter_add
    scatter_reduce segment_reduce stft storage_offset storage_type sum_to_size symeig
    to_padded_tensor triangular_solve trapz unsafe_split_with_sizes values view_as_complex
    view_as_real volatile xlogy
    """
)
_SPARSE = _words(
    """
    ccol_indices col_indices crow_indices indices is_coalesced resize_as_sparse row_indices smm
    sparse_mask sparse_resize sparse_resize_and_clear sspaddmm to_sparse_bsc to_sparse_bsr
    to_sparse_coo to_sparse_csc
    """
)
_GRADIENTS = _words(
    """
    output_nr register_post_accumulate_grad_hook reinforce retains_grad
    """
)


def _numpy(name: str) -> str | None:
    """The place of a function in NumPy, where it has one."""
    import numpy as np

    found = _NUMPY.get(name, name)
    if callable(getattr(np, found, None)) or "." in found:
        return f"numpy.{found}"
    return f"numpy.linalg.{found}" if hasattr(np.linalg, found) else None


def tensor_advice(name: str) -> str:
    """What to write instead of an attribute of tensors that torch or NumPy have; nothing for other names.

    >>> from quantray._advice import tensor_advice
    >>> tensor_advice("arccos_")
    'assign instead: q[...] = numpy.arccos(q), which keeps the scale and the zero point'
    """
    import numpy as np

    plain = name.removesuffix("_")
    for names, text in _ARRAYS.items():
        if name in names.split():
            return text
    if plain in _SPARSE:
        return "there is one layout, the strided one; q.dequantize() gives an array for other libraries"
    if plain in _GRADIENTS:
        return "integers have no gradient; train floats with quantray.quantization.FakeQuantize"
    numpy = _numpy(plain)
    if numpy is not None and name != plain:
        return f"assign instead: q[...] = {numpy}(q), which keeps the scale and the zero point"
    if numpy is not None:
        return f"use {numpy}, which takes QTensors and gives arrays of floats"
    from quantray.nn import functional

    if plain in functional.__all__:
        return f"use quantray.nn.functional.{plain}"
    if plain in _FLOATS or hasattr(np.ndarray, name):
        return "q.dequantize() gives the values, for NumPy's and SciPy's functions; q.int_repr() the codes"
    return ""


def advice(name: str) -> str:
    """What to write instead of a name, as the end of a sentence; nothing where none is known."""
    text = left_out().get(name)
    if text is not None:
        return f": {text}"
    if other_tools(name):
        return other_tools(name)
    if name.startswith("_"):
        return ""
    plain = name.removesuffix("_")
    numpy = _numpy(plain)
    if numpy is not None:
        more = ", with ddof=1 for what torch gives" if numpy in ("numpy.var", "numpy.std") else ""
        return f": use {numpy}, which takes QTensors and arrays{more}"
    if plain in _FLOATS:
        return ": it is one of floats; NumPy and SciPy have such functions, q.dequantize() gives the values"
    return ""


def function_advice(name: str) -> str:
    """The same for a function of torch's own module, which may be one of `quantray.nn.functional`."""
    from quantray.nn import functional

    if name == "quantize":
        return ": quantize_per_tensor and quantize_per_channel make tensors, quantization.quantize models"
    if name not in left_out() and name in functional.__all__:
        return f": use quantray.nn.functional.{name}"
    return advice(name)


#: Names of torch's modules, and what models of arrays have instead.
_MODULES = MappingProxyType(
    {
        "cuda ipu mtia xpu to_empty share_memory": "arrays live in the CPU's memory",
        "half double bfloat16 type": "models are float32; quantization.quantize_dynamic makes them smaller",
        "_packed_params _weight_bias": "weight() and bias() are the layer's; ops.PackedLinear(weight, bias) "
        "and its like are what operators take",
        "zero_grad backward": "no gradients are kept: nn.value_and_grad(model, loss) returns them",
        "compile": "quantization.quantize and quantize_dynamic make programs of models",
        "get_parameter get_buffer": "model.state_dict()[name] is the array",
        "register_backward_hook register_full_backward_hook register_full_backward_pre_hook": "gradients are "
        "values: look at what nn.value_and_grad returns",
        "load": "quantray.load(path) makes the model, model.load_state_dict(path) takes its arrays",
        "get_extra_state set_extra_state register_state_dict_pre_hook register_state_dict_post_hook "
        "register_load_state_dict_pre_hook register_load_state_dict_post_hook": "state_dict and "
        "load_state_dict are a class's own to define",
    }
)


def module_advice(name: str) -> str:
    """What to write instead of an attribute of torch's modules, as the end of a sentence."""
    for names, text in _MODULES.items():
        if name in names.split():
            return f": {text}"
    return ""
