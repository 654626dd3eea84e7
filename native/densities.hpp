// E-step: l_k = ln(pi_k N(x | mu_k, Sigma_k)) of one component for the rows of a tile, eq. (4).
#pragma once
#include "tile.hpp"

namespace {

// What W (x - mu) starts from, besides W (x - high): see Components.
template <class Real>
inline Real rest_of_whitened(const Real* rest, int i) {
    return sizeof(Real) == 8 || !rest ? Real(0) : rest[i];
}

// All of a small triangle in registers, N vectors of rows at a time.
template <class Real, int D>
void distances_small(const Tile<Real>& tile, int k, Real constant, Real* out) {
    constexpr int N = D <= 4 ? 4 : 2, L = lanes<Real>, P = panel_rows<Real>;
    using Some = Wide<Real, N>;
    const Real *mean = tile.mean(k), *rest = tile.rest(k), *root = tile.root(k);
    for (int t = 0; t < tile.T; t += N * L) {
        reread(mean), reread(rest), reread(root);
        const Real* x = tile.feature(0, t);
        Some r[D], total{};
        unrolled<D>([&](auto i) {
            Some y = Some::splat(rest_of_whitened(rest, i));
            r[i] = Some::load(x + i * P) - mean[i];
            unrolled<i + 1>([&](auto j) { y += r[j] * root[triangle(i) + j]; });
            total += y * y;
        });
        (Some::splat(constant) - total * Real(0.5)).store(out + t);
    }
}

// y = W r for `Height` rows of the triangle from row i on and one panel, r = x - mean; gives each y_i to `take`. The rows
// before have left their r in `residual`, these add theirs.
//
//            r_0 r_1 ...                      width x lanes samples
//   W row i    * *  . . . .  +---+---+---+---+
//   W row i+1  * *  *        | accumulators  |  Height x width of them
//   W row i+2  * *  * *      +---+---+---+---+
template <class Real, int Height, class Take>
[[gnu::always_inline]] inline void whiten_rows(const Real* root, const Real* rest, const Real* x, const Real* mean,
                                               Real* residual, int i, const Take& take) {
    constexpr int P = panel_rows<Real>;
    Panel<Real> y[Height];
    const Real* w[Height];
    unrolled<Height>([&](auto h) {
        w[h] = root + triangle(i + h), y[h] = Panel<Real>::splat(rest_of_whitened(rest, i + h));
    });
    for (int j = 0; j < i; ++j) {
        const auto r = Panel<Real>::load(residual + j * P);
        unrolled<Height>([&](auto h) { y[h] += r * w[h][j]; });
    }
    unrolled<Height>([&](auto g) {  // the corner above the diagonal is left out
        const Panel<Real> r = Panel<Real>::load(x + (i + g) * P) - mean[i + g];
        r.store(residual + (i + g) * P);
        unrolled<Height - g>([&](auto below) { y[g + below] += r * w[g + below][i + g]; });
    });
    unrolled<Height>([&](auto h) { take(i + h, y[h]); });
}

// y = W (x - mean) of one panel.
template <class Real, class Take>
inline void whiten_panel(const Tile<Real>& tile, const Real* root, const Real* rest, const Real* mean, int begin,
                         const Take& take) {
    const Real* x = tile.feature(0, begin);
    in_steps_of<height>(tile.D, [&](int i, auto rows) __attribute__((always_inline)) {
        whiten_rows<Real, rows>(root, rest, x, mean, tile.residual, i, take);
    });
}

// sum |y_j|^2 of one panel of `x` (D, P), where y_j = of(x_j - mean_j, j).
template <class Real, class Of>
inline Panel<Real> squared_panel(const Real* x, const Real* mean, int D, Of of) {
    Panel<Real> total{};
    for (int j = 0; j < D; ++j) {
        const Panel<Real> y = of(Panel<Real>::load(x + j * panel_rows<Real>) - mean[j], j);
        total += y * y;
    }
    return total;
}

// l_k of one component; `out` (T).
template <class Real>
[[gnu::flatten]] void distances(const Tile<Real>& tile, int k, Real* out) {
    const Real constant = Real(tile.c.constant[k]), *mean = tile.mean(k), *rest = tile.rest(k), *root = tile.root(k);
    auto in_registers = [&](auto D) { distances_small<Real, D>(tile, k, constant, out); };
    if (!tile.c.diagonal && as_constant<1, small>(tile.D, in_registers)) return;
    auto scaled = [&](Panel<Real> r, int j) { return r * root[j] + Panel<Real>::splat(rest_of_whitened(rest, j)); };
    for (int t = 0; t < tile.T; t += panel_rows<Real>) {
        Panel<Real> squared{};
        if (tile.c.diagonal) squared = squared_panel(tile.feature(0, t), mean, tile.D, scaled);
        else whiten_panel(tile, root, rest, mean, t, [&](int, const Panel<Real>& y) { squared += y * y; });
        (Panel<Real>::splat(constant) - squared * Real(0.5)).store(out + t);
    }
}

// l_k of all components for one panel whose rows are whitened once, about the shared centre: y_k = W (x - c) - W (mu_k - c).
// False if the watch says so.
template <class Real>
[[gnu::flatten]] bool distances_centred(const Tile<Real>& tile, int t, const Watch& watch) {
    const Real *centre = static_cast<const Real*>(tile.c.centre), *centred = static_cast<const Real*>(tile.c.centred);
    const Real* no_rest = nullptr;  // the centre is what it was rounded to
    whiten_panel(tile, tile.root(0), no_rest, centre, t,
                 [&](int i, const Panel<Real>& y) { y.store(tile.whitened + i * panel_rows<Real>); });
    for (int k = 0; k < tile.K; ++k, centred += tile.D) {
        if (!watch.go_on(watch.self)) return false;
        const Panel<Real> squared = squared_panel(tile.whitened, centred, tile.D, [](Panel<Real> y, int) { return y; });
        (Panel<Real>::splat(Real(tile.c.constant[k])) - squared * Real(0.5)).store(tile.slot(k) + t);
    }
    return true;
}

}  // namespace
