"""Documentation: every example runs, every public thing has a docstring, the README's code is true."""

import doctest
import inspect
import pathlib
import re

import pytest
import quantray as qt
from quantray import _core, analysis, nn, optim, quantization
from quantray.nn.quantized import dynamic
from quantray.quantization import remedies

#: Modules beside those of `nn`, each with an example.
SPACES = {
    "nn.intrinsic": nn.intrinsic,
    "nn.intrinsic.qat": nn.intrinsic.qat,
    "nn.intrinsic.quantized": nn.intrinsic.quantized,
    "nn.intrinsic.quantized.dynamic": nn.intrinsic.quantized.dynamic,
    "nn.qat": nn.qat,
    "nn.qat.dynamic": nn.qat.dynamic,
    "nn.quantizable": nn.quantizable,
    "nn.quantized": nn.quantized,
    "nn.quantized.dynamic": nn.quantized.dynamic,
}
MODULES = {f"{space}.{n}": getattr(of, n) for space, of in SPACES.items() for n in of.__all__}
MODULES = {name: value for name, value in MODULES.items() if inspect.isclass(value)}

README = pathlib.Path(__file__).parents[2] / "README.md"


def documented():
    """Public functions and classes, and the methods of the classes, by name."""
    found = {"quantray": qt, "ops": qt.ops, "nn": nn, "nn.functional": nn.functional, "optim": optim}
    found |= {"analysis": analysis, "quantization.remedies": remedies}
    names = [
        *((n, getattr(qt, n)) for n in qt.__all__),
        *((f"ops.{n}", getattr(qt.ops, n)) for n in qt.ops.__all__),
        *((f"quantization.{n}", getattr(quantization, n)) for n in quantization.__all__),
        *((f"nn.{n}", getattr(nn, n)) for n in nn.__all__),
        *((f"nn.quantized.{n}", getattr(nn.quantized, n)) for n in nn.quantized.__all__),
        *((f"nn.quantized.dynamic.{n}", getattr(dynamic, n)) for n in dynamic.__all__),
        *((f"nn.functional.{n}", getattr(nn.functional, n)) for n in nn.functional.__all__),
        *((f"optim.{n}", getattr(optim, n)) for n in optim.__all__),
        *((f"analysis.{n}", getattr(analysis, n)) for n in analysis.__all__),
        *((f"quantization.remedies.{n}", getattr(remedies, n)) for n in remedies.__all__),
        *SPACES.items(),
        *MODULES.items(),
        ("nn.Module.summary", nn.Module.summary),
    ]
    for name, value in names:
        if not callable(value) and name not in SPACES:
            continue
        found[name] = value
        if (
            inspect.isclass(value)
            and (value.__module__ in ("quantray", "quantray.ops") or "quantization" in value.__module__)
            and name != "ValuesAndIndices"
        ):
            # A compiled class has its attributes in another order each time.
            members = sorted(member for member in vars(value) if not member.startswith("_"))
            found |= {f"{name}.{member}": vars(value)[member] for member in members}
    return found


DOCUMENTED = documented()


@pytest.mark.parametrize("name", DOCUMENTED)
def test_has_a_docstring(name):
    assert inspect.getdoc(DOCUMENTED[name])


def examples(name):
    doc = inspect.getdoc(DOCUMENTED[name]) or ""
    return doctest.DocTestParser().get_doctest(doc, {}, name, None, None)


@pytest.mark.parametrize("name", MODULES)
def test_has_an_example(name):
    # Its own, not one that it inherits.
    assert ">>>" in (MODULES[name].__doc__ or "")


def test_all_modules_are_found():
    assert len(MODULES) >= 45
    assert {f"nn.{space}.Conv2d" for space in ("qat", "quantized", "quantized.dynamic")} <= set(MODULES)
    assert {"nn.intrinsic.ConvReLU2d", "nn.quantized.QFunctional", "nn.qat.FusedQAT"} <= set(MODULES)


def test_analysis_and_remedies_have_examples():
    wanted = {f"analysis.{name}" for name in ("compare", "sensitivity", "plot_tensor")}
    wanted |= {f"quantization.remedies.{name}" for name in remedies.__all__}
    assert wanted <= set(WITH_EXAMPLES)


def run(test):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = []
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


WITH_EXAMPLES = [name for name in DOCUMENTED if examples(name).examples]


def test_examples_were_collected():
    # Objects of a compiled module are easily missed: at least these have examples.
    assert len(WITH_EXAMPLES) >= 160
    functions = [name for name in qt.__all__ if inspect.isbuiltin(getattr(qt, name))]
    assert {"quantize_per_tensor", "quantize_per_channel", "save", "min_max"} <= set(functions)
    assert {"quantize_per_tensor", "QTensor.copy_", "QTensor", "dtype"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    run(examples(name))


def readme_blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_readme_has_its_blocks():
    assert len(readme_blocks()) == 3


@pytest.mark.parametrize("block", readme_blocks())
def test_readme(block):
    """Each block runs by itself."""
    test = doctest.DocTestParser().get_doctest(block, {}, "README.md", str(README), 0)
    assert len(test.examples) >= 5
    run(test)


def test_everything_compiled_is_public():
    public = {name for name in vars(_core) if not name.startswith("_")}
    assert public <= set(qt.__all__) | set(qt.ops.__all__)
