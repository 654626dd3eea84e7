"""Pictures: rendered with Agg, and their content read back from the artists."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import gaussmix
from gaussmix import Mixture, plot
from gaussmix.errors import DataError, ParameterError
from gaussmix.outcome import Fit
from gaussmix.plot import _style
from gaussmix.plot._view import extent
from gaussmix.plot.classes import ellipse
from gaussmix.plot.curves import _apart
from gaussmix.selection import Candidate, Selection


def correlated(n_features: int, seed: int = 0) -> Mixture:
    """Three components whose covariances differ in every way."""
    rng = np.random.default_rng(seed)
    roots = rng.normal(size=(3, n_features, n_features)) + 2 * np.eye(n_features)
    return Mixture(
        weights=[0.5, 0.3, 0.2],
        means=rng.normal(size=(3, n_features)) * 6,
        covariances=roots @ roots.transpose(0, 2, 1),
        feature_names=[f"column {j}" for j in range(n_features)],
    )


def with_noise(mixture: Mixture, X: np.ndarray) -> Mixture:
    return Mixture(
        weights=0.8 * mixture.weights,
        means=mixture.means,
        covariances=mixture.full_covariances,
        noise_weight=0.2,
        noise_density=1 / float(np.prod(np.ptp(X, axis=0))),
    )


def render(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    assert buffer.getvalue().startswith(b"\x89PNG")
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    assert np.ptp(pixels[..., :3]) > 100
    return pixels


def by_gid(ax: Axes, start: str) -> dict[str, object]:
    artists = [*ax.lines, *ax.patches]
    return {a.get_gid(): a for a in artists if (a.get_gid() or "").startswith(start)}


def distances(ax: Axes, gid: str, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances of points all along a curve that was drawn."""
    path = by_gid(ax, "ellipse")[gid].get_path()
    edge = np.concatenate([piece(np.linspace(0, 1, 9)) for piece, _ in path.iter_bezier()]) - mean
    return np.einsum("ni,ij,nj->n", edge, np.linalg.inv(covariance), edge)


def note_of(ax: Axes) -> str:
    return ax.get_title(loc="left")


# ---- the marginal -------------------------------------------------------------------------------------


def test_marginal_integrates_the_other_features_out():
    mixture = correlated(2)
    x, y = np.linspace(-30, 30, 1201), np.linspace(-40, 40, 1601)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    joint = np.exp(mixture.log_density(grid.reshape(-1, 2))).reshape(len(x), len(y))
    single = np.exp(mixture.marginal([0]).log_density(x[:, None]))
    np.testing.assert_allclose(np.trapezoid(joint, y, axis=1), single, atol=1e-10)


def test_marginal_keeps_order_and_names():
    mixture = correlated(4)
    some = mixture.marginal([3, 1])
    assert some.feature_names == ("column 3", "column 1")
    np.testing.assert_array_equal(some.means, mixture.means[:, [3, 1]])
    np.testing.assert_array_equal(some.full_covariances[:, 0, 1], mixture.full_covariances[:, 3, 1])
    assert mixture.marginal(range(4)).full_covariances.shape == (3, 4, 4)


@pytest.mark.parametrize("features", [[], [0, 0], [2], [-1]])
def test_marginal_refuses_other_positions(features):
    with pytest.raises(ParameterError, match="distinct positions from 0 to 1"):
        correlated(2).marginal(features)


def test_marginal_of_noise_needs_its_volume():
    mixture = with_noise(correlated(2), np.array([[0.0, 0.0], [2.0, 5.0]]))
    with pytest.raises(ParameterError, match="noise_density"):
        mixture.marginal([0])
    assert mixture.marginal([0], noise_density=0.5).noise_density == 0.5


# ---- density ------------------------------------------------------------------------------------------


def test_density_draws_each_component_and_their_sum():
    mixture = correlated(1)
    X, _ = mixture.sample(300, random_state=1)
    figure = Figure()
    FigureCanvasAgg(figure)
    given = figure.add_subplot()
    ax = plot.density(mixture, X, ax=given)
    assert ax is given
    x, total = by_gid(ax, "density")["density"].get_data()
    assert np.trapezoid(total, x) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(total, np.exp(mixture.log_density(x[:, None])))
    parts = by_gid(ax, "component")
    assert len(parts) == 3
    for k in range(3):
        line = parts[f"component {k}"]
        assert np.trapezoid(line.get_ydata(), x) == pytest.approx(mixture.weights[k], abs=1e-3)
        assert to_hex(line.get_color()) == _style.color(k).lower()
    assert ax.get_xlabel() == "column 0"
    assert {text.get_text() for text in ax.texts} == {"0", "1", "2"}
    assert note_of(ax) == "3 components, full · 300 rows"
    render(figure)


def test_density_histogram_has_area_one():
    mixture = correlated(1)
    X, _ = mixture.sample(2000, random_state=1)
    stairs = next(p for p in plot.density(mixture, X).patches if hasattr(p, "get_data"))
    heights, edges, _ = stairs.get_data()
    assert heights @ np.diff(edges) == pytest.approx(1)


def test_density_of_rounded_rows_has_bars_of_whole_steps():
    mixture = Mixture(weights=[1.0], means=[[50.0]], covariances=[9.0], covariance_type="spherical")
    X = np.round(mixture.sample(20_000, random_state=0)[0])
    stairs = next(p for p in plot.density(mixture, X).patches if hasattr(p, "get_data"))
    widths = np.diff(stairs.get_data().edges)
    np.testing.assert_allclose(widths, np.round(widths))


def test_density_of_one_feature_of_several_is_the_marginal():
    mixture = correlated(3)
    X, _ = mixture.sample(100, random_state=1)
    ax = plot.density(mixture, X, feature="column 2", rug=False)
    x, total = by_gid(ax, "density")["density"].get_data()
    np.testing.assert_allclose(total, np.exp(mixture.marginal([2]).log_density(x[:, None])))
    assert ax.get_xlabel() == "column 2"
    assert not ax.collections or all("LineCollection" not in type(c).__name__ for c in ax.collections)


def test_density_noise_is_uniform_over_the_rows():
    X, _ = correlated(1).sample(400, random_state=1)
    ax = plot.density(with_noise(correlated(1), X), X)
    x, total = by_gid(ax, "density")["density"].get_data()
    assert np.trapezoid(total, x) == pytest.approx(1, abs=1e-3)
    noise = by_gid(ax, "component")["component -1"]
    assert np.trapezoid(noise.get_ydata(), x) == pytest.approx(0.2, abs=1e-3)
    assert noise.get_color() == _style.NOISE


def test_density_needs_one_feature():
    mixture = correlated(3)
    X, _ = mixture.sample(10, random_state=1)
    with pytest.raises(DataError, match=r"this mixture has 3: choose one with feature=, or use plot\.pairs"):
        plot.density(mixture, X)
    with pytest.raises(ParameterError, match="no feature 'weight'"):
        plot.density(mixture, X, feature="weight")


# ---- classification -----------------------------------------------------------------------------------


def test_ellipses_lie_at_the_mahalanobis_distance_that_is_stated():
    mixture = correlated(2)
    X, _ = mixture.sample(200, random_state=1)
    ax = plot.classification(mixture, X, mass=(0.5, 0.95))
    assert len(by_gid(ax, "ellipse")) == 6
    rows, labels = mixture.sample(100_000, random_state=2)
    for k, (mean, covariance) in enumerate(zip(mixture.means, mixture.full_covariances, strict=True)):
        own = rows[labels == k] - mean
        inside = np.einsum("ni,ij,nj->n", own, np.linalg.inv(covariance), own)
        for share in (0.5, 0.95):
            found = distances(ax, f"ellipse {k} {share:g}", mean, covariance)
            np.testing.assert_allclose(found, found[0], rtol=1e-4)
            assert np.mean(inside < found[0]) == pytest.approx(share, abs=0.01)
    assert "ellipses hold 50 % and 95 % of a component" in note_of(ax)


def test_an_ellipse_is_exact_whatever_the_scales():
    covariance = np.array([[1e24, 0.6], [0.6, 1e-24]])
    edge = np.asarray(ellipse(np.zeros(2), covariance, 2.0).vertices) / [1e12, 1e-12]
    expected = np.asarray(ellipse(np.zeros(2), np.array([[1.0, 0.6], [0.6, 1.0]]), 2.0).vertices)
    np.testing.assert_allclose(edge, expected, rtol=1e-9, atol=1e-9)


def test_classification_draws_the_classes():
    mixture = correlated(2)
    X, _ = mixture.sample(250, random_state=1)
    figure = Figure()
    FigureCanvasAgg(figure)
    given = figure.add_subplot()
    ax = plot.classification(mixture, X, ax=given)
    assert ax is given
    labels = mixture.classify(X)
    points = by_gid(ax, "class")
    for k in range(3):
        drawn = np.stack(points[f"class {k}"].get_data(), axis=1)
        np.testing.assert_array_equal(drawn, X[labels == k])
        assert points[f"class {k}"].get_color() == _style.color(k)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 0", "column 1")
    assert {text.get_text() for text in ax.texts} == {"0", "1", "2"}
    assert "250 rows" in note_of(ax)
    render(figure)


def test_contours_enclose_the_stated_shares_of_the_rows():
    mixture = correlated(2)
    X, _ = mixture.sample(2000, random_state=1)
    ax = plot.classification(mixture, X)
    lines = ax.collections[-1]
    heights = mixture.log_density(X)
    shares = sorted(float(np.mean(heights > level)) for level in lines.levels)
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.75, 0.95], atol=0.002)
    plain = plot.classification(mixture, X, contours=False)
    assert not plain.collections
    assert "p(x)" not in note_of(plain)


def test_classification_marks_noise_in_grey():
    X, _ = correlated(2).sample(400, random_state=1)
    X = np.concatenate([X, np.random.default_rng(2).uniform(X.min(axis=0), X.max(axis=0), (100, 2))])
    ax = plot.classification(with_noise(correlated(2), X), X)
    noise = by_gid(ax, "class -1")["class -1"]
    assert noise.get_color() == _style.NOISE
    assert noise.get_marker() == "x"
    assert "noise (grey)" in note_of(ax)


def test_many_rows_are_sampled_and_the_picture_says_so():
    mixture = correlated(2)
    X, _ = mixture.sample(60_000, random_state=1)
    ax = plot.classification(mixture, X)
    shown = sum(len(line.get_xdata()) for line in by_gid(ax, "class").values())
    assert shown == 20_000
    assert "20,000 of 60,000 rows" in note_of(ax)
    few, many = (_style.point_style(n, 0, 1.0) for n in (100, 20_000))
    assert few["markersize"] > many["markersize"]
    assert few["alpha"] > many["alpha"]


def test_a_distant_row_is_drawn_at_the_edge():
    mixture = correlated(2)
    X, _ = mixture.sample(300, random_state=1)
    X = np.concatenate([X, [[1e6, 0.0]]])
    ax = plot.classification(mixture, X)
    assert ax.get_xlim()[1] < 1e3
    assert "1 distant row drawn at the edge" in note_of(ax)
    edge = next(line for line in ax.lines if line.get_marker() == "D")
    assert edge.get_xdata()[0] == ax.get_xlim()[1]


def test_classification_of_two_of_many_features():
    mixture = correlated(4)
    X, _ = mixture.sample(100, random_state=1)
    ax = plot.classification(mixture, X, features=["column 3", 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 3", "column 1")
    with pytest.raises(DataError, match=r"two features, this mixture has 4: .*plot\.pairs"):
        plot.classification(mixture, X)
    with pytest.raises(ParameterError, match="twice"):
        plot.classification(mixture, X, features=[1, "column 1"])
    with pytest.raises(ParameterError, match="must be two"):
        plot.classification(mixture, X, features=[0, 1, 2])


def test_classification_refuses():
    with pytest.raises(DataError, match=r"use plot\.density"):
        plot.classification(correlated(1), np.zeros((3, 1)))
    with pytest.raises(DataError, match="X has 3 columns, the mixture has 2 features"):
        plot.classification(correlated(2), np.zeros((5, 3)))
    with pytest.raises(ParameterError, match="between 0 and 1"):
        plot.classification(correlated(2), np.zeros((5, 2)), mass=[95])


def test_names_are_taken_literally():
    mixture = replace_names(correlated(2), ["cost_$ per $", "a^{b"])
    ax = plot.classification(mixture, mixture.sample(20, random_state=0)[0])
    assert ax.get_xlabel() == "cost_$ per $"
    render(ax.figure)


def replace_names(mixture: Mixture, names: list[str] | None) -> Mixture:
    covariances = mixture.full_covariances
    return Mixture(weights=mixture.weights, means=mixture.means, covariances=covariances, feature_names=names)


def test_names_come_from_the_frame_when_the_mixture_has_none():
    pd = pytest.importorskip("pandas")
    mixture = replace_names(correlated(2), None)
    X, _ = mixture.sample(20, random_state=0)
    assert plot.classification(mixture, X).get_xlabel() == "feature 0"
    assert plot.classification(mixture, pd.DataFrame(X, columns=["a", "b"])).get_xlabel() == "a"


# ---- pairs --------------------------------------------------------------------------------------------


def test_pairs_draws_marginals():
    mixture = correlated(3)
    X, _ = mixture.sample(120, random_state=1)
    grid = plot.pairs(mixture, X, mass=(0.5,))
    assert grid.shape == (3, 3)
    some = mixture.full_covariances[1][np.ix_([0, 2], [0, 2])]
    found = distances(grid[2, 0], "ellipse 1 0.5", mixture.means[1, [0, 2]], some)
    np.testing.assert_allclose(found, 2 * np.log(2), rtol=1e-4)
    x, total = by_gid(grid[1, 1], "density")["density"].get_data()
    np.testing.assert_allclose(total, np.exp(mixture.marginal([1]).log_density(x[:, None])))
    assert not grid[0, 2].axison
    assert [ax.get_xlabel() for ax in grid[2]] == ["column 0", "column 1", "column 2"]
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["", "column 1", "column 2"]
    assert grid[0, 2].get_legend() is not None
    render(grid[0, 0].figure)


def test_pairs_of_many_features_draws_those_that_separate():
    rng = np.random.default_rng(0)
    means = np.zeros((2, 9))
    telling = [0, 2, 3, 5, 7, 8]
    means[1, telling] = rng.uniform(3, 5, 6)
    mixture = Mixture(weights=[0.5, 0.5], means=means, covariances=np.ones((2, 9)), covariance_type="diag")
    X, _ = mixture.sample(50, random_state=1)
    grid = plot.pairs(mixture, X)
    assert grid.shape == (6, 6)
    assert [ax.get_xlabel() for ax in grid[-1]] == [f"feature {j}" for j in telling]
    assert "6 of 9 features, those that separate most" in grid[0, -1].get_legend().get_title().get_text()
    chosen = plot.pairs(mixture, X, features=[4, 1])
    assert "2 of 9 features\n" in chosen[0, -1].get_legend().get_title().get_text()


def test_pairs_in_given_axes():
    mixture = correlated(2)
    X, _ = mixture.sample(50, random_state=1)
    axes = Figure().subplots(2, 2)
    assert plot.pairs(mixture, X, axes=axes)[1, 0] is axes[1, 0]
    with pytest.raises(ParameterError, match="2 × 2 axes"):
        plot.pairs(mixture, X, axes=Figure().subplots(3, 3))
    with pytest.raises(DataError, match=r"plot\.density"):
        plot.pairs(correlated(1), X[:, :1])


def test_pairs_with_noise_and_many_components():
    rng = np.random.default_rng(0)
    mixture = Mixture(
        weights=np.full(20, 0.05),
        means=rng.normal(size=(20, 3)) * 5,
        covariances=np.ones(20),
        covariance_type="spherical",
    )
    X, _ = mixture.sample(200, random_state=1)
    grid = plot.pairs(with_noise(mixture, X), X)
    legend = grid[0, -1].get_legend()
    assert [text.get_text() for text in legend.get_texts()][-1] == "noise: 20.0 %"
    assert "and 6 more components" in legend.get_title().get_text()
    x, total = by_gid(grid[0, 0], "density")["density"].get_data()
    assert np.trapezoid(total, x) == pytest.approx(1, abs=1e-2)


# ---- criterion, trace, summary ------------------------------------------------------------------------


def cell(n_components: int, family: str, bic: float | None, degenerate: tuple[int, ...] = ()) -> Candidate:
    """A candidate with the BIC that is wanted, or a failed one."""
    if bic is None:
        return Candidate(n_components, family, None, None, "failed")
    mixture = Mixture(weights=[1.0], means=[[0.0]], covariances=[1.0], covariance_type="spherical")
    log_likelihood = (mixture.n_parameters * np.log(100) - bic) / 2
    fit = Fit(
        mixture, "converged", (log_likelihood,), (log_likelihood,), 100.0, n_iter=1, degenerate=degenerate
    )
    return Candidate(n_components, family, fit, bic, "")


def table() -> Selection:
    values = {
        "EII": [500.0, 450.0, None, 430.0],
        "VVV": [500.0, 400.0, 410.0, 300.0],
        "EEE": [None, None, None, None],
    }
    cells = [
        cell(k, family, bic, degenerate=(0,) if bic == 300 else ())
        for family, row in values.items()
        for k, bic in enumerate(row, 1)
    ]
    return Selection(tuple(cells), "bic")


def test_criterion_leaves_gaps_and_marks_the_best():
    given = Figure().add_subplot()
    ax = plot.criterion(table(), ax=given)
    assert ax is given
    np.testing.assert_allclose(by_gid(ax, "family EII")["family EII"].get_ydata(), [500, 450, np.nan, 430])
    assert np.all(np.isnan(by_gid(ax, "family EEE")["family EEE"].get_ydata()))
    best = by_gid(ax, "best")["best"]
    np.testing.assert_allclose([*best.get_xdata(), *best.get_ydata()], [2, 400])
    texts = [text.get_text() for text in ax.texts]
    assert "VVV, K = 2: 400.0" in texts
    assert {"EII", "VVV"} <= set(texts)
    assert "EEE" not in texts
    assert "12 candidates · 5 failed (gaps) · 1 degenerate (hollow)" in note_of(ax)
    hollow = [line for line in ax.lines if line.get_gid() == "degenerate" and np.any(line.get_ydata() == 300)]
    assert hollow[0].get_markerfacecolor() == "white"
    render(plot.criterion(table()).figure)


def test_criterion_names_the_criterion():
    ax = plot.criterion(replace(table(), criterion="icl"))
    assert ax.get_ylabel() == "ICL (lower is better)"
    assert ax.get_xlabel() == "number of components K"


def test_criterion_of_all_families_is_readable():
    rng = np.random.default_rng(0)
    names = gaussmix.families.NAMES
    cells = [cell(k, name, 1000 + 1e5 * (k == 1) + rng.normal()) for name in names for k in range(1, 10)]
    ax = plot.criterion(Selection(tuple(cells), "bic"))
    assert ax.get_ylim()[1] < 2000
    assert "14 above the upper edge" in note_of(ax)
    render(ax.figure)
    labels = [text for text in ax.texts if text.get_text() in names]
    # Of the text alone: an annotation's own extent holds its leader line.
    boxes = sorted((Text.get_window_extent(text) for text in labels), key=lambda box: box.y0)
    assert len(boxes) == 14
    assert all(low.y0 + 0.8 * low.height < high.y0 for low, high in pairwise(boxes))


def test_criterion_of_a_single_candidate():
    render(plot.criterion(Selection((cell(3, "VVV", 12.0),), "bic")).figure)


@pytest.mark.parametrize("wanted", [[0.0, 0.0, 0.0], [0.5, 0.5, 0.51], [1.0, 1.0, 1.0], [0.1], []])
def test_labels_are_moved_apart_within_the_axes(wanted):
    heights = _apart(np.array(wanted), 0.1)
    assert np.all(np.diff(heights) >= 0.1 - 1e-12)
    assert np.all((heights >= 0) & (heights <= 1 + 1e-12))


def test_trace_draws_each_pass():
    X, _ = correlated(2).sample(300, random_state=1)
    fit = gaussmix.fit(X, 3, random_state=0, n_init=2)
    ax = plot.trace(fit)
    np.testing.assert_array_equal(by_gid(ax, "log")["log-likelihood"].get_ydata(), fit.log_likelihoods)
    assert note_of(ax) == f"converged after {fit.n_iter} M-steps\nbest of 2 starts"
    render(ax.figure)


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_summary_chooses_the_picture(n_features):
    mixture = correlated(n_features)
    X, _ = mixture.sample(80, random_state=1)
    figure = plot.summary(mixture, X)
    assert len(figure.axes) == max(1, n_features**2 * (n_features > 2))
    render(figure)
    both = plot.summary(mixture, X, table())
    assert len(both.axes) == len(figure.axes) + 1
    assert both.axes[-1].get_ylabel() == "BIC (lower is better)"
    render(both)


# ---- manners ------------------------------------------------------------------------------------------


UGLY = {
    "one row": np.array([[1.0, 2.0]]),
    "the same rows": np.full((30, 2), 7.0),
    "a constant column": np.c_[np.linspace(0, 1, 40), np.full(40, 3.0)],
    "a line": np.c_[np.linspace(0, 1, 40), 2 * np.linspace(0, 1, 40)],
    "nearly constant": np.c_[np.r_[np.zeros(500), 1.0], np.arange(501.0)],
    "large and small": np.random.default_rng(0).normal(size=(60, 2)) * [1e-9, 1e9] + [1, 1e12],
}


@pytest.mark.parametrize("name", UGLY)
@pytest.mark.filterwarnings("ignore::gaussmix.errors.DegenerateWarning")
def test_ugly_rows_are_drawn(name):
    X = UGLY[name]
    mixture = gaussmix.fit(X, 1, random_state=0).mixture
    render(plot.summary(mixture, X))
    render(plot.density(mixture, X, feature=1).figure)
    render(plot.pairs(mixture, X)[0, 0].figure)


def test_extent_keeps_rare_groups_and_drops_distant_rows():
    bulk, none = np.linspace(0, 1, 200), np.empty(0)
    assert extent(np.r_[bulk, 3.0], none, none)[1] > 3
    assert extent(np.r_[bulk, 100.0], none, none)[1] < 2
    assert extent(np.r_[bulk, np.full(20, 100.0)], none, none)[1] > 100


def test_neither_settings_nor_pyplot_nor_rows_are_touched():
    mixture = correlated(3)
    X, _ = mixture.sample(50, random_state=1)
    X.flags.writeable = False
    before = dict(mpl.rcParams)
    plot.summary(mixture, X, table())
    plot.density(mixture, X, feature=0)
    plot.classification(mixture, X, features=[0, 1])
    assert dict(mpl.rcParams) == before


def test_palette_is_distinct_and_goes_on_beyond_its_length():
    assert len(set(_style.PALETTE)) == 12
    looks = {(_style.color(k), _style.marker(k), str(_style.line(k))) for k in range(36)}
    assert len(looks) == 36


def in_new_process(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_matplotlib_is_imported_by_the_first_picture_and_pyplot_by_none():
    code = """
import sys
import gaussmix, gaussmix.plot
def loaded(): return [n for n in ("matplotlib", "matplotlib.pyplot", "scipy", "sklearn") if n in sys.modules]
print(loaded())
gaussmix.plot.density
print(loaded())
m = gaussmix.Mixture(weights=[1.0], means=[[0.0, 1.0]], covariances=[1.0], covariance_type="spherical")
gaussmix.plot.summary(m, [[0.0, 1.0], [1.0, 2.0], [-1.0, 0.5]]).savefig("/dev/null", format="png")
print(loaded())
"""
    assert in_new_process(code).splitlines() == ["[]", "[]", "['matplotlib']"]


def test_names_of_the_package():
    assert set(plot.__all__) <= set(dir(plot))
    with pytest.raises(AttributeError, match="no attribute 'boxplot'"):
        _ = plot.boxplot
    modules = set(plot._HOMES.values())
    assert not modules & set(plot.__all__)


def test_whatever_has_a_mixture_is_drawn(rng):
    rows = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) + 6])
    fit = gaussmix.fit(rows, 2, random_state=0)
    selection = gaussmix.select(rows, [1, 2], ["VVV"], random_state=0)
    model = gaussmix.GaussianMixture(2, random_state=0).fit(rows)
    for each in (fit, selection, model):
        plot.summary(each, rows)
        plot.trace(each)
    with pytest.raises(ParameterError, match="expected a Mixture, a Fit"):
        plot.classification(rows, fit)
    with pytest.raises(ParameterError, match=r"plot\.trace draws a Fit, got Mixture"):
        plot.trace(fit.mixture)
    with pytest.raises(ParameterError, match=r"plot\.criterion draws a Selection, got Fit"):
        plot.criterion(fit)
