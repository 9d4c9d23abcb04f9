"""Functions of arrays of texts, and tables that lead from texts or numbers to others."""

# Arrays are of any dtype and shape: what NumPy's stubs make of them says nothing here.
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from quantray._typing import Array


def texts(items: Sequence[str], shape: Sequence[int]) -> Array:
    """An array of texts."""
    return np.array(list(items), dtype=np.str_).reshape(tuple(shape))


def looked_up(x: Array, keys: Array, values: Array, default: Array) -> Array:
    """For each element the value of its key, the first one of equal keys; NaN is a key as others.

    Source: the ONNX operator LabelEncoder.
    """
    x, default = np.asarray(x), np.asarray(default)
    dtype = np.result_type(values.dtype, default.dtype)
    if not keys.size:
        return np.full(x.shape, default, dtype)
    if _is_dense(keys) and x.dtype.kind in "iuf":
        return _by_place(x, keys, values.astype(dtype), default.astype(dtype))
    known, first = np.unique(keys, return_index=True)
    at = np.minimum(np.searchsorted(known, x), len(known) - 1)
    found = known[at] == x
    if keys.dtype.kind == "f":
        found |= np.isnan(known[at]) & np.isnan(x)
    return np.where(found, values[first][at].astype(dtype), default.astype(dtype))


#: Integers up to this are floats of their own.
_EXACT = 1 << 24


def _is_dense(keys: Array) -> bool:
    """Whether keys are whole numbers, so many of a range that a table for all of it is small."""
    if keys.dtype.kind not in "iuf" or (keys.dtype.kind == "f" and not np.array_equal(keys, np.rint(keys))):
        return False
    low, high = keys.min(), keys.max()
    return bool(low > -_EXACT and high < _EXACT) and int(high) - int(low) < 4 * len(keys) + 4096


def _by_place(x: Array, keys: Array, values: Array, default: Array) -> Array:
    """The same through a table of every number between the least key and the greatest: no search."""
    low, high = int(keys.min()), int(keys.max())
    # One more place, at the end, is for what is no key.
    table = np.full(high - low + 2, default)
    # Of equal keys the first one is written last.
    table[keys[::-1].astype(np.int64) - low] = values[::-1]
    is_inside = (x >= low) & (x <= high)
    if x.dtype.kind == "f":
        is_inside &= x == np.rint(x)
        x = np.where(is_inside, x, 0)
    return table[np.where(is_inside, x.astype(np.int64), np.int64(high + 1)) - low]


def one_of_categories(x: Array, categories: Array) -> Array:
    """A new last axis, with 1 where an element is a category.

    Source: the ONNX operator OneHotEncoder.
    """
    return (np.asarray(x)[..., None] == categories).astype(np.float32)


def joined_texts(a: Array, b: Array) -> Array:
    """Texts of one array with those of another behind them.

    Source: the ONNX operator StringConcat.
    """
    return np.strings.add(a, b) if hasattr(np, "strings") else np.char.add(a, b)


def split_texts(x: Array, delimiter: str | None, most: int | None) -> tuple[Array, Array]:
    """The parts of each text along a new last axis, "" where others have more, and how many there are.

    Source: the ONNX operator StringSplit.
    """
    limit = -1 if most is None else most
    parts = [str(text).split(delimiter or None, limit) if text else [] for text in x.reshape(-1)]
    return _padded(parts, x.shape, ""), np.array([len(p) for p in parts], np.int64).reshape(x.shape)


def _padded(parts: Sequence[Sequence[str]], shape: Sequence[int], fill: str) -> Array:
    """Lists of texts as an array, whose last axis is as long as the longest."""
    longest = max((len(p) for p in parts), default=0)
    return texts([text for p in parts for text in (*p, *[fill] * (longest - len(p)))], (*shape, longest))


def matches(x: Array, pattern: str) -> Array:
    """Whether each text as a whole is of a pattern.

    Source: the ONNX operator RegexFullMatch.
    """
    whole = re.compile(pattern)
    found = [whole.fullmatch(str(text)) is not None for text in x.reshape(-1)]
    return np.array(found, np.bool_).reshape(x.shape)


_CASES: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}


def normalized_texts(x: Array, case: str, is_case_sensitive: bool, stopwords: Sequence[str]) -> Array:
    """Texts without some words, in small or large letters; one empty text where none is left.

    Source: the ONNX operator StringNormalizer.
    """
    fold = str if is_case_sensitive else str.lower
    left_out = {fold(word) for word in stopwords}
    kept = [_CASES[case](str(text)) for text in x.reshape(-1) if fold(str(text)) not in left_out]
    if x.ndim > 1:
        if x.ndim > 2 or (left_out and x.shape[0] != 1):
            raise ValueError(f"texts must be of shape (words,) or (1, words), got {x.shape}")
        if not left_out:
            return texts(kept, x.shape)
    kept = kept or [""]
    return texts(kept, (*(1,) * (x.ndim - 1), len(kept)))


def tokens(
    x: Array, expression: str | None, separators: Sequence[str], least: int, is_marked: bool, fill: str
) -> Array:
    """Texts cut into tokens along a new last axis, filled up where others have more.

    Parameters
    ----------
    x : array of str
    expression : str, optional
        What a token looks like.
    separators : sequence of str
        Or what stands between them; one that is empty: every letter is a token.
    least : int
        Shorter ones are left out.
    is_marked : bool
        Whether a token of the character 2 stands before them, and one of the character 3 behind.
    fill : str

    Source: onnxruntime's operator Tokenizer.
    """
    if expression:
        cut = re.compile(expression).findall
    elif not any(separators):
        cut = list
    else:
        cut = re.compile("|".join(separators)).split
    found = [[token for token in cut(str(text)) if token and len(token) >= least] for text in x.reshape(-1)]
    if is_marked:
        found = [["\x02", *each, "\x03"] for each in found]
    return _padded(found, x.shape, fill)


def grams(
    x: Array,
    pool: Array,
    starts: Sequence[int],
    places: Sequence[int],
    weights: Array | None,
    lengths: tuple[int, int],
    skips: int,
    mode: str,
) -> Array:
    """How often some sequences of elements are in each row, or numbers that stand for them.

    Parameters
    ----------
    x : array
        Shape (n,) or (rows, n), of texts or integers.
    pool : array
        Sequences of one element, of two, ..., one behind the other.
    starts : sequence of int
        Where those of each length begin.
    places : sequence of int
        Which element of the result each sequence is.
    weights : array, optional
    lengths : tuple of int
        The shortest and the longest sequence.
    skips : int
        So many elements may lie between two of a sequence, always the same number.
    mode : str
        "TF": counts; "IDF": weights of those that are there; "TFIDF": counts times weights.

    Source: the ONNX operator TfIdfVectorizer.
    """
    known: dict[tuple[object, ...], int] = {}
    items, ends, number = pool.tolist(), [*starts[1:], len(pool)], 0
    for n, (begin, end) in enumerate(zip(starts, ends, strict=True), 1):
        for at in range(begin, end, n):
            if lengths[0] <= n <= lengths[1]:
                known.setdefault(tuple(items[at : at + n]), number)
            number += 1
    rows = x.reshape(1, -1) if x.ndim < 2 else x
    made = np.zeros((len(rows), max(places, default=-1) + 1), np.float32)
    for row, out in zip(rows.tolist(), made, strict=True):
        counts = Counter(known[gram] for gram in _sequences(row, lengths, skips) if gram in known)
        for which, count in counts.items():
            weight = 1.0 if weights is None else float(weights[which])
            out[places[which]] += {"TF": count, "IDF": weight, "TFIDF": count * weight}[mode]
    return made[0] if x.ndim < 2 else made


def _sequences(row: list[object], lengths: tuple[int, int], skips: int) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for n in range(lengths[0], lengths[1] + 1):
        for step in range(1, skips + 2 if n > 1 else 2):
            last = len(row) - step * (n - 1)
            found += [tuple(row[i : i + step * (n - 1) + 1 : step]) for i in range(last)]
    return found


def as_texts(x: Array) -> Array:
    """Numbers as texts, floats with 8 digits at most; truth values as 1 and 0.

    Source: the ONNX operator Cast, as onnxruntime computes it.
    """
    if x.dtype.kind == "f":
        special = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}
        made = [f"{float(n):.8g}" for n in x.reshape(-1)]
        return texts([special.get(text, text) for text in made], x.shape)
    return texts([str(int(n)) for n in x.reshape(-1)], x.shape)
