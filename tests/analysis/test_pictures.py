"""Pictures: what they draw, in colours that are told apart on any page."""

import numpy as np
import pytest
import quantray as qt
from faulty_models import imbalanced, mlp
from quantray import quantization as tq
from quantray.analysis import _style


def luminance(colour):
    """WCAG 2.1, relative luminance of "#rrggbb"."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["BLUE", "ORANGE", "TEAL", "PINK", "GREY"])
def test_colours_are_seen_on_light_and_on_dark_pages(name):
    colour = getattr(_style, name)
    # 3 to 1 is WCAG's least for graphics; pages of notebooks are white, and #111 in the dark.
    assert contrast(colour, "#ffffff") >= 3
    assert contrast(colour, "#111111") >= 3


def deuteranopia(colour):
    """Machado et al. (2009), severity 1, in linear RGB."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    return np.clip(np.array(matrix) @ linear, 0, 1)


def test_colours_are_told_apart_without_green():
    pairs = [(_style.BLUE, _style.ORANGE), (_style.BLUE, _style.TEAL), (_style.ORANGE, _style.TEAL)]
    for a, b in pairs:
        assert np.abs(deuteranopia(a) - deuteranopia(b)).max() > 0.1


def test_a_comparison_is_drawn(rng, tmp_path):
    model, x = imbalanced(rng)
    before = qt.analysis.compare(
        model, tq.quantize(model, x, tq.get_default_qconfig_mapping(), verbose=False), x
    )
    equal = tq.remedies.equalize(model, x)
    after = qt.analysis.compare(equal, tq.quantize(equal, x, verbose=False), x)
    figure = before.plot()
    top = figure.axes[0]
    assert [tick.get_text() for tick in top.get_yticklabels()] == [row.name for row in before.depth]
    np.testing.assert_allclose(
        top.get_lines()[0].get_xdata(), [min(row.accumulated, 80) for row in before.depth]
    )
    both = after.plot(before=before)
    strips = [axis.images[0].get_array() for axis in both.axes if axis.images]
    # A strip before has channels of a thousandth of the largest; one after has none.
    assert np.nanmin(strips[0]) < -2
    assert np.nanmin(strips[1]) > -2
    for figure in (before.plot(), both):
        assert figure.get_facecolor()[3] == 0
        figure.savefig(tmp_path / "picture.png")


def test_trained_models_are_drawn_by_steps(rng):
    model, x = mlp(rng)
    trained = tq.prepare_qat(model, example_inputs=x)
    trained(x)
    trained.eval()
    figure = qt.analysis.compare(trained, tq.convert(trained), x).plot()
    assert "steps" in figure.axes[0].get_xlabel()


def test_a_tensor_is_drawn(rng):
    x = rng.standard_normal(1000).astype(np.float32)
    q = qt.quantize_per_tensor(x, 0.02, 0, qt.qint8)
    top, bottom = qt.analysis.plot_tensor(q, x).axes
    clipped = ((x > 127.5 * 0.02) | (x < -128.5 * 0.02)).mean()
    assert f"{100 * clipped:.2g} % of the values are clipped" in bottom.get_title("left")
    assert sum(patch.get_height() for patch in top.patches) == 1000
    with pytest.raises(TypeError, match="q must be a QTensor"):
        qt.analysis.plot_tensor(x, x)
    with pytest.raises(ValueError, match=r"x must have q's shape"):
        qt.analysis.plot_tensor(q, x[:3])
    channels = qt.quantize_per_channel(x.reshape(2, 500), [0.02, 0.03], [0, 0], 0, qt.qint8)
    with pytest.raises(ValueError, match="give one channel"):
        qt.analysis.plot_tensor(channels, x.reshape(2, 500))
    qt.analysis.plot_tensor(channels[0], x[:500])


def test_the_style_is_one_for_notebooks():
    import matplotlib

    with matplotlib.rc_context():
        qt.analysis.style()
        assert matplotlib.rcParams["figure.facecolor"] == "none"
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"][0] == _style.BLUE
