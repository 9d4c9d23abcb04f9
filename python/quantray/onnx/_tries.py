"""Shapes that a model of a file is tried with: those that it takes, and others that it takes as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import combinations

from quantray.onnx._value import Value

#: Shapes of all inputs, in order.
Shapes = list[tuple[int, ...]]
#: A length that is the sum of two others.
Total = tuple[str, tuple[str, str]]

#: Of so many free lengths each is tried as one that is none.
_MOST_FREE = 4
#: Lengths of axes that a file leaves free: most models take these, and those of short tables the others.
_LENGTHS, _FEW = (2, 16, 64, 64, 8), (2, 3, 5, 8, 8)


def example_shapes(inputs: Sequence[Value]) -> Iterator[Shapes]:
    """Shapes that a model may take; none where a file does not say how many axes there are.

    Images with channels last have other axes, those of large windows are larger, and what a mask of a decoder
    is for are the keys that were there before and the new ones: which lengths these are is not said.
    """
    if any(value.shape is None for value in inputs):
        return
    plain = [_example(value, {}) for value in inputs]
    yield plain
    alike = [_example(value, _of_several_axes(inputs)) for value in inputs]
    if alike != plain:
        # What is rows of one input is another axis of the next: sequences first, with a state for each row.
        yield alike
    for side in (64, 224):
        images = [_example(value, {}, side if len(value.shape or ()) == 4 else 0) for value in inputs]
        if images != plain:
            yield images
    free = {key: axis for key, axis in _free(inputs).items() if axis}
    for lengths in (_LENGTHS, _FEW):
        own = {key: lengths[min(axis, 4)] for key, axis in free.items()}
        if lengths is _FEW and free:
            yield [_example(value, own) for value in inputs]
        for one, two in combinations(free, 2) if len(free) <= _MOST_FREE else ():
            for key in free:
                if key not in (one, two):
                    yield [_example(value, {**own, key: own[one] + own[two]}) for value in inputs]


def _of_several_axes(inputs: Sequence[Value]) -> dict[str, int]:
    """Lengths by names that stand at different axes of inputs: one number for each name."""
    axes: dict[str, set[int]] = {}
    for value in inputs:
        for axis, n in enumerate(value.shape or ()):
            if not isinstance(n, int):
                axes.setdefault(_key(value, axis), set()).add(axis)
    return {key: _LENGTHS[min(*found, 4)] for key, found in axes.items() if len(found) > 1}


def _example(value: Value, known: Mapping[str, int], side: int = 0) -> tuple[int, ...]:
    """The shape of one input; `side` is that of an image's other axes, where it is not 0."""
    return tuple(
        n
        if isinstance(n, int)
        else (side if side and axis else known.get(_key(value, axis), _LENGTHS[min(axis, 4)]))
        for axis, n in enumerate(value.shape or ())
    )


def other_shapes(inputs: Sequence[Value], shapes: Shapes) -> list[Shapes] | None:
    """Shapes in which each length that the file leaves free is another one, the most telling ones first."""
    if any(value.shape is None for value in inputs):
        # Of sequences there are more arrays than inputs, and their lengths are not said.
        return None
    free = _free(inputs)
    inner = {key for key, axis in free.items() if axis}
    # Longer ones come late: values that count elements may be too many for shorter arrays. Where a file
    # leaves lengths free that its weights fix, or its exporter, the others are tried, and at last rows.
    every = frozenset(free)
    tries = [_with_others(inputs, shapes, way, every, None) for way in (32, 1, -32)]
    rows = _rows(inputs, shapes, free.keys() - inner)
    if rows:
        # Exporters give rows of several inputs names of their own, though they belong to one another.
        tries += [_with_others(inputs, shapes, way, every, None, rows) for way in (32, 1)]
    if 1 < len(free) <= _MOST_FREE:
        tries += [_with_others(inputs, shapes, 32, every - {key}, None) for key in free]
    tries.append(_with_others(inputs, shapes, 0, every - inner, None))
    if rows:
        tries.append(_with_others(inputs, shapes, 0, every - inner, None, rows))
    total = _total(inputs, shapes, inner)
    if total is not None:
        # What is there before and what is new are all that a mask is for: the sum stays one.
        tries[:0] = [_with_others(inputs, shapes, way, frozenset(free), total) for way in (32, 1)]
    return [made for i, made in enumerate(tries) if made not in tries[:i] and made != list(shapes)]


def _free(inputs: Sequence[Value]) -> dict[str, int]:
    """Lengths that the file leaves free, and the axis that each is of."""
    return {
        _key(value, axis): axis
        for value in inputs
        for axis, n in enumerate(value.shape or ())
        if not isinstance(n, int)
    }


def _keys(inputs: Sequence[Value], shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """What each length of the inputs is called, its axis, and the number that it is."""
    for value, shape in zip(inputs, shapes, strict=True):
        for axis, n in enumerate(shape):
            yield _key(value, axis), axis, n


def _rows(inputs: Sequence[Value], shapes: Shapes, keys: Set[str]) -> dict[str, str]:
    """Of lengths that are as many in several inputs, the first one for each; none if there are no others."""
    firsts: dict[int, str] = {}
    found = {key: firsts.setdefault(n, key) for key, _, n in _keys(inputs, shapes) if key in keys}
    return found if any(key != first for key, first in found.items()) else {}


def _total(inputs: Sequence[Value], shapes: Shapes, inner: Set[str]) -> Total | None:
    """A free length that is the sum of two others: of keys that a decoder has, and of new ones."""
    known = {key: n for key, _, n in _keys(inputs, shapes) if key in inner}
    for one, two in combinations(known, 2):
        for key, n in known.items():
            if n == known[one] + known[two] and key not in (one, two):
                return key, (one, two)
    return None


def _with_others(
    inputs: Sequence[Value],
    shapes: Shapes,
    way: int,
    changing: Set[str],
    total: Total | None,
    as_one: Mapping[str, str] | None = None,
) -> Shapes:
    """The inputs' shapes with other numbers for some lengths; what `as_one` names has another's number."""
    changed: dict[str, int] = {}
    for key, axis, n in _keys(inputs, shapes):
        first = None if as_one is None else as_one.get(key, key)
        if first is not None and first != key and key in changing:
            changed[key] = changed[first]
        elif key in changing and key not in changed and (total is None or key != total[0]):
            changed[key] = _other_length(n, _step(n, axis, way), set(changed.values()))
    if total is not None:
        key, (one, two) = total
        known = {name: n for name, _, n in _keys(inputs, shapes)}
        others = {n for name, n in changed.items() if name != one}
        # The sum is another one, too, and no two lengths are the same.
        while changed[one] in {known[one], *others} or changed[one] + changed[two] in {known[key], *others}:
            changed[one] += 1
        changed[key] = changed[one] + changed[two]
    found = iter([changed.get(key, n) for key, _, n in _keys(inputs, shapes)])
    return [tuple(next(found) for _ in shape) for shape in shapes]


def _key(value: Value, axis: int) -> str:
    """What a free length of an input is called."""
    return str((value.shape or ())[axis] or f"{value.name}.{axis}")


def _step(n: int, axis: int, way: int) -> int:
    """By how much a length becomes another one: rows by one, others by a fourth or by so much.

    It stays in step with what the strides of a model may be together, and differs by so much that the lengths
    of all its layers do.
    """
    # What is rows of one input may be another axis of the next: sequences first, with a state for each row.
    if axis == 0 or way in (0, 1):
        return -1 if way < 0 else 1
    return way * max(n // (4 * abs(way)), 1)


def _other_length(n: int, step: int, taken: set[int]) -> int:
    """Another length than one that was tried, and than those of other axes: shorter where that leaves enough,
    and longer by a step below zero.
    """
    made = n - step if n > 2 * step else n + step
    while made in taken or made == n:
        made += abs(step)
    return made
