"""Files of rows: every format, and every way in which a file can be wrong, by its message."""

import gzip
import io
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

from gaussmix.errors import DataError
from gaussmix.rows.columns import choose_columns, columns_of_model
from gaussmix.rows.files import read_table, stem_and_suffix
from gaussmix.rows.writing import kind_of, with_columns, write_table

ROWS = [[3.6, 79.0], [1.8, 54.0], [3.333, 74.0]]
TABLE = pa.table({"eruptions": [3.6, 1.8, 3.333], "waiting": [79, 54, 74], "kind": ["long", "short", "long"]})
CSV = b"eruptions,waiting,kind\n3.6,79,long\n1.8,54,short\n3.333,74,long\n"


def features(tmp_path, content, name="rows.csv", header=None, **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return choose_columns(read_table(path, header), **options)


def refused(tmp_path, content, name="rows.csv", **options):
    with pytest.raises(DataError) as caught:
        features(tmp_path, content, name, **options)
    said = str(caught.value)
    assert name in said
    assert "\n" not in said
    return said


# ---- formats -----------------------------------------------------------------------------------------------


def as_npy(path):
    np.save(path, np.array(ROWS))


def as_jsonl(path):
    path.write_text("".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()))


def as_arrow_stream(path):
    with pyarrow.ipc.new_stream(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


FORMATS = {
    "rows.csv": lambda path: path.write_bytes(CSV),
    "rows.tsv": lambda path: path.write_bytes(CSV.replace(b",", b"\t")),
    "rows.txt": lambda path: path.write_bytes(CSV.replace(b",", b"  ")),
    "semicolon.csv": lambda path: path.write_bytes(CSV.replace(b",", b";")),
    "decimal.csv": lambda path: path.write_bytes(CSV.replace(b",", b";").replace(b".", b",")),
    "pipe.csv": lambda path: path.write_bytes(CSV.replace(b",", b"|")),
    "crlf.csv": lambda path: path.write_bytes(CSV.replace(b"\n", b"\r\n")),
    "bom.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + CSV),
    "utf16.csv": lambda path: path.write_bytes(CSV.decode().encode("utf-16")),
    "rows.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    "rows.parquet": lambda path: pyarrow.parquet.write_table(TABLE, path, row_group_size=2),
    "rows.feather": lambda path: pyarrow.feather.write_feather(TABLE, path),
    "lz4.feather": lambda path: pyarrow.feather.write_feather(TABLE, path, compression="lz4"),
    "stream.arrow": as_arrow_stream,
    "rows.jsonl": as_jsonl,
    "rows.npy": as_npy,
    "misnamed.csv": lambda path: pyarrow.parquet.write_table(TABLE, path),
    "no_ending": lambda path: path.write_bytes(CSV),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read(tmp_path, name):
    FORMATS[name](tmp_path / name)
    chosen = choose_columns(read_table(tmp_path / name))
    assert chosen.rows.tolist() == ROWS
    assert chosen.names == (("x1", "x2") if name == "rows.npy" else ("eruptions", "waiting"))
    if name != "rows.npy":
        assert chosen.left_out == {"kind": "text such as 'long'"}


@pytest.mark.parametrize(
    "name", ["rows.csv", "rows.tsv", "rows.csv.gz", "rows.parquet", "rows.feather", "rows.jsonl"]
)
def test_classified_rows_keep_every_column_in_the_same_format(tmp_path, name):
    FORMATS[name](tmp_path / name)
    file = read_table(tmp_path / name)
    added = {"label": np.array([0, 1, -1]), "log_density": np.array([-1.5, -0.1, -1e-300])}
    out = tmp_path / f"out-{name}"
    write_table(with_columns(file.table, added), out, file.kind, file.delimiter)
    back = read_table(out)
    assert back.kind == file.kind
    assert back.table.column_names == [*file.table.column_names, "label", "log_density"]
    assert back.table.column("kind").to_pylist() == ["long", "short", "long"]
    assert choose_columns(back).rows.tolist() == [
        [*r, k, p] for r, k, p in zip(ROWS, *added.values(), strict=True)
    ]


def test_text_is_written_as_it_was_read(tmp_path):
    content = 'id,name,v\n007,"a, ""b""",1.10\n008,plain,+2\n009,"two\nlines",3e0\n'
    path = tmp_path / "rows.csv"
    path.write_text(content)
    file = read_table(path)
    assert choose_columns(file, columns=["v"]).rows.tolist() == [[1.1], [2.0], [3.0]]
    write_table(file.table, tmp_path / "out.csv", "csv")
    assert (tmp_path / "out.csv").read_text() == content


def test_npy_is_written_and_text_does_not_fit(tmp_path):
    as_npy(tmp_path / "rows.npy")
    table = read_table(tmp_path / "rows.npy").table
    write_table(with_columns(table, {"label": np.arange(3)}), tmp_path / "out.npy", "npy")
    assert np.load(tmp_path / "out.npy").tolist() == [[*row, k] for k, row in enumerate(ROWS)]
    with pytest.raises(DataError, match="numbers only"):
        write_table(TABLE, tmp_path / "text.npy", "npy")
    assert not (tmp_path / "text.npy").exists()


def test_float32_stays(tmp_path):
    np.save(tmp_path / "rows.npy", np.array(ROWS, np.float32))
    assert choose_columns(read_table(tmp_path / "rows.npy")).rows.dtype == np.float32


def test_types_of_parquet(tmp_path):
    columns = {
        "i": pa.array([1, 2, 5]),
        "f": pa.array([1.5, 2.5, 4.0], pa.float32()),
        "d": pa.array([1, 2, 4]).cast(pa.decimal128(20, 1)),
        "b": pa.array([True, False, True]),
        "t": pa.array([0, 1, 2], pa.timestamp("s")),
        "zip": pa.array(["01234", "01235", "01236"]),
        "c": pa.array(["x", "y", "x"]).dictionary_encode(),
        "l": pa.array([[1], [2], [3]]),
        "n": pa.nulls(3),
        "big": pa.array(["x", "y", None], pa.large_string()),
    }
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    file = read_table(tmp_path / "t.parquet")
    chosen = choose_columns(file)
    assert chosen.names == ("i", "f", "d")
    assert chosen.left_out == {
        "b": "true or false",
        "t": "dates or times",
        "zip": "text such as '01234'",
        "c": "text such as 'x'",
        "l": "of type list<element: int64>",
        "n": "empty",
        "big": "text such as 'x'",
    }
    assert choose_columns(file, columns=["zip", "i"]).rows.tolist() == [[1234, 1], [1235, 2], [1236, 5]]


# ---- columns -----------------------------------------------------------------------------------------------


def test_what_is_left_out_and_why(tmp_path):
    content = "id,day,ok,k,v,e\n1,2020-01-01,true,5,1.5,\n2,2020-01-02,false,5,2.5,\n3,2020-01-03,true,5,9,\n"
    chosen = features(tmp_path, content)
    assert chosen.names == ("v",)
    assert chosen.left_out == {
        "id": "row numbers",
        "day": "dates or times",
        "ok": "true or false",
        "k": "constant, 5 in every row",
        "e": "empty",
    }
    assert features(tmp_path, content, columns=["k", "id"]).rows.tolist() == [[5, 1], [5, 2], [5, 3]]
    assert features(tmp_path, content, columns=["v", "k"], ignore=["k"]).names == ("v",)


HEADERS = {
    "names": ("a,b\n1,2\n", ("a", "b")),
    "none": ("1.5,2\n3,4\n", ("x1", "x2")),
    "none, with text": ("5.1,3.5,setosa\n4.9,3,virginica\n", ("x1", "x2")),
    "none, one column": ("1.5\n2\n7\n", ("x1",)),
    "none, integers": ("12,7\n3,4\n", ("x1", "x2")),
    "numbered": ("0,1\n3.5,4\n7,8\n", ("0", "1")),
    "years": ("country,2019,2020\nfr,3,4\nde,5,7\n", ("2019", "2020")),
    "R row names": ('"a","b"\n"r1",2,3\n"r2",5,6\n', ("a", "b")),
    "R unnamed first": ('"","a"\n"1",2\n"2",5\n"3",4\n', ("a",)),
    "blanks": ("eruptions waiting\n1  3.6   79\n2  1.8   54\n3  3.3   74\n", ("eruptions", "waiting")),
    "comments": ("# units: min\n\na,b\n1,2\n3,5\n", ("a", "b")),
    "same names": ("a,a,b\n1,2,3\n3,4,9\n", ("a", "a_2", "b")),
    "quoted": ('"first, name","b"\n1,2\n3,5\n', ("first, name", "b")),
}


@pytest.mark.parametrize(("content", "names"), HEADERS.values(), ids=HEADERS)
def test_headers(tmp_path, content, names):
    assert features(tmp_path, content).names == names


def test_header_can_be_said(tmp_path):
    content = "1,2\n3,4\n7,9\n"
    assert features(tmp_path, content, header=True).names == ("1", "2")
    assert len(features(tmp_path, content, header=True).rows) == 2
    assert len(features(tmp_path, content, header=False).rows) == 3
    assert "first line holds numbers" in read_table(tmp_path / "rows.csv").remarks[0]


def test_a_header_longer_than_the_sample(tmp_path):
    names = [f"column{i:08d}" for i in range(6000)]
    values = ",".join(["1.5"] * 6000)
    assert features(tmp_path, f"{','.join(names)}\n{values}\n", all_needed=True).names == tuple(names)


def test_decimal_commas_get_a_remark(tmp_path):
    chosen = features(tmp_path, "a;b\n1,5;2\n-3;4,25\n")
    assert chosen.rows.tolist() == [[1.5, 2.0], [-3.0, 4.25]]
    assert chosen.remarks == ("commas in a, b were read as decimal points",)


def test_other_encodings_get_a_remark(tmp_path):
    chosen = features(tmp_path, "höhe,b\n1,2\n3,5\n".encode("latin-1"))
    assert chosen.names == ("höhe", "b")
    assert "Windows-1252" in read_table(tmp_path / "rows.csv").remarks[0]


def test_what_a_model_needs_cannot_be_left_out(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("x y,b\n1,2\n,4\n")
    file = read_table(path)
    with pytest.raises(DataError, match=r"fill them in, or remove those rows\.$"):
        columns_of_model(file, ("x y", "b"), 2)
    with pytest.raises(DataError, match="leave the column out with --ignore 'x y'"):
        choose_columns(file)


def test_added_columns_have_the_decimal_comma_of_the_others(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a;b\n1,5;2\n-3;4,25\n")
    file = read_table(path)
    table = with_columns(file.table, {"label": np.array([0, 1]), "share": np.array([0.25, 1e-9])}, True)
    write_table(table, tmp_path / "out.csv", "csv", ";")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == ["a;b;label;share", "1,5;2;0;0,25", "-3;4,25;1;1e-09"]


def test_columns_of_a_model(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("b,c,a\n1,x,2\n")
    file = read_table(path)
    by_name = columns_of_model(file, ("a", "b"), 2)
    assert by_name.rows.tolist() == [[2.0, 1.0]]
    assert by_name.remarks == ()
    by_position = columns_of_model(file, ("u", "v"), 2)
    assert by_position.rows.tolist() == [[1.0, 2.0]]
    assert "by position: u = b, v = a" in by_position.remarks[0]
    assert columns_of_model(file, ("u",), 1, ["a"]).rows.tolist() == [[2.0]]
    assert columns_of_model(file, None, 2).remarks == ()
    with pytest.raises(DataError, match=r"expects 3 \(columns u, v, w\), got columns b, a"):
        columns_of_model(file, ("u", "v", "w"), 3)


# ---- what can be wrong -------------------------------------------------------------------------------------


WRONG = {
    "empty": ("", "it is empty"),
    "blank": ("\n \n", "it is empty|no rows"),
    "names only": ("a,b\n", "column names but no rows"),
    "ragged short": ("a,b\n1,2\n3\n", r"line 3 has 1 field, expected 2 as in the first line \(a, b\)"),
    "ragged long": ("a,b\n1,2\n\n3,4,5\n", "line 4 has 3 fields, expected 2"),
    "text only": ("a,b\nx,y\nz,w\n", r"no column of numbers to fit: a \(text such as 'x'\); b"),
    "decimal comma": (
        'a,b\n1,2\n"12,5",3\n4,5\n',
        "line 3, column 'a': '12,5' is not a number.*write 12.5.*--ignore a",
    ),
    "a word": (
        "a,b\n1,2\n2,4\nfoo,1\nbar,2\n7,8\n",
        r"line 4, column 'a': 'foo' is not a number \(and 1 more",
    ),
    "after a quoted line break": ('a,b\n1,"x\ny"\nfoo,z\n3,w\n4,w\n', "line 4, column 'a': 'foo'"),
    "missing": (
        "a,b\n1,2\n3,NA\n,4\n5,n/a\n6,?\n7,8\n",
        r"line 3, column 'b': the value is missing \('NA'\). 4 of 6 rows .* \(a 1, b 3\).*--ignore a,b",
    ),
    "empty field": ("a,b\n1,2\n3,\n", "line 3, column 'b': the value is missing. 1 of 2 rows"),
    "infinite": ("a,b\n1,2\n3,-inf\n", "line 3, column 'b': -inf is infinite"),
    "overflow": ("a\n1\n1e400\n", "line 3, column 'a': inf is infinite"),
    "too large": ("a\n1\n1e200\n", r"line 3, column 'a': 1e\+200 is beyond ±1e\+150"),
    "binary": (bytes(range(256)), "binary data; export it as CSV"),
    "zip": (b"PK\x03\x04rest", "a workbook or a zip archive"),
    "json array": (b'[{"a": 1}]', "got an array; convert it", "rows.json"),
    "broken json": (b'{"a":1}\n{"a":\n', "one object on each line.*row 2", "rows.jsonl"),
    "json of two types": (b'{"a":1}\n{"a":"x"}\n', "changed from number to string in row 2", "rows.jsonl"),
    "missing in json": (b'{"a":1}\n\n{"b":2}\n', "line 1, column 'b': the value is missing", "rows.jsonl"),
    "not parquet": (b"a,b\n1,2\n", "its content is not of that kind", "rows.parquet"),
    "cut parquet": (b"PAR1" + bytes(50), "damaged or cut off", "rows.parquet"),
    "cut feather": (b"ARROW1\0\0" + bytes(50), "damaged or cut off", "rows.feather"),
    "cut npy": (b"\x93NUMPY\x01\x00", "expected an array of numbers", "rows.npy"),
    "cut gzip": (gzip.compress(CSV * 50)[:-20], "damaged|cannot be read", "rows.csv.gz"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_errors_name_place_and_remedy(tmp_path, case):
    import re

    content, message, *name = case
    said = refused(tmp_path, content, *name)
    assert re.search(message, said), said


def test_columns_that_are_not_there(tmp_path):
    assert "there is no column 'eruption'" in refused(tmp_path, CSV, columns=["eruption"])
    assert "did you mean 'eruptions'?" in refused(tmp_path, CSV, columns=["eruption"])
    assert "there is no column 'x'" in refused(tmp_path, CSV, ignore=["x"])
    assert "asked for twice" in refused(tmp_path, CSV, columns=["waiting", "waiting"])
    with_commas = b'"x, mm",b\n1,2\n3,4\n5,7\n'
    assert "in double quotes" in refused(tmp_path, with_commas, columns=["x", "mm"])
    said = refused(tmp_path, CSV, columns=["waiting", "kind"])
    assert "column 'kind' holds no numbers but text such as 'long'" in said
    assert "columns of numbers: eruptions, waiting" in said


def test_row_of_a_file_without_lines(tmp_path):
    pyarrow.parquet.write_table(pa.table({"a": [1.0, None, 3.0]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="row 2, column 'a': the value is missing"):
        choose_columns(read_table(tmp_path / "t.parquet"))


def test_names_that_are_equal_in_parquet(tmp_path):
    table = pa.Table.from_arrays([pa.array([1.0, 2.0]), pa.array([3.0, 4.0])], ["a", "a"])
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="occurs 2 times"):
        choose_columns(read_table(tmp_path / "t.parquet"))


@pytest.mark.parametrize("dtype", ["complex128", "U3", "O"])
def test_arrays_that_are_no_numbers(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((2, 2), dtype), allow_pickle=True)
    with pytest.raises(DataError, match="expected"):
        read_table(tmp_path / "a.npy")


def test_arrays_of_other_shapes(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(4.0) ** 2)
    assert choose_columns(read_table(tmp_path / "one.npy")).rows.shape == (4, 1)
    np.save(tmp_path / "three.npy", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="of shape"):
        read_table(tmp_path / "three.npy")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="there is no such file"):
        read_table(tmp_path / "none.csv.gz")
    with pytest.raises(DataError, match="got a directory"):
        read_table(tmp_path)


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV)))
    file = read_table("-")
    assert (file.name, file.stem, file.suffix) == ("standard input", "stdin", ".csv")
    assert choose_columns(file).rows.tolist() == ROWS


def test_a_pipe_is_read_once(tmp_path):
    code = "from gaussmix.rows.files import read_table; print(read_table('/dev/stdin').table.num_rows)"
    done = subprocess.run([sys.executable, "-c", code], input=CSV, capture_output=True, check=True)
    assert done.stdout.strip() == b"3"


def test_pandas_is_not_loaded(tmp_path):
    (tmp_path / "a.csv").write_bytes(CSV)
    as_jsonl(tmp_path / "a.jsonl")
    pyarrow.parquet.write_table(TABLE, tmp_path / "a.parquet")
    code = (
        "import sys, glob\n"
        "from gaussmix.rows.files import read_table\n"
        "from gaussmix.rows.columns import choose_columns\n"
        f"for path in glob.glob({str(tmp_path / 'a.*')!r}): choose_columns(read_table(path))\n"
        "print(sorted({'pandas', 'scipy', 'sklearn', 'pyarrow.dataset'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- names -------------------------------------------------------------------------------------------------


def test_names_of_files():
    assert stem_and_suffix("data/faithful.csv.gz") == ("faithful", ".csv.gz")
    assert stem_and_suffix("a.b.parquet") == ("a.b", ".parquet")
    assert stem_and_suffix("rows") == ("rows", "")
    assert kind_of("x.TSV") == ("csv", "\t")
    assert kind_of("x.csv.gz") == ("csv", ",")
    with pytest.raises(DataError, match=r"must end in one of \.csv"):
        kind_of("x.xlsx")


def test_added_columns_never_replace_others():
    table = with_columns(pa.table({"label": ["a"]}), {"label": np.array([0]), "log_density": np.array([0.5])})
    assert table.column_names == ["label", "label_2", "log_density_2"]
