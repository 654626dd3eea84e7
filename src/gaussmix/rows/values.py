"""What the values of a column are: numbers, text, both, and which of them are missing.

Numbers are read by Arrow, correctly rounded. Missing are null, empty text, and what data files write for it:
NA, n/a, NaN, null, None, ?, a dot, a dash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
DECIMAL_COMMA = r"^[+-]?\d*,\d+([eE][+-]?\d+)?$"
MISSING = r"(?i)^(|#?n/?a|[+-]?nan|null|none|\?|\.|--?)$"
DATE = r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?$"
TRUTH = r"(?i)^(true|false|t|f|yes|no)$"

# PyArrow knows string views since 16.
TEXT = [
    getattr(pa.types, name)
    for name in ("is_string", "is_large_string", "is_string_view")
    if hasattr(pa.types, name)
]
NUMBERS, MIXED = "numbers", "numbers and text"


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes
    ----------
    kind : str
        "numbers", "numbers and text", or what else, in words.
    values : array (N,) or None
        The numbers, NaN where one is missing.
    odd : array of bool (N,) or None
        Values that are neither numbers nor missing.
    decimal_comma : bool
        Commas were read as decimal points.
    """

    kind: str
    values: NDArray[Any] | None = None
    odd: NDArray[np.bool_] | None = None
    decimal_comma: bool = False

    @property
    def numbers(self) -> NDArray[Any]:
        """The values of a column that holds numbers."""
        assert self.values is not None
        return self.values


def examine(column: pa.ChunkedArray, commas: bool = False, text_as_numbers: bool = True) -> Column:
    """What a column holds; ``commas`` may be decimal points, and text may be numbers."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Column(NUMBERS, doubles(column, kind == pa.float32()))
    if any(is_text(kind) for is_text in TEXT):
        return _examine_text(column.cast(pa.string()), commas, text_as_numbers)
    if pa.types.is_dictionary(kind):
        return examine(column.cast(kind.value_type), commas, text_as_numbers)
    if pa.types.is_null(kind):
        return Column("empty")
    if pa.types.is_boolean(kind):
        return Column("true or false")
    return Column("dates or times" if pa.types.is_temporal(kind) else f"of type {kind}")


def _examine_text(column: pa.ChunkedArray, commas: bool, as_numbers: bool) -> Column:
    text = pc.utf8_trim_whitespace(column)
    if not as_numbers:
        return Column(_kind_of_text(text, flags(pc.is_null(text))))
    try:
        return Column(NUMBERS, doubles(text))
    except pa.ArrowInvalid:
        pass
    missing = flags(pc.match_substring_regex(text, MISSING), null=True)
    number = flags(pc.match_substring_regex(text, NUMBER))
    odd = ~(missing | number)
    comma = odd & flags(pc.match_substring_regex(text, DECIMAL_COMMA)) if commas else np.zeros_like(odd)
    if comma.any() and np.array_equal(comma, odd):
        text, number, odd = (
            pc.replace_substring(text, ",", ".", max_replacements=1),
            number | comma,
            odd & ~comma,
        )
    if not number.any():
        return Column(_kind_of_text(text, missing))
    if odd.sum() > number.sum():
        return Column(_kind_of_text(text, ~odd))
    values = np.full(len(text), np.nan)
    values[number] = doubles(text.filter(booleans(number)))
    return Column(MIXED if odd.any() else NUMBERS, values, odd, bool(comma.any()))


def _kind_of_text(text: pa.ChunkedArray, skip: NDArray[np.bool_]) -> str:
    values = text.filter(booleans(~skip))
    if not len(values):
        return "empty"
    for pattern, kind in ((TRUTH, "true or false"), (DATE, "dates or times")):
        if flags(pc.match_substring_regex(values, pattern)).all():
            return kind
    example = values[0].as_py()
    return f"text such as {example if len(example) <= 30 else example[:27] + '...'!r}"


# Between Arrow and NumPy by their bytes: pyarrow's own conversions import pandas wherever it is installed.


def doubles(column: pa.ChunkedArray, single: bool = False) -> NDArray[Any]:
    """Numbers as float64 (or float32), NaN for null; refuses text that is no number."""
    cast = pc.cast(column, pa.float32() if single else pa.float64(), safe=False)
    values = _values(cast, np.dtype(np.float32 if single else np.float64))
    if cast.null_count:
        values = np.where(flags(pc.is_null(cast)), np.nan, values).astype(values.dtype)
    return values


def flags(column: pa.ChunkedArray, null: bool = False) -> NDArray[np.bool_]:
    """Truth values as an array, ``null`` where one is null."""
    values = _values(pc.cast(column, pa.uint8()), np.dtype(np.uint8)) > 0
    if column.null_count:
        values = np.where(flags(pc.is_null(column)), null, values)
    return values


def booleans(flags: NDArray[np.bool_]) -> pa.Array:
    """Truth values for Arrow."""
    return pa.Array.from_buffers(
        pa.bool_(), len(flags), [None, pa.py_buffer(np.packbits(flags, bitorder="little"))]
    )


def _values(column: pa.ChunkedArray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values of a column of that type, whatever stands where one is null."""
    parts = [
        np.frombuffer(chunk.buffers()[1], dtype, len(chunk), chunk.offset * dtype.itemsize)
        for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype)
