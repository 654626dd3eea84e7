"""The command ``gaussmix``: parse, call, print. Work is done in `gaussmix.jobs`, text in `gaussmix.report`.

Everything else is imported inside the commands: ``gaussmix --help`` loads no NumPy.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from gaussmix import __version__
from gaussmix.terminal import leave, note, print_document, tidy, write_rows

EXIT_CODES = (
    "Exit codes: 0 done; 1 the data or the model cannot be used; 2 wrong usage; 130 interrupted. "
    "GAUSSMIX_DEBUG=1 shows tracebacks."
)
app = typer.Typer(
    name="gaussmix",
    help="Gaussian mixtures: fit them to a file of rows, classify, score, sample.",
    epilog=EXIT_CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Criterion(StrEnum):
    """What the best candidate is the lowest in."""

    BIC = "bic"
    ICL = "icl"
    AIC = "aic"
    CV = "cv"


Rows = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="CSV, TSV, Parquet, Feather, JSON lines or .npy; - is standard input."
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file, NAME.gaussmix.json.")]
Columns = Annotated[
    str | None,
    typer.Option("--columns", "-c", metavar="A,B,C", help="The columns to use, instead of all of numbers."),
]
Ignore = Annotated[str | None, typer.Option("--ignore", "-i", metavar="X,Y", help="Columns to leave out.")]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="The first line of text names the columns, or not.",
        show_default="found out",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="A file; its ending says the format. Else CSV on standard output.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")]
Seed = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", min=0, help="Of the random numbers; the same gives the same result."),
]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"gaussmix {__version__}")
        raise typer.Exit


@app.command(epilog="Example: gaussmix fit old_faithful.csv --components 1-6 --covariance all")
def fit(
    file: Rows,
    components: Annotated[
        str,
        typer.Option(
            "--components", "-k", metavar="3|1-9|2,4,6", help="How many components, or which to try."
        ),
    ] = "1-9",
    covariance: Annotated[
        str,
        typer.Option(
            metavar="FAMILY,...",
            help="Of full, tied, diag, spherical, mclust's EII to VVV; or all fourteen.",
        ),
    ] = "full,tied,diag,spherical",
    criterion: Annotated[
        Criterion, typer.Option(help="What to choose the best candidate by.")
    ] = Criterion.BIC,
    noise: Annotated[
        bool, typer.Option("--noise", help="With a uniform component for outliers, label -1.")
    ] = False,
    columns: Columns = None,
    ignore: Ignore = None,
    header: Header = None,
    seed: Seed = 0,
    output_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to write; made if it does not exist.")
    ] = Path(),
    force: Force = False,
    picture: Annotated[bool, typer.Option("--picture/--no-picture", help="Draw NAME.png.")] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit mixtures to the rows of FILE and keep the best.

    Writes NAME.gaussmix.json (the model), NAME.classified.EXT (the rows with label, log density and
    responsibilities, in the format of FILE) and NAME.png (a picture) into the current folder.
    """
    with tidy():
        from gaussmix import jobs, report

        counts, families = jobs.parse_components(components), jobs.parse_families(covariance)
        targets = jobs.targets_of(file, output_dir, picture)
        jobs.refuse_to_overwrite(targets.values(), force)
        data = jobs.read_rows(file, header, columns=columns, ignore=ignore)
        note([] if json else data.remarks, quiet)
        selection = jobs.select_best(
            data, counts, families, criterion.value, seed, progress=not (json or quiet), noise=noise
        )
        document = jobs.write_results(data, selection, targets)
        print_document(document, report.print_fit, json, quiet)


@app.command(
    epilog="Example: gaussmix classify old_faithful.gaussmix.json new.csv --output new.classified.csv"
)
def classify(
    model: Model,
    file: Rows,
    output: Output = None,
    columns: Columns = None,
    header: Header = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add label, log density and responsibilities to the rows of FILE.

    The model's columns are found by name, else by position.
    """
    with tidy():
        from gaussmix import jobs

        jobs.check_output(output, force)
        mixture = jobs.read_model(model).mixture
        data = jobs.read_rows(file, header, columns=columns, mixture=mixture)
        note([] if json else data.remarks, quiet)
        added = jobs.classification(mixture, data.rows)
        document = {name: values.tolist() for name, values in added.items()}
        write_rows(
            jobs.classified(data, added, output),
            output,
            {**document, "remarks": data.remarks} if json else None,
            quiet,
        )


@app.command(epilog="Example: gaussmix score old_faithful.gaussmix.json new.csv --json")
def score(
    model: Model,
    file: Rows,
    columns: Columns = None,
    header: Header = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Log-likelihood, BIC and AIC of a model on the rows of FILE."""
    with tidy():
        from gaussmix import documents, jobs, report

        mixture = jobs.read_model(model).mixture
        data = jobs.read_rows(file, header, columns=columns, mixture=mixture)
        note([] if json else data.remarks, quiet)
        document = documents.score_document(mixture, jobs.classification(mixture, data.rows)["log_density"])
        print_document(
            {"file": data.file.name, **document, "remarks": data.remarks}, report.print_score, json, quiet
        )


@app.command(epilog="Example: gaussmix sample old_faithful.gaussmix.json -n 1000 --seed 1 > rows.csv")
def sample(
    model: Model,
    n: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, help="How many rows.")] = 100,
    seed: Seed = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw rows from a model; their component is in the column label."""
    with tidy():
        from gaussmix import jobs

        jobs.check_output(output, force)
        table, document = jobs.sampled(jobs.read_model(model).mixture, n, seed)
        write_rows(table, output, document if json else None, quiet)


@app.command(epilog="Example: gaussmix show old_faithful.gaussmix.json")
def show(model: Model, json: Json = False) -> None:
    """The components of a model and where it comes from."""
    with tidy():
        from gaussmix import documents, jobs, report

        print_document(
            documents.model_document(jobs.read_model(model), str(model)),
            report.print_model,
            json,
            quiet=False,
        )


def main() -> None:
    """Entry point of the command ``gaussmix``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        app()
    except KeyboardInterrupt as error:
        leave(error)
