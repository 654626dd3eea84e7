"""How the command line speaks and ends: standard output, remarks and errors in one sentence, exit codes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer


def note(remarks: Sequence[str], quiet: bool) -> None:
    """Remarks on standard error."""
    for remark in () if quiet else remarks:
        typer.secho(f"Note: {remark}.", err=True, fg="yellow")


def print_document(document: dict[str, Any], as_text: Any, json: bool, quiet: bool) -> None:
    """A document as JSON, or as text."""
    from gaussmix import documents, report

    if json:
        typer.echo(documents.json_text(document))
    elif not quiet:
        as_text(report.console(sys.stdout), document)


def write_rows(table: Any, output: Path | None, document: dict[str, Any] | None, quiet: bool) -> None:
    """A table into a file, or as CSV on standard output unless there is a document for it."""
    from gaussmix import documents, jobs

    if output is not None:
        jobs.write_as_named(table, output)
    if document is not None:
        typer.echo(documents.json_text(document | {"output": str(output) if output else None}))
    elif output is None:
        jobs.write_csv(table, sys.stdout.buffer)
    elif not quiet:
        typer.echo(f"wrote {output}")


@contextmanager
def tidy() -> Iterator[None]:
    """Every error is one sentence on standard error and an exit code."""
    debug = bool(os.environ.get("GAUSSMIX_DEBUG"))
    if not debug:
        warnings.simplefilter("ignore")  # what a user should know is a remark
    try:
        yield
        sys.stdout.flush()
    except (typer.Exit, typer.BadParameter):
        raise
    except BaseException as error:
        if debug and not isinstance(error, KeyboardInterrupt):
            raise
        leave(error)


def leave(error: BaseException) -> None:
    """Say what happened and end the process, threads that still compute included."""
    from gaussmix.errors import GaussmixError

    code = 1
    if isinstance(
        error, (BrokenPipeError, SystemExit)
    ):  # the reader has seen enough; Rich makes an exit of that
        code = 141
    elif isinstance(error, KeyboardInterrupt):
        code = 130
        typer.secho("Interrupted; no file was left half written, those that were finished stay.", err=True)
    elif isinstance(error, (GaussmixError, OSError)):
        typer.secho(f"Error: {_sentence(error)}", err=True, fg="red")
    elif isinstance(error, MemoryError):
        typer.secho("Error: not enough memory; use fewer rows or columns.", err=True, fg="red")
    else:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        typer.secho(
            f"Error: this is a mistake in gaussmix ({why}); GAUSSMIX_DEBUG=1 shows where.", err=True, fg="red"
        )
    sys.stderr.flush()
    os._exit(code)


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = os.fsdecode(error.filename) if error.filename else "the output"
        return (
            f"{place} cannot be written: {error.strerror.splitlines()[0].rstrip('.')}; choose another place."
        )
    return str(error)
