"""Which columns of a file are features: those of numbers; of the others, why not.

A column of text in which most values are numbers is no text but a mistake or a missing value: it is refused
with the place of the first such value, never left out in silence and never guessed.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gaussmix.errors import DataError
from gaussmix.rows.files import RowFile
from gaussmix.rows.layout import listed
from gaussmix.rows.source import LARGEST
from gaussmix.rows.values import MIXED, NUMBERS, Column, examine


@dataclass(frozen=True)
class Features:
    """The columns that were chosen.

    Attributes
    ----------
    names : tuple of str
    rows : array (N, D)
        Finite, float64 (float32 if every column is).
    left_out : mapping of str to str
        The other columns, and why.
    remarks : tuple of str
    decimal_comma : bool
        Commas were read as decimal points.
    """

    names: tuple[str, ...]
    rows: NDArray[Any]
    left_out: dict[str, str]
    remarks: tuple[str, ...] = ()
    decimal_comma: bool = False


def choose_columns(
    file: RowFile,
    *,
    columns: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    all_needed: bool = False,
) -> Features:
    """The features of a file.

    Parameters
    ----------
    file : RowFile
    columns : sequence of str, optional
        The columns to take, in this order; None: every column of numbers but constant ones and row numbers.
    ignore : sequence of str
        Columns to leave out.
    all_needed : bool
        Nothing that holds numbers can be left out: take constant columns and row numbers too.

    Raises
    ------
    DataError
        No such column, one twice, none of numbers, a value that is none, missing values.
    """
    try:
        return _chosen(file, columns, ignore, all_needed)
    except DataError as error:
        raise DataError(f"{file.name}: {error}") from None


def _chosen(
    file: RowFile,
    columns: Sequence[str] | None,
    ignore: Sequence[str],
    all_needed: bool,
) -> Features:
    table, place = file.table, file.place
    names = table.column_names
    for name in (*(columns or names), *ignore):
        _check_exists(name, names)
    if columns is not None and len(set(columns)) < len(columns):
        raise DataError(f"a column is asked for twice: {', '.join(columns)}; name each once.")
    wanted = [name for name in (names if columns is None else columns) if name not in ignore]
    # In delimited text everything is text; elsewhere text was meant as such.
    as_numbers = file.kind == "csv" or columns is not None
    found = {name: examine(table.column(name), file.commas, as_numbers) for name in wanted}
    reasons = {name: _why_not(found[name], columns is not None, all_needed) for name in wanted}
    chosen = [name for name in wanted if not reasons[name]]
    left_out = {name: reasons.get(name) or _unasked(name, ignore) for name in names if name not in chosen}
    if columns is not None:
        _refuse_text(reasons, file)
    if not chosen:
        raise DataError(_nothing_left(left_out))
    _refuse_mixed(table, chosen, found, place, all_needed)
    _refuse_missing(table, chosen, found, place, all_needed)
    rows = np.column_stack([found[name].numbers for name in chosen])
    _refuse_too_large(rows, chosen, place)
    comma = [name for name in chosen if found[name].decimal_comma]
    remarks = (f"commas in {listed(comma)} were read as decimal points",) if comma else ()
    return Features(tuple(chosen), rows, left_out, remarks, bool(comma))


def _why_not(column: Column, explicit: bool, all_needed: bool) -> str:
    """Why a column is left out; empty if it is not."""
    if column.kind not in (NUMBERS, MIXED):
        return column.kind
    values = column.numbers
    if explicit or all_needed or column.kind == MIXED or len(values) < 2:
        return ""
    if np.isnan(values).all():
        return "empty"
    if (values == values[0]).all():
        return f"constant, {values[0]:g} in every row"
    return "row numbers" if len(values) > 2 and values[0] in (0, 1) and (np.diff(values) == 1).all() else ""


def _unasked(name: str, ignore: Sequence[str]) -> str:
    return "--ignore" if name in ignore else "not among --columns"


def _check_exists(name: str, names: list[str]) -> None:
    if names.count(name) == 1:
        return
    if name in names:
        raise DataError(
            f"column {name!r} occurs {names.count(name)} times; rename the columns so that they differ."
        )
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "choose among them."
    if any("," in each for each in names):
        hint += """ A name that holds a comma goes in double quotes, as in '"a, b",c'."""
    raise DataError(f"there is no column {name!r}; the file has {listed(names, 20)}: {hint}")


def _nothing_left(left_out: dict[str, str]) -> str:
    if not left_out:
        return "it has no columns; expected at least one of numbers."
    reasons = "; ".join(f"{name} ({why})" for name, why in list(left_out.items())[:8])
    return (
        f"no column of numbers to fit: {reasons}. Choose columns with --columns, or encode text as numbers."
    )


def _refuse_text(reasons: dict[str, str], file: RowFile) -> None:
    for name, why in reasons.items():
        if why:
            kinds = {
                other: examine(file.table.column(other), file.commas).kind
                for other in file.table.column_names
            }
            numbers = [other for other, kind in kinds.items() if kind == NUMBERS]
            raise DataError(
                f"column {name!r} holds no numbers but {why}; choose among the columns of numbers: "
                f"{listed(numbers) or 'none'}."
            )


def _refuse_mixed(
    table: pa.Table,
    chosen: list[str],
    found: dict[str, Column],
    place: Callable[[int], str],
    all_needed: bool,
) -> None:
    for name in chosen:
        odd = found[name].odd
        if odd is None or not odd.any():
            continue
        first, count = int(np.argmax(odd)), int(odd.sum())
        text = table.column(name)[first].as_py()
        more = f" (and {count - 1} more such values)" if count > 1 else ""
        raise DataError(
            f"{place(first)}, column {name!r}: {text[:40]!r} is not a number{more}, but the other values "
            f"are; {_how_to_write(text.strip())}{'' if all_needed else f', or {_ignoring([name])}'}."
        )


def _how_to_write(text: str) -> str:
    decimal = text.replace(",", ".")
    is_decimal = text.count(",") == 1 and decimal.replace(".", "", 1).lstrip("+-").isdigit()
    return f"write {decimal}" if is_decimal else "mend it, or remove the row"


def _ignoring(names: Iterable[str]) -> str:
    """How to leave columns out, as a shell wants it."""
    several = list(names)
    quoted = [f'"{name}"' if "," in name else name for name in several]
    what = "the column" if len(several) == 1 else "columns"
    return f"leave {what} out with --ignore {shlex.quote(','.join(quoted))}"


def _refuse_missing(
    table: pa.Table,
    chosen: list[str],
    found: dict[str, Column],
    place: Callable[[int], str],
    all_needed: bool,
) -> None:
    masks = {name: np.isnan(found[name].numbers) for name in chosen}
    holes = {name: int(mask.sum()) for name, mask in masks.items() if mask.any()}
    if not holes:
        return
    rows = np.logical_or.reduce([masks[name] for name in holes])
    first = int(np.argmax(rows))
    name = next(name for name in holes if masks[name][first])
    text = table.column(name)[first].as_py()
    shown = f" ({text.strip()!r})" if isinstance(text, str) and text.strip() else ""
    counts = listed([f"{column} {count}" for column, count in holes.items()])
    remedy = "fill them in, or remove those rows"
    if not all_needed:
        remedy = f"fill them in, remove those rows, or {_ignoring(holes)}"
    raise DataError(
        f"{place(first)}, column {name!r}: the value is missing{shown}. {int(rows.sum())} of {len(rows)} "
        f"rows have missing values ({counts}); {remedy}."
    )


def _refuse_too_large(rows: NDArray[Any], names: list[str], place: Callable[[int], str]) -> None:
    if len(rows) == 0:
        raise DataError("it has columns but no rows; expected at least one row.")
    if float(rows.min()) >= -LARGEST and float(rows.max()) <= LARGEST:
        return
    row, column = (int(i) for i in np.argwhere(~(np.abs(rows.astype(np.float64)) <= LARGEST))[0])
    value = rows[row, column]
    size = "infinite" if np.isinf(value) else f"beyond ±{LARGEST:g}"
    raise DataError(
        f"{place(row)}, column {names[column]!r}: {value:g} is {size}; remove the row or rescale the column."
    )


# ---- columns of a model ------------------------------------------------------------------------------------


def columns_of_model(
    file: RowFile, names: Sequence[str] | None, n_features: int, columns: Sequence[str] | None = None
) -> Features:
    """The columns that a model means: those it names, else the columns of numbers by position.

    Parameters
    ----------
    file : RowFile
    names : sequence of str, optional
        The model's names.
    n_features : int
        How many it has.
    columns : sequence of str, optional
        The columns to take, in the model's order.

    Raises
    ------
    DataError
        There are not as many columns of numbers as the model has features, or a value is none.
    """
    if columns is None and names is not None and all(name in file.table.column_names for name in names):
        return choose_columns(file, columns=names, all_needed=True)
    features = choose_columns(file, columns=columns, all_needed=True)
    expected = f"columns {listed(names)}" if names else "columns of numbers"
    if len(features.names) != n_features:
        got = f"the model expects {n_features} ({expected}), got columns {listed(features.names)}"
        raise DataError(f"{file.name}: {got}; choose them with --columns, in the model's order.")
    if columns is not None or names is None:
        return features
    pairs = listed([f"{name} = {column}" for name, column in zip(names, features.names, strict=True)])
    remark = f"the file does not name the model's columns, they were taken by position: {pairs}"
    return replace(features, remarks=(*features.remarks, remark))
