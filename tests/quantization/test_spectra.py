"""Filters whose outputs are squared to a spectrum stay in float and say so; a name goes first."""

from __future__ import annotations

import numpy as np
import pytest
from quantray import nn
from quantray import quantization as tq
from quantray.nn import functional as F


class Spectrum(nn.Module):
    """A Fourier transform by a convolution, its magnitude or its logarithm, and a classifier."""

    def __init__(self, level):
        super().__init__()
        self.level = level
        self.transform = nn.Conv1d(1, 32, 32, stride=16, bias=False)
        k, n = np.arange(16)[:, None], np.arange(32)
        waves = np.concatenate([np.cos(2 * np.pi * k * n / 32), np.sin(2 * np.pi * k * n / 32)])
        self.transform.weight = waves[:, None].astype(np.float32)
        self.hidden, self.head = nn.Conv1d(16, 8, 1), nn.Linear(8, 2)

    def forward(self, x):
        h = self.transform(x)
        power = h[:, :16] ** 2 + np.square(h[:, 16:])
        h = np.sqrt(power) if self.level == "root" else np.log(power + 1e-3)
        return self.head(F.relu(self.hidden(h)).mean(2))


@pytest.mark.parametrize("level", ["root", "logarithm"])
def test_front_ends_stay_in_float(level, rng):
    model = Spectrum(level).eval()
    x = rng.standard_normal((32, 1, 256), np.float32)
    small = tq.quantize(model, x, verbose=False)
    lines = {line.name: line for line in tq.report(small).lines}
    assert not lines["transform"].in_integers
    assert lines["hidden"].in_integers
    assert "squared to a spectrum" in str(tq.report(small))
    named = tq.get_default_qconfig_mapping()
    named.set_module_name("transform", tq.get_default_qconfig())
    asked = tq.quantize(model, x, named, verbose=False)
    assert {line.name: line for line in tq.report(asked).lines}["transform"].in_integers


def test_products_of_two_layers_are_no_spectrum(rng):
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.c(np.sqrt(np.abs(self.a(x) * self.b(x))))

    plain, x = tq.get_default_qconfig_mapping(), rng.standard_normal((32, 8), np.float32)
    small = tq.quantize(Gated().eval(), x, plain, verbose=False)
    assert all(line.in_integers for line in tq.report(small).lines if line.name in ("a", "b", "c"))


class Mel(nn.Module):
    """Powers of a spectrum, filters over them, their logarithm, and a classifier."""

    def __init__(self):
        super().__init__()
        self.filters, self.head = nn.Linear(33, 8, bias=False), nn.Linear(8, 2)
        self.filters.weight = np.abs(self.filters.weight)

    def forward(self, power):
        return self.head(np.log(np.maximum(self.filters(power), 1e-5)))


def test_filters_whose_logarithm_is_taken_stay_in_float(rng):
    model = Mel().eval()
    power = (10 ** rng.uniform(-6, 2, (64, 33))).astype(np.float32)
    small = tq.quantize(model, power, verbose=False)
    lines = {line.name: line for line in tq.report(small).lines}
    assert not lines["filters"].in_integers
    assert lines["head"].in_integers
    assert "a root or a logarithm is taken of its outputs" in " ".join(str(tq.report(small)).split())


def test_a_logarithm_of_two_layers_is_no_level(rng):
    class Odds(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return np.log(F.relu(self.a(x)) + F.relu(self.b(x)) + 1)

    small = tq.quantize(Odds().eval(), rng.standard_normal((32, 8), np.float32), verbose=False)
    assert all(line.in_integers for line in tq.report(small).lines if line.name in ("a", "b"))


class Octaves(nn.Module):
    """A transform of two octaves, the lower one after a filter that halves the rate, and a classifier."""

    def __init__(self):
        super().__init__()
        self.upper, self.lower = (nn.Conv1d(1, 16, 32, stride=s, bias=False) for s in (16, 8))
        self.half = nn.Conv1d(1, 1, 7, stride=2, padding=3, bias=False)
        self.hidden, self.head = nn.Conv1d(16, 8, 1), nn.Linear(8, 2)

    def forward(self, x):
        octaves = [self.upper(x), self.lower(self.half(x))]
        n = octaves[1].shape[2]
        h = np.stack([np.concatenate([-o[:, :8, :n], o[:, 8:, :n]], axis=1) for o in octaves], axis=3)
        level = np.sqrt(np.square(h * np.float32(0.5)).sum(axis=3))
        return self.head(F.relu(self.hidden(level)).mean(2))


def test_all_layers_of_a_spectrum_and_the_filters_before_them_stay_in_float(rng):
    small = tq.quantize(Octaves().eval(), rng.standard_normal((32, 1, 256), np.float32), verbose=False)
    lines = {line.name: line for line in tq.report(small).lines}
    assert [name for name in ("upper", "lower", "half", "hidden", "head") if lines[name].in_integers] == [
        "hidden",
        "head",
    ]
    assert "filters the signal of a spectrum" in str(lines["half"])


def test_a_norm_of_length_one_is_no_spectrum(rng):
    class Embeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 8)

        def forward(self, x):
            h = self.last(self.first(x))
            return h / np.sqrt(np.square(h).sum(axis=1, keepdims=True))

    small = tq.quantize(Embeds().eval(), rng.standard_normal((64, 16), np.float32), verbose=False)
    lines = {line.name: line for line in tq.report(small).lines}
    assert lines["first"].in_integers
    assert not any("spectrum" in str(line) for line in lines.values())
