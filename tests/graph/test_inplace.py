"""Changes in place are new values, which all views of an array then show."""

import numpy as np
import pytest
from programs import Program, captured
from quantray import graph, nn


def arrays(rng, n=4):
    return tuple(rng.standard_normal((2, n, 6)).astype(np.float32))


def sized(rng):
    return [arrays(rng, n) for n in (1, 2, 7, 0)]


def of_base_seen_in_view(x, y):
    view = x[:, :3]
    x += y
    return view * 2, x


def of_view_seen_in_base(x, y):
    view = x[:, 1:4]
    view *= 3
    return x, view


def of_view_of_view(x, y):
    part = x.T[1:4][::-1]
    part[0] = 7
    part += 1
    return x, part


def of_two_views(x, y):
    a, b = x[:, :4], x[:, 2:]
    a += 1
    b *= 2
    a -= y[:, :4]
    return x, a, b


def of_alias(x, y):
    identity = x
    x += y
    x *= identity
    return identity - y


def of_split(x, y):
    a, b, c = np.split(x, 3, axis=1)
    a *= 2
    c -= a
    return x, b


def of_reshaped(x, y):
    flat = x.reshape(x.shape[0], 2, 3)
    flat[:, 0] = 0
    flat[:, 1, 2] += 5
    return x


def of_copy(x, y):
    other = x.copy()
    other += 1
    return x, other


def of_expanded(x, y):
    wide = x[:, None, :]
    wide *= 2
    np.expand_dims(x, -1)[:, 0] = 3
    return x, wide


def of_swapped(x, y):
    x.swapaxes(0, 1)[2] = 1
    np.moveaxis(x, 0, 1)[3] += 1
    x.transpose()[4] -= 1
    return x


def of_squeezed(x, y):
    x[:, :1].squeeze(1)[...] = 4
    return x


def of_steps(x, y):
    x[:, ::2] = y[:, 1::2]
    x[:, -1] = x[:, 0]
    return x


def of_overlap(x, y):
    x[:, 1:] = x[:, :-1]
    return x


def of_masks(x, y):
    x[x < 0] *= 0.1
    x[y > 0] = 0
    x[(x > 1) & (y < 0)] -= 1
    return x


def of_places(x, y):
    x[:, [0, 3]] = y[:, [1, 2]]
    x[:, np.array([5, 4])] += 1
    return x


def of_dtype(x, y):
    x += 1.5
    x *= np.float64(2)
    counts = (y > 0).astype(np.int64)
    counts += 2
    return x, counts


def of_out(x, y):
    np.exp(x, out=x)
    np.add(x, y, out=x[:, :])
    np.maximum(x, 0, out=x)
    np.sqrt(x, out=x, where=x > 1)
    return np.clip(x, 0, 3, out=x)


def of_out_of_views(x, y):
    np.multiply(y[:, :3], 2, out=x[:, 3:])
    np.sum(y, axis=1, out=x[:, 0])
    return x


def of_methods(x, y):
    x.sort(axis=1)
    y.fill(2)
    y.put([0] if x.shape[1] else [], 9) if False else None
    np.copyto(x, y, where=x < 0)
    np.putmask(x, x > 1, y)
    np.fill_diagonal(y[:, :1], 3) if False else None
    return x, y


def of_made(x, y):
    made = np.zeros_like(x)
    made[:, :2] = x[:, 2:4]
    made[:, 2] = 1
    np.add.at(made, (slice(None), [4, 4, 5]), np.float32(1))
    return made


def of_loop(x, y):
    for i in range(3):
        x[:, i] = x[:, i + 1] * 2 + i
        y = y + x
    return y


def of_arguments_of_functions(x, y):
    def change(a):
        a *= 2
        return a

    return change(x[:, :2]), x


def of_items(x, y):
    parts = [x[:, 0], x[:, 1]]
    parts[0] += 1
    held = {"a": x}
    held["a"] -= y
    return x, parts[0], parts[1]


PROGRAMS = {name: value for name, value in globals().items() if name.startswith("of_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(rng, name):
    found = captured(PROGRAMS[name], *arrays(rng), sizes=sized(rng), free=True)
    assert not found.refusals


def test_the_callers_arrays_stay_as_they_are(rng):
    x, y = arrays(rng)
    before = x.copy()
    found = graph.capture(of_masks, (x, y))
    np.testing.assert_array_equal(x, before)
    graph.run(found, {"x": x, "y": y})
    np.testing.assert_array_equal(x, before)


def test_a_view_at_one_size_and_a_copy_at_another(rng):
    def forward(x, y):
        flat = x.T.reshape(-1)
        flat += 1
        return x, flat

    found = captured(forward, *arrays(rng), sizes=sized(rng), free=False)
    # What is changed depends on the number of rows: no one graph is for all of them.
    assert found.refusals or found.guards


def test_parameters_are_not_written_to(rng):
    class Writes(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(np.ones(6))

        def forward(self, x, y):
            self.scale[0] = 3
            return x * self.scale

    found = graph.capture(Writes(), arrays(rng))
    (refusal,) = found.refusals
    assert "scale" in refusal.reason
    assert "in place" in refusal.reason
    assert refusal.at.file == __file__


def test_what_shares_memory_unseen_is_refused(rng):
    def forward(x, y):
        wide = np.broadcast_to(x[:, None], (x.shape[0], 2, 6))
        x += 1
        return wide

    found = captured(Program(forward), *arrays(rng), sizes=sized(rng))
    assert found.refusals
    assert "copy()" in found.refusals[0].reason
