// Statistics of a tile: mass, first and second moments of each component about its mean, eqs. (7), (8).
#pragma once
#include "tile.hpp"

namespace {

template <class Real, int D>
void moments_small(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    constexpr int unroll = D == 1 ? 4 : D == 2 ? 2 : 1, pairs = D * (D + 1) / 2;
    const Real *high = tile.high(k), *low = tile.low(k);
    Vector<Real> mass[unroll] = {}, first[unroll][D] = {}, second[unroll][pairs] = {};
    for (int t = 0; t < tile.T; t += unroll * lanes<Real>)
#pragma GCC unroll 4
        for (int u = 0; u < unroll; ++u) {
            const int at = t + u * lanes<Real>;
            const Vector<Real> g = load(e + at) * load(tile.scale + at);
            Vector<Real> r[D];
            mass[u] += g;
#pragma GCC unroll 4
            for (int i = 0; i < D; ++i) {
                r[i] = minus(load(tile.x + i * tile.T + at), high[i], low[i]);
                const Vector<Real> gr = g * r[i];
                first[u][i] += gr;
#pragma GCC unroll 4
                for (int j = 0; j <= i; ++j) second[u][i * (i + 1) / 2 + j] += gr * r[j];
            }
        }
    double* to = sums.second + (tile.c.shared ? 0 : k) * D * D;
    for (int u = 0; u < unroll; ++u) {
        sums.mass[k] += sum<Real>(mass[u]);
        for (int i = 0; i < D; ++i) {
            sums.first[k * D + i] += sum<Real>(first[u][i]);
            for (int j = 0; j <= i; ++j) to[i * D + j] += sum<Real>(second[u][i * (i + 1) / 2 + j]);
        }
    }
}

// e_k -> g for one component; its sum is the mass.
template <class Real>
void weigh(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    Vector<Real> mass[width] = {};
    for (int t = 0; t < tile.T; t += width * lanes<Real>)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const int at = t + v * lanes<Real>;
            const Vector<Real> g = load(e + at) * load(tile.scale + at);
            store(e + at, g);
            mass[v] += g;
        }
    sums.mass[k] += sum<Real>((mass[0] + mass[1]) + (mass[2] + mass[3]));
}

// g and g r for one component; their sums are the mass and the first moment.
template <class Real>
void weigh_residuals(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    const Real *high = tile.high(k), *low = tile.low(k);
    weigh(tile, k, e, sums);
    for (int j = 0; j < tile.D; ++j) {
        Vector<Real> first[width] = {};
        for (int t = 0; t < tile.T; t += width * lanes<Real>)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const int at = t + v * lanes<Real>;
                const Vector<Real> r = minus(load(tile.x + j * tile.T + at), high[j], low[j]);
                const Vector<Real> gr = load(e + at) * r;
                store(tile.residual + j * tile.T + at, r);
                store(tile.weighted + j * tile.T + at, gr);
                first[v] += gr;
            }
        sums.first[k * tile.D + j] += sum<Real>((first[0] + first[1]) + (first[2] + first[3]));
    }
}

// Height x Width entries of sum g r r^T from (i, j) on, over the whole tile.
template <class Real, int Height, int Width>
inline void outer_block(const Real* weighted, const Real* residual, int T, double* to, int stride) {
    Vector<Real> total[Height][Width] = {};
    for (int t = 0; t < T; t += lanes<Real>) {
        Vector<Real> r[Width];
#pragma GCC unroll 4
        for (int v = 0; v < Width; ++v) r[v] = load(residual + v * T + t);
#pragma GCC unroll 4
        for (int h = 0; h < Height; ++h) {
            const Vector<Real> gr = load(weighted + h * T + t);
#pragma GCC unroll 4
            for (int v = 0; v < Width; ++v) total[h][v] += gr * r[v];
        }
    }
    for (int h = 0; h < Height; ++h)
        if constexpr (Width == 4)
            add_sums_of_four<Real>(total[h][0], total[h][1], total[h][2], total[h][3], to + h * stride);
        else
            for (int v = 0; v < Width; ++v) to[h * stride + v] += sum<Real>(total[h][v]);
}

template <class Real, int Height>
inline void outer_row(const Real* weighted, const Real* residual, int T, double* to, int stride, int columns) {
    int j = 0;
    for (; j + 4 <= columns; j += 4) outer_block<Real, Height, 4>(weighted, residual + j * T, T, to + j, stride);
    switch (columns - j) {
        case 1: outer_block<Real, Height, 1>(weighted, residual + j * T, T, to + j, stride); break;
        case 2: outer_block<Real, Height, 2>(weighted, residual + j * T, T, to + j, stride); break;
        case 3: outer_block<Real, Height, 3>(weighted, residual + j * T, T, to + j, stride); break;
    }
}

template <class Real>
void moments_full(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    weigh_residuals(tile, k, e, sums);
    const int D = tile.D, T = tile.T;
    double* to = sums.second + (tile.c.shared ? 0 : std::int64_t(k)) * D * D;
    int i = 0;
    // A block of rows takes the columns up to its last diagonal entry; what lies above the diagonal is not read.
    for (; i + height <= D; i += height)
        outer_row<Real, height>(tile.weighted + i * T, tile.residual, T, to + i * D, D, i + height);
    switch (D - i) {
        case 1: outer_row<Real, 1>(tile.weighted + i * T, tile.residual, T, to + i * D, D, D); break;
        case 2: outer_row<Real, 2>(tile.weighted + i * T, tile.residual, T, to + i * D, D, D); break;
        case 3: outer_row<Real, 3>(tile.weighted + i * T, tile.residual, T, to + i * D, D, D); break;
    }
}

template <class Real>
void moments_diagonal(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    const Real *high = tile.high(k), *low = tile.low(k);
    weigh(tile, k, e, sums);
    for (int j = 0; j < tile.D; ++j) {
        Vector<Real> first[width] = {}, second[width] = {};
        for (int t = 0; t < tile.T; t += width * lanes<Real>)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const int at = t + v * lanes<Real>;
                const Vector<Real> r = minus(load(tile.x + j * tile.T + at), high[j], low[j]);
                const Vector<Real> gr = load(e + at) * r;
                first[v] += gr;
                second[v] += gr * r;
            }
        sums.first[k * tile.D + j] += sum<Real>((first[0] + first[1]) + (first[2] + first[3]));
        sums.second[k * tile.D + j] += sum<Real>((second[0] + second[1]) + (second[2] + second[3]));
    }
}

template <class Real>
void moments(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    if (tile.c.diagonal) return moments_diagonal(tile, k, e, sums);
    switch (tile.D) {
        case 1: return moments_small<Real, 1>(tile, k, e, sums);
        case 2: return moments_small<Real, 2>(tile, k, e, sums);
        case 3: return moments_small<Real, 3>(tile, k, e, sums);
        case 4: return moments_small<Real, 4>(tile, k, e, sums);
        default: return moments_full(tile, k, e, sums);
    }
}

}  // namespace
