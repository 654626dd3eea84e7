"""The door for rows: what becomes a source, without a copy where that is possible, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from gaussmix.errors import DataError
from gaussmix.rows import ArraySource, as_rows, as_source


def table(n_rows=6, n_features=3, dtype=np.float64):
    return np.random.default_rng(0).normal(size=(n_rows, n_features)).astype(dtype)


# ---- what is taken as it lies ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_not_copied(dtype):
    rows = table(dtype=dtype)
    views = rows, rows[:, ::2], rows[::-1], np.asfortranarray(rows), np.broadcast_to(rows[0], (4, 3))
    for view in views:
        taken = as_source(view).rows
        assert taken.dtype == dtype
        assert np.shares_memory(taken, view)
        assert np.array_equal(taken, view)
    rows.flags.writeable = False
    assert np.shares_memory(as_rows(rows), rows)


@pytest.mark.parametrize(
    "convert",
    [
        lambda rows: np.rint(rows).astype(np.int8),
        lambda rows: rows > 0,
        lambda rows: rows.astype(np.float16),
        lambda rows: rows.astype(">f8"),
        lambda rows: rows.astype(np.longdouble),
        lambda rows: rows.astype(object),
        lambda rows: rows.tolist(),
        lambda rows: [tuple(row) for row in rows],
        lambda rows: np.ma.masked_array(rows, mask=False),
    ],
)
def test_other_numbers_become_doubles(convert):
    rows = convert(table())
    taken = as_rows(rows)
    assert taken.dtype == np.float64
    assert taken.dtype.isnative
    np.testing.assert_array_equal(np.asarray(taken), np.asarray(rows).astype(np.float64))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_fields_of_packed_records(dtype):
    """Their distances in memory are not multiples of a number's size, which the kernel cannot step by."""
    records = np.zeros(6, dtype=[("flag", "i1"), ("x", dtype, (3,))])
    records["x"] = table()
    taken = as_rows(records["x"])
    assert taken.dtype == dtype
    assert all(stride % taken.itemsize == 0 for stride in taken.strides)
    np.testing.assert_array_equal(taken, records["x"])


def test_a_source_is_a_source():
    source = as_source(table())
    assert as_source(source) is source


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames(library):
    module = pytest.importorskip(library)
    columns = {"u": np.arange(4), "v": np.linspace(0, 1, 4), "w": np.array([True, False, True, True])}
    frame = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    source = as_source(frame)
    assert source.feature_names == ("u", "v", "w")
    np.testing.assert_array_equal(source.rows, np.column_stack(list(columns.values())))
    np.testing.assert_array_equal(as_rows(frame, feature_names=["w", "u"]), source.rows[:, [2, 0]])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_frames_with_gaps(library):
    module = pytest.importorskip(library)
    columns = {"u": [1.0, 2.0, 3.0], "v": [0.5, None, 1.5]}
    frame = module.table(columns) if library == "pyarrow" else module.DataFrame(columns)
    with pytest.raises(DataError, match="NaN: row 1, column 'v'"):
        as_source(frame)


# ---- what is refused ---------------------------------------------------------------------------------------


def with_cell(value, row=4, column=2):
    rows = table()
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(3), r"two-dimensional array \(N, D\), got shape \(3,\)"),
        (np.zeros((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        (5.0, r"got shape \(\)"),
        (np.zeros((0, 3)), r"at least one row and one column, got shape \(0, 3\)"),
        (np.zeros((3, 0)), "at least one row and one column"),
        (with_cell(np.nan), "NaN: row 4, column 2"),
        (with_cell(np.inf), "infinity: row 4, column 2"),
        (with_cell(-np.inf), "infinity: row 4, column 2"),
        (with_cell(1.01e150), r"row 4, column 2 is 1.01e\+150, beyond"),
        (with_cell(-1.01e150), "row 4, column 2"),
        (table() + 1j, "Complex data not supported"),
        ([["1", "two"]], "expected an array of numbers, got list"),
        ([[1.0, 2.0], [3.0]], "expected an array of numbers"),
        ("text", "got shape|expected an array of numbers"),
        (None, "got shape|expected an array of numbers"),
        ([[object()]], "expected an array of numbers"),
        (np.ma.masked_array(table(), mask=table() > 1), "masked values, the first in row"),
    ],
)
def test_refused(rows, message):
    with pytest.raises(DataError, match=message):
        as_source(rows)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 65_535, 65_536, 150_000])
def test_the_first_bad_cell_is_named(value, row):
    rows = np.zeros((150_001, 2), dtype=np.float32)
    rows[row, 1] = value
    rows[-1, 1] = np.nan
    with pytest.raises(DataError, match=rf"row {row}, column 1\b"):
        as_source(rows)


def test_largest_values_that_are_taken():
    assert as_rows([[1e150, -1e150]]).shape == (1, 2)


# ---- weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(5), r"must have shape \(6,\), one for each row, got \(5,\)"),
        (np.ones((6, 1)), r"must have shape \(6,\)"),
        (2.0, r"must have shape \(6,\), one for each row, got \(\)"),
        ([1, 1, 1, 1, 1, -1], "finite and not negative"),
        ([1, 1, 1, 1, 1, np.nan], "finite and not negative"),
        ([1, 1, 1, 1, 1, np.inf], "finite and not negative"),
        (np.zeros(6), "zero for every row"),
        (np.full(6, 1e150), r"sums to more than 1e\+150; divide it by its mean"),
        (list("abcdef"), "sample_weight must be numbers"),
    ],
)
def test_weights_that_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        as_source(table(), weights)


@pytest.mark.parametrize(
    "convert", [list, lambda w: np.repeat(w, 2)[::2], lambda w: w.astype(np.float32), np.rint]
)
def test_weights_of_any_layout(convert):
    weights = np.linspace(0.5, 2, 6)
    source = as_source(table(), convert(weights))
    assert source.weights.dtype == np.float64
    assert source.weights.flags.c_contiguous
    np.testing.assert_array_equal(source.weights, np.asarray(convert(weights), dtype=np.float64))
    assert source.weight == pytest.approx(np.sum(convert(weights)))


# ---- a source of an array ----------------------------------------------------------------------------------


def test_fold_and_map():
    rows, weights = table(), np.arange(6.0)
    source = ArraySource(rows, weights)
    assert (source.n_rows, source.n_features, source.weight) == (6, 3, 15.0)
    np.testing.assert_allclose(source.fold(lambda block: block.weights @ block.rows), weights @ rows)
    np.testing.assert_array_equal(source.map(lambda block: block.rows[:, 0]), rows[:, 0])
    assert ArraySource(rows).fold(lambda block: block.weights) is None
    assert ArraySource(rows).weight == 6.0


def test_sample():
    """Distinct rows of positive weight in the order of the data, each as likely, repeatable."""
    rows = np.arange(200.0)[:, None]
    weights = np.where(np.arange(200) % 2, 0.0, 3.0)
    block = ArraySource(rows, weights).sample(30, np.random.default_rng(1))
    assert len(block.rows) == 30
    assert np.all(block.rows[:, 0] % 2 == 0)
    assert np.all(np.diff(block.rows[:, 0]) > 0)
    assert np.all(block.weights == 3.0)
    again = ArraySource(rows, weights).sample(30, np.random.default_rng(1))
    assert np.array_equal(block.rows, again.rows)
    assert not np.array_equal(
        block.rows, ArraySource(rows, weights).sample(30, np.random.default_rng(2)).rows
    )
    all_rows = ArraySource(rows.astype(np.float32)).sample(1000, np.random.default_rng(1))
    assert all_rows.rows.dtype == np.float64
    assert np.array_equal(all_rows.rows, rows)
    rng = np.random.default_rng(3)
    counts = np.zeros(200)
    for _ in range(2000):
        counts[ArraySource(rows).sample(20, rng).rows[:, 0].astype(int)] += 1
    # Expected 200 each, standard deviation 13.4; five of them over 200 rows.
    assert np.all(np.abs(counts - 200) < 67)


def test_a_sample_is_a_copy():
    rows = table()
    ArraySource(rows).sample(100, np.random.default_rng(0)).rows[:] = 7
    assert not np.any(rows == 7)


def test_frames_that_cannot_be_read():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    with pytest.raises(DataError, match="2 columns, of which several are called 'a'"):
        as_source(pandas.DataFrame(np.ones((3, 2)), columns=["a", "a"]))
    with pytest.raises(DataError, match=r"LazyFrame holds no rows yet; collect it first: X.collect\(\)"):
        as_source(polars.LazyFrame({"a": [1.0, 2.0]}))
