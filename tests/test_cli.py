"""The command line as people run it: a process, its output, its files, its exit code."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import gaussmix

FAITHFUL = Path(__file__).parents[1] / "examples" / "old_faithful.csv"
QUICK = ("--components", "1-3", "--covariance", "full,EEE")


def run(*arguments, cwd=None, stdin=None, **environment):
    return subprocess.run(
        [sys.executable, "-m", "gaussmix", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        env=os.environ | environment,
        timeout=60,
    )


def one_line_error(done, code=1):
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    return lines[0]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder in which Old Faithful was fitted, and what was printed."""
    folder = tmp_path_factory.mktemp("fitted")
    done = run("fit", FAITHFUL, *QUICK, cwd=folder)
    assert done.returncode == 0, done.stderr.decode()
    return folder, done.stdout.decode()


def test_help_loads_no_numpy():
    code = (
        "import sys\nsys.argv = ['gaussmix', *sys.argv[1:]]\nfrom gaussmix.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'numpy', 'scipy', 'sklearn', 'pyarrow', 'matplotlib', 'pandas', 'polars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    for arguments, words in (
        (["--help"], "Exit codes: 0 done"),
        (["fit", "--help"], "Example: gaussmix fit"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert words in " ".join(done.stdout.split())
        assert done.stdout.splitlines()[-1] == "[]"


def test_a_fit_loads_only_what_it_needs(tmp_path):
    code = (
        "import sys\nfrom gaussmix.cli import app\n"
        f"app(['fit', {str(FAITHFUL)!r}, '-k', '2', '--covariance', 'full', '-q'], standalone_mode=False)\n"
        "print(sorted({'sklearn', 'scipy', 'pandas', 'polars', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.strip() == "[]"


def test_fit_writes_three_files_and_says_so(fitted):
    folder, said = fitted
    names = ["old_faithful.classified.csv", "old_faithful.gaussmix.json", "old_faithful.png"]
    assert sorted(each.name for each in folder.iterdir()) == names
    assert all(f"wrote {name}" in said for name in names)
    assert (folder / "old_faithful.png").read_bytes().startswith(b"\x89PNG")
    assert "272 rows of 2 features" in said
    assert "Best of 6 candidates by BIC" in said
    assert "3 components, EEE: volume equal, shape equal, orientation equal" in said
    assert "Converged after" in said
    assert "2,314.3" in said or "2,314.2" in said
    assert "\x1b" not in said  # no colours in a pipe


def test_classified_rows(fitted):
    folder, _ = fitted
    lines = (folder / "old_faithful.classified.csv").read_text().splitlines()
    original = FAITHFUL.read_text().splitlines()
    names = "eruptions,waiting,label,log_density,responsibility_0,responsibility_1,responsibility_2"
    assert lines[0] == names
    assert [line.rsplit(",", 5)[0] for line in lines] == original
    rows = np.loadtxt(lines[1:], delimiter=",")
    mixture = gaussmix.load(folder / "old_faithful.gaussmix.json")
    np.testing.assert_array_equal(rows[:, 2], mixture.classify(rows[:, :2]))
    np.testing.assert_array_equal(rows[:, 3], mixture.log_density(rows[:, :2]))
    np.testing.assert_array_equal(rows[:, 4:], mixture.responsibilities(rows[:, :2]))
    assert mixture.feature_names == ("eruptions", "waiting")


def test_fit_again_asks_for_force(fitted):
    folder, _ = fitted
    before = {each.name: each.stat().st_mtime_ns for each in folder.iterdir()}
    said = one_line_error(run("fit", FAITHFUL, "-k", "2", cwd=folder))
    assert "old_faithful.gaussmix.json exists; replace it with --force" in said
    assert {each.name: each.stat().st_mtime_ns for each in folder.iterdir()} == before


def test_fit_is_reproducible_and_json_is_one_document(fitted, tmp_path):
    folder, _ = fitted
    out = tmp_path / "new" / "folder"
    done = run("fit", FAITHFUL, *QUICK, "--json", "--output-dir", out, "--seed", "0", "--no-picture")
    assert done.returncode == 0
    assert done.stderr == b""
    document = json.loads(done.stdout)
    assert document["n_rows"] == 272
    assert document["mixture"]["covariance_type"] == "EEE"
    assert document["mixture"]["features"] == ["eruptions", "waiting"]
    assert sum(each["n_rows"] for each in document["mixture"]["components"]) == 272
    assert abs(document["bic"] - 2314.3) < 0.1  # mclust: 2314.316, a little before convergence
    assert len(document["candidates"]) == 6
    assert document["candidates"][0]["bic"] == document["bic"]
    assert set(document["files"]) == {"model", "classified"}
    assert Path(document["files"]["model"]).read_text() == (folder / "old_faithful.gaussmix.json").read_text()


def test_standard_input_and_what_was_left_out(tmp_path):
    rows = b"id,v,kind,w\n" + b"".join(b"%d,%f,x,%f\n" % (i, i % 7, i * i % 11) for i in range(1, 60))
    done = run("fit", "-", "-k", "1,2", "--covariance", "diag", "--no-picture", cwd=tmp_path, stdin=rows)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode().splitlines() == [
        "Note: left out id: row numbers.",
        "Note: left out kind: text such as 'x'.",
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["stdin.classified.csv", "stdin.gaussmix.json"]
    header = (tmp_path / "stdin.classified.csv").read_text().splitlines()[0]
    assert header.startswith("id,v,kind,w,label,log_density,responsibility_0")


def test_compressed_file_and_quiet(tmp_path):
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(FAITHFUL.read_bytes()))
    done = run("fit", "rows.csv.gz", "-k", "2", "--covariance", "tied", "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    text = gzip.decompress((tmp_path / "rows.classified.csv.gz").read_bytes()).decode()
    assert len(text.splitlines()) == 273


def test_classify_by_name_by_position_and_into_a_file(fitted, tmp_path):
    folder, _ = fitted
    model = folder / "old_faithful.gaussmix.json"
    done = run("classify", model, folder / "old_faithful.classified.csv")
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    assert lines[0].endswith(
        ",label_2,log_density_2,responsibility_0_2,responsibility_1_2,responsibility_2_2"
    )
    assert all(line.split(",")[2] == line.split(",")[7] for line in lines[1:])
    done = run("classify", model, "-", "-o", "out.parquet", cwd=tmp_path, stdin=b"a;b;c\n3,6;79;x\n")
    assert done.stderr.decode().startswith("Note: commas in a were read as decimal points.\nNote: ")
    assert "by position: eruptions = a, waiting = b" in done.stderr.decode()
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert (table[0]["a"], table[0]["b"], table[0]["c"]) == (3.6, 79.0, "x")
    assert abs(sum(table[0][f"responsibility_{k}"] for k in range(3)) - 1) < 1e-12


def test_score_sample_and_show(fitted):
    folder, _ = fitted
    model = folder / "old_faithful.gaussmix.json"
    scored = json.loads(run("score", model, FAITHFUL, "--json").stdout)
    assert abs(scored["bic"] - 2314.3) < 0.1
    first, again = (run("sample", model, "-n", 50, "--seed", 7).stdout.decode() for _ in range(2))
    assert first == again
    assert first.splitlines()[0] == "eruptions,waiting,label"
    assert len(first.splitlines()) == 51
    shown = run("show", model).stdout.decode()
    assert "rows 272" in shown
    assert "eruptions" in shown
    assert "3 components, EEE" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "none.csv"], "none.csv: there is no such file"),
        (["fit", "gap.csv"], "line 3, column 'b': the value is missing"),
        (["show", "gap.csv"], "another kind of file"),
        (["score", "none.json", FAITHFUL], "none.json"),
        (["sample", "m.json", "-o", "rows.xlsx"], "must end in one of"),
        (["fit", "one.csv", "-k", "1"], "one.csv: one row tells of no spread"),
    ],
)
def test_errors_are_one_sentence(tmp_path, arguments, words):
    (tmp_path / "gap.csv").write_text("a,b\n1,2\n3,\n")
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    assert words in one_line_error(run(*arguments, cwd=tmp_path))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["gap.csv", "one.csv"]


def test_one_feature_decimal_commas_and_names_with_commas(tmp_path):
    """What is odd in a file comes back as it was; the model of one feature has mclust's one letter."""
    lines = [f"{'3' if n % 2 else '17'},{n * n % 97:02};{n % 7}" for n in range(60)]
    (tmp_path / "rows.csv").write_text("\n".join(['"x, mm";z', *lines]) + "\n")
    wanted = ("-c", '"x, mm"', "-k", "1-2", "--covariance", "VII", "--no-picture", "--json")
    done = run("fit", "rows.csv", *wanted, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    document = json.loads(done.stdout)
    assert {document["mixture"]["covariance_type"]} | {
        c["covariance_type"] for c in document["candidates"]
    } == {"V"}
    assert "the most that were tried" in document["fit_remarks"][-1]
    written = (tmp_path / "rows.classified.csv").read_text().splitlines()
    assert written[0].startswith("x, mm;z;label;log_density;")
    assert all("." not in line for line in written[1:])


def test_a_place_that_cannot_be_written_is_refused_before_the_fit(tmp_path):
    (tmp_path / "file").write_text("")
    said = one_line_error(run("fit", FAITHFUL, "-k", "1", "--output-dir", tmp_path / "file" / "x"))
    assert "is no directory; write elsewhere" in said


def test_a_full_disk_is_one_sentence(fitted):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    folder, _ = fitted
    command = f"{sys.executable} -m gaussmix sample old_faithful.gaussmix.json > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, cwd=folder, timeout=60)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "Error: the output cannot be written: No space left on device; choose another place.\n"
    )


@pytest.mark.parametrize(
    "arguments", [["fit"], ["fit", "x", "-k", "0"], ["fit", "x", "--covariance", "XYZ"], ["bogus"]]
)
def test_wrong_usage(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "Try 'python -m gaussmix" in done.stderr.decode()


def hear_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupt_stops_a_long_fit_at_once(tmp_path):
    rng = np.random.default_rng(0)
    columns = {f"x{j}": rng.normal(size=200_000) for j in range(8)}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "rows.parquet")
    arguments = [sys.executable, "-m", "gaussmix", "fit", "rows.parquet", "-k", "20-60"]
    # Of its own session, and with Ctrl-C heard even where the tests run in the background, which ignores it.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        arguments, cwd=tmp_path, start_new_session=True, preexec_fn=hear_interrupts, **pipes
    ) as fit:
        try:
            time.sleep(2)
            assert fit.poll() is None
            begin = time.perf_counter()
            fit.send_signal(signal.SIGINT)
            out, said = fit.communicate(timeout=20)
            assert time.perf_counter() - begin < 1
        finally:
            fit.kill()
    assert fit.returncode == 130
    assert out == b""
    assert said.decode().splitlines() == [
        "Interrupted; no file was left half written, those that were finished stay."
    ]
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_closed_pipe_is_silent(fitted):
    folder, _ = fitted
    command = f"{sys.executable} -m gaussmix sample old_faithful.gaussmix.json -n 200000 | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, cwd=folder, timeout=60)
    assert done.stdout == b"eruptions,waiting,label\n"
    assert done.stderr == b""


def test_a_pipe_closed_before_the_text_is_silent(fitted):
    """The text of a summary, which Rich prints, into a pipe that nobody reads."""
    folder, _ = fitted
    command = f"{sys.executable} -m gaussmix show old_faithful.gaussmix.json | true"
    done = subprocess.run(command, shell=True, capture_output=True, cwd=folder, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_debug_shows_the_traceback(tmp_path):
    done = run("fit", "none.csv", cwd=tmp_path, GAUSSMIX_DEBUG="1")
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"DataError" in done.stderr


def test_version():
    assert run("--version").stdout.decode() == f"gaussmix {gaussmix.__version__}\n"


def test_words_for_numbers_and_widths():
    from gaussmix import report

    assert report.mean_and_spread([1.23456, -0.0001], [0.5, 0.0123]) == [
        "1.2346 ± 0.5000",
        "-0.0001 ± 0.0123",
    ]
    assert report.mean_and_spread([-0.001], [2.0]) == ["0.00 ± 2.00"]
    assert report.mean_and_spread([1e9], [1e-3]) == ["1000000000.00000 ± 0.00100"]
    assert report.mean_and_spread([3e-6, 1.2e-6], [1e-7, 2e-7]) == ["3e-06 ± 1e-07", "1.2e-06 ± 2e-07"]
    assert report.describe("VEV", 2) == "volume varying, shape equal, orientation varying"
    assert report.describe("EII", 3) == "spheres, volume equal"
    assert report.describe("VII", 1) == "varying variance"


def test_candidates_that_only_a_sample_was_fitted_by_are_marked(tmp_path):
    truth = gaussmix.Mixture(
        weights=[0.4, 0.6], means=[[0.0], [6.0]], covariances=[1.0, 4.0], covariance_type="V"
    )
    np.savetxt(tmp_path / "many.csv", truth.sample(30_000, 0)[0], header="x", comments="", fmt="%.4f")
    done = run("fit", "many.csv", "--components", "1-3", "--covariance", "all", cwd=tmp_path)
    said = done.stdout.decode()
    assert "Best of 6 candidates by BIC" in said
    lines = said.split("\n\n")[1].splitlines()[1:]
    marked = [line.endswith("(from a sample)") for line in lines]
    assert marked == [False] * 4 + [True]


def test_a_wide_table_is_cut_at_the_terminal():
    import io

    from rich.console import Console

    from gaussmix import documents, report

    rng = np.random.default_rng(0)
    names = ["short", "a name of more than twenty-four letters"]
    mixture = gaussmix.Mixture(
        weights=np.full(12, 1 / 12),
        means=rng.normal(size=(12, 2)) * 1000,
        covariances=np.ones(12),
        covariance_type="VII",
        feature_names=names,
    )
    text = io.StringIO()
    report.print_mixture(Console(file=text, width=80, markup=False), documents.mixture_document(mixture))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith("component ") for line in lines) > 2
    for k in range(12):
        assert sum(str(k) in line.split() for line in lines if line.startswith("component ")) == 1
