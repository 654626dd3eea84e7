"""How a delimited text is divided, found from its first lines: delimiter, names, where the rows begin."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, islice

import pyarrow as pa

from gaussmix.errors import DataError

DELIMITERS = ("\t", ";", ",", "|")
SAMPLE_BYTES = 65536
SAMPLE_RECORDS = 50
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|\.\d+)([eE][+-]?\d+)?")
MISSING = re.compile(r"|#?n/?a|[+-]?nan|null|none|\?|\.|--?", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """How a text is divided.

    Attributes
    ----------
    delimiter : str
    names : tuple of str
        One for each column, all different.
    begin : int
        Byte at which the rows begin.
    remarks : tuple of str
        What had to be guessed or changed.
    """

    delimiter: str
    names: tuple[str, ...] = ()
    begin: int = 0
    remarks: tuple[str, ...] = ()


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names in a sentence, shortened in the middle."""
    return ", ".join(names if len(names) <= most else [*names[: most - 2], "...", names[-1]])


def sniff(content: pa.Buffer, header: bool | None = None, remarks: tuple[str, ...] = ()) -> Layout:
    """The layout of a text in UTF-8; ``header`` says whether its first line holds names, None: find out.

    Raises
    ------
    DataError
        There are no lines.
    """
    lines = _first_lines(content)
    rest = list(dropwhile(lambda line: not line.strip() or line.startswith(b"#"), lines))
    if not rest:
        raise DataError("it is empty; expected a line of column names and rows of numbers below it.")
    begin = len(b"".join(lines)) - len(b"".join(rest))
    if any(line.startswith(b"#") for line in lines[: len(lines) - len(rest)]):
        remarks = (*remarks, "lines at the top that begin with # were skipped")
    texts = [line.decode("utf-8", "replace") for line in rest]
    return _named(Layout(_delimiter(texts), (), begin, remarks), texts, header)


def _first_lines(content: pa.Buffer, size: int = SAMPLE_BYTES) -> list[bytes]:
    """Whole lines from the beginning, at least two if there are."""
    lines: list[bytes] = content.slice(0, min(size, content.size)).to_pybytes().splitlines(keepends=True)
    if content.size <= size:
        return lines
    return lines[:-1] if len(lines) > 2 else _first_lines(content, 8 * size)


def _delimiter(lines: list[str]) -> str:
    """The delimiter that divides every line alike; else the one on most lines; else blanks; else a comma."""
    for delimiter in DELIMITERS:
        try:
            first, *others = (len(record) for record in _records(lines, delimiter))
        except DataError:  # not divided at all, a line may be too long for one field
            continue
        if first > 1 and _fits(first, others):
            return delimiter
    most = max(DELIMITERS, key=lambda delimiter: sum(delimiter in line for line in lines))
    if any(most in line for line in lines):
        return most
    first, *others = (len(line.split()) for line in lines if line.strip())
    return " " if max([first, *others]) > 1 and _fits(first, others) else ","


def _fits(first: int, others: list[int]) -> bool:
    """Whether all lines have as many fields as the first, or all one more: row names, as R writes them."""
    return all(other - first in (0, 1) for other in others) and len(set(others)) <= 1


def _records(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        return list(islice(filter(None, reader), SAMPLE_RECORDS))
    except csv.Error as error:
        why = f"expected rows of text, but line {reader.line_num} cannot be read: {error}."
        raise DataError(why) from None


def _named(layout: Layout, lines: list[str], header: bool | None) -> Layout:
    """The layout with its names, and where its rows begin."""
    records = _records(lines, layout.delimiter)
    first = [field.strip() for field in records[0]]
    numbered = tuple(f"x{i + 1}" for i in range(len(first)))
    if header is False:
        return replace(layout, names=numbered)
    if header is None and _is_row(first):
        remark = (
            "the first line holds numbers, so it was taken for a row and the columns are called "
            f"{listed(numbered)} (--header if they are names)"
        )
        return replace(layout, names=numbered, remarks=(*layout.remarks, remark))
    if len(records) > 1 and len(records[1]) == len(first) + 1 and (len(first) > 1 or layout.delimiter == " "):
        first.insert(0, "row")
    names = _distinct([name or f"x{i + 1}" for i, name in enumerate(first)])
    changed = [repr(new) for old, new in zip(first, names, strict=True) if old and old != new]
    remarks = (f"columns of the same name were told apart as {', '.join(changed)}",) if changed else ()
    begin = layout.begin + _first_record_bytes(lines, layout.delimiter)
    return Layout(layout.delimiter, names, begin, (*layout.remarks, *remarks))


def _is_row(fields: list[str]) -> bool:
    """Whether a first line is a row: half of its fields or more are numbers that do not just count up."""
    numbers = [field for field in fields if NUMBER.fullmatch(field)]
    others = [field for field in fields if not MISSING.fullmatch(field) and not NUMBER.fullmatch(field)]
    if not numbers or len(numbers) < len(others):
        return False
    if len(numbers) > 1 and all(number.isdigit() for number in numbers):
        values = [int(number) for number in numbers]
        counts_up = values == list(range(values[0], values[0] + len(values)))
        return not (counts_up and (values[0] == 0 or 1800 <= values[0] <= 2100))
    return True


def _distinct(names: list[str]) -> tuple[str, ...]:
    taken: list[str] = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken or (count > 1 and candidate in names):
            count += 1
            candidate = f"{name}_{count}"
        taken.append(candidate)
    return tuple(taken)


def _first_record_bytes(lines: list[str], delimiter: str) -> int:
    """Bytes of the first record, which may contain quoted line breaks."""
    reader = csv.reader(lines, delimiter=delimiter)
    next(filter(None, reader), None)
    return len("".join(lines[: reader.line_num]).encode())
