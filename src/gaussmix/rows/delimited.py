"""Delimited text (CSV, TSV, semicolons, blanks): its columns as they are written, and on which line a row is.

Which columns hold numbers is decided in `gaussmix.rows.columns`, where a value that is none is named by line.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv

from gaussmix.errors import DataError
from gaussmix.rows.layout import SAMPLE_BYTES, Layout, listed, sniff


def read_delimited(content: pa.Buffer, header: bool | None) -> tuple[pa.Table, Layout, pa.Buffer]:
    """The columns of a text, as text; its layout; and its bytes in UTF-8, in which `line_of` finds rows.

    Parameters
    ----------
    content : pyarrow.Buffer
    header : bool, optional
        Whether the first line names the columns; None: it does unless it holds numbers.

    Raises
    ------
    DataError
        No rows, or rows of different lengths.
    """
    content, remarks = _utf8(content)
    layout = sniff(content, header, remarks)
    if layout.delimiter == " ":
        content = _single_blanks(content)
        layout = sniff(content, header, remarks)
    try:
        return _read(content, layout), layout, content
    except pa.ArrowInvalid as error:
        raise DataError(_what_is_wrong(content, layout, str(error))) from None


def line_of(content: pa.Buffer, layout: Layout, row: int) -> int:
    """The line, counted from 1 as an editor does, on which the row with that index (from 0) begins."""
    return next(line for i, (line, _) in enumerate(_records(content, layout)) if i == row)


def _records(content: pa.Buffer, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Each row's first line and fields; empty lines are no rows."""
    before = len(content.slice(0, layout.begin).to_pybytes().splitlines())
    lines = content.slice(layout.begin).to_pybytes().splitlines(keepends=True)
    reader = csv.reader((str(line, "utf-8") for line in lines), delimiter=layout.delimiter)
    ended = 0
    for fields in reader:
        if fields:
            yield before + ended + 1, fields
        ended = reader.line_num


def _utf8(content: pa.Buffer) -> tuple[pa.Buffer, tuple[str, ...]]:
    """The text in UTF-8 without a byte order mark, and a remark when that took a guess."""
    head = content.slice(0, min(SAMPLE_BYTES, content.size)).to_pybytes()
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return pa.py_buffer(content.to_pybytes().decode("utf-16", "replace").encode()), ()
    if b"\0" in head:
        raise DataError(
            "expected text or a file of a known kind (CSV, TSV, Parquet, Feather, JSON lines, .npy), "
            "got binary data; export it as CSV."
        )
    if head.startswith(codecs.BOM_UTF8):
        content = content.slice(len(codecs.BOM_UTF8))
    try:
        str(memoryview(content), "utf-8")
    except UnicodeDecodeError:
        text = content.to_pybytes().decode("cp1252", "replace")
        return pa.py_buffer(text.encode()), (
            "the text is not UTF-8 and was read as Windows-1252; letters with accents may be wrong",
        )
    return content, ()


def _single_blanks(content: pa.Buffer) -> pa.Buffer:
    """Columns separated by runs of blanks, with one blank between them."""
    text = re.sub(rb"(?m)^[ \t]+|[ \t]+(?=\r?$)", b"", content.to_pybytes())
    return pa.py_buffer(re.sub(rb"[ \t]+", b" ", text))


def _read(content: pa.Buffer, layout: Layout) -> pa.Table:
    rows = content.slice(layout.begin)
    if rows.size < SAMPLE_BYTES and not rows.to_pybytes().strip():
        raise DataError(
            "it holds column names but no rows; expected at least one row below the first line "
            "(--no-header if the first line is a row)."
        )
    return pa.csv.read_csv(
        pa.BufferReader(rows),
        read_options=pa.csv.ReadOptions(column_names=list(layout.names)),
        parse_options=pa.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.string() for name in layout.names}, strings_can_be_null=False
        ),
    )


def _what_is_wrong(content: pa.Buffer, layout: Layout, why: str) -> str:
    """The first line with another number of fields than there are columns."""
    width = len(layout.names)
    try:
        for line, fields in _records(content, layout):
            if len(fields) != width:
                count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
                what = f"line {line} has {count}, expected {width} as in the first line"
                advice = f"mend that line, or put text that holds {layout.delimiter!r} in quotes"
                return f"{what} ({listed(layout.names)}); {advice}."
    except csv.Error as error:
        why = str(error)
    return f"expected rows of text divided by {layout.delimiter!r}: {why}."
