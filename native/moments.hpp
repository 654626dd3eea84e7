// Statistics of a tile: mass, first and second moments of each component about its mean, eqs. (7), (8).
#pragma once
#include "tile.hpp"

namespace {

// to[0..count) += v, in double.
template <class Real>
inline void add_to(double* to, Vector<Real> v, int count = lanes<Real>) {
    for (int i = 0; i < lanes<Real> && i < count; ++i) to[i] += v[i];
}

// ---- few features: samples in the lanes, all sums in registers ------------------------------------------------------

// Rows [From, To) of the second moment, with their first moments; the mass if From is 0.
template <class Real, int D, bool Diagonal, int From, int To>
inline void moments_rows(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>, rows = To - From, begin = Diagonal ? From : 0;
    const Real *mean = tile.mean(k), *scale = tile.scale;
    Vector<Real> mass{}, first[rows] = {}, second[rows][To] = {};
    for (int t = 0; t < tile.T; t += L) {
        reread(mean);
        const Real* x = tile.feature(0, t);
        const Vector<Real> g = load(e + t) * load(scale + t);
        if constexpr (From == 0) mass += g;
        Vector<Real> gr[rows];
        unrolled<To - begin>([&](auto step) {
            constexpr int j = To - 1 - step;  // the last first: what it and its like are multiplied with
            const Vector<Real> r = load(x + j * P) - mean[j];
            if constexpr (j >= From) {
                gr[j - From] = g * r;
                first[j - From] += gr[j - From];
            }
            unrolled<rows>([&](auto i) {
                if constexpr (Diagonal ? j == From + i : j <= From + i) second[i][j] += gr[i] * r;
            });
        });
    }
    if constexpr (From == 0) sums.mass[k] += sum<Real>(mass);
    double* to = sums.second + (tile.c.shared ? 0 : k) * D * (Diagonal ? 1 : D);
    unrolled<rows>([&](auto i) {
        sums.first[k * D + From + i] += sum<Real>(first[i]);
        unrolled<To - begin>([&](auto step) {
            constexpr int j = begin + step;
            if constexpr (Diagonal) {
                if (j == From + i) to[j] += sum<Real>(second[i][j]);
            } else if (j <= From + i) {
                to[(From + i) * D + j] += sum<Real>(second[i][j]);
            }
        });
    });
}

template <class Real, int D, bool Diagonal>
void moments_small(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    // Beyond five features a triangle and its operands take more than 32 registers: two visits.
    constexpr int cut = Diagonal || D <= 5 ? D : D <= 7 ? 4 : 5;
    moments_rows<Real, D, Diagonal, 0, cut>(tile, k, e, sums);
    if constexpr (cut < D) moments_rows<Real, D, Diagonal, cut, D>(tile, k, e, sums);
}

// ---- more features: strips ------------------------------------------------------------------------------------------

// e_k -> g, or its square root; the sum of g is the mass.
template <class Real, bool Root>
void weigh(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    constexpr int L = lanes<Real>;
    const Real* scale = tile.scale;
    Vector<Real> mass[width] = {};
    for (int t = 0; t < tile.T; t += panel_rows<Real>)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> g = load(e + t + v * L) * load(scale + t + v * L);
            store(e + t + v * L, Root ? square_root<Real>(g) : g);
            mass[v] += g;
        }
    sums.mass[k] += sum<Real>((mass[0] + mass[1]) + (mass[2] + mass[3]));
}

// mu_k, filled up with zeros to whole strips.
template <class Real>
void fill_mean(const Tile<Real>& tile, int k) {
    for (int j = 0; j < tile.D; ++j) tile.padded_mean[j] = tile.mean(k)[j];
}

// Rows of a block of sum q q^T, q = sqrt(g) (x - mu): with three strips as many accumulators stay in registers.
constexpr int rows_of_block = GAUSSMIX_BYTES == 64 ? 8 : 4;

// Height rows from i on, `Strips` strips of columns from `column` on, over the whole tile: for each t, Height
// broadcasts against Strips vectors,
//
//     q_i      x   q_column ...   q_column+L ...   q_column+2L ...
//     q_i+1    x
//
// The first block of a strip of rows makes their q on its way, a panel ahead of the products so that they find it in the
// nearest cache, and their first moment, the sum of sqrt(g) q.
template <class Real, int Height, int Strips, bool Make>
inline void outer_block(const Tile<Real>& tile, const Real* root, int i, int column, double* first, double* second) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>, made = Height > L ? Height / L : 1;
    const std::int64_t strip = std::int64_t(tile.capacity) * L;
    Real* left = tile.weighted + i / L * strip;
    const Real *right = tile.weighted + column / L * strip, *x = tile.x_strips + i / L * strip;
    Vector<Real> mean[made], sum_q[made] = {}, total[Height][Strips] = {};
    for (int m = 0; m < made; ++m) mean[m] = load(tile.padded_mean + i + m * L);
    for (std::int64_t begin = 0; begin < tile.T; begin += P) {
        if constexpr (Make)
            for (int m = 0; m < made; ++m) {
                Vector<Real> part[4] = {};
                for (std::int64_t t = begin; t < begin + P; t += 4)
#pragma GCC unroll 4
                    for (int u = 0; u < 4; ++u) {
                        const Vector<Real> q = (load(x + m * strip + (t + u) * L) - mean[m]) * root[t + u];
                        store(left + m * strip + (t + u) * L, q);
                        part[u] += q * root[t + u];
                    }
                sum_q[m] += (part[0] + part[1]) + (part[2] + part[3]);
            }
        for (std::int64_t t = begin; t < begin + P; ++t) {
            Vector<Real> q[Strips];
#pragma GCC unroll 4
            for (int s = 0; s < Strips; ++s) q[s] = load(right + s * strip + t * L);
#pragma GCC unroll 8
            for (int h = 0; h < Height; ++h) {
                const Vector<Real> each = splat<Real>(left[h / L * strip + (i + h) % L + t * L]);
#pragma GCC unroll 4
                for (int s = 0; s < Strips; ++s) total[h][s] += each * q[s];
            }
        }
    }
    const int D = tile.D;
    if constexpr (Make)
        for (int m = 0; m < made; ++m) add_to<Real>(first + i + m * L, sum_q[m], D - i - m * L);
    for (int h = 0; h < Height && i + h < D; ++h)
        for (int s = 0; s < Strips; ++s)
            add_to<Real>(second + std::int64_t(i + h) * D + column + s * L, total[h][s], D - column - s * L);
}

// Rows of the lower triangle from i on: columns up to the strip of the last row; what lies above the diagonal is not
// read.
template <class Real, int Height, bool Make>
inline void outer_rows(const Tile<Real>& tile, const Real* root, int i, double* first, double* second) {
    constexpr int L = lanes<Real>;
    const int strips = (i + Height - 1) / L + 1 < tile.strips ? (i + Height - 1) / L + 1 : tile.strips;
    switch (strips % 3) {
        case 0: outer_block<Real, Height, 3, Make>(tile, root, i, 0, first, second); break;
        case 1: outer_block<Real, Height, 1, Make>(tile, root, i, 0, first, second); break;
        case 2: outer_block<Real, Height, 2, Make>(tile, root, i, 0, first, second); break;
    }
    for (int s = strips % 3 ? strips % 3 : 3; s < strips; s += 3)
        outer_block<Real, Height, 3, false>(tile, root, i, s * L, first, second);
}

// sum q q^T of all features, q as it lies in tile.weighted: (D, D), the lower triangle.
template <class Real>
void outer_triangle(const Tile<Real>& tile, double* second) {
    constexpr int H = rows_of_block;
    for (int i = 0; i < tile.D; i += H)
        if (tile.D - i <= H / 2) outer_rows<Real, H / 2, false>(tile, nullptr, i, nullptr, second);
        else outer_rows<Real, H, false>(tile, nullptr, i, nullptr, second);
}

template <class Real>
void moments_full(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    constexpr int L = lanes<Real>, H = rows_of_block;
    const int D = tile.D;
    double *first = sums.first + std::int64_t(k) * D, *second = sums.second + (tile.c.shared ? 0 : std::int64_t(k)) * D * D;
    weigh<Real, true>(tile, k, e, sums);
    fill_mean(tile, k);
    for (int i = 0; i < D; i += H)
        if (i % L) {
            if (D - i <= H / 2) outer_rows<Real, H / 2, false>(tile, e, i, first, second);
            else outer_rows<Real, H, false>(tile, e, i, first, second);
        } else {
            if (D - i <= H / 2) outer_rows<Real, H / 2, true>(tile, e, i, first, second);
            else outer_rows<Real, H, true>(tile, e, i, first, second);
        }
}

// First and second moment of `Strips` strips from s on.
template <class Real, int Strips>
inline void square_strips(const Tile<Real>& tile, int k, const Real* g, int s, Sums& sums) {
    constexpr int L = lanes<Real>, unroll = 4 / Strips;
    const std::int64_t strip = std::int64_t(tile.capacity) * L, D = tile.D;
    const Real* x = tile.x_strips + s * strip;
    Vector<Real> mean[Strips], first[Strips][unroll] = {}, second[Strips][unroll] = {};
    for (int i = 0; i < Strips; ++i) mean[i] = load(tile.padded_mean + (s + i) * L);
    for (int t = 0; t < tile.T; t += unroll)
#pragma GCC unroll 4
        for (int u = 0; u < unroll; ++u)
#pragma GCC unroll 4
            for (int i = 0; i < Strips; ++i) {
                const Vector<Real> r = load(x + i * strip + (t + u) * L) - mean[i];
                const Vector<Real> gr = r * g[t + u];
                first[i][u] += gr;
                second[i][u] += gr * r;
            }
    for (int i = 0; i < Strips; ++i) {
        for (int u = 1; u < unroll; ++u) first[i][0] += first[i][u], second[i][0] += second[i][u];
        const std::int64_t at = (s + i) * L;
        add_to<Real>(sums.first + k * D + at, first[i][0], int(D - at));
        add_to<Real>(sums.second + k * D + at, second[i][0], int(D - at));
    }
}

template <class Real>
void moments_diagonal(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    weigh<Real, false>(tile, k, e, sums);
    fill_mean(tile, k);
    int s = 0;
    for (; s + 4 <= tile.strips; s += 4) square_strips<Real, 4>(tile, k, e, s, sums);
    for (; s + 2 <= tile.strips; s += 2) square_strips<Real, 2>(tile, k, e, s, sums);
    if (s < tile.strips) square_strips<Real, 1>(tile, k, e, s, sums);
}

template <class Real, int D = 1>
void moments(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    if (tile.D == D) {
        if (tile.c.diagonal) moments_small<Real, D, true>(tile, k, e, sums);
        else moments_small<Real, D, false>(tile, k, e, sums);
    } else if constexpr (D < small) {
        moments<Real, D + 1>(tile, k, e, sums);
    } else if (tile.c.diagonal) {
        moments_diagonal(tile, k, e, sums);
    } else {
        moments_full(tile, k, e, sums);
    }
}

}  // namespace
