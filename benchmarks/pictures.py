"""The pictures of the benchmarks, from the numbers that `bench.py --json FILE` wrote: python pictures.py FILE FOLDER.

roofline.png: operations per second against operations per byte of the rows, under what the machine can do at most.
ratios.png: how many times as long the other libraries take for an iteration.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import Case, geometric_mean
from em_iteration import median
from matplotlib.lines import Line2D

from gaussmix.plot._style import INK, PALETTE, SOFT, dress, label_axes, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The same colours and marks in both pictures.
COLORS = dict(zip(("gaussmix", "oneDAL", "scikit-learn", "Armadillo", "mclust"), PALETTE, strict=False))
MARKS = dict(zip(COLORS, "osD^v", strict=True))


def large(numbers: dict[str, Any], dtype: str) -> list[dict[str, Any]]:
    """Results of the cases with many rows."""
    return [r for r in numbers["iterations"] if r["dtype"] == dtype and not Case(**r["case"]).small]


# ---- roofline --------------------------------------------------------------------------------------------------------


def intensity(result: dict[str, Any]) -> float:
    """Operations per byte, if each row is read from memory once per iteration."""
    case = Case(**result["case"])
    item = 4 if result["dtype"] == "float32" else 8
    return case.flops / (case.n_rows * case.n_features * item)


ROOFED = ("gaussmix", "oneDAL", "scikit-learn")


def best_product(numbers: dict[str, Any], dtype: str) -> float:
    """GFLOP/s of the matrix product at its best: before the benchmarks, or between them."""
    return max(numbers["machine"]["product"][dtype][-1], *(r["product"] for r in large(numbers, dtype)))


def draw_roof(ax: Axes, numbers: dict[str, Any], dtype: str, span: tuple[float, float]) -> None:
    """The least of the two bounds that were measured in the same run."""
    peak, copy = best_product(numbers, dtype), numbers["machine"]["copy"][-1]
    x = np.geomspace(*span, 400)
    ax.plot(x, np.minimum(peak, copy * x), color=INK, linewidth=1.4, zorder=2)
    words = {"fontsize": 7.5, "color": SOFT, "textcoords": "offset points", "va": "bottom"}
    ax.annotate(f"matrix product {peak:.0f} GFLOP/s", (span[1], peak), (-4, 3), ha="right", **words)
    if copy * span[0] < 0.6 * peak:
        ax.annotate(f"memory {copy:.0f} GB/s", (span[0], peak), (6, 3), ha="left", **words)


def name_cases(ax: Axes, found: list[dict[str, Any]], at: list[float]) -> None:
    """D and K of the cases at each intensity, above the panel; those at nearly the same share a place."""
    groups: list[tuple[float, list[str]]] = []
    for place, result in zip(at, found, strict=True):
        name = f"{result['case']['n_features']}, {result['case']['n_components']}"
        if not groups or place > 1.3 * groups[-1][0]:
            groups.append((place, []))
        groups[-1][1].append(name)
    top = ax.secondary_xaxis("top")
    top.set_xticks([place for place, _ in groups], ["\n".join(names) for _, names in groups])
    top.minorticks_off()
    top.tick_params(color=SOFT, labelcolor=SOFT, labelsize=7, length=3, width=0.7)
    top.spines["top"].set_visible(False)


def draw_roofline_panel(ax: Axes, numbers: dict[str, Any], dtype: str) -> None:
    found = sorted(large(numbers, dtype), key=intensity)
    at = [intensity(result) for result in found]
    span = min(at) / 2.2, max(at) * 1.6
    dress(ax).set(xscale="log", yscale="log", xlim=span)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    draw_roof(ax, numbers, dtype, span)
    name_cases(ax, found, at)
    for name in ROOFED:
        for kind, face in (("full", COLORS[name]), ("diag", "white")):
            chosen = [r for r in found if r["case"]["covariance_type"] == kind and name in r["libraries"]]
            rates = [
                Case(**result["case"]).flops / median(result, name, "marginal") / 1e9 for result in chosen
            ]
            ax.plot(
                list(map(intensity, chosen)), rates, linestyle="none", marker=MARKS[name], markersize=6,
                color=COLORS[name], markerfacecolor=face, markeredgewidth=1.2, zorder=4,
                label=name if kind == "full" and chosen else None,
            )  # fmt: skip
    label_axes(ax, "operations per byte of the rows", "GFLOP/s")
    ax.set_title(f"{dtype}; numbers are D, K", loc="left", fontsize=9, color=INK)


def draw_roofline(numbers: dict[str, Any]) -> Figure:
    """One panel for each precision that was measured."""
    dtypes = [dtype for dtype in ("float64", "float32") if large(numbers, dtype)]
    figure = new_figure(4.9 * len(dtypes), 4.4)
    panels = figure.subplots(1, len(dtypes), squeeze=False, sharey=True)[0]
    for ax, dtype in zip(panels, dtypes, strict=True):
        draw_roofline_panel(ax, numbers, dtype)
    for ax in panels[1:]:
        ax.set_ylabel("")
    panels[0].set_ylim(
        top=max(panels[0].get_ylim()[1], *(2 * best_product(numbers, dtype) for dtype in dtypes))
    )
    handles, labels = panels[0].get_legend_handles_labels()
    handles += [Line2D([], [], linestyle="none", marker="o", color=SOFT, markerfacecolor="white")]
    labels += ["hollow: diagonal covariances"]
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=5 if len(dtypes) > 1 else 2,
        frameon=False,
        fontsize=8.5,
    )
    return figure


# ---- ratios ----------------------------------------------------------------------------------------------------------


def ratio(result: dict[str, Any], name: str) -> float:
    """NaN where the library failed."""
    if name not in result["libraries"]:
        return np.nan
    return median(result, name, "marginal") / median(result, "gaussmix", "marginal")


def rows_of_bars(found: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """The geometric means, then each case."""
    names = [name for name in COLORS if name != "gaussmix" and any(name in r["libraries"] for r in found)]
    cases = [{name: ratio(result, name) for name in names} for result in found]
    yield "geometric mean", {name: geometric_mean(case[name] for case in cases) for name in names}
    yield from zip([Case(**r["case"]).short_name for r in found], cases, strict=True)


def draw_ratios(numbers: dict[str, Any]) -> Figure:
    """Bars from one on: right of it gaussmix is faster."""
    found = large(numbers, "float64")
    rows = list(rows_of_bars(found))
    names = list(rows[0][1])
    height = 0.8 / len(names)
    figure = new_figure(8.2, 0.62 + 0.11 * len(rows) * (len(names) + 1))
    ax = dress(figure.add_subplot(), grid="x")
    for j, name in enumerate(names):
        y = [i + (j - (len(names) - 1) / 2) * height for i in range(len(rows))]
        values = [row[name] for _, row in rows]
        ax.barh(
            y, np.subtract(values, 1), left=1, height=0.86 * height, color=COLORS[name], label=name, zorder=3
        )
        for place, value in zip(y, values, strict=True):
            if np.isnan(value):
                continue
            side, shift = ("left", 3) if value >= 1 else ("right", -3)
            ax.annotate(
                f"{value:.0f}" if value >= 10 else f"{value:.1f}", (value, place), (shift, 0),
                textcoords="offset points", ha=side, va="center", fontsize=6.5, color=INK,
            )  # fmt: skip
    ax.axvline(1, color=INK, linewidth=1, zorder=4)
    ax.set(xscale="log", yticks=range(len(rows)), ylim=(len(rows) - 0.45, -0.55))
    ax.set_yticklabels([name for name, _ in rows], fontsize=8)
    ax.get_yticklabels()[0].set_fontweight("bold")
    ax.axhline(0.5, color=SOFT, linewidth=0.7)
    low, high = (
        pick([1.0, *(value for _, row in rows for value in row.values())]) for pick in (np.nanmin, np.nanmax)
    )
    ticks = [
        tick
        for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
        if low / 2 < tick < 2 * high
    ]
    ax.set(xlim=(low / 1.4, high * 1.5), xticks=ticks, xticklabels=[f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    label_axes(ax, "one more iteration, gaussmix = 1")
    figure.legend(loc="outside upper center", ncols=len(names), frameon=False, fontsize=8.5)
    return figure


def draw(numbers: dict[str, Any], folder: Path) -> list[Path]:
    """Write the pictures that the numbers suffice for."""
    if not {"machine", "iterations"} <= set(numbers):
        return []
    figures = {"roofline.png": draw_roofline(numbers), "ratios.png": draw_ratios(numbers)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / name, metadata={"Software": None})
    return [folder / name for name in figures]


if __name__ == "__main__":
    for path in draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])):
        print(path)
