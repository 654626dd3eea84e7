"""A file of rows as a table with all its columns: CSV, TSV, Parquet, Feather, JSON lines, .npy.

The kind of a file is told by its content, not by its name; text that is nothing else is delimited text. "-"
is standard input. Compression (.gz, .bz2, .zst, .lz4) is undone by PyArrow.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from gaussmix.errors import DataError
from gaussmix.rows.delimited import line_of, read_delimited

STDIN = "-"
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
TEXT_SUFFIXES = {"\t": ".tsv"}


@dataclass(frozen=True)
class RowFile:
    """The rows of a file.

    Attributes
    ----------
    table : pyarrow.Table
        All columns; those of delimited text are text, as they are written.
    name : str
        What messages call it: the path, or "standard input".
    stem, suffix : str
        "faithful" and ".csv": the parts of the names of what belongs to it. Standard input is called "stdin".
    kind : str
        "csv", "parquet", "feather", "jsonl" or "npy".
    delimiter : str
        Of delimited text.
    place : callable int -> str
        What an editor calls the row of an index: "line 7", or "row 6" where there are no lines.
    remarks : tuple of str
        What had to be guessed.
    """

    table: pa.Table
    name: str
    stem: str
    suffix: str
    kind: str
    delimiter: str
    place: Callable[[int], str]
    remarks: tuple[str, ...] = ()

    @property
    def commas(self) -> bool:
        """Whether commas may be decimal points: they do not divide the columns."""
        return self.kind == "csv" and self.delimiter != ","


def read_table(path: str | os.PathLike[str], header: bool | None = None) -> RowFile:
    """The rows of a file.

    Parameters
    ----------
    path : path
        "-" reads standard input.
    header : bool, optional
        Whether the first line of delimited text names the columns; None: find out.

    Raises
    ------
    DataError
        There is no such file, it cannot be read, or it holds no table; the message says where and what to do.
    """
    name = "standard input" if os.fspath(path) == STDIN else os.fspath(path)
    try:
        return _read(path, name, header)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except OSError as error:
        raise DataError(f"{name}: {_why_unreadable(error)}") from None
    except pa.ArrowException as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{name}: it is damaged or cut off ({why}); write the file again.") from None


def stem_and_suffix(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The name of a file without directory, cut before its ending: faithful and .csv.gz."""
    name = Path(path).name
    outer = Path(name).suffix if Path(name).suffix.lower() in COMPRESSED else ""
    inner = Path(name.removesuffix(outer)).suffix
    return name.removesuffix(inner + outer), inner + outer


def _why_unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file; check the path."
    if isinstance(error, IsADirectoryError):
        return "expected a file of rows, got a directory; name one of the files in it."
    if isinstance(error, PermissionError):
        return "you may not read it; check its permissions."
    return f"it cannot be read ({error.strerror or error}); check that it is whole."


# ---- reading -----------------------------------------------------------------------------------------------


def _read(path: str | os.PathLike[str], name: str, header: bool | None) -> RowFile:
    content = _content(path)
    if content.size == 0:
        raise DataError("it is empty; expected a line of column names and rows of numbers below it.")
    stem, suffix = ("stdin", "") if os.fspath(path) == STDIN else stem_and_suffix(path)
    kind = _kind(content, suffix)
    if kind == "csv":
        table, layout, text = read_delimited(content, header)
        suffix = suffix or TEXT_SUFFIXES.get(layout.delimiter, ".csv")

        def line(row: int) -> str:
            return f"line {line_of(text, layout, row)}"

        return RowFile(table, name, stem, suffix, kind, layout.delimiter, line, layout.remarks)
    place = partial(_object_line, content) if kind == "jsonl" else _row
    return RowFile(READERS[kind](content), name, stem, suffix or f".{kind}", kind, "", place)


def _row(row: int) -> str:
    return f"row {row + 1}"


def _object_line(content: pa.Buffer, row: int) -> str:
    filled = (i for i, line in enumerate(content.to_pybytes().split(b"\n"), 1) if line.strip())
    return f"line {next(line for i, line in enumerate(filled) if i == row)}"


def _content(path: str | os.PathLike[str]) -> pa.Buffer:
    """The bytes of a file, mapped into memory where that is possible, decompressed where needed."""
    if os.fspath(path) == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise DataError("nothing was piped in; use for example: cat rows.csv | gaussmix fit -")
        return pa.py_buffer(sys.stdin.buffer.read())
    if os.path.isdir(path):
        raise IsADirectoryError(os.fspath(path))
    if Path(path).suffix.lower() in COMPRESSED:
        with pa.input_stream(os.fspath(path)) as stream:
            return stream.read_buffer()
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe
        return pa.py_buffer(Path(path).read_bytes())
    if os.path.getsize(path) == 0:
        return pa.py_buffer(b"")
    with pa.memory_map(os.fspath(path)) as mapped:
        return mapped.read_buffer()


def _kind(content: pa.Buffer, suffix: str) -> str:
    head = content.slice(0, min(4096, content.size)).to_pybytes()
    for magic, kind in ((b"PAR1", "parquet"), (b"ARROW1\0\0", "feather"), (b"\x93NUMPY", "npy")):
        if head.startswith(magic):
            return kind
    if head.startswith(b"\xff\xff\xff\xff"):
        return "feather"  # a stream
    if head.startswith(b"PK\3\4"):
        raise DataError("expected a file of rows, got a workbook or a zip archive; export it as CSV.")
    if suffix.lower().split(".")[-1] in ("parquet", "pq", "feather", "arrow", "ipc", "npy"):
        raise DataError(
            f"its name ends in {suffix}, but its content is not of that kind; write the file again."
        )
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
        return "jsonl"
    if start.startswith(b"[") and ".json" in suffix.lower():
        raise DataError(
            "expected JSON lines, one object on each line, got an array; convert it: jq -c '.[]' FILE"
        )
    return "csv"


def _read_parquet(content: pa.Buffer) -> pa.Table:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(pa.BufferReader(content)).read()


def _read_feather(content: pa.Buffer) -> pa.Table:
    import pyarrow.ipc

    is_file = content.slice(0, 6).to_pybytes() == b"ARROW1"
    opened = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
    return opened(pa.BufferReader(content)).read_all()


def _read_jsonl(content: pa.Buffer) -> pa.Table:
    import pyarrow.json

    # A block must hold a whole object, and types are found from the first block.
    options = pyarrow.json.ReadOptions(block_size=max(1 << 20, min(content.size, 1 << 30)))
    try:
        return pyarrow.json.read_json(pa.BufferReader(content), read_options=options)
    except pa.ArrowInvalid as error:
        why = re.sub(r"\.? in row (\d+)", lambda found: f" in row {int(found[1]) + 1}", str(error))
        raise DataError(f"expected JSON lines, one object on each line: {why}; mend that row.") from None


def _read_npy(content: pa.Buffer) -> pa.Table:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:
        raise DataError(f"expected an array of numbers: {str(error).splitlines()[0]}") from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise DataError(
            f"expected numbers of shape (rows, columns), got {array.dtype} of shape {array.shape}."
        )
    single = array.dtype == np.float32
    columns = [
        arrow_array(array[:, j].astype(np.float32 if single else np.float64)) for j in range(array.shape[1])
    ]
    return pa.Table.from_arrays(columns, [f"x{j + 1}" for j in range(array.shape[1])])


READERS: dict[str, Callable[[pa.Buffer], pa.Table]] = {
    "parquet": _read_parquet,
    "feather": _read_feather,
    "jsonl": _read_jsonl,
    "npy": _read_npy,
}


def arrow_array(values: np.ndarray[tuple[int], np.dtype[np.generic]]) -> pa.Array:
    """A NumPy array as Arrow, by its bytes: ``pyarrow.array`` imports pandas where it is installed."""
    kinds = {"float32": pa.float32(), "float64": pa.float64(), "int64": pa.int64()}
    return pa.Array.from_buffers(
        kinds[values.dtype.name], len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
    )
