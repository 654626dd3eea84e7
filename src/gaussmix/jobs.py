"""What the commands do, in steps: read rows, choose a model, write the results beside each other."""

from __future__ import annotations

import csv
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import typer
from numpy.typing import NDArray

import gaussmix
from gaussmix import documents, families, storage
from gaussmix.atomic import replacing
from gaussmix.errors import DataError
from gaussmix.kernel import thread_count
from gaussmix.mixture import Mixture
from gaussmix.rows import as_source
from gaussmix.rows.columns import choose_columns, columns_of_model
from gaussmix.rows.files import STDIN, RowFile, arrow_array, read_table, stem_and_suffix
from gaussmix.rows.writing import kind_of, with_columns, write_csv, write_table
from gaussmix.selection import Candidate, Selection, select
from gaussmix.storage import read as read_model

__all__ = ["read_model", "write_csv"]

T = TypeVar("T")


@dataclass(frozen=True)
class Data:
    """The rows of a file: all its columns in ``file``, the features (N, D) in ``rows``."""

    file: RowFile
    names: tuple[str, ...]
    rows: NDArray[Any]
    left_out: dict[str, str]
    remarks: tuple[str, ...]
    decimal_comma: bool = False


# ---- arguments ---------------------------------------------------------------------------------------------


def parse_components(text: str) -> list[int]:
    """The numbers that "3", "1-9" or "2,4,6" mean."""
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(first) < 1:
            raise typer.BadParameter(
                f"--components expects numbers from 1, as 3 or 1-9 or 2,4,6; got {text!r}."
            )
        found.extend(range(int(first), int(last if dash else first) + 1))
    if not found or max(found) > 10_000:
        raise typer.BadParameter(
            f"--components expects a range from low to high, at most 10000; got {text!r}."
        )
    return list(dict.fromkeys(found))


def parse_families(text: str) -> str | list[str]:
    """The word all, or family names in letters of any case."""
    if text.strip().lower() == "all":
        return "all"
    known = {name.lower(): name for name in (*families.ALIASES, *families.NAMES)}
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise typer.BadParameter(
            f"--covariance {unknown[0]!r} is no family; choose all, or some of "
            f"{', '.join([*list(families.ALIASES)[:4], *families.NAMES])}."
        )
    return [known[name.lower()] for name in names]


def parse_names(text: str | None, available: Sequence[str]) -> list[str]:
    """Column names divided by commas; one that holds a comma stands alone, or in double quotes."""
    if not text:
        return []
    if text in available:
        return [text]
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True)) if name.strip()]


def targets_of(file: str, folder: Path, picture: bool) -> dict[str, Path]:
    """Where the results of a fit go."""
    stem, suffix = ("stdin", ".csv") if file == STDIN else stem_and_suffix(file)
    targets = {"model": folder / f"{stem}.gaussmix.json", "classified": folder / f"{stem}.classified{suffix}"}
    return targets | ({"picture": folder / f"{stem}.png"} if picture else {})


def check_output(output: Path | None, force: bool) -> None:
    """Stop before the work if its result cannot be written as named."""
    if output is not None:
        kind_of(output)
        refuse_to_overwrite([output], force)


def refuse_to_overwrite(targets: Iterable[Path], force: bool) -> None:
    """Stop before the work if its results would have no place."""
    for target in targets:
        _check_place(target.absolute().parent)
        if target.is_dir():
            raise DataError(f"{target} is a directory; choose another name.")
        if target.is_file() and not force:
            raise DataError(f"{target} exists; replace it with --force, or write elsewhere.")


def _check_place(folder: Path) -> None:
    """Whether files can be made in a folder, which may have to be made itself."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise DataError(f"{folder} is no directory; write elsewhere.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"you may not write into {folder}; write elsewhere.")


# ---- rows --------------------------------------------------------------------------------------------------


def read_rows(
    path: str,
    header: bool | None,
    *,
    columns: str | None = None,
    ignore: str | None = None,
    mixture: Mixture | None = None,
) -> Data:
    """The rows of a file: the columns that are asked for, that the mixture means, or that hold numbers."""
    file = read_table(path, header)
    available = file.table.column_names
    wanted = parse_names(columns, available) or None
    if mixture is None:
        features = choose_columns(file, columns=wanted, ignore=parse_names(ignore, available))
    else:
        features = columns_of_model(file, mixture.feature_names, mixture.n_features, wanted)
    told = mixture is None and columns is None
    left = [
        f"left out {name}: {why}" for name, why in features.left_out.items() if told and why != "--ignore"
    ]
    remarks = (*file.remarks, *features.remarks, *left)
    return Data(file, features.names, features.rows, features.left_out, remarks, features.decimal_comma)


def classification(mixture: Mixture, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """label, log_density and responsibilities of checked rows, by the names of their columns."""
    log_density, labels, gamma = mixture.evaluate(rows, thread_count())
    parts = [*range(mixture.n_components), *(["noise"] if mixture.has_noise else [])]
    shares = {f"responsibility_{part}": gamma[:, k] for k, part in enumerate(parts)}
    return {"label": labels, "log_density": log_density, **shares}


def sampled(mixture: Mixture, n: int, seed: int | None) -> tuple[pa.Table, dict[str, Any]]:
    """Rows drawn from a mixture, as a table and as a document."""
    rows, labels = mixture.sample(n, seed)
    names = documents.feature_names(mixture)
    table = pa.Table.from_arrays([arrow_array(column) for column in rows.T], list(names))
    document = {"features": list(names), "rows": rows.tolist(), "labels": labels.tolist()}
    return with_columns(table, {"label": labels}), document


# ---- fitting -----------------------------------------------------------------------------------------------


def select_best(
    data: Data,
    counts: list[int],
    names: str | list[str],
    criterion: str,
    seed: int | None,
    progress: bool,
    noise: bool = False,
) -> Selection:
    """Fit every candidate; Ctrl-C is answered at once."""
    if len(data.rows) < 2:
        raise DataError(f"{data.file.name}: one row tells of no spread; expected at least two.")
    source = as_source(data.rows, feature_names=data.names)
    with _bar(progress) as bar:

        def observe(candidate: Candidate, total: int) -> None:
            if bar is not None:
                bar.update(bar.task_ids[0], total=total, advance=1)

        return _in_thread(
            lambda: select(source, counts, names, criterion, random_state=seed, observer=observe, noise=noise)
        )


def _bar(progress: bool) -> Any:
    """A progress bar on a terminal, else nothing."""
    if not progress or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    parts = (TextColumn("fitting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*parts, console=Console(stderr=True), transient=True)
    bar.add_task("fitting", total=None)
    return bar


def _in_thread(work: Callable[[], T]) -> T:
    """Run ``work`` in a daemon thread, so that an interrupt reaches the caller while it computes."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    # The system may hand an interrupt to any thread, and only this one acts on it: so it looks up now and then.
    while not future.done():
        wait([future], timeout=0.1)
    return future.result()


def write_results(data: Data, selection: Selection, targets: Mapping[str, Path]) -> dict[str, Any]:
    """Model, classified rows and picture into their files; the document that tells of them."""
    mixture = selection.best.mixture
    added = classification(mixture, data.rows)
    table = with_columns(data.file.table, added, data.decimal_comma)
    for target in targets.values():
        os.makedirs(target.parent, exist_ok=True)
    storage.save(selection, targets["model"])
    write_table(table, targets["classified"], data.file.kind, data.file.delimiter)
    if "picture" in targets:
        _draw(mixture, data.rows, selection, targets["picture"])
    document = documents.fit_document(selection, added["label"])
    about = {"gaussmix": gaussmix.__version__, "file": data.file.name, "left_out": data.left_out}
    about["remarks"] = list(data.remarks)
    return about | document | {"files": {name: str(path) for name, path in targets.items()}}


def _draw(mixture: Mixture, rows: NDArray[Any], selection: Selection, target: Path) -> None:
    from gaussmix import plot

    several = len(selection.candidates) > 1
    figure = plot.summary(mixture, rows, selection=selection if several else None)
    with replacing(target) as beside:
        figure.savefig(beside, dpi=150, format="png")


def write_as_named(table: pa.Table, output: Path) -> None:
    """Write a table in the format that the name asks for."""
    os.makedirs(output.absolute().parent, exist_ok=True)
    write_table(table, output, *kind_of(output))


def classified(data: Data, added: Mapping[str, NDArray[Any]], output: Path | None) -> pa.Table:
    """The rows with columns added; text that was read as numbers is numbers where the format knows them."""
    table, as_text = data.file.table, output is None or kind_of(output)[0] == "csv"
    if data.file.kind == "csv" and not as_text:
        for name, values in zip(data.names, data.rows.T, strict=True):
            table = table.set_column(table.column_names.index(name), name, arrow_array(values))
    return with_columns(table, added, as_text and data.decimal_comma)
