"""A table as a file: the rows of another file with columns added, in that file's own format."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gaussmix.atomic import replacing
from gaussmix.errors import DataError
from gaussmix.rows.files import arrow_array, stem_and_suffix
from gaussmix.rows.values import doubles

KINDS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".ipc": "feather",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".npy": "npy",
}


def with_columns(table: pa.Table, added: Mapping[str, NDArray[Any]], decimal_comma: bool = False) -> pa.Table:
    """The table with columns added at its right; where a name is taken, all of them get a number.

    With a ``decimal_comma`` they hold text, as the columns of the table do.
    """
    suffix, count = "", 1
    while any(name + suffix in table.column_names for name in added):
        count += 1
        suffix = f"_{count}"
    for name, values in added.items():
        as_text = decimal_comma and values.dtype.kind == "f"
        column = (
            pa.array([repr(x).replace(".", ",") for x in values.tolist()]) if as_text else arrow_array(values)
        )
        table = table.append_column(name + suffix, column)
    return table


def kind_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The kind of file that a name asks for, and the delimiter of text.

    Raises
    ------
    DataError
        The name has no ending, or one that is not known.
    """
    suffix = Path(stem_and_suffix(path)[1]).name.lower()
    ending = "." + suffix.split(".")[1] if suffix else ""
    if ending not in KINDS:
        raise DataError(
            f"{os.fspath(path)}: the name must end in one of {', '.join(KINDS)} to say the format."
        )
    return KINDS[ending], "\t" if ending in (".tsv", ".tab") else ","


def write_table(table: pa.Table, path: str | os.PathLike[str], kind: str, delimiter: str = ",") -> None:
    """Write a table to a file, whole or not at all; compressed if its name ends in .gz, .bz2, .zst or .lz4.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    with replacing(path) as beside, pa.output_stream(os.fspath(beside)) as stream:
        WRITERS[kind](table, stream, delimiter)


def write_csv(table: pa.Table, stream: BinaryIO | Any, delimiter: str = ",") -> None:
    """Delimited text; fields are quoted only where they must be."""
    import pyarrow.csv

    stream.write(_csv_text([table.column_names], delimiter))
    options = {"include_header": False, "delimiter": delimiter, "quoting_style": "none"}
    for batch in table.to_batches(max_chunksize=65536):
        try:
            text = pa.BufferOutputStream()
            pyarrow.csv.write_csv(batch, text, pyarrow.csv.WriteOptions(**options))
            stream.write(text.getvalue())
        except pa.ArrowInvalid:  # a field that needs quotes
            stream.write(
                _csv_text(zip(*(column.to_pylist() for column in batch.columns), strict=True), delimiter)
            )


def _csv_text(records: Any, delimiter: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(records)
    return text.getvalue().encode()


def _write_parquet(table: pa.Table, stream: Any, delimiter: str) -> None:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, stream)


def _write_feather(table: pa.Table, stream: Any, delimiter: str) -> None:
    import pyarrow.ipc

    with pyarrow.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)


def _write_jsonl(table: pa.Table, stream: Any, delimiter: str) -> None:
    for batch in table.to_batches(max_chunksize=65536):
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in batch.to_pylist())
        stream.write("".join(f"{line}\n" for line in lines).encode())


def _write_npy(table: pa.Table, stream: Any, delimiter: str) -> None:
    try:
        rows = np.column_stack([doubles(column) for column in table.columns])
    except pa.ArrowException:
        raise DataError(
            "a .npy file holds numbers only, the rows have other columns; write .csv or .parquet."
        ) from None
    np.lib.format.write_array(_Writable(stream), rows, allow_pickle=False)


class _Writable:
    """What `numpy.lib.format` needs of a file."""

    def __init__(self, stream: Any) -> None:
        self.write = stream.write


WRITERS: dict[str, Callable[[pa.Table, Any, str], None]] = {
    "csv": write_csv,
    "parquet": _write_parquet,
    "feather": _write_feather,
    "jsonl": _write_jsonl,
    "npy": _write_npy,
}
