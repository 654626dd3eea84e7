// E-step: l_k = ln(pi_k N(x | mu_k, Sigma_k)) of one component for the rows of a tile, eq. (4).
#pragma once
#include "tile.hpp"

namespace {

// All of a small triangle or diagonal in registers.
template <class Real, int D, bool Diagonal>
void distances_small(const Tile<Real>& tile, int k, int begin, int end, Real constant, Real* out) {
    constexpr int unroll = D <= 2 ? 4 : 2, L = lanes<Real>, P = panel_rows<Real>;
    const Real *mean = tile.mean(k), *rest = tile.rest(k), *root = tile.root(k);
    for (; begin < end; begin += P)
        for (int v = 0; v < P; v += unroll * L) {
            reread(mean), reread(rest), reread(root);
            const Real* x = tile.feature(0, begin) + v;
            Vector<Real> r[D][unroll], total[unroll] = {};
#pragma GCC unroll 8
            for (int i = 0; i < D; ++i) {
                Vector<Real> y[unroll];
#pragma GCC unroll 4
                for (int u = 0; u < unroll; ++u) y[u] = rest_of_whitened(rest, i);
#pragma GCC unroll 4
                for (int u = 0; u < unroll; ++u) r[i][u] = load(x + i * P + u * L) - mean[i];
                const Real* w = root + (Diagonal ? i : i * (i + 1) / 2);
#pragma GCC unroll 8
                for (int j = Diagonal ? i : 0; j <= i; ++j, ++w)
#pragma GCC unroll 4
                    for (int u = 0; u < unroll; ++u) y[u] += r[j][u] * *w;
#pragma GCC unroll 4
                for (int u = 0; u < unroll; ++u) total[u] += y[u] * y[u];
            }
#pragma GCC unroll 4
            for (int u = 0; u < unroll; ++u) store(out + begin + v + u * L, constant - Real(0.5) * total[u]);
        }
}

// y = W r for `Height` rows of the triangle from row i on and one panel, r = x - mean; adds |y|^2 to total. The rows before
// have left their r in `residual`, these add theirs.
//
//            r_0 r_1 ...                      width x lanes samples
//   W row i    * *  . . . .  +---+---+---+---+
//   W row i+1  * *  *        | accumulators  |  Height x width of them
//   W row i+2  * *  * *      +---+---+---+---+
template <class Real, int Height>
inline void whiten_rows(const Real* root, const Real* rest, const Real* x, const Real* mean, Real* residual, int i,
                        Vector<Real>* total, Real* kept = nullptr) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    Vector<Real> y[Height][width];
    const Real* w[Height];
#pragma GCC unroll 8
    for (int h = 0; h < Height; ++h) {
        w[h] = root + (i + h) * (i + h + 1) / 2;
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) y[h][v] = rest_of_whitened(rest, i + h);
    }
    for (int j = 0; j < i; ++j) {
        Vector<Real> r[width];
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) r[v] = load(residual + j * P + v * L);
#pragma GCC unroll 8
        for (int h = 0; h < Height; ++h)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) y[h][v] += r[v] * w[h][j];
    }
#pragma GCC unroll 8
    for (int g = 0; g < Height; ++g) {  // the corner above the diagonal is left out
        Vector<Real> r[width];
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            r[v] = load(x + (i + g) * P + v * L) - mean[i + g];
            store(residual + (i + g) * P + v * L, r[v]);
        }
#pragma GCC unroll 8
        for (int h = g; h < Height; ++h)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) y[h][v] += r[v] * w[h][i + g];
    }
#pragma GCC unroll 8
    for (int h = 0; h < Height && kept; ++h)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) store(kept + (i + h) * P + v * L, y[h][v]);
#pragma GCC unroll 8
    for (int h = 0; h < Height; ++h)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) total[v] += y[h][v] * y[h][v];
}

// The last rows of the triangle, fewer than `Height`.
template <class Real, int Height>
inline void whiten_last(const Real* root, const Real* rest, const Real* x, const Real* mean, Real* residual, int i, int rows,
                        Vector<Real>* total, Real* kept = nullptr) {
    if constexpr (Height > 1) {
        if (rows == Height - 1) whiten_rows<Real, Height - 1>(root, rest, x, mean, residual, i, total, kept);
        else whiten_last<Real, Height - 1>(root, rest, x, mean, residual, i, rows, total, kept);
    }
}

template <class Real>
void distances_full(const Tile<Real>& tile, int k, int begin, int end, Real constant, Real* out) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    const Real *mean = tile.mean(k), *rest = tile.rest(k), *root = tile.root(k);
    Real* residual = tile.residual;
    const int D = tile.D;
    for (; begin < end; begin += P) {
        const Real* x = tile.feature(0, begin);
        Vector<Real> total[width] = {};
        int i = 0;
        for (; i + height <= D; i += height) whiten_rows<Real, height>(root, rest, x, mean, residual, i, total);
        whiten_last<Real, height>(root, rest, x, mean, residual, i, D - i, total);
        for (int v = 0; v < width; ++v) store(out + begin + v * L, constant - Real(0.5) * total[v]);
    }
}

// Rows [begin, begin + P) minus the shared centre, whitened: what all components are compared with.
template <class Real>
void whiten_about_centre(const Tile<Real>& tile, int begin) {
    const Real *x = tile.feature(0, begin), *centre = static_cast<const Real*>(tile.c.centre), *root = tile.root(0);
    Real *residual = tile.residual, *kept = tile.whitened;
    const int D = tile.D;
    Vector<Real> unused[width] = {};
    const Real* no_rest = nullptr;  // the centre is what it was rounded to
    int i = 0;
    for (; i + height <= D; i += height) whiten_rows<Real, height>(root, no_rest, x, centre, residual, i, unused, kept);
    whiten_last<Real, height>(root, no_rest, x, centre, residual, i, D - i, unused, kept);
}

// l_k of one component from rows that were whitened about the shared centre.
template <class Real>
void distances_centred(const Tile<Real>& tile, int k, int begin, Real* out) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    const Real *centred = static_cast<const Real*>(tile.c.centred) + std::int64_t(k) * tile.D, *whitened = tile.whitened;
    Vector<Real> total[width] = {};
    const int D = tile.D;
    for (int i = 0; i < D; ++i)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> y = load(whitened + i * P + v * L) - centred[i];
            total[v] += y * y;
        }
    const Real constant = Real(tile.c.constant[k]);
    for (int v = 0; v < width; ++v) store(out + begin + v * L, constant - Real(0.5) * total[v]);
}

template <class Real>
void distances_diagonal(const Tile<Real>& tile, int k, int begin, int end, Real constant, Real* out) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    const Real *mean = tile.mean(k), *rest = tile.rest(k), *root = tile.root(k);
    const int D = tile.D;
    for (; begin < end; begin += P) {
        const Real* x = tile.feature(0, begin);
        Vector<Real> total[width] = {};
        for (int j = 0; j < D; ++j)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const Vector<Real> r = load(x + j * P + v * L) - mean[j], y = r * root[j] + rest_of_whitened(rest, j);
                total[v] += y * y;
            }
        for (int v = 0; v < width; ++v) store(out + begin + v * L, constant - Real(0.5) * total[v]);
    }
}

// l_k of one component for rows [begin, end), whole panels; `out` (T).
template <class Real, int D = 1>
void distances(const Tile<Real>& tile, int k, int begin, int end, Real* out) {
    const Real constant = Real(tile.c.constant[k]);
    if (tile.D == D) {
        if (tile.c.diagonal) distances_small<Real, D, true>(tile, k, begin, end, constant, out);
        else distances_small<Real, D, false>(tile, k, begin, end, constant, out);
    } else if constexpr (D < small) {
        distances<Real, D + 1>(tile, k, begin, end, out);
    } else if (tile.c.diagonal) {
        distances_diagonal(tile, k, begin, end, constant, out);
    } else {
        distances_full(tile, k, begin, end, constant, out);
    }
}

}  // namespace
