"""The house style: colours, marks and axes that every picture shares. No global setting is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Chosen for the largest smallest distance (OKLab) between any two as seen with normal vision, protanopia,
# deuteranopia and tritanopia (simulated after Machado, Oliveira & Fernandes 2009).
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#44AA99",
    "#AA3377",
    "#CCBB44",
    "#332288",
    "#66CCEE",
    "#5B3A29",
    "#C05AE0",
    "#A96B59",
    "#6A3D9A",
    "#BD1F01",
)
# Beyond twelve the colours come again with another mark and another line.
MARKERS = "os^Dv"
LINES = ("-", (0, (4, 1.5)), (0, (1, 1)))
NOISE = "#8C8C8C"
INK = "#222222"
SOFT = "#666666"
GRID = "#E6E6E6"
BARS = "#DADADA"


def color(label: int) -> str:
    """The colour of a component; −1 is noise."""
    return NOISE if label < 0 else PALETTE[label % len(PALETTE)]


def marker(label: int) -> str:
    """The mark of a component's rows."""
    return "x" if label < 0 else MARKERS[label // len(PALETTE) % len(MARKERS)]


def line(label: int) -> Any:
    """The line of a component's curve and ellipses."""
    return "--" if label < 0 else LINES[label // len(PALETTE) % len(LINES)]


def number(value: float, decimals: int) -> str:
    """A value with thousands separated, and the minus sign of the axes."""
    return f"{value:,.{decimals}f}".replace("-", "−")


def point_style(n_rows: int, label: int, scale: float) -> dict[str, Any]:
    """Colour, mark, size, opacity and edge of a class's points among ``n_rows`` of all classes."""
    crowd = max(n_rows / 200, 1.0)
    edge, width = ("white", 0.4) if n_rows <= 1000 else ("none", 0.0)
    return {
        "linestyle": "none",
        "color": color(label),
        "marker": marker(label),
        "markersize": scale * max(5.0 * crowd**-0.28, 1.4),
        "alpha": max(0.8 * crowd**-0.25, 0.2),
        # A cross is all edge.
        "markeredgecolor": NOISE if label < 0 else edge,
        "markeredgewidth": 0.8 if label < 0 else width,
        # A vector file of thousands of marks is slow to open.
        "rasterized": n_rows > 5000,
    }


def new_figure(width: float, height: float) -> Figure:
    """A figure that no pyplot knows, in the house's fonts and colours whatever the global settings are."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"figure.facecolor": "white", "savefig.facecolor": "white", "figure.dpi": 150}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> Axes:
    """The axes of a figure of their own."""
    return new_figure(width, height).add_subplot()


def dress(ax: Axes, grid: str = "both") -> Axes:
    """Two spines, small ticks, a light grid behind the data."""
    ax.set_facecolor("white")
    ax.set_axisbelow(True)
    ax.grid(False)
    if grid:
        ax.grid(True, axis=grid, color=GRID, linewidth=0.6, linestyle="-")  # type: ignore[arg-type]
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=SOFT, linewidth=0.7)
    ax.tick_params(color=SOFT, labelcolor=INK, labelsize=8, length=3, width=0.7)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_offset_text().set(size=7, color=SOFT)
    return ax


def label_axes(ax: Axes, x: str | None = None, y: str | None = None) -> None:
    """Axis labels, taken literally: a column name may hold a dollar sign."""
    if x is not None:
        ax.set_xlabel(shortened(x), fontsize=9, color=INK, parse_math=False)
    if y is not None:
        ax.set_ylabel(shortened(y), fontsize=9, color=INK, parse_math=False)


def shortened(name: str, longest: int = 40) -> str:
    """A column name that fits beside an axis."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def note(ax: Axes, *sentences: str) -> None:
    """What the picture shows and leaves out, in small grey type: the left title, free to be replaced."""
    text = "\n".join(sentence for sentence in sentences if sentence)
    ax.set_title(text, loc="left", fontsize=7.5, color=SOFT, linespacing=1.35, pad=8, parse_math=False)


def badge(ax: Axes, x: float, y: float, label: int, size: float = 7.5, **settings: Any) -> None:
    """The component's number in a ring of its colour, at a point of the data."""
    ax.annotate(
        str(label),
        (x, y),
        ha="center",
        va="center",
        fontsize=size,
        fontweight="bold",
        color=INK,
        bbox={
            "boxstyle": "circle,pad=0.22",
            "facecolor": "white",
            "edgecolor": color(label),
            "linewidth": 1.3,
        },
        zorder=6,
        annotation_clip=True,
        **settings,
    )
