"""Draw the pictures of the documents: ``python docs/figures.py`` writes docs/images/families.png.

One panel per covariance family. Each holds three components whose volume, shape and orientation are equal or vary as
the letters say; lines are one and two standard deviations.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from gaussmix.plot._style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parent / "images"

ROWS = (
    ("spheres;\none feature", ("EII", "VII", "E", "V")),
    ("along the\naxes", ("EEI", "VEI", "EVI", "VVI")),
    ("one\norientation", ("EEE", "VEE", "EVE", "VVE")),
    ("orientations\nof their own", ("EEV", "VEV", "EVV", "VVV")),
)
FORMULAS = {
    "EII": r"$\lambda I$", "VII": r"$\lambda_k I$", "E": r"$\sigma^2$", "V": r"$\sigma_k^2$",
    "EEI": r"$\lambda A$", "VEI": r"$\lambda_k A$", "EVI": r"$\lambda A_k$", "VVI": r"$\lambda_k A_k$",
    "EEE": r"$\lambda D A D^T$", "VEE": r"$\lambda_k D A D^T$",
    "EVE": r"$\lambda D A_k D^T$", "VVE": r"$\lambda_k D A_k D^T$",
    "EEV": r"$\lambda D_k A D_k^T$", "VEV": r"$\lambda_k D_k A D_k^T$",
    "EVV": r"$\lambda D_k A_k D_k^T$", "VVV": r"$\lambda_k D_k A_k D_k^T$",
}  # fmt: skip
ALIASES = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}

MEANS = np.array([[-2.05, -1.25], [2.05, -1.1], [0.0, 1.75]])
VOLUME = {"E": (0.3, 0.3, 0.3), "V": (0.14, 0.28, 0.6)}
# Ratios of the semi-axes, squared; below one the second is the longer.
SHAPE = {"E": (4.0, 4.0, 4.0), "V": (1.7, 0.2, 7.0), "I": (1.0, 1.0, 1.0)}
ANGLE = {"E": (35.0, 35.0, 35.0), "V": (70.0, -40.0, 15.0), "I": (0.0, 0.0, 0.0)}
INK = "#222222"
FAINT = "#7A7A7A"


def covariances(letters: str) -> list[tuple[float, float, float]]:
    """Semi-axes and angle of the three components of a family of two features."""
    volume, shape, orientation = letters
    parts = zip(VOLUME[volume], SHAPE[shape], ANGLE[orientation], strict=True)
    return [((size * ratio**0.5) ** 0.5, (size / ratio**0.5) ** 0.5, angle) for size, ratio, angle in parts]


def draw_ellipses(ax: Axes, letters: str) -> None:
    """Three components as ellipses."""
    for k, ((first, second, angle), mean) in enumerate(zip(covariances(letters), MEANS, strict=True)):
        for deviations, opacity in ((2.0, 0.13), (1.0, 0.22)):
            size = {"width": 2 * deviations * first, "height": 2 * deviations * second, "angle": angle}
            ax.add_patch(Ellipse(mean, **size, facecolor=PALETTE[k], alpha=opacity, edgecolor="none"))
            ax.add_patch(Ellipse(mean, **size, facecolor="none", edgecolor=PALETTE[k], linewidth=1.1))
        ax.plot(*mean, marker="o", markersize=2.6, color=PALETTE[k])
    ax.set(xlim=(-4.0, 4.0), ylim=(-3.1, 3.7), aspect="equal")


def draw_curves(ax: Axes, letter: str) -> None:
    """Three components of one feature as densities, and their mixture."""
    x = np.linspace(-4, 4, 400)
    spreads = {"E": (0.55, 0.55, 0.55), "V": (0.3, 0.5, 0.85)}[letter]
    total = np.zeros_like(x)
    for k, (mean, spread) in enumerate(zip((-2.4, -0.5, 1.9), spreads, strict=True)):
        density = np.exp(-0.5 * ((x - mean) / spread) ** 2) / (3 * spread * np.sqrt(2 * np.pi))
        total += density
        ax.fill_between(x, density, color=PALETTE[k], alpha=0.22, linewidth=0)
        ax.plot(x, density, color=PALETTE[k], linewidth=1.1)
    ax.plot(x, total, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
    ax.set(xlim=(-4.0, 4.0), ylim=(-0.03, 0.6))
    ax.set_box_aspect(6.8 / 8.0)


def draw_families() -> Figure:
    """The fourteen families, and the two of one feature."""
    figure = Figure(figsize=(9.4, 8.6), dpi=130, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        4, 4, left=0.115, right=0.985, bottom=0.015, top=0.955, wspace=0.06, hspace=0.24
    )
    for i, (title, names) in enumerate(ROWS):
        for j, name in enumerate(names):
            ax = figure.add_subplot(grid[i, j])
            draw_ellipses(ax, name) if len(name) == 3 else draw_curves(ax, name)
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(color="#D9D9D9", linewidth=0.8)
            heading = {"transform": ax.transAxes, "va": "bottom"}
            letters = ax.text(
                0.0, 1.03, name, ha="left", fontsize=12, fontweight="bold", color=INK, **heading
            )
            if name in ALIASES:
                beside = {
                    "xy": (1.0, 0.0),
                    "xycoords": letters,
                    "xytext": (5, 0),
                    "textcoords": "offset points",
                }
                ax.annotate(ALIASES[name], **beside, va="bottom", fontsize=9, color=FAINT)
            ax.text(1.0, 1.03, FORMULAS[name], ha="right", fontsize=11, color=INK, **heading)
            if j == 0:
                place = {"transform": ax.transAxes, "ha": "right", "va": "center"}
                ax.text(-0.08, 0.5, title, fontsize=9.5, color=FAINT, **place)
    return figure


def main() -> None:
    """Write the pictures."""
    draw_families().savefig(IMAGES / "families.png", metadata={"Software": None})


if __name__ == "__main__":
    main()
