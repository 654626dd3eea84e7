"""The door for rows: whatever a user has becomes a checked source, or an error that names row and column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import DataError
from gaussmix.rows.array import ArraySource, Block

S = TypeVar("S")

# Squares of larger values overflow.
LARGEST = 1e150
# Rows looked at in one go while checking, so that no temporary has the size of the data.
CHECK_ROWS = 65536


class Source(Protocol):
    """Rows somewhere: folds a step over blocks of them."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def n_features(self) -> int:
        """D."""

    @property
    def weight(self) -> float:
        """N = Σw."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns, if they have any."""

    def fold(self, step: Callable[[Block], S]) -> S:
        """The sum of ``step`` over all blocks."""

    def map(self, step: Callable[[Block], S]) -> S:
        """The concatenation of ``step`` over all blocks."""

    def sample(self, n_rows: int, rng: np.random.Generator) -> Block:
        """At most ``n_rows`` distinct rows of positive weight, as a copy in float64."""


def as_source(X: Any, sample_weight: Any = None, feature_names: Sequence[str] | None = None) -> Source:
    """``X`` as a source of rows: a source itself, a data frame (pandas, polars, Arrow) or an array (N, D).

    Raises
    ------
    DataError
        Not two-dimensional, not numeric, empty, NaN or infinite (row and column named), beyond ±1e150; columns of one
        name; weights that are negative, not finite, all zero, more than 1e150 together or not one for each row.
    """
    if all(hasattr(X, name) for name in ("fold", "map", "sample")):
        return X  # type: ignore[no-any-return]
    names = frame_columns(X) if feature_names is None else tuple(feature_names)
    rows = as_rows(X, feature_names=names)
    weights = None if sample_weight is None else _checked_weights(sample_weight, len(rows))
    return ArraySource(rows, weights, names)


def frame_columns(X: Any) -> tuple[str, ...] | None:
    """The column names of a data frame, None for anything else.

    Raises
    ------
    DataError
        Two columns have one name, or the frame is lazy and holds no rows yet.
    """
    if hasattr(X, "collect_schema") and hasattr(X, "collect"):
        raise DataError(f"a {type(X).__name__} holds no rows yet; collect it first: X.collect().")
    columns = getattr(X, "column_names", None)  # Arrow
    if columns is None:
        columns = getattr(X, "columns", None)  # pandas, polars
    if columns is None or callable(columns):
        return None
    names = tuple(str(name) for name in columns)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"{len(names)} columns, of which several are called {twice[0]!r}; rename them.")
    return names


def as_rows(
    X: Any, n_features: int | None = None, feature_names: Sequence[str] | None = None, limit: float = LARGEST
) -> NDArray[Any]:
    """``X`` as a checked array (N, D), float32 or float64; arrays of those types are not copied.

    ``feature_names`` are the columns taken from a data frame, in that order.
    """
    columns = frame_columns(X)
    names = feature_names
    if columns is not None:
        rows, names = _frame_rows(X, columns, feature_names)
    else:
        rows = _plain_rows(X)
    if rows.ndim != 2:
        raise DataError(
            f"expected rows as a two-dimensional array (N, D), got shape {rows.shape}. "
            "Reshape your data: X.reshape(-1, 1) for one feature, X.reshape(1, -1) for one row."
        )
    if 0 in rows.shape:
        raise DataError(f"expected at least one row and one column, got shape {rows.shape}.")
    if n_features is not None and rows.shape[1] != n_features:
        raise DataError(f"X has {rows.shape[1]} features, but this model expects {n_features}.")
    check_finite(rows, names, limit)
    return rows


def refuse_masked(X: Any) -> None:
    """Refuse arrays with masked values, which would count like any others."""
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        row, column = (int(i) for i in (*np.argwhere(np.ma.getmaskarray(X))[0], 0)[:2])
        raise DataError(
            f"X has masked values, the first in row {row}, column {column}; remove or fill in such rows."
        )


def _plain_rows(X: Any) -> NDArray[Any]:
    refuse_masked(X)
    try:
        rows = np.asarray(X)
        if np.iscomplexobj(rows):
            raise DataError("Complex data not supported: expected real numbers.")
        rows = rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)
        # A field of packed records need not lie on multiples of its own size, as the kernel needs it.
        return rows if rows.flags.aligned else rows.copy()
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"expected an array of numbers, got {_what(X)}: {error}") from None


def _what(X: Any) -> str:
    return f"an array of type {X.dtype}" if isinstance(X, np.ndarray) else type(X).__name__


def _frame_rows(
    X: Any, columns: tuple[str, ...], wanted: Sequence[str] | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    import narwhals.stable.v2 as nw

    frame = nw.from_native(X, eager_only=True)
    wanted = tuple(columns if wanted is None else wanted)
    missing = [name for name in wanted if name not in columns]
    if missing:
        if len(columns) != len(wanted):
            raise DataError(f"column {missing[0]!r} is missing; the data has {', '.join(columns)}.")
        raise DataError(
            f"column {missing[0]!r} is missing; the data has {', '.join(columns)}. Rename the columns."
        )
    position = {name: frame.columns[i] for i, name in enumerate(columns)}
    selected = frame.select([position[name] for name in wanted])
    for name, dtype in zip(wanted, selected.schema.dtypes(), strict=True):
        if not (dtype.is_numeric() or dtype == nw.Boolean):
            raise DataError(f"column {name!r} holds {dtype}, not numbers; leave it out or encode it.")
    rows = selected.to_numpy()
    return (rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)), wanted


def check_finite(rows: NDArray[Any], names: Sequence[str] | None, limit: float = LARGEST) -> None:
    """Refuse NaN, infinities and values whose square overflows; the error names the first such cell."""
    for begin in range(0, len(rows), CHECK_ROWS):
        block = rows[begin : begin + CHECK_ROWS]
        # The extremes are not finite, or too large, exactly when some value is.
        largest, smallest = float(np.max(block)), float(np.min(block))
        if -limit <= smallest and largest <= limit:
            continue
        bad = ~(np.abs(block.astype(np.float64)) <= limit)
        row, column = (int(i) for i in np.argwhere(bad)[0])
        value = block[row, column]
        where = f"row {begin + row}, column {column if names is None else repr(names[column])}"
        if np.isnan(value):
            raise DataError(f"Input X contains NaN: {where}. Remove or fill in rows with missing values.")
        if np.isinf(value):
            raise DataError(f"Input X contains infinity: {where}. Remove or replace such rows.")
        raise DataError(
            f"{where} is {value:g}, beyond ±{limit:g}, whose square overflows; rescale the column."
        )


def _checked_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float64]:
    try:
        weights = np.asarray(sample_weight, dtype=np.float64, order="C")
    except (ValueError, TypeError) as error:
        raise DataError(f"sample_weight must be numbers, got {_what(sample_weight)}: {error}") from None
    if weights.shape != (n_rows,):
        raise DataError(f"sample_weight must have shape ({n_rows},), one for each row, got {weights.shape}.")
    if not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise DataError("sample_weight must be finite and not negative.")
    with np.errstate(over="ignore"):
        total = weights.sum()
    if total <= 0:
        raise DataError("sample_weight is zero for every row; at least one row must count.")
    if total > LARGEST:
        raise DataError(f"sample_weight sums to more than {LARGEST:g}; divide it by its mean.")
    return weights
