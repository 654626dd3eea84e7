// E-step: l_k = ln(pi_k N(x | mu_k, Sigma_k)) of one component for every row of a tile, eq. (4).
#pragma once
#include "tile.hpp"

namespace {

template <class Real>
void form_residuals(const Tile<Real>& tile, int k) {
    const Real *high = tile.high(k), *low = tile.low(k);
    for (int j = 0; j < tile.D; ++j)
        for (int t = 0; t < tile.T; t += lanes<Real>)
            store(tile.residual + j * tile.T + t, minus(load(tile.x + j * tile.T + t), high[j], low[j]));
}

// All of a small triangle in registers.
template <class Real, int D>
void distances_small(const Tile<Real>& tile, int k, Real constant, Real* out) {
    const Real *high = tile.high(k), *low = tile.low(k), *root = tile.root(k);
    for (int t = 0; t < tile.T; t += lanes<Real>) {
        Vector<Real> r[D], total{};
#pragma GCC unroll 4
        for (int j = 0; j < D; ++j) r[j] = minus(load(tile.x + j * tile.T + t), high[j], low[j]);
#pragma GCC unroll 4
        for (int i = 0; i < D; ++i) {
            Vector<Real> y = r[0] * root[i * (i + 1) / 2];
#pragma GCC unroll 4
            for (int j = 1; j <= i; ++j) y += r[j] * root[i * (i + 1) / 2 + j];
            total += y * y;
        }
        store(out + t, constant - Real(0.5) * total);
    }
}

// y = W r for `Height` rows of the triangle from row i on and `width` vectors of lanes; adds |y|^2 to total.
//
//            r_0 r_1 ...                      width x lanes samples
//   W row i    * *  . . . .  +---+---+---+---+
//   W row i+1  * *  *        | accumulators  |  Height x width of them
//   W row i+2  * *  * *      +---+---+---+---+
template <class Real, int Height>
inline void whiten_rows(const Real* root, const Real* residual, int i, int T, Vector<Real>* total) {
    Vector<Real> y[Height][width] = {};
    const Real* w[Height];
    for (int h = 0; h < Height; ++h) w[h] = root + (i + h) * (i + h + 1) / 2;
    for (int j = 0; j <= i; ++j) {
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> r = load(residual + j * T + v * lanes<Real>);
#pragma GCC unroll 4
            for (int h = 0; h < Height; ++h) y[h][v] += r * w[h][j];
        }
    }
#pragma GCC unroll 4
    for (int g = 1; g < Height; ++g) {  // the corner above the diagonal is left out
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> r = load(residual + (i + g) * T + v * lanes<Real>);
#pragma GCC unroll 4
            for (int h = g; h < Height; ++h) y[h][v] += r * w[h][i + g];
        }
    }
#pragma GCC unroll 4
    for (int h = 0; h < Height; ++h)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) total[v] += y[h][v] * y[h][v];
}

template <class Real>
void distances_full(const Tile<Real>& tile, int k, Real constant, Real* out) {
    form_residuals(tile, k);
    const Real* root = tile.root(k);
    for (int t = 0; t < tile.T; t += width * lanes<Real>) {
        Vector<Real> total[width] = {};
        const Real* r = tile.residual + t;
        int i = 0;
        for (; i + height <= tile.D; i += height) whiten_rows<Real, height>(root, r, i, tile.T, total);
        switch (tile.D - i) {
            case 1: whiten_rows<Real, 1>(root, r, i, tile.T, total); break;
            case 2: whiten_rows<Real, 2>(root, r, i, tile.T, total); break;
            case 3: whiten_rows<Real, 3>(root, r, i, tile.T, total); break;
        }
        for (int v = 0; v < width; ++v)
            store(out + t + v * lanes<Real>, constant - Real(0.5) * total[v]);
    }
}

template <class Real>
void distances_diagonal(const Tile<Real>& tile, int k, Real constant, Real* out) {
    const Real *high = tile.high(k), *low = tile.low(k), *root = tile.root(k);
    for (int t = 0; t < tile.T; t += width * lanes<Real>) {
        Vector<Real> total[width] = {};
        for (int j = 0; j < tile.D; ++j)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const Vector<Real> x = load(tile.x + j * tile.T + t + v * lanes<Real>);
                const Vector<Real> y = minus(x, high[j], low[j]) * root[j];
                total[v] += y * y;
            }
        for (int v = 0; v < width; ++v)
            store(out + t + v * lanes<Real>, constant - Real(0.5) * total[v]);
    }
}

// l_k of one component for the whole tile.
template <class Real>
void distances(const Tile<Real>& tile, int k, Real* out) {
    const Real constant = Real(tile.c.constant[k]);
    if (tile.c.diagonal) return distances_diagonal(tile, k, constant, out);
    switch (tile.D) {
        case 1: return distances_small<Real, 1>(tile, k, constant, out);
        case 2: return distances_small<Real, 2>(tile, k, constant, out);
        case 3: return distances_small<Real, 3>(tile, k, constant, out);
        case 4: return distances_small<Real, 4>(tile, k, constant, out);
        default: return distances_full(tile, k, constant, out);
    }
}

}  // namespace
