"""Documents as text for people: made from the document alone, so that both say the same.

Numbers are shown with the digits that their spread gives a meaning to; the document has them in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

from gaussmix.documents import Document

if TYPE_CHECKING:
    from rich.console import Console

# Candidates shown.
BEST = 5
PLUS_MINUS = " ± "


def console(stream: IO[str]) -> Console:
    """A console that wraps and colours on a terminal, and does neither in a pipe."""
    from rich.console import Console

    width = None if stream.isatty() else 100_000
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def print_fit(out: Console, document: Document) -> None:
    """The choice, the components, how EM ended."""
    mixture = document["mixture"]
    rows, features = _count(document["n_rows"], "row"), _count(mixture["n_features"], "feature")
    out.print(f"{rows} of {features} from {document['file']}")
    if len(document["candidates"]) > 1:
        _print_candidates(out, document)
    out.print()
    print_mixture(out, mixture)
    out.print()
    out.print(_how_it_ended(document))
    for remark in document["fit_remarks"]:
        out.print(f"Note: {remark}", style="yellow")
    for name, path in document["files"].items():
        out.print(f"wrote {path} ({name})")


def print_mixture(out: Console, mixture: Document) -> None:
    """One column for each component, one line for each feature: mean ± standard deviation."""
    letters = mixture["covariance_type"]
    number = _count(mixture["n_components"], "component")
    out.print(f"{number}, {letters}: {describe(letters, mixture['n_features'])}")
    out.print(f"Mean{PLUS_MINUS}standard deviation of each feature:")
    components = mixture["components"]
    heads = ["component", *(str(each["label"]) for each in components)]
    lines = [["weight", *(f"{each['weight']:.3f}" for each in components)]]
    if "n_rows" in components[0]:
        lines.append(["rows", *(f"{each['n_rows']:,}" for each in components)])
    for j, name in enumerate(mixture["features"]):
        means, spreads = ([each[key][j] for each in components] for key in ("mean", "standard_deviation"))
        lines.append([_short(name), *mean_and_spread(means, spreads)])
    for part in _parts([heads, *lines], out.width):
        _print_table(out, *part)
    if mixture["noise_weight"] is not None:
        out.print(f"noise (label -1): weight {mixture['noise_weight']:.3f}")


def print_model(out: Console, document: Document) -> None:
    """What a model file holds."""
    known = document["metadata"]
    wanted = ("n_rows", "log_likelihood", "bic", "icl", "aic")
    facts = [f"{_words(key)} {known[key]:,.6g}" for key in wanted if isinstance(known.get(key), (int, float))]
    out.print(f"{document['file']}: {', '.join(facts) if facts else 'no record of a fit'}")
    out.print()
    print_mixture(out, document["mixture"])


def print_score(out: Console, document: Document) -> None:
    """Log-likelihood and criteria."""
    per_row = document["log_likelihood_per_row"]
    out.print(f"{_count(document['n_rows'], 'row')} from {document['file']}")
    out.print(f"log-likelihood {document['log_likelihood']:.6g} nats, {per_row:.6g} per row")
    out.print(f"BIC {document['bic']:.6g}, AIC {document['aic']:.6g}: lower is better")


def describe(letters: str, n_features: int) -> str:
    """A covariance family in words."""
    words = ["equal" if letter == "E" else "varying" for letter in letters]
    if n_features == 1:
        return f"{words[0]} variance"
    if letters[1:] == "II":
        return f"spheres, volume {words[0]}"
    if letters[2] == "I":
        return f"along the axes, volume {words[0]}, shape {words[1]}"
    return f"volume {words[0]}, shape {words[1]}, orientation {words[2]}"


def mean_and_spread(means: Sequence[float], spreads: Sequence[float]) -> list[str]:
    """A feature in all components: the smallest spread with three digits, the rest with as many decimals."""
    least, largest = min(spreads), max(map(abs, (*means, *spreads)))
    decimals = max(0, 2 - math.floor(math.log10(max(least, 1e-300))))
    digits = min(17, decimals + 1 + max(0, math.floor(math.log10(max(largest, 1e-300)))))
    if not 1e-4 <= least < 1e6 or digits == 17:
        digits = 6 if least > 1e-4 * largest else digits
        return [
            f"{mean:.{digits}g}{PLUS_MINUS}{spread:.3g}" for mean, spread in zip(means, spreads, strict=True)
        ]
    rounded = [(round(mean, decimals) + 0.0, spread) for mean, spread in zip(means, spreads, strict=True)]
    return [f"{mean:.{decimals}f}{PLUS_MINUS}{spread:.{decimals}f}" for mean, spread in rounded]


def _print_candidates(out: Console, document: Document) -> None:
    """The best sound candidates, and how many others there were."""
    criterion, candidates = document["criterion"], document["candidates"]
    best, name = candidates[0][criterion], criterion.upper()
    fitted = [each for each in candidates if each[criterion] is not None]
    sound = [each for each in fitted if each["degenerate"] is False] or fitted
    collapsed = [each for each in fitted if each not in sound]
    lower = [each for each in collapsed if each[criterion] < best]
    out.print(f"Best of {_count(len(candidates), 'candidate')} by {name} (lower is better):")
    heads = ["components", "covariance", name, "difference", "log-likelihood", "parameters", ""]
    _print_table(out, heads, [_candidate_line(each, best, criterion) for each in sound[:BEST]])
    if collapsed or len(fitted) < len(candidates):
        out.print()
    if collapsed:
        many = _count(len(collapsed), "candidate")
        of_lower = f", {len(lower)} of them with a lower {name}" if lower else ""
        out.print(f"Passed over: {many} in which a component collapsed on few rows{of_lower}.")
    if len(fitted) < len(candidates):
        out.print(f"Could not be fitted: {_count(len(candidates) - len(fitted), 'candidate')}.")


def _candidate_line(each: Document, best: float, criterion: str) -> list[str]:
    difference, digits = each[criterion] - best, 4 if criterion == "cv" else 2
    notes = {"(not converged)": not each["converged"], "(from a sample)": each["provisional"]}
    return [
        f"{each['n_components']}",
        each["covariance_type"],
        f"{each[criterion]:,.{digits}f}",
        f"{difference:+,.{digits}f}" if difference else "",
        f"{each['log_likelihood']:,.2f}",
        f"{each['n_parameters']}",
        " ".join(note for note, holds in notes.items() if holds),
    ]


def _how_it_ended(document: Document) -> str:
    ended = {
        "converged": "Converged",
        "max_iter": "Did not converge",
        "collapsed": "A covariance became singular",
    }
    return (
        f"{ended[document['reason']]} after {_count(document['n_iter'], 'iteration')}; log-likelihood "
        f"{document['log_likelihood']:,.2f} nats, {document['log_likelihood_per_row']:.4f} per row"
    )


def _parts(lines: list[list[str]], width: int) -> list[tuple[list[str], list[list[str]]]]:
    """A table cut into tables of whole columns that fit the width; each repeats the first column."""
    widths = [max(len(line[i]) for line in lines) + 2 for i in range(len(lines[0]))]
    groups: list[list[int]] = [[]]
    for i in range(1, len(widths)):
        if groups[-1] and widths[0] + sum(widths[j] for j in groups[-1]) + widths[i] > width:
            groups.append([])
        groups[-1].append(i)
    cut = [[[line[0], *(line[i] for i in group)] for line in lines] for group in groups]
    return [(part[0], part[1:]) for part in cut]


def _print_table(out: Console, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """The first column to the left, numbers to the right."""
    from rich.cells import cell_len

    widths = [max(cell_len(line[i]) for line in (heads, *lines)) for i in range(len(heads))]
    out.print()
    for n, line in enumerate((heads, *lines)):
        blanks = [" " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        cells = [blank + cell for cell, blank in zip(line, blanks, strict=True)]
        text = "  ".join([line[0] + blanks[0], *cells[1:]]).rstrip()
        out.print(text, style=None if n else "bold", no_wrap=True, crop=False, overflow="ignore")


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _words(key: str) -> str:
    return {"n_rows": "rows", "log_likelihood": "log-likelihood"}.get(key, key.upper())


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
